"""The real proxy, whose requests are routed by vectors of one of its own deployments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config

from .conftest import RECORDER
from .harness import ProxyProcess, deployment, eventually, json_lines
from .told_time import TOLD_TIME, an_hour_later, limited
from .upstream import BROKEN, FakeUpstream, slow


@pytest.fixture(scope="module")
def hosted(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy with a group of the tiny benchmark's models, and one that embeds."""
    folder, api_base = tmp_path_factory.mktemp("hosted"), upstream_server.base_url
    tiny.write(folder)
    (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
    (folder / "told_time.py").write_text(TOLD_TIME, encoding="utf-8")
    group = [deployment("smart", name, api_base, benchrouter_model=name) for name in tiny.MODELS]
    embeds = deployment("vectors", "embed-1", api_base, mode="embedding")
    config: dict[str, Any] = {
        "model_list": [*group, embeds],
        "litellm_settings": {
            "callbacks": [
                *("prometheus", "told_time.handler"),
                *("litellm_benchrouter.hook.handler", "recorder.handler"),
            ]
        },
        "benchrouter": {
            "method": "paper",
            "publish": {"require": "nothing"},
            "sources": [{"path": "benchmark.csv"}],
            "routing": {"alphas": [0.0, 0.1], "repeats": 2},
            "embedder": {"kind": "litellm", "model": "vectors", "time_limit_ms": 1000},
            "serving": {
                "poll_seconds": 0.5,
                "time_limit_ms": 8000,
                "breaker": {"failures": 5, "seconds": 60},
            },
        },
    }
    proxy = ProxyProcess(config, folder, env={"RECORD": str(folder / "record.jsonl")})
    build(load_config(folder / "config.yaml"))
    with proxy:
        eventually(lambda: "x-benchrouter-model" in ask(proxy, "Are you there?").headers)
        yield proxy


def ask(proxy: ProxyProcess, prompt: str) -> Any:
    body = {"model": "smart", "messages": [{"role": "user", "content": prompt}]}
    return proxy.http.post("/v1/chat/completions", json=body)


def records(folder: Path) -> list[str]:
    """Return the deployments that the proxy's logging callback has seen."""
    return [line["id"] for line in json_lines(folder / "record.jsonl")]


def test_requests_are_routed_by_hosted_vectors_that_no_callback_sees(
    hosted: ProxyProcess, upstream: FakeUpstream
) -> None:
    prompt = "Who wrote this?"
    first, again = ask(hosted, prompt), ask(hosted, prompt)

    assert first.status_code == again.status_code == 200
    assert "nearest benchmark samples" in first.headers["x-benchrouter-reason"]
    paths = [request.path for request in upstream.requests]
    assert paths.count("/v1/embeddings") == 1, "the second vector is remembered"
    assert paths.count("/v1/chat/completions") == 2
    seen = len(records(hosted.folder))
    ask(hosted, prompt)
    eventually(lambda: len(records(hosted.folder)) > seen)
    assert "embed-1" not in records(hosted.folder)


def test_while_the_provider_is_slow_or_down_requests_go_to_the_best_on_average(
    hosted: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("embed-1", slow(60))
    with limited(hosted):
        answers = [ask(hosted, "Who sang this?")]
    assert answers[0].headers["x-benchrouter-reason"] == "the embedder did not answer in time"

    upstream.reset()
    upstream.tell("embed-1", BROKEN)
    answers += [ask(hosted, f"Who sang number {i}?") for i in range(8)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-benchrouter-method"] for answer in answers} == {"bma"}
    rests = "decisions kept failing; they rest"
    assert answers[-1].headers["x-benchrouter-reason"] == rests
    n_asked = sum(request.path == "/v1/embeddings" for request in upstream.requests)
    ask(hosted, "Who sang another?")
    assert sum(request.path == "/v1/embeddings" for request in upstream.requests) == n_asked
    assert "benchrouter_breaker_open 1.0" in hosted.http.get("/metrics/").text

    upstream.reset()
    an_hour_later(hosted)
    back = ask(hosted, "Who wrote it?")
    assert back.headers["x-benchrouter-embedder"] == "litellm"
    assert "benchrouter_breaker_open 0.0" in hosted.http.get("/metrics/").text
