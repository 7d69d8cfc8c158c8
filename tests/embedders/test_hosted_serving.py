"""Decisions by a hosted embedder: in time, late, failing, and not needed at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from clock import Clock
from proxy.upstream import BROKEN, FakeUpstream, slow
from served import Served, serve

from litellm_benchrouter.artifact.files import describe_files
from litellm_benchrouter.artifact.manifest import MANIFEST, read_manifest
from litellm_benchrouter.artifact.version import read_artifact, verify_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.limits import State
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly")  # pydantic, of LiteLLM's types

MODEL = "text-embedding-3-small"
TEXT = "What is number 3?"


def configure(
    folder: Path, upstream: FakeUpstream, *, method: str = "paper", **embedder: Any
) -> BenchRouterConfig:
    """Write a proxy's YAML whose group `vectors` is the fake provider."""
    params = {"model": f"openai/{MODEL}", "api_base": upstream.base_url, "api_key": "secret"}
    document = {
        "model_list": [{"model_name": "vectors", "litellm_params": params}],
        "benchrouter": {
            "method": method,
            "publish": {"require": "nothing"},
            "sources": [{"path": "benchmark.csv"}],
            "embedder": {"kind": "litellm", "model": "vectors"} | embedder,
            "routing": {"alphas": [0.0, 0.1], "repeats": 2},
            "serving": {"time_limit_ms": 3_600_000.0, "breaker": {"failures": 3, "seconds": 10}},
            "tasks": {"new": {"inputs": "new.txt"}},
        },
    }
    (folder / "proxy.yaml").write_text(yaml.safe_dump(document))
    return load_config(folder / "proxy.yaml")


@pytest.fixture
def limit() -> float:
    """Return for how long the provider is waited for, in ms."""
    return 1_800_000.0


is_short = pytest.mark.parametrize("limit", [300.0])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def served(tmp_path: Path, upstream: FakeUpstream, limit: float, clock: Clock) -> Iterator[Served]:
    """Serve with S1, and a breaker that opens after three."""
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream, time_limit_ms=limit)
    build(config)
    made = serve(config, clock)
    upstream.reset()
    yield made
    made.stop()


async def ask(served: Served, text: str, task: str | None = None) -> Decision:
    return await served.ask(text, tiny.MODELS, task)


async def test_a_provider_that_is_well_decides_and_its_vector_is_asked_for_once(
    served: Served, upstream: FakeUpstream
) -> None:
    decision, again = await ask(served, TEXT), await ask(served, TEXT)
    assert (decision.method, decision.embedder) == ("s1", "litellm")
    assert decision == again == served.router.decide(TEXT, models=tiny.MODELS)
    assert len(upstream.requests) == 1


async def test_behind_a_closed_gate_the_provider_is_not_asked(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream, method="guarded")
    build(config)
    served = serve(config, on_load=lambda router: [tiny.MODELS])
    assert not served.router.compares(tiny.MODELS), "the prompts say nothing of their tasks"
    upstream.reset()
    upstream.tell(MODEL, BROKEN)
    decision = await ask(served, TEXT)
    assert (decision.kind, decision.embedder) == ("gate", None)
    assert decision.pick == served.router.best_on_average(tiny.MODELS, "").pick
    assert len(upstream.requests) == 0
    served.stop()


@is_short
async def test_a_slow_provider_is_not_waited_for(served: Served, upstream: FakeUpstream) -> None:
    upstream.tell(MODEL, slow(30))
    decision = await ask(served, TEXT)
    assert (decision.method, decision.kind) == ("bma", "time_limit")
    assert decision.reason == "the embedder did not answer in time"


async def test_a_provider_that_keeps_failing_rests_and_one_probe_lets_it_back(
    served: Served, upstream: FakeUpstream, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.tell(MODEL, BROKEN)
    with caplog.at_level(logging.WARNING):
        decisions = [await ask(served, f"What is number {i}?") for i in range(3)]
        n_asked = len(upstream.requests)
        decisions += [await ask(served, f"What is number {i}?") for i in range(3, 6)]
    assert [each.kind for each in decisions] == ["error"] * 3 + ["breaker"] * 3
    assert decisions[0].reason == "the embedder did not answer (InternalServerError)"
    assert len(upstream.requests) == n_asked, "it is left alone"
    assert "3 decisions in a row failed" in caplog.text

    upstream.reset()
    clock.now += 10
    assert (await ask(served, "What is number 70?")).embedder == "litellm"
    assert served.executor.breaker.state is State.CLOSED


async def test_a_remembered_vector_decides_while_the_breaker_is_open(
    served: Served, upstream: FakeUpstream
) -> None:
    before = await ask(served, TEXT)
    upstream.tell(MODEL, BROKEN)
    others = [await ask(served, f"What is number {i} now?") for i in range(4)]
    assert others[-1].kind == "breaker"
    n_asked = len(upstream.requests)
    assert await ask(served, TEXT) == before
    assert (await ask(served, TEXT)).embedder == "litellm"
    assert len(upstream.requests) == n_asked
    assert served.executor.breaker.state is State.OPEN


@is_short
async def test_many_at_once_while_the_provider_hangs_are_all_decided_by_the_average(
    served: Served, upstream: FakeUpstream
) -> None:
    upstream.tell(MODEL, slow(30))
    asked = [ask(served, f"What is number {i} then?") for i in range(64)]
    decisions = await asyncio.gather(*asked)
    assert {each.method for each in decisions} == {"bma"}
    assert {each.kind for each in decisions} <= {"time_limit", "overload", "breaker"}


async def test_what_needs_no_vector_asks_nobody(served: Served, upstream: FakeUpstream) -> None:
    upstream.tell(MODEL, BROKEN)
    named, empty = await ask(served, TEXT, "new"), await ask(served, " ")
    assert named.task == "new" and empty.kind == "no_text"
    assert not upstream.requests


async def test_a_version_is_loaded_while_its_provider_is_down(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream, time_limit_ms=1_800_000.0)
    build(config)
    upstream.tell(MODEL, BROKEN)
    served = serve(config)
    try:
        assert (await ask(served, TEXT)).kind == "error"
        upstream.reset()
        assert (await ask(served, TEXT)).embedder == "litellm"
    finally:
        served.stop()


def test_the_key_of_the_second_embedder_has_no_effect_and_a_warning_names_what_stands_in(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.write(tmp_path)
    plain = configure(tmp_path, upstream)
    assert not caplog.records
    assert configure(tmp_path, upstream, second={"kind": "static"}).embedder == plain.embedder
    (record,) = caplog.records
    assert "embedder.second` has no effect" in record.message and "best model" in record.message


def test_a_version_with_a_second_embedder_opens_and_its_folder_is_hashed_and_ignored(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream, time_limit_ms=1_800_000.0)
    folder = build(config).folder
    alone = read_artifact(folder, config=config.embedder)
    (folder / "second").mkdir()
    np.save(folder / "second" / "embeddings.npy", np.ones((2, 2), dtype=np.float32))
    described = {"files": describe_files(folder), "second": {"embedder": {"kind": "lexical"}}}
    manifest = read_manifest(folder).model_copy(update=described).sealed()
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    older = folder.rename(folder.with_name(manifest.version))

    assert verify_artifact(older).version == manifest.version != alone.manifest.version
    router = BenchRouter(read_artifact(older, config=config.embedder))
    assert router.decide(TEXT).scores == BenchRouter(alone).decide(TEXT).scores
    (older / "second" / "embeddings.npy").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"second/embeddings\.npy"):
        read_artifact(older, config=config.embedder)
