"""The hook in a `litellm.Router` of this process: obeyed, and at limits, whatever the strategy.

The mock deployments of the router make no call; the hook, its decision and LiteLLM's whole choice
of a deployment are real. `tests/proxy/test_preference.py` does the same in real proxies.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import litellm
import pytest
from litellm.utils import Rules, function_setup
from reliability.hooking import close, hook_of, loader_of

from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy import running

# LiteLLM may warn of itself; what it does is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

CODE = "Write a Python function that reverses a queue of seeds without recursion."
LIMITING = ("usage-based-routing-v2", "latency-based-routing", "cost-based-routing")
STRATEGIES = ("simple-shuffle", "least-busy", *LIMITING)

LISTS = (
    "callbacks",
    *("success_callback", "failure_callback", "input_callback"),
    *("_async_success_callback", "_async_failure_callback", "_async_input_callback"),
)

Route = Callable[..., "Routed"]


class Routed:
    """A router with the hook, and what it serves."""

    def __init__(self, router: litellm.Router, hook: BenchRouterHook, names: list[str]) -> None:
        self.router = router
        self.hook = hook
        self.names = names
        """The models, the one that the hook picks first."""

    async def ask(self, prompt: str = CODE, **more: Any) -> tuple[str, dict[str, str]]:
        """Return the id of the deployment that answered, and the plugin's headers."""
        request = {
            "model": "smart",
            "messages": [{"role": "user", "content": prompt}],
            "metadata": {},
            "litellm_call_id": str(uuid4()),
            **more,
        }
        log, data = function_setup("acompletion", Rules(), datetime.datetime.now(), **request)
        data["litellm_logging_obj"] = log
        response = await self.router.acompletion(**data)
        headers = await self.hook.async_post_call_response_headers_hook(data, None, response)
        return str(response._hidden_params["model_id"]), headers or {}


@pytest.fixture
def route(demo_built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Route]:
    """Return a function that makes a router with the hook in its callbacks."""
    monkeypatch.setattr(litellm, "callbacks", [])
    hook, current = hook_of(demo_built), []
    hook._adapters._router = lambda: current[-1]
    hook._adapters.choose()  # in place of what `hook_of` assumes
    serving_router = loader_of(hook).router
    assert serving_router is not None
    names = list(serving_router.decide(CODE).ranking[:4])

    def made(
        params: dict[str, dict[str, Any]] | None = None, *more: Any, **settings: Any
    ) -> Routed:
        entries = [deployment(name, name, **(params or {}).get(name, {})) for name in names]
        # LiteLLM keeps one of a kind, and a strategy's of an earlier router counts nothing here.
        for name in LISTS:
            monkeypatch.setattr(litellm, name, [hook] if name == "callbacks" else [])
        settings = {"num_retries": 2, "disable_cooldowns": True, **settings}
        router = litellm.Router(model_list=[*entries, *more], **settings)
        current.append(router)
        monkeypatch.setattr(running, "router", lambda: router)
        return Routed(router, hook, names)

    yield made
    close(hook)


def deployment(id_: str, model: str, **params: Any) -> dict[str, Any]:
    call = {"model": f"openai/{id_}", "api_key": "none", "mock_response": "fine", **params}
    return {
        "model_name": "smart",
        "litellm_params": call,
        "model_info": {"id": id_, "benchrouter_model": model},
    }


async def test_the_best_answers_every_time_and_its_replicas_share(route: Route) -> None:
    routed = route()
    best = routed.names[0]
    routed = route(None, deployment("twin", best))
    served = Counter([(await routed.ask())[0] for _ in range(100)])
    assert set(served) == {best, "twin"}
    assert 25 <= served["twin"] <= 75  # at random: five standard deviations


@pytest.mark.parametrize("limit", ["rpm", "enforced rpm", "tpm"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_at_the_limit_of_the_best_the_next_best_answers(
    route: Route, strategy: str, limit: str
) -> None:
    best = route().names[0]
    settings: dict[str, Any] = {"routing_strategy": strategy}
    if limit == "enforced rpm":
        settings["optional_pre_call_checks"] = ["enforce_model_rate_limits"]
    else:
        settings["enable_pre_call_checks"] = True
    routed = route({best: {"tpm": 60} if limit == "tpm" else {"rpm": 3}}, **settings)
    _await_a_whole_minute()
    answers = []
    for _ in range(10):
        answers.append(await routed.ask())
        await _logged()
    served = [deployment_id for deployment_id, _ in answers]
    assert served[0] == best
    # Not every release counts requests for every strategy: then nothing is at a limit.
    if limit == "enforced rpm" or strategy in LIMITING:
        assert 1 <= served.count(best) <= 4  # counted after the answer, maybe late
        assert served[-1] == routed.names[1]
        reason = answers[-1][1]["x-benchrouter-reason"]
        assert reason.startswith(f"{best} has reached its rate limit; ")


async def test_a_tag_that_the_best_lacks_leads_to_the_best_that_has_it(route: Route) -> None:
    names = route().names
    tagged = {name: {"tags": ["paid"]} for name in names[1:3]}
    routed = route(tagged, enable_tag_filtering=True)
    served, headers = await routed.ask(metadata={"tags": ["paid"]})
    assert served == names[1]
    assert "was taken out by LiteLLM's tag filter" in headers["x-benchrouter-reason"]


async def test_a_pick_that_fails_gives_way_and_is_not_asked_again(route: Route) -> None:
    best, second, third, _ = route().names
    broken = {name: {"mock_response": "litellm.InternalServerError"} for name in (best, second)}
    routed = route(broken)
    served, headers = await routed.ask()
    assert served == third
    assert headers["x-benchrouter-reason"].startswith(f"{best} failed; ")


async def test_models_are_ranked_within_the_levels_of_the_yaml(route: Route) -> None:
    second, third, last = route().names[1:]
    routed = route({last: {"order": 1}, third: {"order": 2}, second: {"order": 2}})
    assert (await routed.ask())[0] == last
    broken = {"order": 1, "mock_response": "litellm.InternalServerError"}
    routed = route({last: broken, third: {"order": 2}, second: {"order": 2}})
    assert (await routed.ask())[0] == second


async def _logged() -> None:
    """Let LiteLLM count the answer, which it does afterwards."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await asyncio.sleep(0.05)  # it is put on the worker's queue by a task
    await GLOBAL_LOGGING_WORKER.flush()


def _await_a_whole_minute() -> None:
    """Wait where the minute that LiteLLM counts by would end soon."""
    left = 60 - time.time() % 60
    if left < 10:
        time.sleep(left + 0.1)
