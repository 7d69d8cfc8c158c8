"""What LiteLLM's own OpenTelemetry span of a request says of its decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.proxy.logs import note_on_span
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.call import Call
from proxy.conftest import ask, routed_config
from proxy.harness import ProxyProcess, eventually
from proxy.upstream import FakeUpstream

CODE = "Write a Python function that reverses a queue of seeds without recursion."


def decided_spans(log: str) -> list[dict[str, Any]]:
    """Return our attributes of each span that has some, from what the console exporter printed."""
    decoder, spans, start = json.JSONDecoder(), [], log.find("\n{\n")
    while start >= 0:
        span, end = decoder.raw_decode(log, start + 1)
        ours = {
            name.removeprefix("benchrouter."): value
            for name, value in span.get("attributes", {}).items()
            if name.startswith("benchrouter.")
        }
        if ours:
            spans.append(ours)
        start = log.find("\n{\n", end)
    return spans


def test_the_span_of_a_request_says_who_answered_and_why(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    config = routed_config(upstream.base_url)
    config["litellm_settings"]["callbacks"] = ["otel", "litellm_benchrouter.hook.handler"]
    copy_files(tmp_path)
    proxy = ProxyProcess(config, tmp_path, env={"OTEL_EXPORTER": "console"})
    version = build(load_config(tmp_path / "config.yaml")).manifest.version
    with proxy:
        eventually(lambda: "routes by version" in proxy.log or None)
        assert ask(proxy, CODE, model="priced").status_code == 200
        (span,) = eventually(lambda: decided_spans(proxy.log))
        assert span.pop("expected_cost_usd") > 0
        assert 0 <= span.pop("expected_probability") <= 1
        assert span == {
            "model": "coder-14b",
            "method": "s1",
            "kind": "routed",
            "policy": "quality",
            "version": version,
        }
    assert CODE not in json.dumps(span)


def test_the_last_attempt_counts_and_an_ended_span_is_left_alone() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("tests").start_span("request")
    metadata = {"litellm_parent_otel_span": span}

    def note(model: str, probability: float | None) -> None:
        likely = None if probability is None else {model: probability}
        decision = Decision((model,), "s1", "because", probability=likely)
        call = Call("g", decisions={"g": decision}, models={"id": model}, tried=["id"])
        note_on_span(metadata, call)

    note("a", 0.5)
    note("b", None)
    note_on_span(metadata, Call("g"))
    span.end()
    note("c", 0.25)
    note_on_span({}, Call("g"))
    (exported,) = exporter.get_finished_spans()
    attributes = dict(exported.attributes or {})
    assert attributes["benchrouter.model"] == "b"
    assert attributes["benchrouter.expected_probability"] == 0.5
