"""Decisions beside the event loop: time limit, failures, and versions that come and go."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from proxy.harness import eventually

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import BenchRouterConfig, ServingConfig, load_config
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.breaker import Breaker, State
from litellm_benchrouter.serving.pace import Pace
from litellm_benchrouter.serving.serving import Serving
from litellm_benchrouter.store.directory import Store

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b"]
UNLIMITED = {"time_limit_ms": 3_600_000.0}  # or a busy machine decides what is tested
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"


class Hanging:
    """An embedder that answers only when it is let go."""

    kind = "lexical"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.released = threading.Event()

    def embed(self, texts, *, progress=None):
        self.released.wait(10)
        raise ValueError(f"never repeat {texts[0]}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_files(tmp_path)
    build(load_config(tmp_path / "config.yaml"))
    return tmp_path


@pytest.fixture
def serving(folder: Path) -> Iterator[Serving]:
    made = Serving(tuned(folder))
    made.refresh()
    yield made
    made.stop()


def with_embedder(router: BenchRouter, embedder: Any) -> BenchRouter:
    return BenchRouter(replace(router.artifact, embedder=embedder))


async def test_a_prompt_is_decided_as_the_router_decides_it(serving: Serving) -> None:
    decision = await serving.decide(serving.router, MATH, None, MODELS)
    assert decision == serving.router.decide(MATH, models=MODELS)
    assert decision.pick == "mathsmith-8b"


async def test_a_hung_embedder_gives_way_to_the_best_on_average(
    folder: Path, serving: Serving
) -> None:
    quick = Serving(tuned(folder, time_limit_ms=50.0))
    hanging = Hanging(serving.router.artifact.embedder.dimension)
    router = with_embedder(serving.router, hanging)
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    try:
        decision = await quick.decide(router, MATH, None, MODELS)
    finally:
        watcher.cancel()
        hanging.released.set()
        quick.stop()
    assert (decision.pick, decision.method) == ("atlas-70b", "bma")
    assert decision.reason == "no decision within 50 ms"
    assert turns > 0  # the event loop went on meanwhile


def tuned(folder: Path, **serving: Any) -> BenchRouterConfig:
    """Return the configuration with other keys of `serving`, and no time limit of its own."""
    config = load_config(folder / "config.yaml")
    block = ServingConfig.model_validate(UNLIMITED | serving)
    return config.model_copy(update={"serving": block})


class Counting:
    """An embedder that counts its calls, and hangs or fails while it is told to."""

    kind = "of the test"

    def __init__(self, real: Embedder) -> None:
        self._real = real
        self.dimension = real.dimension
        self.calls = 0
        self.fails = False
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    def embed(self, texts, *, progress=None):
        self.calls += 1
        self.entered.release()
        if self.fails:
            raise ValueError(f"never repeat {texts[0]}")
        self.released.wait()
        return self._real.embed(texts)


@pytest.fixture
def counting(serving: Serving) -> Counting:
    return Counting(serving.router.artifact.embedder)


async def test_a_hung_embedder_takes_both_threads_at_most_and_one_probe_finds_it_well(
    folder: Path, serving: Serving, counting: Counting
) -> None:
    guarded, clock = Serving(tuned(folder)), Clock()
    guarded.breaker = Breaker(3, 10.0, clock)
    router = with_embedder(serving.router, counting)

    async def ask(times: int) -> list[Decision]:
        asked = (guarded.decide(router, MATH, None, MODELS) for _ in range(times))
        return await asyncio.gather(*asked)

    try:
        counting.released.clear()
        gone = [asyncio.create_task(guarded.decide(router, MATH, None, MODELS)) for _ in range(2)]
        for _ in gone:
            await asyncio.to_thread(counting.entered.acquire)
        for client in gone:
            client.cancel()
        await asyncio.wait(gone)  # and both threads hang

        guarded._limit = 0.05
        for _ in range(3):
            before = time.perf_counter()
            (decision,) = await ask(1)
            assert time.perf_counter() - before >= 0.05
            assert (decision.pick, decision.method) == ("atlas-70b", "bma")
            assert decision.reason == "no decision within 50 ms"
        assert guarded.breaker.state is State.OPEN

        skipped = await ask(50)
        assert {decision.reason for decision in skipped} == {"decisions kept failing; they rest"}
        assert {decision.kind for decision in skipped} == {"breaker"}

        clock.now += 10
        reasons = Counter(decision.reason for decision in await ask(50))  # it hangs still
        assert reasons["no decision within 50 ms"] == 1
        assert reasons["decisions kept failing; they rest"] == 49
        assert guarded.breaker.state is State.OPEN
        assert counting.calls == 2

        counting.released.set()
        guarded._limit = 3600.0
        clock.now += 10
        assert Counter(decision.method for decision in await ask(20)) == {"guarded": 1, "bma": 19}
        assert guarded.breaker.state is State.CLOSED
        assert counting.calls == 3  # what waited for a thread was not run any more
        assert {decision.method for decision in await ask(5)} == {"guarded"}
    finally:
        counting.released.set()
        guarded.stop()


async def test_an_embedder_that_fails_time_and_again_is_left_alone(
    folder: Path, serving: Serving, counting: Counting
) -> None:
    guarded = Serving(tuned(folder, breaker={"failures": 4, "seconds": 3600.0}))
    router = with_embedder(serving.router, counting)
    counting.fails = True
    reasons = [(await guarded.decide(router, MATH, None, MODELS)).reason for _ in range(10)]
    assert reasons[:4] == ["the decision failed (ValueError)"] * 4
    assert set(reasons[4:]) == {"decisions kept failing; they rest"}
    assert counting.calls == 4

    guarded.refresh()  # a version is loaded: worth a try at once
    counting.fails = False
    assert (await guarded.decide(router, MATH, None, MODELS)).method == "guarded"
    guarded.stop()


async def test_a_client_that_goes_away_frees_the_probe(
    folder: Path, serving: Serving, counting: Counting
) -> None:
    guarded, clock = Serving(tuned(folder)), Clock()
    guarded.breaker = Breaker(1, 10.0, clock)
    router = with_embedder(serving.router, counting)
    counting.fails = True
    await guarded.decide(router, MATH, None, MODELS)
    clock.now += 10
    counting.fails = False
    counting.released.clear()
    probe = asyncio.create_task(guarded.decide(router, MATH, None, MODELS))
    await asyncio.sleep(0)
    assert guarded.breaker.state is State.PROBING
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    counting.released.set()
    assert (await guarded.decide(router, MATH, None, MODELS)).method == "guarded"
    assert guarded.breaker.state is State.CLOSED
    guarded.stop()


async def test_a_decision_is_taken_in_place_once_it_is_known_to_be_quick(
    folder: Path, serving: Serving, counting: Counting
) -> None:
    async def thread_of(served: Serving, router: BenchRouter, task: str | None = None) -> str:
        names = []
        decide = router.decide

        def noted(*args: Any, **kwargs: Any) -> Decision:
            names.append(threading.current_thread().name)
            return decide(*args, **kwargs)

        router.decide = noted  # type: ignore[method-assign]
        await served.decide(router, MATH, task, MODELS)
        del router.decide
        return names[0]

    here = threading.current_thread().name
    router = serving.router
    assert await thread_of(serving, router) != here  # the first prepares what is remembered
    assert await thread_of(serving, router) == here
    assert await thread_of(serving, router, "report-queries") != here
    assert await thread_of(serving, router, "report-queries") == here
    assert await thread_of(serving, router, "unheard of") == here  # decided by the text

    other = with_embedder(router, counting)  # an embedder that could hang
    for _ in range(3):
        assert await thread_of(serving, other) != here
    assert await thread_of(serving, other, "report-queries") != here
    assert await thread_of(serving, other, "report-queries") == here  # needs no embedding


def test_slow_decisions_go_to_threads_until_they_are_quick_again(serving: Serving) -> None:
    pace = Pace(serving.router)
    these, others = (None, "a", "b"), (None, "a")

    def took(seconds: float, n: int) -> None:
        for _ in range(n):
            pace.note(these, seconds, pace.clock)

    took(9.0, 1)  # the first says nothing
    assert pace.is_quick(these)
    assert not pace.is_quick(others)
    took(0.001, 1)
    took(0.003, 1)  # by a clock that counts what others took of the processor, this says nothing
    assert pace.clock is time.thread_time
    took(0.003, 5)
    assert pace.is_quick(these)
    took(0.003, 1)
    assert not pace.is_quick(these)
    took(0.001, 50)
    assert pace.clock is time.perf_counter
    assert pace.is_quick(these)


async def test_what_was_asked_of_one_version_is_prepared_in_the_next(
    folder: Path, serving: Serving
) -> None:
    await serving.decide(serving.router, MATH, None, MODELS)
    await serving.decide(serving.router, MATH, "report-queries", MODELS)
    build(load_config(folder / "config.yaml").model_copy(update={"seed": 1}))
    serving.refresh()
    for task in (None, "report-queries"):
        assert serving._paces[serving.router].is_quick((task, *MODELS))


async def test_a_failing_embedder_gives_way_and_its_message_stays_out_of_the_log(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = Hanging(serving.router.artifact.embedder.dimension)
    hanging.released.set()
    with caplog.at_level(logging.WARNING):
        router = with_embedder(serving.router, hanging)
        decision = await serving.decide(router, MATH, None, MODELS)
    assert (decision.pick, decision.method) == ("atlas-70b", "bma")
    assert "ValueError" in caplog.text
    assert "tickets" not in caplog.text


def test_nothing_published_yet_leaves_no_router_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy_files(tmp_path)
    serving = Serving(load_config(tmp_path / "config.yaml"))
    with caplog.at_level(logging.WARNING):
        serving.refresh()
        serving.refresh()
    assert serving.router is None
    assert caplog.text.count("no version was published") == 1
    build(load_config(tmp_path / "config.yaml"))
    serving.refresh()
    assert serving.router is not None
    serving.stop()


def test_a_new_version_is_swapped_in_and_a_broken_one_is_not(
    folder: Path, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    first = serving.router.artifact.manifest.version
    config = load_config(folder / "config.yaml").model_copy(update={"seed": 1})
    second = build(config).manifest.version
    assert second != first
    serving.refresh()
    assert serving.router.artifact.manifest.version == second

    third = build(config.model_copy(update={"seed": 2}))
    array = third.folder / "correctness.npy"
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        serving.refresh()
        serving.refresh()
    assert serving.router.artifact.manifest.version == second
    assert caplog.text.count("correctness.npy") == 1
    assert "the old version serves on" in caplog.text

    build(config.model_copy(update={"seed": 2}))  # mended under the same name
    serving.refresh()
    assert serving.router.artifact.manifest.version == third.manifest.version


def test_one_look_after_a_rollback_the_old_versions_decisions_are_back(
    folder: Path, serving: Serving
) -> None:
    prompts = [MATH, "Translate into Dutch: good morning.", "Write a Python function.", "", "hello"]

    def decisions() -> list[Decision]:
        asked = [serving.router.decide(prompt, models=MODELS) for prompt in prompts]
        return [*asked, serving.router.decide("", task="report-queries", models=MODELS)]

    before = decisions()
    config = load_config(folder / "config.yaml")
    build(config.model_copy(update={"seed": 1, "method": "paper"}), force=True)
    serving.refresh()
    assert decisions() != before
    Store(config.artifacts).rollback()
    serving.refresh()
    assert decisions() == before


def test_a_refused_version_is_tried_again_after_a_while_and_reported_once(
    folder: Path, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    first = serving.router.artifact.manifest.version
    config = load_config(folder / "config.yaml").model_copy(update={"seed": 1})
    second = build(config)
    away = (second.folder / "task.npy").rename(second.folder / ".away")  # as a volume that hangs
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            serving.refresh()
        assert serving.router.artifact.manifest.version == first
        away.rename(second.folder / "task.npy")
        for _ in range(30):
            serving.refresh()
    assert serving.router.artifact.manifest.version == second.manifest.version
    assert caplog.text.count("task.npy") == 1


def test_a_version_whose_embedder_hangs_is_refused_and_the_next_one_is_loaded(
    folder: Path,
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = serving.router.artifact.manifest.version
    config = load_config(folder / "config.yaml")
    hanging = Hanging(serving.router.artifact.embedder.dimension)

    def read_with_it(folder: Path, **known: Any) -> Artifact:
        return replace(read_artifact(folder, **known), embedder=hanging)

    with monkeypatch.context() as patched:
        patched.setattr("litellm_benchrouter.serving.warm_up._SECONDS", 0.1)
        patched.setattr("litellm_benchrouter.serving.serving.read_artifact", read_with_it)
        build(config.model_copy(update={"seed": 1}))
        serving.refresh()
    hanging.released.set()
    assert serving.router.artifact.manifest.version == first
    assert "gave no vector within 0.1 s" in caplog.text
    third = build(config.model_copy(update={"seed": 2})).manifest.version
    serving.refresh()
    assert serving.router.artifact.manifest.version == third


def test_the_watcher_finds_a_version_by_itself(tmp_path: Path) -> None:
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml")
    serving = Serving(tuned(tmp_path, poll_seconds=0.05))
    serving.start()
    try:
        built = build(config)
        router = eventually(lambda: serving.router)
        assert router.artifact.manifest.version == built.manifest.version
    finally:
        serving.stop()
        assert serving._thread is not None
        serving._thread.join()  # or its next look is logged in another test


async def test_many_decisions_at_once_equal_those_one_by_one(serving: Serving) -> None:
    prompts = [
        f"{verb} {thing}"
        for verb in ("Translate", "Summarise", "Solve", "Join")
        for thing in ("a report", "the orders table", "x + 3", "a sentence into Dutch")
    ] * 4
    config = serving.router
    together = await asyncio.gather(
        *(asyncio.to_thread(config.decide, prompt, models=MODELS) for prompt in prompts)
    )
    assert together == [config.decide(prompt, models=MODELS) for prompt in prompts]


def test_a_worker_takes_one_thread_for_its_matrices(folder: Path) -> None:
    program = (
        "import sys, time, numpy\n"
        "from pathlib import Path\n"
        "from threadpoolctl import threadpool_info\n"
        "from litellm_benchrouter.config import load_config\n"
        "from litellm_benchrouter.serving.serving import Serving\n"
        "serving = Serving(load_config(Path(sys.argv[1])))\n"
        "serving.start()\n"
        "while serving.router is None: time.sleep(0.01)\n"  # and its libraries are loaded
        "serving.stop()\n"
        "serving._thread.join()\n"
        "print({pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'})\n"
    )
    command = [sys.executable, "-c", program, str(folder / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "{1}"
