"""Results of a method, remembered without keeping its object."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar
from weakref import WeakMethod

T = TypeVar("T")


def remembered(method: Callable[..., T], n_results: int) -> Callable[..., T]:
    """Return a method that remembers its latest results; keep it as an attribute of its object.

    `lru_cache` around a bound method would make a circle: a version that is replaced would hold
    its memory and its mapped files until the collector of cycles gets to it, which in a proxy can
    take long.

    Parameters
    ----------
    method : callable
        A bound method; its arguments are hashable.
    n_results : int
    """
    weak = WeakMethod(method)

    @lru_cache(maxsize=n_results)
    def ask(*arguments: Hashable) -> T:
        bound = weak()
        if bound is None:
            raise ReferenceError("the object of a remembered method is gone")
        return bound(*arguments)

    return ask
