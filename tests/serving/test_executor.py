"""Decisions beside the event loop: time limit, admission, failures, and what is taken in place."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from served import Served

from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.limits import Breaker, State
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.estimates import MOST_OFFERS
from litellm_benchrouter.routing.router import MOST_TASKS, BenchRouter
from litellm_benchrouter.serving.executor import Executor, Pace

from .conftest import tuned

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b"]
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
RESTS = "decisions kept failing; they rest"


class Counting:
    """An embedder that counts its calls, and hangs or fails while it is told to."""

    kind = "of the test"

    def __init__(self, real: Embedder) -> None:
        self._real = real
        self.dimension = real.dimension
        self.calls = 0
        self.fails = False
        self.work: Callable[[], None] = lambda: None
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    def embed(self, texts, *, progress=None):
        self.calls += 1
        self.entered.release()
        if self.fails:
            raise ValueError(f"never repeat {texts[0]}")
        self.released.wait()
        self.work()
        return self._real.embed(texts)


@pytest.fixture
def counting(served: Served) -> Counting:
    return Counting(served.router.artifact.embedder)


@pytest.fixture
def router(served: Served, counting: Counting) -> BenchRouter:
    return BenchRouter(replace(served.router.artifact, embedder=counting))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit() -> float:
    return 3_600_000.0


@pytest.fixture
def executor(
    folder: Path, limit: float, clock: Clock, counting: Counting, router: BenchRouter
) -> Iterator[Executor]:
    """An executor of two threads, and a breaker that opens after three failures."""
    config = tuned(folder, time_limit_ms=limit, breaker={"failures": 3, "seconds": 10.0})
    made = Executor(config.serving, clock=clock)
    router.prepare(MODELS)
    made.pace(router).prepared((None, *MODELS))
    yield made
    counting.released.set()
    made.stop()


async def both_hang(executor: Executor, router: BenchRouter, counting: Counting) -> list[Any]:
    """Let both threads hang in the embedder, and return who waits for them."""
    counting.released.clear()
    asked = [asyncio.create_task(executor.run(router, MATH, None, MODELS)) for _ in range(2)]
    for _ in asked:
        await asyncio.to_thread(counting.entered.acquire)
    return asked


async def test_a_prompt_is_decided_as_the_router_decides_it(served: Served) -> None:
    decision = await served.ask(MATH, MODELS)
    assert decision == served.router.decide(MATH, models=MODELS)
    assert decision.pick == "mathsmith-8b"


async def test_many_at_once_equal_those_one_by_one(served: Served) -> None:
    prompts = [
        f"{verb} {thing}"
        for verb in ("Translate", "Summarise", "Solve", "Join")
        for thing in ("a report", "the orders table", "x + 3", "a sentence into Dutch")
    ] * 4
    together = await asyncio.gather(*(served.ask(prompt, MODELS) for prompt in prompts))
    assert together == [served.router.decide(prompt, models=MODELS) for prompt in prompts]


async def test_as_many_are_admitted_as_can_be_taken_in_time_and_the_rest_goes_on_at_once(
    executor: Executor, router: BenchRouter, counting: Counting, clock: Clock
) -> None:
    def takes_900_s() -> None:
        clock.now += 900

    counting.work = takes_900_s
    assert (await executor.run(router, MATH, None, MODELS)).kind == "routed"
    assert executor.pace(router).service == 900

    hung = await both_hang(executor, router, counting)
    # Of 3,600 s, 2,160 may be waited; the third of those that wait would need 2,250.
    waiting = [asyncio.create_task(executor.run(router, MATH, None, MODELS)) for _ in range(20)]
    done, admitted = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(admitted)) == (18, 2)
    refused = {task.result().kind for task in done}
    assert refused == {"overload"}
    assert {task.result().reason for task in done} == {"too many decisions are under way"}
    assert {task.result().pick for task in done} == {"atlas-70b"}, "the best on average"

    counting.work = lambda: None
    counting.released.set()
    decisions = await asyncio.gather(*hung, *admitted)
    assert {each.kind for each in decisions} == {"routed"}
    assert (executor.breaker.state, executor.breaker.failures_in_a_row) == (State.CLOSED, 0)


@pytest.mark.parametrize("limit", [50.0])
async def test_waiting_behind_others_is_no_failure_of_the_embedder(
    executor: Executor, router: BenchRouter, counting: Counting
) -> None:
    await both_hang(executor, router, counting)  # a clock that stands: not for long yet
    decisions = [await executor.run(router, MATH, None, MODELS) for _ in range(5)]
    assert {each.kind for each in decisions} == {"overload"}
    assert (executor.breaker.state, executor.breaker.failures_in_a_row) == (State.CLOSED, 0)


@pytest.mark.parametrize("limit", [50.0])
async def test_while_both_threads_hang_one_waits_and_the_others_go_on_until_the_breaker_opens(
    executor: Executor, router: BenchRouter, counting: Counting, clock: Clock
) -> None:
    for client in (gone := await both_hang(executor, router, counting)):
        client.cancel()
    await asyncio.wait(gone)
    clock.now += 1
    for number in range(3):
        asked = [executor.run(router, MATH, None, MODELS) for _ in range(9)]
        kinds = Counter(each.kind for each in await asyncio.gather(*asked))
        assert kinds == {"time_limit": 1, "overload": 8}, number
    assert executor.breaker.state is State.OPEN


@pytest.mark.parametrize("limit", [50.0])
async def test_a_hung_embedder_takes_both_threads_at_most_and_one_probe_finds_it_well(
    executor: Executor, router: BenchRouter, counting: Counting, clock: Clock
) -> None:
    async def ask(times: int) -> list[Decision]:
        asked = (executor.run(router, MATH, None, MODELS) for _ in range(times))
        return await asyncio.gather(*asked)

    for client in (gone := await both_hang(executor, router, counting)):
        client.cancel()
    await asyncio.wait(gone)
    clock.now += 1
    for _ in range(3):
        (decision,) = await ask(1)
        assert (decision.pick, decision.method) == ("atlas-70b", "bma")
        assert decision.reason == "no decision within 50 ms"
    assert executor.breaker.state is State.OPEN

    skipped = await ask(50)
    assert {(each.kind, each.reason) for each in skipped} == {("breaker", RESTS)}

    clock.now += 10
    reasons = Counter(decision.reason for decision in await ask(50))  # it hangs still
    assert reasons == {"no decision within 50 ms": 1, RESTS: 49}
    assert executor.breaker.state is State.OPEN
    assert counting.calls == 2

    counting.released.set()
    executor._limit = 3600.0
    clock.now += 10
    assert Counter(decision.method for decision in await ask(20)) == {"guarded": 1, "bma": 19}
    assert executor.breaker.state is State.CLOSED
    assert counting.calls == 3  # what waited for a thread was not run any more
    assert {decision.method for decision in await ask(5)} == {"guarded"}


async def test_the_event_loop_goes_on_while_an_embedder_hangs(
    executor: Executor, router: BenchRouter, counting: Counting
) -> None:
    hung = await both_hang(executor, router, counting)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(task.done() for task in hung)
    counting.released.set()
    assert {each.kind for each in await asyncio.gather(*hung)} == {"routed"}


async def test_an_embedder_that_fails_time_and_again_is_left_alone(
    executor: Executor, router: BenchRouter, counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    counting.fails = True
    with caplog.at_level(logging.WARNING):
        decisions = [await executor.run(router, MATH, None, MODELS) for _ in range(10)]
    reasons = [decision.reason for decision in decisions]
    assert reasons == ["the decision failed (ValueError)"] * 3 + [RESTS] * 7
    assert {(decision.pick, decision.method) for decision in decisions} == {("atlas-70b", "bma")}
    assert counting.calls == 3
    assert "ValueError" in caplog.text
    assert "tickets" not in caplog.text, "a message may quote the prompt"

    executor.breaker.retry()  # as where a version is loaded: worth a try at once
    counting.fails = False
    assert (await executor.run(router, MATH, None, MODELS)).method == "guarded"


async def test_what_needs_no_embedding_is_decided_while_the_breaker_is_open(
    executor: Executor, router: BenchRouter, counting: Counting
) -> None:
    counting.fails = True
    for _ in range(3):
        await executor.run(router, MATH, None, MODELS)
    assert executor.breaker.state is State.OPEN
    named = await executor.run(router, MATH, "report-queries", MODELS)
    assert named == router.decide(MATH, task="report-queries", models=MODELS)
    assert (await executor.run(router, " ", None, MODELS)).kind == "no_text"
    two = ["atlas-70b", "spark-3b"]
    router.prepare(two)
    executor.pace(router).prepared((None, *two))
    assert not router.compares(two), "the gate is closed"
    assert (await executor.run(router, MATH, None, two)).kind == "gate"
    assert executor.breaker.state is State.OPEN, "and nothing of that says how the embedder is"


async def test_a_client_that_goes_away_frees_the_probe(
    executor: Executor, router: BenchRouter, counting: Counting, clock: Clock
) -> None:
    executor.breaker = Breaker(1, 10.0, clock)
    counting.fails = True
    await executor.run(router, MATH, None, MODELS)
    clock.now += 10
    counting.fails = False
    counting.released.clear()
    probe = asyncio.create_task(executor.run(router, MATH, None, MODELS))
    await asyncio.sleep(0)
    assert executor.breaker.state is State.PROBING
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    counting.released.set()
    assert (await executor.run(router, MATH, None, MODELS)).method == "guarded"
    assert executor.breaker.state is State.CLOSED


async def test_a_decision_is_taken_in_place_once_it_is_known_to_be_quick(
    served: Served, router: BenchRouter
) -> None:
    async def thread_of(by: BenchRouter, task: str | None = None) -> str:
        names = []
        decide = by.decide

        def noted(*args: Any, **kwargs: Any) -> Decision:
            names.append(threading.current_thread().name)
            return decide(*args, **kwargs)

        by.decide = noted  # type: ignore[method-assign]
        await served.executor.run(by, MATH, task, MODELS)
        del by.decide
        return names[0]

    here = threading.current_thread().name
    assert await thread_of(served.router) != here  # the first prepares what is remembered
    assert await thread_of(served.router) == here
    assert await thread_of(served.router, "report-queries") != here
    assert await thread_of(served.router, "report-queries") == here
    assert await thread_of(served.router, "unheard of") == here  # decided by the text

    for _ in range(3):  # an embedder that could hang
        assert await thread_of(router) != here
    assert await thread_of(router, "report-queries") != here
    assert await thread_of(router, "report-queries") == here  # needs no embedding


def test_slow_decisions_go_to_threads_until_they_are_quick_again(served: Served) -> None:
    pace = Pace(served.router)

    def took(seconds: float, n: int) -> None:
        for _ in range(n):
            pace.note(seconds, pace.clock)

    took(0.001, 1)
    took(0.003, 1)  # by a clock that counts what others took of the processor, this says nothing
    assert pace.clock is time.thread_time
    took(0.003, 5)
    assert pace.is_quick
    took(0.003, 1)
    assert not pace.is_quick
    took(0.001, 50)
    assert pace.clock is time.perf_counter
    assert pace.is_quick


def test_of_many_named_tasks_the_least_recently_used_are_forgotten_first(served: Served) -> None:
    pace = Pace(served.router)
    pace.prepared((None, "a"))
    tasks = [(f"task {number}", "a") for number in range(MOST_TASKS + 1)]
    for kind in tasks:
        pace.prepared(kind)
        assert pace.is_prepared(tasks[0]), "it is used all the time"
    assert not pace.is_prepared(tasks[1])
    assert all(pace.is_prepared(kind) for kind in tasks[2:])
    assert pace.is_prepared((None, "a")), "tasks push out no prompts"
    for number in range(MOST_OFFERS):
        pace.prepared((None, f"model {number}"))
    assert not pace.is_prepared((None, "a"))
