"""Hosted embeddings, against a provider on loopback and LiteLLM as it is."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml
from proxy.harness import eventually
from proxy.upstream import BROKEN, RATE_LIMITED, Answer, FakeUpstream, embedding, slow
from served import serve

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.embedders import HostedEmbedder, embed_with_cache
from litellm_benchrouter.errors import ConfigError, EmbedderError, EmbedderUnavailableError

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly")  # pydantic, of LiteLLM's types

MODEL = "text-embedding-3-small"
TEXTS = [f"What is number {i}?" for i in range(20)]


def configure(folder: Path, upstream: FakeUpstream, **embedder: object) -> BenchRouterConfig:
    """Write a proxy's YAML whose group `vectors` is the fake provider."""
    params = {"model": f"openai/{MODEL}", "api_base": upstream.base_url, "api_key": "secret"}
    document = {
        "model_list": [{"model_name": "vectors", "litellm_params": params}],
        "benchrouter": {
            "method": "paper",
            "publish": {"require": "nothing"},
            "sources": [{"path": "benchmark.csv"}],
            "embedder": {"kind": "litellm", "model": "vectors", "batch_size": 4} | embedder,
            "routing": {"alphas": [0.0, 0.1], "repeats": 2},
        },
    }
    (folder / "proxy.yaml").write_text(yaml.safe_dump(document))
    return load_config(folder / "proxy.yaml")


def loaded(made: HostedEmbedder, config: BenchRouterConfig) -> HostedEmbedder:
    """Return the embedder as the proxy opens it."""
    return HostedEmbedder.load(json.loads(json.dumps(made.identity())), config.embedder)


def inputs(upstream: FakeUpstream) -> list[list[str]]:
    """Return the texts of each call."""
    return [request.body["input"] for request in upstream.requests]


