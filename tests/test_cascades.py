"""Which requests may become cascades, and that nothing else pays for it. No proxy runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import litellm
import pytest

from litellm_benchrouter.config.proxy import CascadeConfig
from litellm_benchrouter.conversation.ask import Ask
from litellm_benchrouter.costs.cascade import Cascade
from litellm_benchrouter.proxy.access import usd_left
from litellm_benchrouter.proxy.cascades import Cascades
from litellm_benchrouter.proxy.loopback import STEP, Step
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.metrics import Metrics

PLAIN = Decision(("small", "large"), "bma", "they know best", costs_usd={"small": 1, "large": 2})
CASCADE = replace(PLAIN, cascade=Cascade(1.0), policy="cascade:1")


class Counting(Metrics):
    def __init__(self) -> None:
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1


class LoggingObject:
    def __init__(self, call_type: str) -> None:
        self.call_type = call_type


@pytest.fixture
def callbacks() -> Iterator[list[Any]]:
    """Give LiteLLM's callbacks as they were before, and put them back."""
    before = litellm.callbacks
    yield list(before)
    litellm.callbacks = before


def request(call_type: str = "acompletion", **body: Any) -> dict[str, Any]:
    return {"litellm_logging_obj": LoggingObject(call_type), **body}


def made(buffer: int = 0) -> Cascades:
    cascades = Cascades({}, Counting())
    cascades.configure(CascadeConfig(buffer_characters=buffer), lambda call: None)
    return cascades


def test_a_decision_without_a_cascade_changes_nothing(callbacks: list[Any]) -> None:
    call = Call()
    made().plan(call, PLAIN, request())
    assert (call.plan, call.single, litellm.callbacks) == (None, "", callbacks)


def test_the_first_request_that_may_cascade_brings_the_callback_last(callbacks: list[Any]) -> None:
    cascades = made()
    call = Call()
    cascades.plan(call, CASCADE, request())
    assert call.plan is not None
    assert litellm.callbacks == [*callbacks, cascades]
    litellm.callbacks.append(later := SimpleNamespace())
    cascades.plan(Call(), CASCADE, request())
    assert litellm.callbacks == [*callbacks, later, cascades]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(stream=True), "the answer is streamed"),
        (request("atext_completion"), "the endpoint has none"),
        (request("agenerate_content"), "the endpoint has none"),
        (request("aresponses", previous_response_id="resp_1"), "the request continues a response"),
        (request(n=2), "several answers are asked for"),
    ],
)
def test_what_is_routed_without_a_cascade_says_so(
    callbacks: list[Any], asked: dict[str, Any], why: str
) -> None:
    call = Call(group="smart", decisions={"smart": CASCADE}, models={"1": "small"}, tried=["1"])
    made().plan(call, CASCADE, asked)
    assert call.plan is None
    assert call.as_headers("x-")["x-reason"] == f"no cascade, as {why}; they know best"


def test_streams_of_chats_cascade_where_they_may_be_held_back(callbacks: list[Any]) -> None:
    cascades = made(buffer=10)
    call, other = Call(), Call()
    cascades.plan(call, CASCADE, request(stream=True))
    assert call.plan is not None
    assert call.plan.is_stream
    assert litellm.callbacks[1:] == [*callbacks, cascades]
    held = list(litellm.callbacks)
    cascades.plan(Call(), CASCADE, request())
    assert litellm.callbacks == held
    cascades.plan(other, CASCADE, request("aresponses", stream=True))
    assert (other.plan, other.single) == (None, "the answer is streamed")


@pytest.mark.parametrize(
    "call",
    [Call(shadow=True), Call(passed=True), Call(turn=Ask("side", "a title"))],
    ids=["shadow", "pass_through", "side"],
)
def test_what_changes_nothing_and_clients_own_requests_do_not_cascade(
    callbacks: list[Any], call: Call
) -> None:
    made().plan(call, CASCADE, request())
    assert call.plan is None


def test_a_request_of_the_plugins_own_does_not_cascade(callbacks: list[Any]) -> None:
    token = STEP.set(Step())
    try:
        call = Call()
        made().plan(call, CASCADE, request())
        assert call.plan is None
    finally:
        STEP.reset(token)


def test_what_fails_gives_the_first_answer(callbacks: list[Any]) -> None:
    metrics, asked = Counting(), request()
    call = Call(group="smart", models={"1": "small"}, tried=["1"])
    cascades = Cascades({asked["litellm_logging_obj"]: call}, metrics)
    cascades.plan(call, CASCADE, asked)
    broken = {**asked, "secret_fields": 1, "proxy_server_request": {"body": {}}}
    caller = SimpleNamespace()
    answer = asyncio.run(cascades.async_post_call_success_hook(broken, caller, object()))
    assert answer is None
    assert call.cascade is None
    broken = {**asked, "metadata": 7, "proxy_server_request": 7}
    del broken["litellm_logging_obj"].call_type
    assert asyncio.run(cascades.async_post_call_success_hook(broken, caller, object())) is None
    assert metrics.failures == 1


@pytest.mark.parametrize(
    ("caller", "left"),
    [
        ({}, float("inf")),
        ({"spend": 1.0, "max_budget": None}, float("inf")),
        ({"spend": 1.0, "max_budget": 5.0}, 4.0),
        ({"spend": 1.0, "max_budget": 5.0, "team_spend": 9.0, "team_max_budget": 10.0}, 1.0),
        ({"user_spend": 3.0, "user_max_budget": 2.0}, -1.0),
    ],
)
def test_what_the_budgets_of_a_caller_leave(caller: dict[str, Any], left: float) -> None:
    assert usd_left(SimpleNamespace(**caller)) == left
