"""A bounded number of threads that never hold up the end of the process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_LONGEST_QUEUE = 256  # of which most will run out of time; a hung thread frees none of them


class BusyError(Exception):
    """Every thread is busy and the queue is full."""


class DaemonThreads:
    """Runs functions in a few threads, started when first needed.

    Unlike those of `concurrent.futures`, they are not waited for when the process ends: one that
    hangs in an embedder would keep a proxy from stopping.

    Parameters
    ----------
    n_threads : int
    name : str
    longest_queue : int
        How many functions may wait for a thread, those that were cancelled meanwhile included.
    """

    def __init__(self, n_threads: int, name: str, longest_queue: int = _LONGEST_QUEUE) -> None:
        self._n_threads = n_threads
        self._name = name
        self._queue: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None]
        self._queue = queue.Queue(longest_queue)
        self._lock = threading.Lock()
        self._started = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run a function soon.

        Raises
        ------
        BusyError
            If the queue is full.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((future, work))
        except queue.Full as error:
            raise BusyError from error
        self._start()
        return future

    def stop(self) -> None:
        """End the threads as soon as they have done what waits; none is waited for."""
        for _ in range(self._n_threads):
            with suppress(queue.Full):
                self._queue.put_nowait(None)

    def _start(self) -> None:
        if self._started:
            return
        with self._lock:
            if not self._started:
                self._started = True
                for number in range(self._n_threads):
                    name = f"{self._name}-{number}"
                    threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            _do(*job)
            del job  # an idle thread must not keep a prompt


def _do(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
