"""Bounds: threads, the breaker (closed, open, one probe, and what is counted), and memories."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import wait

import pytest
from clock import Clock

from litellm_benchrouter.limits import Breaker, BusyError, DaemonThreads, Memory, State


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    made = DaemonThreads(2, "test-decide", longest_queue=8)
    yield made
    made.stop()
    for thread in ours():  # or the next test counts them
        thread.join()


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("test-decide")]


def test_no_thread_is_started_before_there_is_work_and_no_more_than_said(threads: DaemonThreads):
    assert len(ours()) == 0
    together = threading.Barrier(2)  # passed only by two threads at once
    wait([threads.submit(together.wait) for _ in range(8)], timeout=20)
    assert len(ours()) == 2


def test_a_thread_is_started_only_where_none_is_free(threads: DaemonThreads):
    assert threads.submit(lambda: 1).result(20) == 1
    assert len(ours()) == 1


def test_what_runs_and_what_waits_is_counted_and_so_is_how_long(clock: Clock):
    threads, let_go = DaemonThreads(2, "test-counted", clock=clock), threading.Event()
    entered = threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        let_go.wait(20)

    hung = [threads.submit(hang)]
    entered.acquire()
    clock.now += 5
    hung.append(threads.submit(hang))
    entered.acquire()
    waiting = [threads.submit(lambda: None) for _ in range(3)]
    waiting[1].cancel()
    assert (threads.unfinished, threads.waiting) == (4, 2)
    clock.now += 1
    assert threads.are_stuck(1) and not threads.are_stuck(2), "one of them for 1 s only"
    let_go.set()
    wait([*hung, waiting[0], waiting[2]], timeout=20)
    assert (threads.unfinished, threads.waiting, threads.are_stuck(0)) == (0, 0, False)
    threads.stop()


def test_a_result_and_an_error_come_back(threads: DaemonThreads):
    assert threads.submit(lambda: 6 * 7).result(20) == 42
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(20)
    assert threads.submit(lambda: "still here").result(20) == "still here"


def test_what_was_cancelled_while_it_waited_is_not_run_and_a_full_queue_is_refused(
    threads: DaemonThreads,
):
    let_go = threading.Event()
    hung = [threads.submit(lambda: let_go.wait(20)) for _ in range(2)]
    ran: list[int] = []
    waiting = []
    with pytest.raises(BusyError):
        for number in range(20):
            waiting.append(threads.submit(lambda number=number: ran.append(number)))
    assert all(future.cancel() for future in waiting[1:])
    let_go.set()
    wait([*hung, waiting[0]], timeout=20)
    assert threads.submit(lambda: list(ran)).result(20) == [0]


def test_an_idle_thread_keeps_nothing_of_what_it_did(threads: DaemonThreads):
    class Prompt:
        pass

    prompt = Prompt()
    kept = weakref.ref(prompt)
    threads.submit(lambda prompt=prompt: None).result(20)
    del prompt
    together = threading.Barrier(2)  # passed when each thread has taken something else
    wait([threads.submit(together.wait) for _ in range(2)])
    gc.collect()
    assert kept() is None


def test_a_hung_thread_does_not_keep_the_process_from_ending():
    program = """
import threading
from litellm_benchrouter.limits import DaemonThreads
started = threading.Event()
threads = DaemonThreads(2, "hung")
threads.submit(lambda: (started.set(), threading.Event().wait()))
started.wait()
print("ends")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "ends\n"


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


def test_a_memory_forgets_what_was_used_least_recently():
    memory: Memory[str, int] = Memory(3)
    for name in "abc":
        memory.put(name, ord(name))
    assert memory.get("a") == 97
    memory.put("d", 100)
    assert memory.keys() == ["c", "a", "d"]
    assert memory.get("b") is None
    memory.put("c", 0)
    assert (memory.get("c"), len(memory)) == (0, 3)


def test_a_memory_may_forget_what_is_too_old(clock: Clock):
    memory: Memory[str, int] = Memory(3, 60.0, clock)
    assert memory.put("a", 1) == 1
    clock.now += 59.9
    assert memory.get("a") == 1
    clock.now += 0.1
    assert memory.get("a") is None
    memory.drop("a")
    memory.drop("never there")
    assert len(memory) == 0
