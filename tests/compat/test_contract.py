"""What the plugin relies on in LiteLLM, asked of the LiteLLM that is installed.

A release that breaks one of these would route wrongly or not at all, mostly in silence. What can
be asked of `litellm.Router` in this process is; the rest needs a proxy, with a callback that notes
what it is called with. `tools/compat.py` runs this file and the routing tests on other releases.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from proxy.harness import ProxyProcess, deployment, eventually, json_lines
from proxy.upstream import BROKEN, FakeUpstream

from litellm_benchrouter.conversation.text import asks_for_text
from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy.feedback import PATH, open_to_keys

# LiteLLM may warn of itself; what it does is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

by_order = pytest.mark.skipif(
    find_spec("litellm.router_rust") is not None,
    reason="this LiteLLM's router looks at no `order` on copies: what it follows is asked in "
    "tests/compat/test_preferences.py",
)

HOOKS = {
    "async_pre_call_hook": ["user_api_key_dict", "cache", "data", "call_type"],
    "async_filter_deployments": [
        "model",
        "healthy_deployments",
        "messages",
        "request_kwargs",
        "parent_otel_span",
    ],
    "async_pre_call_deployment_hook": ["kwargs", "call_type"],
    "async_post_call_response_headers_hook": [
        "data",
        "user_api_key_dict",
        "response",
        "request_headers",
        "litellm_call_info",
    ],
    "async_log_success_event": ["kwargs", "response_obj", "start_time", "end_time"],
    "async_post_call_failure_hook": [
        "request_data",
        "original_exception",
        "user_api_key_dict",
        "traceback_str",
    ],
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_the_signature_that_ours_was_written_for(name: str) -> None:
    base = getattr(CustomLogger, name)
    assert inspect.iscoroutinefunction(base)
    for function in (base, getattr(BenchRouterHook, name)):
        parameters = list(inspect.signature(function).parameters.values())[1:]
        assert [parameter.name for parameter in parameters] == HOOKS[name]
        assert {parameter.kind for parameter in parameters} == {
            inspect.Parameter.POSITIONAL_OR_KEYWORD
        }


def test_every_hook_of_ours_is_in_the_contract_and_on_the_class_itself() -> None:
    # LiteLLM looks for some hooks in vars(type(callback)) and calls no inherited one.
    ours = {name for name in vars(BenchRouterHook) if name.startswith("async_")}
    assert ours == set(HOOKS)


@pytest.mark.parametrize("allowed", [None, [], ["llm_api_routes"], [PATH]])
def test_keys_may_call_the_endpoint_of_feedback_once_it_is_listed(allowed: Any) -> None:
    from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
    from litellm.proxy.auth.route_checks import RouteChecks

    open_to_keys()
    key = UserAPIKeyAuth(api_key="sk-of-nobody", allowed_routes=allowed)
    assert RouteChecks.is_virtual_key_allowed_to_call_route(route=PATH, valid_token=key)
    assert not RouteChecks.is_llm_api_route(PATH)  # no budget of a model's is asked for it
    for role in (None, LitellmUserRoles.INTERNAL_USER):
        RouteChecks.non_proxy_admin_allowed_routes_check(
            user_obj=None,
            _user_role=role,
            route=PATH,
            request=SimpleNamespace(method="POST", query_params={}),  # type: ignore[arg-type]
            valid_token=key,
            request_data={},
        )


# The order of LiteLLM's filters around ours, in litellm.Router


class Ranker(CustomLogger):
    """Ranks deployments as it is told, the way the plugin does, and notes what it was offered."""

    def __init__(self, *ranking: str) -> None:
        super().__init__()
        self.ranking = ranking
        self.offered: list[list[str]] = []
        self.targets: list[Any] = []

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        names = [d["model_info"]["id"] for d in healthy_deployments]
        target = (request_kwargs or {}).get("_target_order")
        self.offered.append(sorted(names))
        self.targets.append(target)
        untried = [name for name in self.ranking if name in names][len(self.offered) - 1 :]
        order = {name: (target or 1) + rank for rank, name in enumerate(untried)}
        return [
            {**d, "litellm_params": {**d["litellm_params"], "order": order.get(name, 99)}}
            for d, name in zip(healthy_deployments, names, strict=True)
        ]


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a `Ranker` in LiteLLM's callbacks, in place of the last one."""
    monkeypatch.setattr(litellm, "callbacks", [])

    def use(*ranking: str, kind: type[Ranker] = Ranker) -> Ranker:
        ranker = kind(*ranking)
        # A strategy's own callbacks stay.
        others = [callback for callback in litellm.callbacks if not isinstance(callback, Ranker)]
        litellm.callbacks[:] = [ranker, *others]
        return ranker

    return use


def router_of(*entries: dict[str, Any], **settings: Any) -> litellm.Router:
    return litellm.Router(model_list=list(entries), **{"num_retries": 0, **settings})


def entry(name: str, *, says: str = "fine", **params: Any) -> dict[str, Any]:
    info = {"id": name, **params.pop("info", {})}
    call = {"model": f"openai/{name}", "api_key": "none", "mock_response": says, **params}
    return {"model_name": "g", "litellm_params": call, "model_info": info}


