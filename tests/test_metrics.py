"""What is counted, whatever it is told; the proxy's `/metrics` is tested in tests/proxy."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.decision import KINDS, Decision
from litellm_benchrouter.serving.decision_log import log_decision
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.serving.metrics import Metrics, PrometheusMetrics
from litellm_benchrouter.store.directory import Store

DECISION = Decision(
    ranking=("ant", "bee"), method="s1", reason="they know best", artifact="v1",
    distance=0.3, embed_seconds=0.002, seconds=0.003,
)  # fmt: skip


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> prometheus_client.CollectorRegistry:
    """Give the metrics of this test a registry of their own."""
    made = prometheus_client.CollectorRegistry()
    for name in ("Counter", "Gauge", "Histogram"):
        kind = getattr(prometheus_client, name)
        monkeypatch.setattr(
            prometheus_client, name, lambda *a, kind=kind, **k: kind(*a, registry=made, **k)
        )
    return made


@pytest.fixture
def metrics(registry: prometheus_client.CollectorRegistry) -> PrometheusMetrics:
    return PrometheusMetrics()


def labels_of(registry: prometheus_client.CollectorRegistry, sample: str) -> list[dict[str, str]]:
    return [s.labels for family in registry.collect() for s in family.samples if s.name == sample]


def test_a_decision_is_counted_with_what_it_took(metrics, registry):
    metrics.decided("smart", DECISION)
    labels = {"group": "smart", "model": "ant", "method": "s1", "reason": "routed"}
    assert registry.get_sample_value("benchrouter_decisions_total", labels) == 1
    seconds = {"method": "s1", "le": "0.005"}
    assert registry.get_sample_value("benchrouter_decision_seconds_bucket", seconds) == 1
    assert registry.get_sample_value("benchrouter_embedding_seconds_sum") == 0.002
    assert registry.get_sample_value("benchrouter_neighbor_distance_bucket", {"le": "0.25"}) == 0
    assert registry.get_sample_value("benchrouter_neighbor_distance_bucket", {"le": "0.3"}) == 1


def test_without_an_embedding_no_time_and_no_distance_is_made_up(metrics, registry):
    metrics.decided("smart", Decision(("ant",), "only", "the only one", kind="only_one"))
    assert registry.get_sample_value("benchrouter_embedding_seconds_count") == 0
    assert registry.get_sample_value("benchrouter_neighbor_distance_count") == 0


def test_neither_groups_nor_reasons_can_grow_without_bound(metrics, registry):
    for i in range(1000):
        metrics.decided(f"group-{i}", replace(DECISION, kind=f"word-{i}"))
        metrics.answered(f"group-{i}", "ant", "pick")
        metrics.shadowed(f"group-{i}", agrees=bool(i % 2))
    for sample in ("decisions_total", "answers_total", "shadow_decisions_total"):
        found = labels_of(registry, f"benchrouter_{sample}")
        assert {"group-0", "group-199", "other"} <= {labels["group"] for labels in found}
        assert len({labels["group"] for labels in found}) == 201
    found = labels_of(registry, "benchrouter_decisions_total")
    assert {labels["reason"] for labels in found} == {"other"}
    metrics.decided("group-0", replace(DECISION, kind="far"))
    assert "far" in KINDS & {
        s["reason"] for s in labels_of(registry, "benchrouter_decisions_total")
    }


def test_what_cannot_be_recorded_is_said_once_and_never_raised(metrics, caplog):
    nonsense: Any = replace(DECISION, distance="far", seconds=object())
    for _ in range(3):
        metrics.decided("smart", nonsense)
        metrics.loaded(nonsense)
    assert [record.getMessage() for record in caplog.records] == [
        "benchrouter: metrics cannot be recorded (TypeError)"
    ]


def test_the_version_that_serves_is_shown_with_when_it_was_built(
    metrics, registry, tiny_folder: Path
):
    store = Store(tiny_folder / "router_artifacts")
    artifact = read_artifact(store.folder(store.current()))
    metrics.loaded(artifact)
    version = {
        "version": artifact.manifest.version, "embedder": "precomputed", "method": "paper",
    }  # fmt: skip
    assert registry.get_sample_value("benchrouter_artifact_info", version) == 1
    assert registry.get_sample_value("benchrouter_artifact_created_timestamp_seconds") > 1.7e9
    other = replace(artifact, manifest=artifact.manifest.model_copy(update={"version": "next"}))
    metrics.loaded(other)
    assert registry.get_sample_value("benchrouter_artifact_info", version) == 0
    assert registry.get_sample_value("benchrouter_loads_total", {"result": "loaded"}) == 2


def test_a_version_that_cannot_serve_is_counted_until_one_can(metrics, registry, tiny_folder: Path):
    def gauges() -> tuple[float | None, float | None]:
        read = registry.get_sample_value
        return read("benchrouter_ready"), read("benchrouter_version_refused")

    def loads(result: str) -> float | None:
        return registry.get_sample_value("benchrouter_loads_total", {"result": result})

    config = load_config(tiny_folder / "config.yaml")
    current = config.artifacts / "CURRENT"
    good = current.read_text()
    serving = VersionLoader(config, Executor(config.serving), metrics=metrics)
    assert gauges() == (0, 0)

    current.unlink()
    serving.refresh()
    serving.refresh()
    assert (gauges(), loads("missing")) == ((0, 1), 1)

    current.write_text(good)
    serving.refresh()
    assert (gauges(), loads("loaded")) == ((1, 0), 1)

    bad = config.artifacts / "versions" / "0123456789abcdef"
    bad.mkdir()
    (bad / "manifest.json").write_text("{}")
    current.write_text(bad.name)
    serving.refresh()
    serving.refresh()
    assert (gauges(), loads("refused")) == ((1, 1), 1)

    current.write_text(good)
    serving.refresh()
    assert (gauges(), loads("loaded")) == ((1, 0), 1)
    serving.stop()


def test_the_breaker_is_shown(metrics, registry):
    for is_open in (True, False):
        metrics.breaker(is_open=is_open)
        assert registry.get_sample_value("benchrouter_breaker_open") == is_open


def test_metrics_that_count_nothing_take_the_same_calls(metrics):
    nothing = Metrics()
    nothing.decided("smart", DECISION)
    nothing.answered("smart", None, "other_group")
    nothing.refused("missing")
    own = {name for name in vars(PrometheusMetrics) if not name.startswith("_")}
    assert own == {name for name in vars(Metrics) if not name.startswith("_")}


@pytest.mark.parametrize("missing", ["package", "folder"])
def test_where_metrics_cannot_be_kept_everything_else_goes_on(
    missing: str, demo_built: Path, tmp_path: Path
):
    """The hook ranks without prometheus-client, and where its folder for workers is not there."""
    config = yaml.safe_load((demo_built / "config.yaml").read_text())
    config["benchrouter"] |= {
        "artifacts": str(demo_built / "router_artifacts"), "serving": {"time_limit_ms": 3_600_000},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "CONFIG_FILE_PATH": str(tmp_path / "config.yaml")}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if missing == "folder":
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path / "nowhere")
    block = "import sys; sys.modules['prometheus_client'] = None\n" if missing == "package" else ""
    ended = subprocess.run(
        [sys.executable, "-c", block + _RANK], env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"metrics": "Metrics", "orders": [2, 1], "kind": "routed"}
    assert ("there are no metrics" in ended.stderr) == (missing == "folder")


_RANK = """
import asyncio, json, time
from litellm_benchrouter.hook import handler

