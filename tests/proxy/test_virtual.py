"""Virtual models without a database: they follow the proxy's list from the first request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.test_routing import CODE, MATH, ours
from proxy.upstream import BROKEN, FakeUpstream

# Requests that change the proxy's list, as its own management endpoints do in a database.
MANAGER = """
import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from litellm.types.router import Deployment

class Manager(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        change = (data.get("metadata") or {}).get("change")
        if change == "delete":
            proxy_server.llm_router.delete_deployment(data["metadata"]["id"])
        elif change:
            proxy_server.llm_router.upsert_deployment(Deployment(**change))

handler = Manager()
"""


MODELS = {"pool-math": "mathsmith-8b", "pool-coder": "coder-14b", "coder": "coder-14b"}


def virtual_config(api_base: str) -> dict[str, Any]:
    def group(name: str, model: str) -> dict[str, Any]:
        return deployment(name, name, api_base, benchrouter_model=model)

    return {
        "model_list": [
            deployment("vectors", "vectors", api_base, mode="embedding"),
            group("atlas", "atlas-70b"),
            group("coder", "coder-14b"),
            deployment("unheard-of", "unheard-of", api_base),
            deployment("pool", "pool-math", api_base, benchrouter_model="mathsmith-8b"),
            deployment("pool", "pool-coder", api_base, benchrouter_model="coder-14b"),
        ],
        "litellm_settings": {
            "callbacks": ["manager.handler", "litellm_benchrouter.hook.handler"],
            "num_retries": 1,
        },
        "router_settings": {"disable_cooldowns": True},
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},
            "mode": "groups",
            "virtual_models": {
                "anything": "*",
                "granted": {"groups": "*", "grants_access": True},
                "smart": ["atlas", "coder", "mathsmith"],
                "gone": {"groups": ["no-such-group"], "grants_access": True},
            },
            "sources": [{"path": "benchmark.csv"}],
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000},
        },
    }


@pytest.fixture(scope="module")
def unbuilt(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ProxyProcess, dict[str, Any]]]:
    """Run a proxy without a version, and ask for each virtual model."""
    folder: Path = tmp_path_factory.mktemp("virtual")
    copy_files(folder)
    (folder / "manager.py").write_text(MANAGER, encoding="utf-8")
    with ProxyProcess(virtual_config(upstream_server.base_url), folder) as proxy:
        names = ("anything", "granted", "smart", "gone")
        yield proxy, {name: ask(proxy, MATH, name) for name in names}


@pytest.fixture(scope="module")
def proxy(unbuilt: tuple[ProxyProcess, dict[str, Any]]) -> ProxyProcess:
    """Return the proxy once a version serves; no group was asked for by its own name."""
    proxy, _ = unbuilt
    build(load_config(proxy.folder / "config.yaml"))
    eventually(lambda: "benchrouter: litellm-benchrouter" in proxy.log)
    return proxy


def ask(proxy: ProxyProcess, prompt: str, model: str, **body: Any) -> Any:
    turns = [{"role": "user", "content": prompt}]
    return proxy.http.post("/v1/chat/completions", json={"model": model, "messages": turns, **body})


def change(proxy: ProxyProcess, **metadata: Any) -> None:
    assert ask(proxy, "hello", "unheard-of", metadata=metadata).is_success


def test_before_there_is_a_version_any_group_that_answers_text_will_do(
    unbuilt: tuple[ProxyProcess, dict[str, Any]],
) -> None:
    _, answers = unbuilt
    assert answers["anything"].headers["x-litellm-model-id"] == "atlas"
    assert answers["smart"].headers["x-litellm-model-id"] == "atlas"


def test_a_virtual_model_that_stands_for_nothing_is_refused_in_litellms_form(
    unbuilt: tuple[ProxyProcess, dict[str, Any]],
) -> None:
    proxy, answers = unbuilt
    assert answers["gone"].status_code == 403
    assert "none of the models that 'gone' stands for" in answers["gone"].json()["error"]["message"]
    assert answers["granted"].status_code == 200
    assert "IndexError" not in proxy.log


def test_a_star_knows_its_groups_from_the_first_request(
    proxy: ProxyProcess, upstream: FakeUpstream
) -> None:
    for name in ("anything", "granted"):
        response = ask(proxy, MATH, name)
        assert response.status_code == 200, response.text
        assert (ours(response)["group"], ours(response)["model"]) == ("pool", "mathsmith-8b")
    assert upstream.models == ["pool-math", "pool-math"]


def test_a_better_model_that_is_added_is_used_at_once_and_no_more_when_it_goes(
    proxy: ProxyProcess, upstream: FakeUpstream
) -> None:
    def mathsmith(model: str) -> dict[str, Any]:
        return deployment("mathsmith", "mathsmith", upstream.base_url, benchrouter_model=model)

    before = ours(ask(proxy, MATH, "smart"))["group"]
    added, other = mathsmith("mathsmith-8b"), mathsmith("spark-3b")
    assert before != "mathsmith"
    change(proxy, change=added)
    assert ours(ask(proxy, MATH, "smart"))["group"] == "mathsmith"

    change(proxy, change=other)  # as many deployments as before
    time.sleep(1.1)
    assert ours(ask(proxy, MATH, "smart"))["group"] == before

    change(proxy, change=added)
    eventually(lambda: ours(ask(proxy, MATH, "smart"))["group"] == "mathsmith")
    change(proxy, change="delete", id="mathsmith")
    assert ours(ask(proxy, MATH, "smart"))["group"] == before


def gemini(proxy: ProxyProcess, model: str, prompt: str, stream: bool) -> Any:
    kind = "streamGenerateContent" if stream else "generateContent"
    contents = [
        {"role": "user", "parts": [{"text": "Hello."}]},
        {"role": "model", "parts": [{"text": "Hello to you."}]},
        {"role": "user", "parts": [{"text": prompt}]},
    ]
    return proxy.http.post(f"/v1beta/models/{model}:{kind}", json={"contents": contents})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["pool", "anything"])
def test_geminis_endpoint_is_routed_through_groups_and_virtual_models(
    proxy: ProxyProcess, upstream: FakeUpstream, model: str, stream: bool
) -> None:
    for prompt, served in ((MATH, "mathsmith-8b"), (CODE, "coder-14b")):
        responses = [gemini(proxy, model, prompt, stream) for _ in range(4)]
        assert {response.status_code for response in responses} == {200}, responses[0].text
        # of a lone deployment LiteLLM 1.94 does not say on this endpoint that it is asked
        assert {ours(response).get("model", served) for response in responses} == {served}
        assert {MODELS[name] for name in upstream.models[-4:]} == {served}
    upstream.reset()
    upstream.tell("pool-math", BROKEN)
    assert gemini(proxy, model, MATH, stream).status_code == 200
    assert upstream.models[0] == "pool-math"
    assert upstream.models[-1] != "pool-math"


def test_one_line_at_start_says_what_routes(proxy: ProxyProcess) -> None:
    lines = [line for line in proxy.log.splitlines() if "benchrouter: litellm-benchrouter" in line]
    assert len(lines) == 1
    for words in ("WARNING", "routes by version ", "method: paper", "proof: ", "groups: 3",
                  "models: 3 of the benchmark's 5", "adapter: "):  # fmt: skip
        assert words in lines[0]
