"""Remembered results go with their object."""

from __future__ import annotations

import gc
import weakref

import pytest

from litellm_benchrouter.routing.estimates import cached_method


class Squares:
    def __init__(self) -> None:
        self.calls = 0
        self.of = cached_method(self._of, 2)

    def _of(self, number: int) -> int:
        self.calls += 1
        return number**2


def test_a_result_is_computed_once_until_others_push_it_out():
    squares = Squares()
    assert [squares.of(n) for n in (3, 3, 4, 3, 5, 4)] == [9, 9, 16, 9, 25, 16]
    assert squares.calls == 4


def test_the_object_goes_with_its_last_reference():
    squares = Squares()
    squares.of(3)
    gone, ask = weakref.ref(squares), squares.of
    gc.disable()
    try:
        del squares
        assert gone() is None
    finally:
        gc.enable()
    assert ask(3) == 9
    with pytest.raises(ReferenceError):
        ask(4)