def test_vectors_come_in_batches_through_the_proxys_own_deployment(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    made = HostedEmbedder.make(configure(tmp_path, upstream).embedder)
    upstream.reset()
    found = made.embed([*TEXTS[:6], " \n", "lone \ud800"])

    expected = np.array([embedding(text) for text in TEXTS[:6]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:6], expected, atol=1e-6)
    assert not found[6].any(), "nothing is asked of a blank text"
    assert [len(batch) for batch in inputs(upstream)] == [4, 3]
    (request, _) = upstream.requests
    assert request.model == MODEL and request.headers["authorization"] == "Bearer secret"
    assert set(request.body) <= {"model", "input", "encoding_format"}


def test_what_fails_for_a_moment_is_asked_again_and_what_is_refused_is_not(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    made = HostedEmbedder.make(configure(tmp_path, upstream).embedder)
    upstream.reset()
    upstream.tell(MODEL, RATE_LIMITED, times=1)
    assert made.embed(TEXTS[:1]).any()
    assert len(upstream.requests) == 2

    upstream.reset()
    upstream.tell(MODEL, Answer(status=401))
    with pytest.raises(EmbedderError, match=r"'vectors' did not answer \(AuthenticationError.*key"):
        made.embed(TEXTS[:1])
    assert len(upstream.requests) == 1


def test_a_build_that_is_killed_pays_for_no_batch_twice(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    configure(tmp_path, upstream)
    path = tmp_path / "proxy.yaml"
    command = [*tiny.COMMAND, "build", "--config", str(path)]
    upstream.tell(MODEL, slow(3600), after=8)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: len(upstream.requests) == 9, within=60)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = inputs(upstream)

    upstream.reset()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    paid = [text for batch in before[1:-1] for text in batch]  # the last one had not ended
    again = [text for batch in inputs(upstream)[1:] for text in batch]
    assert not set(paid) & set(again)
    assert {*paid, *before[-1], *again} == {tiny.prompt(i) for i in range(80)}

    upstream.reset()
    assert build(load_config(path)).unchanged
    assert len(upstream.requests) == 1, "all is kept; the probe alone is asked"


def test_serving_waits_no_longer_than_the_limit_and_keeps_what_comes_late(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The answer comes when the test lets it, which is not to be too late for being kept.
    monkeypatch.setattr("litellm_benchrouter.embedders.hosted._LATE", 3600.0)
    config = configure(tmp_path, upstream, time_limit_ms=100)
    made = HostedEmbedder.make(config.embedder)
    serving = loaded(made, config)
    upstream.reset()
    upstream.tell(MODEL, slow(3600))
    with pytest.raises(EmbedderUnavailableError) as caught:
        serving.embed(["slow"])
    assert str(caught.value) == "the embedder did not answer in time"
    assert caught.value.kind == "time_limit"

    eventually(lambda: upstream.requests)
    upstream.tell(MODEL, BROKEN)
    upstream.release()

    def kept() -> bool:
        try:
            return bool(serving.embed(["slow"]).any())
        except EmbedderUnavailableError:
            return False

    assert eventually(kept)
    waits = loaded(made, configure(tmp_path, upstream, time_limit_ms=3_600_000))
    with pytest.raises(EmbedderUnavailableError, match=r"did not answer \(InternalServerError\)$"):
        waits.embed(["another"])
    assert serving.embed(["slow"]).any(), "remembered while the provider is down"


async def test_a_slow_provider_costs_a_request_its_routing_and_nothing_else(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream, time_limit_ms=100, second="none")
    patient = config.serving.breaker.model_copy(update={"failures": 1_000_000})
    limits = config.serving.model_copy(update={"time_limit_ms": 3_600_000.0, "breaker": patient})
    config = config.model_copy(update={"serving": limits})
    build(config)

    upstream.tell(MODEL, BROKEN)
    served = serve(config)
    assert served.router is not None, "a version is loaded while its provider is down"
    upstream.tell(MODEL, slow(30))
    decision = await served.ask("What is number 3?", tiny.MODELS)
    assert (decision.method, decision.kind) == ("bma", "time_limit")
    assert decision.reason.startswith("the embedder did not answer in time")

    upstream.reset()
    async with asyncio.timeout(60):
        while decision.method != "s1":  # once an answer has come in time, or late and was kept
            decision = await served.ask("What is number 3?", tiny.MODELS)
    served.stop()


def test_another_model_behind_the_same_name_is_refused(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    config = configure(tmp_path, upstream)
    folder = build(config).folder
    path = tmp_path / "proxy.yaml"
    path.write_text(path.read_text().replace(MODEL, "text-embedding-3-large"))
    with pytest.raises(EmbedderError, match=r"3-large here, .*built with text-embedding-3-small"):
        read_artifact(folder, config=config.embedder)

    document = yaml.safe_load(path.read_text())
    other = {"model_name": "vectors", "litellm_params": {"model": f"azure/{MODEL}"}}
    document["model_list"].append(other)
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(EmbedderError, match="different embedding models"):
        HostedEmbedder.make(config.embedder)


def test_the_model_has_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "proxy.yaml").write_text("benchrouter: {embedder: {kind: litellm}}")
    with pytest.raises(ConfigError, match="kind litellm needs `model`"):
        load_config(tmp_path / "proxy.yaml")


def test_the_key_and_the_machine_are_in_no_file_of_the_artifact(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    folder = build(configure(tmp_path, upstream)).folder
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"secret" not in everything
    assert str(tmp_path).encode() not in everything


def test_the_cache_of_one_model_is_not_that_of_another(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    config = configure(tmp_path, upstream)
    made = HostedEmbedder.make(config.embedder)
    embed_with_cache(made, TEXTS, tmp_path / "cache")
    shorter = HostedEmbedder.make(configure(tmp_path, upstream, max_seq_length=100).embedder)
    _, n_new = embed_with_cache(shorter, TEXTS, tmp_path / "cache")
    assert n_new == len(TEXTS)
    _, n_new = embed_with_cache(HostedEmbedder.make(config.embedder), TEXTS, tmp_path / "cache")
    assert n_new == 0


def test_litellm_is_imported_when_something_is_asked_and_not_before() -> None:
    program = "import sys, litellm_benchrouter.embedders; print('litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
