"""Memory of what was looked up a moment ago, bounded in time and in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TimedCache(Generic[K, V]):
    """Values that are used again for a while; the least recently used goes first.

    For one thread: in a proxy, that of the event loop.

    Parameters
    ----------
    seconds : float
        How long a value is used.
    size : int
        How many values are kept.
    clock : callable
        Seconds.
    """

    def __init__(
        self, seconds: float, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._size, self._clock = seconds, size, clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of a key; None where there is none, or it is too old."""
        expires, value = self._values.get(key, (0.0, None))
        if value is None or self._clock() >= expires:
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> V:
        """Keep a value, and return it."""
        self._values[key] = (self._clock() + self._seconds, value)
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value

    def drop(self, key: K) -> None:
        """Forget a key."""
        self._values.pop(key, None)
