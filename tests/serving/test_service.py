"""What a decision costs grows with what is asked, not with what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from served import Served

from litellm_benchrouter.costs import Prices
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.serving.service import RoutingService

from .conftest import tuned

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b"]


class Looked:
    """What the hook knows of deployments, with a count of those that were looked at."""

    def __init__(self) -> None:
        self.n = 0

    def prices(self, deployments: Any, models: Any) -> tuple[tuple[str, Prices], ...]:
        self.n += len(deployments)
        return ()

    def abilities(self, deployment: Any, model: str | None) -> Mapping[str, Any]:
        self.n += 1
        return {"supports_vision": model == "atlas-70b", "max_input_tokens": 1000}


def offered(n: int) -> tuple[list[dict[str, Any]], list[str | None]]:
    deployments = [{"model_name": "smart", "model_info": {"id": f"id-{i}"}} for i in range(n)]
    return deployments, [MODELS[i % len(MODELS)] for i in range(n)]


@pytest.fixture
def looked() -> Looked:
    return Looked()


@pytest.fixture
def service(folder: Path, served: Served, looked: Looked) -> RoutingService:
    config = tuned(folder)
    return RoutingService(
        config, served.loader, served.executor, looked.prices, looked.abilities, Metrics()
    )


def turns(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def test_the_deployments_of_a_group_are_looked_at_once_not_once_a_request(
    service: RoutingService, served: Served, looked: Looked
) -> None:
    deployments, models = offered(200)
    for number in range(20):
        asked = turns(f"What is number {number}?")
        group = service.group(deployments, models, asked, {})
        decision = await service.rank(served.router, Call(), "smart", group, asked, {})
        assert set(decision.ranking) == set(MODELS)
    assert looked.n == 400, "abilities and prices of each, once"
    service.group(deployments[:100], models[:100], turns("hello"), {})
    assert looked.n == 600, "half of the group, as while the others cool down, is another offer"
    for _ in range(20):
        service.group(deployments, models, turns("hello"), {})
    assert looked.n == 600


def test_what_a_request_needs_is_compared_with_each_kind_of_deployment(
    service: RoutingService, looked: Looked
) -> None:
    deployments, models = offered(50)
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    for _ in range(3):
        group = service.group(deployments, models, image, {})
        assert set(group.able.names) == {"atlas-70b"}
        assert len(group.unable) == 40 and set(group.unable.values()) == {"images"}
    long = service.group(deployments, models, turns("word " * 2000), {})
    assert long.note == "; no model is known to take all that is asked"
    assert not service.group(deployments, models, turns("hello"), {}).unable
    assert looked.n == 100


def test_deployments_without_an_id_are_looked_at_each_time(
    service: RoutingService, looked: Looked
) -> None:
    for _ in range(2):
        service.group([{"model_name": "smart"}], ["atlas-70b"], turns("hello"), {})
    assert looked.n == 4


CODE = "Write a Python function that reverses a list of seeds without recursion."
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
TITLE = {"headers": {"x-claude-code-request-class": "auxiliary"}}


def conversation(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


class Asked:
    """A service that is asked as the hook asks it, every call answered by its pick."""

    def __init__(self, folder: Path, served: Served, looked: Looked, **serving: Any) -> None:
        self.served = served
        config = tuned(folder, **serving)
        self.service = RoutingService(
            config, served.loader, served.executor, looked.prices, looked.abilities, Metrics()
        )

    async def __call__(self, messages: Any, **request: Any) -> tuple[Call, Any]:
        deployments, models = offered(5)
        call = Call(group="smart", models={f"id-{i}": name for i, name in enumerate(MODELS)})
        self.service.begin(call, messages, request)
        group = self.service.group(deployments, models, messages, request)
        decision = await self.service.rank(
            self.served.router, call, "smart", group, messages, request
        )
        call.decisions["smart"] = decision
        call.ask(f"id-{MODELS.index(decision.pick)}")
        self.service.answered(call)
        return call, decision


async def test_a_follow_up_is_decided_by_the_ask_before_it(
    folder: Path, served: Served, looked: Looked
) -> None:
    asked = Asked(folder, served, looked)
    _, first = await asked(conversation(CODE))
    call, again = await asked(conversation(CODE, "Shall I test it?", "yes"))
    assert call.turn is not None and call.turn.kind == "keep"
    assert (again.pick, again.distance) == (first.pick, first.distance)
    _, other = await asked(conversation(CODE, "Done.", MATH))
    assert other.distance != first.distance


async def test_the_text_can_be_chosen_by_configuration_and_header(
    folder: Path, served: Served, looked: Looked
) -> None:
    asked = Asked(folder, served, looked)
    turns = conversation(CODE, "Shall I test it?", "yes")
    last = Asked(folder, served, looked, ask="last")
    headers: dict[str, str] = {}
    for ask, request in ((asked, {"x-benchrouter-text": "last"}), (last, headers)):
        call, _ = await ask(turns, metadata={"headers": request})
        assert call.turn is not None and call.turn.text == "yes"
    for value, text in (("First", CODE), ("ask", CODE), ("nonsense", "yes")):
        call, _ = await last(turns, metadata={"headers": {"X-Benchrouter-Text": value}})
        assert call.turn is not None and call.turn.text == text


async def test_a_side_request_never_holds_a_conversation(
    folder: Path, served: Served, looked: Looked
) -> None:
    asked = Asked(folder, served, looked, stickiness="session")
    call, _ = await asked(conversation(CODE), metadata=TITLE)
    assert (call.as_log() or {})["turn"] == "side"
    _, first = await asked(conversation(CODE))
    assert first.method != "session"
    call, kept = await asked(conversation(CODE, "Done.", MATH))
    assert (kept.method, kept.pick) == ("session", first.pick)
    assert (call.as_log() or {})["session"] == call.session


async def test_a_side_request_goes_by_a_policy_of_its_own(
    folder: Path, served: Served, looked: Looked
) -> None:
    asked = Asked(folder, served, looked, stickiness="session", side="cheapest:0.1")
    _, main = await asked(conversation(CODE))
    _, side = await asked(conversation(CODE), metadata=TITLE)
    assert side.pick == "spark-3b", "the cheapest"
    assert side.policy == "cheapest:0.1"
    assert side.reason.startswith("the client's own request, not a person's; ")
    _, again = await asked(conversation(CODE, "Done.", "yes"))
    assert (again.method, again.pick) == ("session", main.pick)
    header = {"headers": {**TITLE["headers"], "x-benchrouter-policy": "quality"}}
    _, quality = await asked(conversation(CODE), metadata=header)
    assert quality.policy == "quality", "a request's own policy comes first"
