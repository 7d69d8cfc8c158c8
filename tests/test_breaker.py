"""The breaker: closed, open, one probe, and what is counted."""

from __future__ import annotations

import logging

import pytest
from clock import Clock

from litellm_benchrouter.serving.breaker import Breaker, State


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(3, 10.0, clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        number = breaker.enter()
        assert number is not None
        breaker.failed(number)


def test_it_opens_after_failures_in_a_row_and_lets_nothing_through(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    assert breaker.state is State.OPEN
    clock.now += 9.9
    assert breaker.enter() is None


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker):
    fail(breaker, 2)
    breaker.succeeded(breaker.enter())
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_exactly_one_probe_is_let_through_and_its_success_closes(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        fail(breaker, 3)
        clock.now += 10
        probe = breaker.enter()
        assert probe is not None
        assert breaker.state is State.PROBING
        clock.now += 1000
        assert [breaker.enter() for _ in range(5)] == [None] * 5
        breaker.succeeded(probe)
    assert breaker.state is State.CLOSED
    assert breaker.enter() is not None
    assert "3 decisions in a row failed" in caplog.text
    assert "taken again" in caplog.text


def test_a_probe_that_fails_opens_for_as_long_again_and_says_so_only_once(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        fail(breaker, 3)
        for _ in range(4):
            clock.now += 10
            fail(breaker, 1)
            assert breaker.enter() is None
    assert len(caplog.records) == 1


def test_a_probe_that_nobody_waits_for_leaves_room_for_the_next(breaker: Breaker, clock: Clock):
    fail(breaker, 3)
    clock.now += 10
    breaker.dropped(breaker.enter())
    assert breaker.state is State.OPEN
    breaker.succeeded(breaker.enter())
    assert breaker.state is State.CLOSED


def test_tries_from_before_it_opened_do_not_decide(breaker: Breaker, clock: Clock):
    early, late = breaker.enter(), breaker.enter()
    fail(breaker, 3)
    breaker.succeeded(early)
    assert breaker.state is State.OPEN
    clock.now += 10
    probe = breaker.enter()
    breaker.failed(late)
    breaker.dropped(early)
    assert breaker.state is State.PROBING
    breaker.succeeded(probe)
    assert breaker.state is State.CLOSED


def test_who_watches_is_told_when_it_opens_and_when_it_closes(clock: Clock):
    told: list[bool] = []
    breaker = Breaker(3, 10.0, clock, lambda *, is_open: told.append(is_open))
    fail(breaker, 3)
    clock.now += 10
    fail(breaker, 1)
    clock.now += 10
    breaker.succeeded(breaker.enter())
    assert told == [True, False]


def test_something_new_is_probed_without_waiting(breaker: Breaker):
    fail(breaker, 3)
    breaker.retry()
    assert breaker.enter() is not None
    assert breaker.enter() is None
