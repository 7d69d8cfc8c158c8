"""Decisions beside the event loop: time limit, failures, and versions that come and go."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from litellm_benchrouter.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.core.decision import Decision
from litellm_benchrouter.demo.run import copy_files
from litellm_benchrouter.router import BenchRouter
from litellm_benchrouter.serving import Serving
from litellm_benchrouter.store import Store

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b"]
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
    made = Serving(load_config(folder / "config.yaml"))
    made.refresh()
    yield made
    made.stop()


def with_embedder(router: BenchRouter, embedder: Hanging) -> BenchRouter:
    return BenchRouter(replace(router.artifact, embedder=embedder))


async def test_a_prompt_is_decided_as_the_router_decides_it(serving: Serving) -> None:
    decision = await serving.decide(serving.router, MATH, None, MODELS)
    assert decision == serving.router.decide(MATH, models=MODELS)
    assert decision.pick == "mathsmith-8b"


async def test_a_hung_embedder_gives_way_to_the_best_on_average(
    folder: Path, serving: Serving
) -> None:
    config = load_config(folder / "config.yaml")
    limited = config.serving.model_copy(update={"time_limit_ms": 50.0})
    quick = Serving(config.model_copy(update={"serving": limited}))
    hanging = Hanging(serving.router.artifact.embedder.dimension)
    router = with_embedder(serving.router, hanging)
    gaps = []

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - before)

    watcher = asyncio.create_task(watch())
    try:
        decision = await quick.decide(router, MATH, None, MODELS)
    finally:
        watcher.cancel()
        hanging.released.set()
        quick.stop()
    assert (decision.pick, decision.method) == ("atlas-70b", "bma")
    assert decision.reason == "no decision within 50 ms"
    assert len(gaps) > 5  # the event loop went on meanwhile


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
    build(config.model_copy(update={"seed": 1, "method": "paper"}))
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


def test_the_watcher_finds_a_version_by_itself(tmp_path: Path) -> None:
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml")
    polling = config.serving.model_copy(update={"poll_seconds": 0.05})
    serving = Serving(config.model_copy(update={"serving": polling}))
    serving.start()
    try:
        built = build(config)
        deadline = time.monotonic() + 20
        while serving.router is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert serving.router.artifact.manifest.version == built.manifest.version
    finally:
        serving.stop()


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
