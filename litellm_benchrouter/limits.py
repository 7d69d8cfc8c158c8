"""Bounds for what may fail or pile up: threads, a circuit breaker, and memories."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

logger = logging.getLogger("litellm_benchrouter")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_LONGEST_QUEUE = 256


class Memory(Generic[K, T]):
    """Bounded memory that forgets what was used least recently. Safe between threads.

    An entry is used for so many seconds by the clock, which never goes back.
    """

    def __init__(
        self,
        size: int,
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[K, tuple[T, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> T | None:
        """Return an entry, and count that as a use; None where there is none, or it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or (entry[1] < math.inf and self._clock() >= entry[1]):
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: K, entry: T) -> T:
        """Add or replace an entry, and return it."""
        expires = self._seconds if self._seconds == math.inf else self._clock() + self._seconds
        with self._lock:
            self._entries[key] = (entry, expires)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return entry

    def drop(self, key: K) -> None:
        """Forget an entry."""
        with self._lock:
            self._entries.pop(key, None)

    def keys(self) -> list[K]:
        """Return all keys, the least recently used first."""
        with self._lock:
            return list(self._entries)


class BusyError(Exception):
    """Every thread is busy and the queue is full."""


class DaemonThreads:
    """Runs functions in a few threads, each started when it is first needed.

    Unlike those of `concurrent.futures`, they are not waited for when the process ends: one that
    hangs in an embedder would keep a proxy from stopping. At most `longest_queue` functions wait
    for a thread, including those that were cancelled meanwhile.
    """

    def __init__(
        self,
        n_threads: int,
        name: str,
        longest_queue: int = _LONGEST_QUEUE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_threads = n_threads
        self.waiting = 0
        self._name = name
        self._clock = clock
        self._queue: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None]
        self._queue = queue.Queue(longest_queue)
        self._lock = threading.Lock()
        self._n_started = 0
        self._busy_since: dict[int, float] = {}

    @property
    def unfinished(self) -> int:
        """How many functions run or wait."""
        return self.waiting + len(self._busy_since)

    def are_stuck(self, seconds: float) -> bool:
        """Say whether every thread has been busy with one function for at least so long."""
        since = list(self._busy_since.values())
        return len(since) == self.n_threads and self._clock() - max(since) >= seconds

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run a function soon; raise BusyError where the queue is full."""
        future: Future[T] = Future()
        with self._lock:
            try:
                self._queue.put_nowait((future, work))
            except queue.Full as error:
                raise BusyError from error
            self.waiting += 1
            number = self._n_started
            starts = number < self.n_threads and self.unfinished > number
            self._n_started += starts
        future.add_done_callback(self._forget_cancelled)
        if starts:
            name = f"{self._name}-{number}"
            threading.Thread(target=self._run, args=(number,), name=name, daemon=True).start()
        return future

    def stop(self) -> None:
        """End the threads as soon as they have done what waits; none is waited for."""
        for _ in range(self._n_started):
            with suppress(queue.Full):
                self._queue.put_nowait(None)

    def _forget_cancelled(self, future: Future[Any]) -> None:
        if future.cancelled():
            with self._lock:
                self.waiting -= 1

    def _run(self, number: int) -> None:
        while (job := self._queue.get()) is not None:
            self._do(number, *job)
            del job  # an idle thread must not keep a prompt

    def _do(self, number: int, future: Future[T], work: Callable[[], T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        with self._lock:
            self.waiting -= 1
            self._busy_since[number] = self._clock()
        try:
            result = work()
        except BaseException as error:
            self._end(number)
            future.set_exception(error)
        else:
            self._end(number)
            future.set_result(result)

    def _end(self, number: int) -> None:
        with self._lock:
            del self._busy_since[number]


class State(Enum):
    """State of a breaker: it lets through everything, nothing, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class OnChange(Protocol):
    """Callback for the moments when a breaker opens and closes."""

    def __call__(self, *, is_open: bool) -> None: ...


class Breaker:
    """Circuit breaker: what keeps failing is left alone for a while, then tried once.

    Closed, it lets everything through. After `failures` in a row it opens and lets nothing through
    for `seconds`. Then it lets one try through, the probe: if that succeeds it closes, else it is
    open for as long again. Every try that was let through ends in exactly one of `succeeded`,
    `failed` and `dropped`. Not for several threads at once: the event loop owns it. `on_change` is
    called with `is_open` when it opens and when it closes.
    """

    def __init__(
        self,
        failures: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange | None = None,
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._on_change = on_change
        self._open_until = 0.0
        self._tries = 0
        self._probe: int | None = None
        self.state = State.CLOSED
        self.failures_in_a_row = 0

    def enter(self) -> int | None:
        """Return the number of a try, or None where there must be none now."""
        if self.state is not State.CLOSED:
            if self.state is State.PROBING or self._clock() < self._open_until:
                return None
            self.state, self._probe = State.PROBING, self._tries + 1
        self._tries += 1
        return self._tries

    def succeeded(self, number: int) -> None:
        """Note that a try went well. One from before it opened does not close it."""
        if number == self._probe:
            self._probe, self.state = None, State.CLOSED
            logger.warning("benchrouter: decisions are taken again")
            self._tell(is_open=False)
        if self.state is State.CLOSED:
            self.failures_in_a_row = 0

    def failed(self, number: int) -> None:
        """Note that a try failed."""
        self.failures_in_a_row += 1
        if number == self._probe:
            self._open()
        elif self.state is State.CLOSED and self.failures_in_a_row >= self._limit:
            logger.warning(
                "benchrouter: %d decisions in a row failed; the next are skipped, and one is tried "
                "every %g s",
                self.failures_in_a_row,
                self._seconds,
            )
            self._tell(is_open=True)
            self._open()

    def dropped(self, number: int) -> None:
        """Note that a try ended without a verdict; after a probe the next one is a probe."""
        if number == self._probe:
            self._open(seconds=0.0)

    def retry(self) -> None:
        """Let the next try be the probe without waiting: something has changed."""
        self._open_until = 0.0

    def _open(self, seconds: float | None = None) -> None:
        self._probe, self.state = None, State.OPEN
        self._open_until = self._clock() + (self._seconds if seconds is None else seconds)

    def _tell(self, *, is_open: bool) -> None:
        if self._on_change is not None:
            self._on_change(is_open=is_open)
