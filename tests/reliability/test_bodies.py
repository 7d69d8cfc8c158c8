"""Whatever a client sends: no exception, no deployment lost, nothing changed, the loop free."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooking import CALLS, Logging, close, hook_of, offered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepping import Stepped, waited

from litellm_benchrouter.hook import BenchRouterHook

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "nobody-1b"]
TEXT = st.text(st.characters(), max_size=30) | st.sampled_from(
    [
        "\ud800",
        "\0",
        "",
        " \n",
        "Translate this sentence into Dutch",
        "\udfff\0 SELECT 1",
        "é" * 300,
    ]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
IMAGE = st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
PART = IMAGE | st.fixed_dictionaries({"type": st.just("text"), "text": SCALAR}) | SCALAR
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | SCALAR},
    optional={"content": SCALAR | st.lists(PART, max_size=4), "type": SCALAR},
)
ANYTHING = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(TURN | SCALAR | ANYTHING, max_size=5) | ANYTHING
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.dictionaries(
            TEXT | st.sampled_from(["x-benchrouter-task", "X-Benchrouter-Task"]), SCALAR, max_size=3
        )
        | ANYTHING,
        "tags": st.lists(SCALAR, max_size=3) | ANYTHING,
        "task": ANYTHING,
        "requester_metadata": ANYTHING,
        "spend_logs_metadata": ANYTHING,
    },
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "metadata": METADATA | ANYTHING,
        "litellm_metadata": METADATA | ANYTHING,
        "input": MESSAGES,
        "previous_response_id": SCALAR,
        "_target_order": SCALAR,
    },
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def hook(demo_built: Path, runner: asyncio.Runner) -> Iterator[BenchRouterHook]:
    """Serve the demo's version; what each set of models needs has been prepared."""
    made = hook_of(demo_built)
    for n in range(2, len(MODELS) + 1):
        request = {"litellm_logging_obj": Logging()}
        messages = [{"role": "user", "content": "Join two tables"}]
        runner.run(made.async_filter_deployments("smart", offered(MODELS[:n]), messages, request))
    yield made
    close(made)


def without_order(deployment: dict[str, Any]) -> dict[str, Any]:
    params = {k: v for k, v in deployment["litellm_params"].items() if k != "order"}
    return {**deployment, "litellm_params": params}


@pytest.mark.parametrize(
    "n_cases", [300, pytest.param(10_000, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_whatever_the_body_every_deployment_comes_back_and_nothing_is_changed(
    hook: BenchRouterHook, runner: asyncio.Runner, n_cases: int
) -> None:
    seen = set()

    @settings(
        max_examples=n_cases, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(MESSAGES, REQUEST, st.sampled_from(CALLS), st.integers(1, len(MODELS)))
    def check(messages: Any, request: dict[str, Any], call_type: str, n: int) -> None:
        deployments = offered(MODELS[:n])
        request = {**request, "litellm_logging_obj": Logging(call_type)}
        logging = request["litellm_logging_obj"]
        given_body = copy.deepcopy((messages, {**request, "litellm_logging_obj": None}))

        for _ in range(2):  # the second as for a retry
            back = runner.run(
                hook.async_filter_deployments("smart", deployments, messages, dict(request))
            )
            assert [without_order(d) for d in back] == offered(MODELS[:n])
            orders = [d["litellm_params"]["order"] for d in back]
            assert all(isinstance(order, int) for order in orders)
            seen.add(tuple(orders))
        assert deployments == offered(MODELS[:n])
        assert repr((messages, {**request, "litellm_logging_obj": None})) == repr(given_body)

        kwargs = {**request, "model_info": deployments[0]["model_info"]}
        assert runner.run(hook.async_pre_call_deployment_hook(kwargs, call_type)) is None
        headers = runner.run(
            hook.async_post_call_response_headers_hook({"litellm_logging_obj": logging}, None, None)
        )
        assert all(name.isascii() and value.isprintable() for name, value in headers.items())

    check()
    assert len(seen) > len(MODELS)  # prompts were routed, not only passed on
    assert hook._service._executor.breaker.failures_in_a_row == 0


BIG = 10_000_000
HUGE = {
    "one string": [{"role": "user", "content": "where is it? " * (BIG // 13)}],
    "one part": [{"role": "user", "content": [{"type": "text", "text": "x y" * (BIG // 3)}]}],
    "many parts": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 1_000_000}],
    "many images": [{"role": "user", "content": [{"type": "image_url"}] * 1_000_000}],
    "many turns": [{"role": "assistant", "content": "yes"}] * 1_000_000,
    "blanks": [{"role": "user", "content": " \n" * (BIG // 2)}],
    "surrogates and NULs": [{"role": "user", "content": "\ud800\0" * (BIG // 2)}],
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_request_of_ten_megabytes_does_not_hold_the_event_loop(
    hook: BenchRouterHook, runner: asyncio.Runner, kind: str
) -> None:
    deployments = offered(MODELS)
    longest = []
    for endpoint in ("messages", "input"):
        request: dict[str, Any] = {"litellm_logging_obj": Logging(), "metadata": {}}
        messages = HUGE[kind] if endpoint == "messages" else None
        if messages is None:
            request["input"] = HUGE[kind]
        for _ in range(3):
            request["litellm_logging_obj"] = Logging()
            step = Stepped(hook.async_filter_deployments("smart", deployments, messages, request))
            assert [without_order(d) for d in runner.run(waited(step))] == deployments
            longest.append(step.longest)
    assert sorted(longest)[len(longest) // 2] < 0.010
