"""A circuit breaker: what keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

logger = logging.getLogger("litellm_benchrouter")


class State(Enum):
    """What a breaker lets through: everything, nothing, or the one probe that is under way."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class OnChange(Protocol):
    """Is told when a breaker opens and when it closes."""

    def __call__(self, *, is_open: bool) -> None: ...


class Breaker:
    """Decides whether to try.

    Closed, it lets everything through. After `failures` in a row it opens and lets nothing through
    for `seconds`. Then it lets one try through, the probe: if that succeeds it closes, else it is
    open for as long again. Every try that was let through ends in exactly one of `succeeded`,
    `failed` and `dropped`. Not for several threads at once: the event loop owns it.

    Parameters
    ----------
    failures : int
    seconds : float
    clock : callable
        Seconds from any start, never going back.
    on_change : callable, optional
        Called with `is_open` when it opens and when it closes.
    what : str
        What is tried, for the log.

    Attributes
    ----------
    state : State
    failures_in_a_row : int
    """

    def __init__(
        self,
        failures: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange | None = None,
        what: str = "decisions",
    ) -> None:
        self._what = what
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
            logger.warning("benchrouter: %s are taken again", self._what)
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
                "benchrouter: %d %s in a row failed; the next are skipped, and one is tried "
                "every %g s",
                self.failures_in_a_row,
                self._what,
                self._seconds,
            )
            self._tell(is_open=True)
            self._open()

    def dropped(self, number: int) -> None:
        """Note that nobody waited for the end of a try; after a probe the next one is a probe."""
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
