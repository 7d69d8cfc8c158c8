"""A proxy that routes, built once: the demo's benchmark, deployments at the fake provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.database import Database, UnavailableError
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.upstream import FakeUpstream

RECORDER = """
import json, os
from litellm.integrations.custom_logger import CustomLogger

class Recorder(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        payload = kwargs["standard_logging_object"]
        line = {"spend": payload["metadata"]["spend_logs_metadata"], "id": payload["model_id"]}
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps(line) + "\\n")

handler = Recorder()
"""


def routed_config(api_base: str) -> dict[str, Any]:
    """Return a proxy configuration with groups of every kind."""

    def known(model: str, group: str = "smart", **info: Any) -> dict[str, Any]:
        return deployment(group, model, api_base, **info)

    def priced(group: str, model: str, benchmark_model: str, usd_per_mtok: float) -> dict[str, Any]:
        price = usd_per_mtok * 1e-6
        params = {"input_cost_per_token": price, "output_cost_per_token": price}
        return deployment(group, model, api_base, params=params, benchrouter_model=benchmark_model)

    return {
        "model_list": [
            priced("priced", "atlas-p", "atlas-70b", 0.9),
            priced("priced", "coder-p", "coder-14b", 0.3),
            priced("priced", "mathsmith-p", "mathsmith-8b", 5.0),
            priced("saver", "atlas-s", "atlas-70b", 0.9),
            priced("saver", "mathsmith-s", "mathsmith-8b", 0.2),
            priced("saver", "coder-s", "coder-14b", 0.0),
            known("atlas", benchrouter_model="atlas-70b"),
            known("coder", benchrouter_model="coder-14b"),
            known("mathsmith", benchrouter_model="mathsmith-8b"),
            known("polyglot-12b"),  # known by the name of its litellm model
            known("unheard-of", benchrouter_model="nobody-1b"),
            known("coder-a", group="replicas", benchrouter_model="coder-14b"),
            known("coder-b", group="replicas", benchrouter_model="coder-14b"),
            known("atlas-c", group="replicas", benchrouter_model="atlas-70b"),
            known("frail", group="frail", benchrouter_model="coder-14b"),
            known("frail-2", group="frail", benchrouter_model="atlas-70b"),
            known("plain-a", group="plain"),
            known("plain-b", group="plain"),
            deployment("ordered", "atlas-o", api_base, params={"order": 10},
                       benchrouter_model="atlas-70b"),
            deployment("ordered", "coder-o", api_base, params={"order": 20},
                       benchrouter_model="coder-14b"),
            deployment("ordered", "mathsmith-o", api_base, params={"order": 20},
                       benchrouter_model="mathsmith-8b"),
            known("small", group="short-context", benchrouter_model="coder-14b",
                  max_input_tokens=20),
            known("large", group="short-context", benchrouter_model="mathsmith-8b",
                  max_input_tokens=100_000),
            deployment("tagged", "coder-t", api_base, params={"tags": ["free"]},
                       benchrouter_model="coder-14b"),
            deployment("tagged", "mathsmith-t", api_base, params={"tags": ["paid", "default"]},
                       benchrouter_model="mathsmith-8b"),
            known("embedder", group="vectors", benchrouter_model="coder-14b", mode="embedding"),
            known("embedder-2", group="vectors", benchrouter_model="atlas-70b", mode="embedding"),
        ],
        "litellm_settings": {
            "callbacks": ["prometheus", "litellm_benchrouter.hook.handler", "recorder.handler"],
            "num_retries": 2,
        },
        "router_settings": {
            "disable_cooldowns": True,
            "enable_tag_filtering": True,
            "enable_pre_call_checks": True,
            "fallbacks": [{"plain": ["smart"]}, {"frail": ["plain"]}],
        },
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},  # the paper's S3 loses on the demo's tasks
            "sources": [{"path": "benchmark.csv"}],
            "tasks": {"report-queries": {"inputs": "report-queries.txt"}},
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000, "log_level": "debug"},
            "groups": {
                "saver": {
                    "policy": "within:1",
                    "request_policies": {"cheapest": [0.5, 0.99]},
                }
            },
        },
    }  # fmt: skip


@contextmanager
def routed_proxy(
    api_base: str,
    folder: Path,
    *,
    serving: Mapping[str, Any] | None = None,
    more: Sequence[dict[str, Any]] = (),
) -> Iterator[ProxyProcess]:
    """Run a proxy with the hook and its artifact loaded; `more` deployments, other `serving`."""
    config = routed_config(api_base)
    config["model_list"] += more
    config["benchrouter"]["serving"] |= serving or {}
    copy_files(folder)
    (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
    env = {"RECORD": str(folder / "record.jsonl"), "LITELLM_LOG": "INFO"}
    proxy = ProxyProcess(config, folder, env=env)
    build(load_config(folder / "config.yaml"))
    with proxy:
        eventually(lambda: "benchrouter_artifact_info{" in proxy.http.get("/metrics/").text)
        yield proxy


@pytest.fixture(scope="session")
def routed(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy with the hook, its artifact loaded."""
    with routed_proxy(upstream_server.base_url, tmp_path_factory.mktemp("routed")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Run a database of LiteLLM's."""
    try:
        with Database(request.config.cache.mkdir("query-engine")) as opened:
            yield opened
    except UnavailableError as reason:
        pytest.skip(f"LiteLLM's database cannot run here: {reason}")


def ask(proxy: ProxyProcess, prompt: Any, *, model: str = "smart", **body: Any) -> Any:
    """Send one chat completion and return the raw response, whatever its status."""
    headers = body.pop("headers", {})
    messages = body.pop("messages", [{"role": "user", "content": prompt}])
    return proxy.http.post(
        "/v1/chat/completions",
        json={"model": model, "messages": messages, **body},
        headers=headers,
    )