async def served_by(router: litellm.Router, prompt: str = "Hello", **options: Any) -> str:
    messages = [{"role": "user", "content": prompt}]
    response = await router.acompletion(model="g", messages=messages, **options)
    return str(response._hidden_params["model_id"])


@by_order
async def test_the_lowest_order_that_a_copy_carries_is_served_and_does_not_stay(ranked) -> None:
    router = router_of(entry("a"), entry("b"), entry("c"))
    for best in ("a", "b", "c"):
        ranked(best)
        assert await served_by(router) == best
    assert not any(d["litellm_params"].get("order") for d in router.model_list)


@by_order
async def test_replicas_of_one_order_are_balanced(ranked) -> None:
    router = router_of(entry("a"), entry("b"), entry("c"))

    class Twins(Ranker):
        async def async_filter_deployments(
            self, model: str, healthy_deployments: list[Any], *rest: Any, **named: Any
        ) -> list[Any]:
            order = {"a": 2, "b": 1, "c": 1}
            return [
                {**d, "litellm_params": {**d["litellm_params"], "order": order[name]}}
                for d in healthy_deployments
                if (name := d["model_info"]["id"])
            ]

    ranked(kind=Twins)
    assert {await served_by(router) for _ in range(40)} == {"b", "c"}


@by_order
async def test_what_is_in_cooldown_is_taken_out_before_us(ranked) -> None:
    router = router_of(
        entry("a"), entry("b", says="litellm.RateLimitError"), cooldown_time=60, allowed_fails=0
    )
    ranked("b")
    with pytest.raises(litellm.RateLimitError):
        await served_by(router)
    for _ in range(100):  # the failure is noted after the answer
        ranker = ranked("b", "a")
        if await _served_or_none(router) == "a":
            break
        await asyncio.sleep(0.05)
    assert ranker.offered == [["a"]]


async def _served_or_none(router: litellm.Router) -> str | None:
    try:
        return await served_by(router)
    except litellm.RateLimitError:
        return None


async def test_a_context_window_that_is_too_small_is_taken_out_after_us(ranked) -> None:
    router = router_of(
        entry("small", info={"max_input_tokens": 5}),
        entry("large", info={"max_input_tokens": 10_000}),
        enable_pre_call_checks=True,
    )
    ranker = ranked("small", "large")
    assert await served_by(router, "word " * 50) == "large"
    assert ranker.offered == [["large", "small"]]


async def test_tags_are_looked_at_after_us(ranked) -> None:
    router = router_of(
        entry("free", tags=["free"]), entry("paid", tags=["paid"]), enable_tag_filtering=True
    )
    ranker = ranked("free", "paid")
    assert await served_by(router, metadata={"tags": ["paid"]}) == "paid"
    assert ranker.offered == [["free", "paid"]]


@by_order
async def test_we_are_asked_again_for_each_retry_with_all_deployments(ranked) -> None:
    router = router_of(
        entry("a", says="litellm.InternalServerError"),
        entry("b"),
        num_retries=1,
        disable_cooldowns=True,
    )
    ranker = ranked("a", "b")
    assert await served_by(router) == "b"
    assert ranker.offered == [["a", "b"], ["a", "b"]]


async def test_where_the_yaml_has_orders_a_hop_keeps_one_order_and_says_which(ranked) -> None:
    router = router_of(
        entry("a", says="litellm.InternalServerError", order=10),
        entry("b", order=20),
        disable_cooldowns=True,
    )
    ranker = ranked("a", "b")
    assert await served_by(router) == "b"
    assert ranker.targets == [None, 20]


@by_order
@pytest.mark.parametrize(
    ("strategy", "asked"),
    [
        ("simple-shuffle", True),
        ("least-busy", True),
        ("latency-based-routing", True),
        ("cost-based-routing", True),
        ("usage-based-routing-v2", True),
        ("usage-based-routing", False),  # `benchrouter doctor` says that nothing is routed
    ],
)
async def test_strategies_that_ask_us_serve_our_pick(ranked, strategy: str, asked: bool) -> None:
    router = router_of(entry("a"), entry("b"), entry("c"), routing_strategy=strategy)
    for best in ("c", "a", "b"):
        ranker = ranked(best)
        served = await served_by(router)
        assert bool(ranker.offered) is asked
        assert served == best or not asked


# What a proxy hands to the hooks

