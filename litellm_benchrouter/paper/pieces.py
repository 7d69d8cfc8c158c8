"""Independent pieces of work, which somebody else may spread over processes and machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

P = TypeVar("P")
R = TypeVar("R")


class Each(Protocol):
    """Applies a function to pieces of work, and gives the results in their order.

    The function and what it holds may be copied to another process: it changes nothing outside of
    itself, and does not see what other pieces do.
    """

    def __call__(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterable[R]: ...


def one_by_one(function: Callable[[P], R], pieces: Sequence[P]) -> Iterable[R]:
    """Apply it here, when the next result is asked for."""
    return map(function, pieces)
