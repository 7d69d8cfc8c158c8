"""A local second embedder stands in for a hosted one: built, verified, and asked in its place."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from clock import Clock
from proxy.upstream import BROKEN, FakeUpstream, slow

from litellm_benchrouter.artifact.version import Artifact, read_artifact, verify_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.embedders import LexicalEmbedder
from litellm_benchrouter.errors import ArtifactError, ConfigError, EmbedderError
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.breaker import Breaker, State
from litellm_benchrouter.serving.serving import Serving

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
            "tasks": {"new": {"inputs": "new.txt"}},
        },
    }
    (folder / "proxy.yaml").write_text(yaml.safe_dump(document))
    return load_config(folder / "proxy.yaml")


@pytest.fixture(scope="module")
def guarded(upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a version of the tiny benchmark, with a hosted embedder and a second."""
    folder = tmp_path_factory.mktemp("second")
    tiny.write(folder)
    return build(configure(folder, upstream_server, method="guarded")).folder


@pytest.fixture
def home(guarded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the folder that it was built in, to build in."""
    return Path(shutil.copytree(guarded.parents[2], tmp_path_factory.mktemp("home") / "second"))


@pytest.fixture
def built(guarded: Path, tmp_path: Path) -> Path:
    """Return the folder of that version, copied to be damaged."""
    return Path(shutil.copytree(guarded, tmp_path / guarded.name))


def opened(made: Built) -> Artifact:
    return read_artifact(made.folder)


def test_a_hosted_embedder_gets_a_lexical_second_that_decides_as_one_built_alone(
    home: Path, built: Path, tmp_path: Path
) -> None:
    artifact = read_artifact(built)
    second = artifact.second
    assert second is not None and isinstance(second.embedder, LexicalEmbedder)
    assert second.index is not artifact.index
    for name in ("named_tasks", "task_accuracy", "smoother"):  # what no vector decides is one
        assert getattr(second, name) is getattr(artifact, name)
    assert np.shares_memory(second.correctness, artifact.correctness)

    tiny.write(tmp_path)
    alone = tiny.configure(
        tmp_path,
        method="guarded",
        sources=[{"path": "benchmark.csv"}],
        embedder={"kind": "lexical"},
        tasks={"new": {"inputs": "new.txt"}},
    )
    other = BenchRouter(opened(build(load_config(alone))))
    router = BenchRouter(second)
    np.testing.assert_array_equal(second.embeddings, other.artifact.embeddings)
    for prompt in (TEXT, "Who is number 7?", "zzz", ""):
        one, two = router.decide(prompt), other.decide(prompt)
        assert (one.ranking, one.scores, one.reason) == (two.ranking, two.scores, two.reason)


def test_the_same_input_gives_the_same_version_and_another_second_another(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    first = build(configure(tmp_path, upstream))
    assert build(configure(tmp_path, upstream)).unchanged
    again = build(configure(tmp_path, upstream, second="lexical"))
    assert again.manifest.version == first.manifest.version

    shorter = build(configure(tmp_path, upstream, second={"kind": "lexical", "dimensions": 8}))
    none = build(configure(tmp_path, upstream, second="none"))
    versions = {made.manifest.version for made in (first, shorter, none)}
    assert len(versions) == 3
    assert opened(none).second is None
    assert not (none.folder / "second").exists()
    assert "second" not in tiny.read_document(none.folder)
    second = opened(shorter).second
    assert second is not None and second.embeddings.shape[1] <= 8


def test_damage_to_any_file_of_the_second_is_refused_by_name(built: Path) -> None:
    names = [name for name in tiny.read_document(built)["files"] if name.startswith("second/")]
    expected = {"embeddings.npy", "index.hnsw", "guarded.npz", "left_out_scores.npy"}
    assert expected < {name.removeprefix("second/") for name in names}
    for name in names:
        path = built / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=name):
            read_artifact(built)
        path.write_bytes(content)
    assert read_artifact(built).second is not None


@pytest.mark.parametrize("damage", ["rows", "unit", "record", "dimension"])
def test_a_second_that_is_not_what_its_manifest_says_is_refused(built: Path, damage: str) -> None:
    document, path = tiny.read_document(built), built / "second" / "embeddings.npy"
    vectors = np.load(path)
    if damage == "rows":
        np.save(path, vectors[:-1])
    elif damage == "unit":
        vectors[3] = np.nan
        np.save(path, vectors)
    elif damage == "record":
        del document["second"]["index"]
    else:
        document["second"]["embedder"]["dimension"] += 1
    tiny.write_manifest(built, document)
    home = built.rename(built.with_name("sealed"))
    with pytest.raises(ArtifactError, match="second"):
        verify_artifact(home)


def test_samples_that_only_the_first_knows_stay_with_the_first(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = LexicalEmbedder.embed

    def knows_no_five(self: LexicalEmbedder, texts: Sequence[str], **how: Any) -> Any:
        known = np.array([text != "What is number 5?" for text in texts])
        return embed(self, texts, **how) * known[:, None]

    monkeypatch.setattr(LexicalEmbedder, "embed", knows_no_five)
    tiny.write(tmp_path)
    made = build(configure(tmp_path, upstream, method="guarded"))
    artifact = opened(made)
    second = artifact.second
    assert second is not None and second.rows is not None
    assert len(artifact.task) == 80 and len(second.task) == len(second.embeddings) == 79
    assert 5 not in second.rows
    np.testing.assert_array_equal(second.correctness, artifact.correctness[second.rows])
    near = BenchRouter(second).explain("What is number 7?").neighbors
    assert {sample for sample, *_ in near} <= set(artifact.sample_ids) - {"s005"}
    assert any("knows in 1 prompts" in warning for warning in made.manifest.warnings)
    assert verify_artifact(made.folder).version == made.manifest.version


def test_a_second_that_loses_is_left_out_and_the_version_serves(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path, seed=3)  # of which S1 by words, that say nothing of the tasks, loses
    config = configure(tmp_path, upstream)
    required = config.publish.model_copy(update={"require": "no-worse-than-bma"})
    made = build(config.model_copy(update={"publish": required}), force=True)
    assert opened(made).second is None
    assert any("so it is left out" in warning for warning in made.manifest.warnings)


def test_an_open_gate_of_the_second_is_shut_where_held_out_samples_lose_by_it(
    upstream: FakeUpstream, tmp_path: Path, shared: Path
) -> None:
    tiny.write(tmp_path)
    configure(tmp_path, upstream, method="guarded")
    path = tmp_path / "proxy.yaml"
    document = yaml.safe_load(path.read_text())
    source = {"path": str(shared / "raw" / "promptfoo"), "kind": "promptfoo"}
    document["benchrouter"] |= {"sources": [source], "tasks": {}}
    path.write_text(yaml.safe_dump(document))
    made = build(load_config(path))
    assert made.manifest.second is not None
    verdict = made.manifest.second["verdict"]
    assert verdict["requests"]["gain"] < -0.005
    assert (verdict["served"], verdict["requests"]["expected_gain"]) == ("bma", 0.0)
    assert verdict["requests"]["bma_because"] == "held-out samples lose by it"
    second = opened(made).second
    assert second is not None
    for prompt in ("What is 3 times 4?", "the opposite of hot", "say it politely"):
        assert BenchRouter(second).decide(prompt).method == "bma"


def test_a_second_that_cannot_be_made_stops_a_build_only_if_it_was_asked_for(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path)

    def fails(*_: Any, **__: Any) -> LexicalEmbedder:
        raise EmbedderError("no words.")

    monkeypatch.setattr(LexicalEmbedder, "fit", fails)
    made = build(configure(tmp_path, upstream))
    assert opened(made).second is None
    assert any("no second embedder (no words.)" in each for each in made.manifest.warnings)
    with pytest.raises(EmbedderError, match="no words"):
        build(configure(tmp_path, upstream, second="lexical"))


def test_a_second_whose_library_is_missing_leaves_the_first_to_serve(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> LexicalEmbedder:
        raise EmbedderError("pip install it.")

    monkeypatch.setattr(LexicalEmbedder, "load", fails)
    serving = Serving(load_config(home / "proxy.yaml"))
    with caplog.at_level(logging.WARNING):
        serving.refresh()
    serving.stop()
    assert serving.router is not None and serving.router.second is None
    assert "the second embedder cannot be used; pip install it." in caplog.text


@pytest.mark.parametrize(
    ("embedder", "problem"),
    [
        ({"kind": "lexical", "second": "lexical"}, "kind is lexical"),
        ({"second": "litellm"}, "second`: kind litellm needs `model`"),
        ({"second": "auto"}, "should be one that runs locally"),
        ({"second": "precomputed"}, "should be one that runs locally"),
        ({"second": {"kind": "lexical", "time_limit_ms": 5}}, "second.time_limit_ms"),
        ({"second": {"kind": "lexical", "dimension": 5}}, "unknown key"),
        ({"second": "words"}, "second.kind"),
    ],
)
def test_a_second_that_cannot_stand_in_is_refused(
    upstream: FakeUpstream, tmp_path: Path, embedder: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        configure(tmp_path, upstream, **embedder)


@pytest.fixture
def limit() -> float:
    """Return for how long the provider is waited for, in ms."""
    return 1_800_000.0


is_short = pytest.mark.parametrize("limit", [300.0])


def unhurried(config: BenchRouterConfig) -> BenchRouterConfig:
    """Return a configuration whose decisions have all the time that a busy machine takes."""
    limits = config.serving.model_copy(update={"time_limit_ms": 3_600_000.0})
    return config.model_copy(update={"serving": limits})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serving(home: Path, upstream: FakeUpstream, limit: float, clock: Clock) -> Iterator[Serving]:
    """Serve with S1, so that both embedders decide, and a breaker that opens after three."""
    config = configure(home, upstream, time_limit_ms=limit)
    build(config)
    made = Serving(unhurried(config))
    made.first.breaker = Breaker(3, 10.0, clock, what="calls of the hosted embedder")
    made.refresh()
    upstream.reset()
    yield made
    made.stop()


async def ask(serving: Serving, text: str, task: str | None = None) -> Decision:
    assert serving.router is not None
    return await serving.decide(serving.router, text, task, tiny.MODELS)


async def test_a_provider_that_is_well_decides_and_its_vector_is_asked_for_once(
    serving: Serving, upstream: FakeUpstream
) -> None:
    decision, again = await ask(serving, TEXT), await ask(serving, TEXT)
    assert (decision.method, decision.embedder, decision.no_answer) == ("s1", "litellm", None)
    assert decision == again == serving.router.decide(TEXT, models=tiny.MODELS)
    assert len(upstream.requests) == 1


async def test_behind_a_closed_gate_the_provider_is_not_asked(
    home: Path, upstream: FakeUpstream
) -> None:
    config = configure(home, upstream, method="guarded")
    build(config)
    serving = Serving(unhurried(config), lambda router: [tiny.MODELS])
    serving.refresh()
    assert serving.router is not None
    assert not serving.router.compares(tiny.MODELS), "the prompts say nothing of their tasks"
    upstream.reset()
    upstream.tell(MODEL, BROKEN)
    decision = await ask(serving, TEXT)
    assert (decision.kind, decision.embedder, decision.no_answer) == ("gate", None, None)
    assert decision.pick == serving.router.best_on_average(tiny.MODELS, "").pick
    assert len(upstream.requests) == 0
    serving.stop()


@is_short
async def test_a_slow_provider_is_not_waited_for_and_the_second_decides(
    serving: Serving, upstream: FakeUpstream
) -> None:
    upstream.tell(MODEL, slow(30))
    decision = await ask(serving, TEXT)
    expected = serving.router.second.decide(TEXT, models=tiny.MODELS)
    assert decision.ranking == expected.ranking and decision.method == "s1"
    assert (decision.embedder, decision.no_answer) == ("lexical", "time_limit")
    late = "the hosted embedder gave no answer within 300 ms; decided by lexical: "
    assert decision.reason == late + expected.reason
    assert serving.breaker.state is State.CLOSED, "no decision failed"


async def test_a_provider_that_keeps_failing_rests_and_one_probe_lets_it_back(
    serving: Serving, upstream: FakeUpstream, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.tell(MODEL, BROKEN)
    with caplog.at_level(logging.WARNING):
        decisions = [await ask(serving, f"What is number {i}?") for i in range(3)]
        n_asked = len(upstream.requests)
        decisions += [await ask(serving, f"What is number {i}?") for i in range(3, 6)]
    assert [each.no_answer for each in decisions] == ["error"] * 3 + ["breaker"] * 3
    assert {each.embedder for each in decisions} == {"lexical"}
    assert decisions[0].reason.startswith("the embedder did not answer (InternalServerError); ")
    assert decisions[-1].reason.startswith("the hosted embedder kept failing and rests; decided")
    assert len(upstream.requests) == n_asked, "it is left alone"
    assert "3 calls of the hosted embedder in a row failed" in caplog.text

    upstream.reset()
    clock.now += 10
    assert (await ask(serving, "What is number 70?")).embedder == "litellm"
    assert serving.first.breaker.state is State.CLOSED
    assert serving.breaker.state is State.CLOSED


@is_short
async def test_many_at_once_are_all_decided_while_the_provider_hangs(
    serving: Serving, upstream: FakeUpstream
) -> None:
    upstream.tell(MODEL, slow(30))
    asked = [ask(serving, f"What is number {i} then?") for i in range(64)]
    decisions = await asyncio.gather(*asked)
    assert {each.embedder for each in decisions} == {"lexical"}
    assert {each.no_answer for each in decisions} <= {"time_limit", "busy"}
    for i, decision in enumerate(decisions):
        alone = serving.router.second.decide(f"What is number {i} then?", models=tiny.MODELS)
        assert decision.ranking == alone.ranking


async def test_what_needs_no_vector_asks_nobody(serving: Serving, upstream: FakeUpstream) -> None:
    upstream.tell(MODEL, BROKEN)
    named, empty = await ask(serving, TEXT, "new"), await ask(serving, " ")
    assert named.task == "new" and named.no_answer is None
    assert empty.kind == "no_text" and empty.no_answer is None
    assert not upstream.requests
    unheard = await ask(serving, TEXT, "unheard of")
    assert unheard.kind == "unknown_task" and unheard.embedder == "lexical"


async def test_a_version_is_loaded_and_routes_while_its_provider_is_down(
    home: Path, upstream: FakeUpstream
) -> None:
    config = unhurried(configure(home, upstream, time_limit_ms=1_800_000.0))
    build(config)
    upstream.tell(MODEL, BROKEN)
    serving = Serving(config)
    serving.refresh()
    try:
        decision = await ask(serving, TEXT)
        assert (decision.method, decision.embedder) == ("s1", "lexical")
    finally:
        serving.stop()


def test_explain_says_that_there_is_no_second(
    upstream: FakeUpstream, tmp_path: Path, benchrouter: Callable[..., Any]
) -> None:
    tiny.write(tmp_path)
    build(configure(tmp_path, upstream, second="none"))
    ended = benchrouter("explain", "--config", tmp_path / "proxy.yaml", "--second", TEXT)
    assert ended.code == 2
    assert "has no second embedder" in ended.err


@pytest.mark.parametrize("kind", ["onnx", pytest.param("static", marks=pytest.mark.long)])
def test_an_encoder_can_stand_in_too(
    upstream: FakeUpstream, tmp_path: Path, minilm_folder: Path, kind: str
) -> None:
    tiny.write(tmp_path)
    second = {"kind": kind, "model": str(minilm_folder)}
    made = build(configure(tmp_path, upstream, second=second))
    opened_here = opened(made)
    assert opened_here.second is not None and opened_here.second.embedder.kind == kind
    decision = BenchRouter(opened_here.second).decide(TEXT)
    assert (decision.method, decision.embedder) == ("s1", kind)
    assert build(load_config(tmp_path / "proxy.yaml")).unchanged
    told = made.manifest.embedder_measured
    assert (told is not None and "agreement" in told["second"]) is (kind == "onnx")
