"""How long a coroutine keeps the event loop at a time."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from typing import Any


class Stepped:
    """Awaits a coroutine and times each of its steps between two waits.

    The time is the thread's own, so that neither other processes nor other threads count.

    Parameters
    ----------
    work : coroutine

    Attributes
    ----------
    longest : float
        Seconds.
    """

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self.longest = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        sent: Any = None
        error: BaseException | None = None
        while True:
            started = time.thread_time()
            try:
                waits = self._work.send(sent) if error is None else self._work.throw(error)
            except StopIteration as ended:
                return ended.value
            finally:
                self.longest = max(self.longest, time.thread_time() - started)
            sent, error = None, None
            try:
                sent = yield waits
            except BaseException as raised:
                error = raised


async def waited(step: Stepped) -> Any:
    """Return what a stepped coroutine returns."""
    return await step