PROBE = """
import json, os
from weakref import WeakKeyDictionary
from litellm.integrations.custom_logger import CustomLogger

numbers = WeakKeyDictionary()

def note(hook, **line):
    with open(os.environ["PROBE"], "a") as file:
        file.write(json.dumps({"hook": hook, **line}) + "\\n")

def number_of(container):
    log = container.get("litellm_logging_obj")
    return None if log is None else numbers.setdefault(log, len(numbers))

class Probe(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        note("asked for", call=number_of(data), model=data.get("model"), as_what=str(call_type))

    async def async_filter_deployments(
        self, model, healthy_deployments, messages, request_kwargs=None, parent_otel_span=None
    ):
        log = (request_kwargs or {}).get("litellm_logging_obj")
        note(
            "filter",
            call=number_of(request_kwargs or {}),
            call_type=getattr(log, "call_type", None),
            infos=[d["model_info"].get("benchrouter_model") for d in healthy_deployments],
        )
        return healthy_deployments

    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        chosen = kwargs["model_info"]["id"]
        note("chosen", call=number_of(kwargs), deployment=chosen)
        bucket = kwargs["litellm_metadata" if "litellm_metadata" in kwargs else "metadata"]
        bucket["spend_logs_metadata"] = {"probe": chosen}

    async def async_post_call_response_headers_hook(
        self, data, user_api_key_dict, response, request_headers=None, litellm_call_info=None
    ):
        note("headers", call=number_of(data))
        return {"x-probe": "present"}

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        payload = kwargs["standard_logging_object"]
        note("logged", spend=payload["metadata"]["spend_logs_metadata"], by=payload["model_id"])

probe = Probe()
"""
TURNS = [{"role": "user", "content": "Hello"}]
ENDPOINTS = {
    "/v1/chat/completions": ({"messages": TURNS}, "acompletion"),
    "/v1/responses": ({"input": "Hello"}, "aresponses"),
    "/v1/messages": ({"messages": TURNS, "max_tokens": 9}, "anthropic_messages"),
    "/v1/completions": ({"prompt": "Hello"}, "atext_completion"),
    "/v1/embeddings": ({"input": "Hello"}, "aembedding"),
}


@pytest.fixture(scope="module")
def probed(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    folder = tmp_path_factory.mktemp("probed")
    (folder / "recorder.py").write_text(PROBE, encoding="utf-8")
    base = upstream_server.base_url
    config = {
        "model_list": [
            deployment("g", "a", base, benchrouter_model="ant", params={"order": 1}),
            deployment("g", "b", base, benchrouter_model="bee", params={"order": 2}),
        ],
        "litellm_settings": {"callbacks": ["recorder.probe"], "num_retries": 0},
        "router_settings": {"disable_cooldowns": True},
    }
    with ProxyProcess(config, folder, env={"PROBE": str(folder / "probe.jsonl")}) as proxy:
        yield proxy


def notes(proxy: ProxyProcess, hook: str) -> list[dict[str, Any]]:
    return [line for line in json_lines(proxy.folder / "probe.jsonl") if line["hook"] == hook]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_one_logging_object_goes_through_all_hooks_of_a_call(
    probed: ProxyProcess, upstream: FakeUpstream, endpoint: str, stream: bool
) -> None:
    body, call_type = ENDPOINTS[endpoint]
    if stream and endpoint == "/v1/embeddings":
        pytest.skip("embeddings do not stream")
    before = {
        hook: len(notes(probed, hook)) for hook in ("asked for", "filter", "chosen", "headers")
    }
    response = probed.http.post(
        endpoint, json={"model": "g", **body, **({"stream": True} if stream else {})}
    )
    assert response.status_code == 200, response.text
    assert response.headers["x-probe"] == "present"
    calls = {hook: [n["call"] for n in notes(probed, hook)[n0:]] for hook, n0 in before.items()}
    assert len(set().union(*calls.values())) == 1
    assert None not in calls["filter"]
    assert all(calls.values())
    filtered = notes(probed, "filter")[-1]
    assert filtered["call_type"] == call_type
    as_ours = {"litellm_logging_obj": SimpleNamespace(call_type=filtered["call_type"])}
    assert asks_for_text(as_ours) is (endpoint != "/v1/embeddings")


def test_after_a_hop_it_is_still_the_same_and_model_info_names_who_was_chosen(
    probed: ProxyProcess, upstream: FakeUpstream
) -> None:
    chosen, headers = len(notes(probed, "chosen")), len(notes(probed, "headers"))
    upstream.tell("a", BROKEN)
    response = probed.http.post("/v1/chat/completions", json={"model": "g", "messages": TURNS})
    assert response.status_code == 200
    asked = notes(probed, "chosen")[chosen:]
    assert [note["deployment"] for note in asked] == ["a", "b"]
    assert {n["call"] for n in asked} == {n["call"] for n in notes(probed, "headers")[headers:]}
    # ... and what the last attempt wrote is what reaches the log
    logged = eventually(
        lambda: next((n for n in reversed(notes(probed, "logged")) if n["by"] == "b"), None)
    )
    assert logged["spend"] == {"probe": "b"}


def test_a_key_of_our_own_in_model_info_is_kept(
    probed: ProxyProcess, upstream: FakeUpstream
) -> None:
    probed.http.post("/v1/chat/completions", json={"model": "g", "messages": TURNS})
    assert sorted(notes(probed, "filter")[-1]["infos"]) == ["ant", "bee"]
    listed = probed.http.get("/v1/model/info").json()["data"]
    assert {entry["model_info"]["benchrouter_model"] for entry in listed} == {"ant", "bee"}