class Logging:
    call_type = "acompletion"

deployments = [
    {"model_name": "smart", "litellm_params": {"model": f"openai/{m}"},
     "model_info": {"id": m, "benchrouter_model": m}} for m in ("atlas-70b", "mathsmith-8b")
]
messages = [{"role": "user", "content": "Amira has 120 tickets and gives away 15 percent."}]
handler.start()
while handler._service is None or handler._service.router is None:
    time.sleep(0.05)
call = Logging()
ranked = asyncio.run(handler.async_filter_deployments(
    "smart", deployments, messages, {"litellm_logging_obj": call}))
print(json.dumps({
    "metrics": type(handler._metrics).__name__,
    "orders": [d["litellm_params"]["order"] for d in ranked],
    "kind": handler._calls[call].decisions["smart"].kind,
}))
"""


# The line of each decision


@pytest.fixture
def at_debug(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="litellm_benchrouter"):
        yield caplog


def test_a_decision_is_one_line_of_json_without_the_prompt(at_debug):
    log_decision(DECISION, group="smart", offer=["ant", "bee"], call_id="c-1")
    (record,) = at_debug.records
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage()) == {
        "event": "benchrouter_decision", "call_id": "c-1", "group": "smart",
        "offer": ["ant", "bee"], "pick": "ant", "method": "s1", "kind": "routed",
        "reason": "they know best", "task": None, "policy": "quality", "embedder": None,
        "distance": 0.3,
        "seconds": 0.003,
        "embed_seconds": 0.002, "artifact": "v1",
    }  # fmt: skip


def test_a_prompt_that_may_be_logged_is_cut_and_stays_on_the_line(at_debug):
    prompt = "line\nbreak \ud800" + "x" * 10_000
    log_decision(DECISION, group="g" * 999, offer=["ant"], call_id="c\n1", prompt=prompt)
    (record,) = at_debug.records
    assert "\n" not in record.getMessage()
    assert record.getMessage().isascii()
    line = json.loads(record.getMessage())
    assert line["prompt"] == prompt[:500]
    assert len(line["group"]) == 200


def test_above_debug_level_nothing_is_written(caplog):
    with caplog.at_level(logging.INFO, logger="litellm_benchrouter"):
        log_decision(DECISION, group="smart", offer=["ant"], call_id="c-1", prompt="secret")
    assert not caplog.records
