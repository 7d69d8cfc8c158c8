"""`on_error: pass_through`: without a decision LiteLLM routes as if the plugin were not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hooking import Logging, close, hook_of, loader_of, offered

from litellm_benchrouter.routing.router import BenchRouter

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b"]
MESSAGES = [{"role": "user", "content": "Join the orders to their customers"}]


class Failing:
    """An embedder that fails."""

    kind = "of the test"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.calls = 0

    def embed(self, texts: Any, *, progress: Any = None) -> Any:
        self.calls += 1
        raise ValueError(f"never repeat {texts[0]}")


@pytest.mark.parametrize("on_error", ["bma", "pass_through"])
async def test_what_could_not_be_decided_is_ranked_by_the_average_or_not_at_all(
    demo_built: Path, on_error: str
) -> None:
    hook = hook_of(demo_built, on_error=on_error)
    serving = loader_of(hook)
    assert serving.router is not None
    artifact = serving.router.artifact
    failing = Failing(artifact.embedder.dimension)
    serving.router = BenchRouter(replace(artifact, embedder=failing))
    deployments = offered(MODELS)
    request: dict[str, Any] = {"litellm_logging_obj": Logging(), "metadata": {}}
    for _ in range(2):  # the second as for a retry, which is not decided anew
        back = await hook.async_filter_deployments("smart", deployments, MESSAGES, request)
        assert (back is deployments) == (on_error == "pass_through")
    assert failing.calls == 1
    assert deployments == offered(MODELS)

    info = deployments[1]["model_info"]
    await hook.async_pre_call_deployment_hook(request | {"model_info": info}, "acompletion")
    headers = await hook.async_post_call_response_headers_hook(request, None, object())
    logged = request["metadata"]["spend_logs_metadata"]["benchrouter"]
    assert logged["kind"] == "error"
    assert "the decision failed (ValueError)" in logged["reason"]
    if on_error == "pass_through":
        assert logged["mode"] == "pass_through"
        assert not headers
    else:
        assert "mode" not in logged
        assert headers["x-benchrouter-method"] == "bma"
    close(hook)


async def test_what_can_be_decided_is_followed_all_the_same(demo_built: Path) -> None:
    hook = hook_of(demo_built, on_error="pass_through")
    request = {"litellm_logging_obj": Logging()}
    back = await hook.async_filter_deployments("smart", offered(MODELS), MESSAGES, request)
    assert {d["litellm_params"]["order"] for d in back} == {1, 2, 3}
    close(hook)
