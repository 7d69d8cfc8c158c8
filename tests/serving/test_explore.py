"""Which requests a random plausible model answers, and with what probability."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from litellm_benchrouter.conversation.ask import Ask
from litellm_benchrouter.costs.policy import QUALITY, Policy
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.explore import Explorer, plausible

LIKELY = {"best": 0.8, "near": 0.75, "edge": 0.7, "far": 0.5}
ASKS = Ask("ask", "How many?")
MESSAGES = [{"role": "user", "content": "How many?"}]


def decision(**changed: Any) -> Decision:
    values: dict[str, Any] = {
        "ranking": tuple(LIKELY), "method": "traffic", "reason": "why", "probability": LIKELY,
    }  # fmt: skip
    return Decision(**(values | changed))


def draws(explorer: Explorer, request: dict[str, Any], turn: Ask = ASKS, **more: Any) -> bool:
    settings = {"is_sticky": False} | more
    return explorer.draws(turn, request.pop("messages", MESSAGES), request, **settings)


def test_plausible_is_what_is_expected_to_do_nearly_as_well() -> None:
    assert plausible(decision(), QUALITY) == ["best", "near", "edge"]
    assert plausible(decision(probability=LIKELY | {"near": float("nan")}), QUALITY)[1:] == ["edge"]
    assert plausible(decision(kind="time_limit"), QUALITY) == ["best"]
    assert plausible(decision(probability=None), QUALITY) == ["best"]


def test_under_a_policy_that_saves_nothing_much_dearer_is_plausible() -> None:
    costs = {"best": 1.0, "near": 1.9, "edge": 2.1, "far": 0.1}
    cheap = Policy.parse("balanced:0.1")
    assert plausible(decision(costs_usd=costs), cheap) == ["best", "near"]
    assert plausible(decision(costs_usd=costs), QUALITY) == ["best", "near", "edge"]


def test_the_propensity_is_how_often_a_model_is_picked() -> None:
    share, n, picks = 0.3, 20_000, Counter[str]()
    propensity: dict[str, float] = {}
    explorer = Explorer(share, Random(0).random)
    for _ in range(n):
        made = decision()
        if draws(explorer, {}):
            made = explorer.explored(made, QUALITY)
            assert made.kind == "explored"
            propensity[made.pick] = made.propensity or 0.0
        picks[made.pick] += 1
    assert set(propensity) == {"best", "near", "edge"}
    assert sum(propensity.values()) == pytest.approx(1)
    for model, p in propensity.items():
        assert picks[model] / n == pytest.approx(p, abs=0.02)


def test_where_the_pick_alone_is_plausible_nothing_is_explored() -> None:
    made = decision(probability=LIKELY | {"best": 0.99})
    assert Explorer(0.5, lambda: 0.0).explored(made, QUALITY) is made


@pytest.mark.parametrize(
    "request_",
    [
        {"metadata": {"headers": {"X-Benchrouter-Explore": "no"}}},
        {"metadata": {"requester_metadata": {"explore": False}}},
        {"metadata": {"user_api_key_metadata": {"benchrouter_explore": False}}},
        {"metadata": {"user_api_key_team_metadata": {"benchrouter_explore": "never"}}},
        {"metadata": {"headers": {"x-benchrouter-task": "math"}}},
        {"metadata": {"tags": ["task:math"]}},
    ],
)
def test_who_opted_out_and_what_names_a_task_is_not_explored(request_: dict[str, Any]) -> None:
    always = Explorer(0.5, lambda: 0.0)
    assert draws(always, {})
    assert draws(always, {"metadata": {"headers": {"x-benchrouter-explore": "yes"}}})
    assert not draws(always, request_)


@pytest.mark.parametrize("kind", ["side", "none"])
def test_only_what_a_person_asks_is_explored(kind: Any) -> None:
    assert not draws(Explorer(0.5, lambda: 0.0), {}, Ask(kind, "Title of this chat"))


def test_of_a_conversation_that_stays_the_first_turn_alone_is_explored() -> None:
    always = Explorer(0.5, lambda: 0.0)
    later = [*MESSAGES, {"role": "assistant", "content": "6"}, {"role": "user", "content": "And?"}]
    assert draws(always, {}, is_sticky=True)
    assert not draws(always, {"messages": later}, Ask("ask", "And?"), is_sticky=True)


def test_without_a_share_nothing_is_drawn() -> None:
    assert not draws(Explorer(0.0, lambda: 0.0), {})


def test_a_calls_propensity_is_of_the_pick_that_answered_and_never_in_shadow() -> None:
    explored = Explorer(0.5, lambda: 0.9).explored(decision(), QUALITY)
    call = Call(group="g", decisions={"g": explored}, models={"1": "edge", "2": "best"})
    call.ask("1")
    assert call.propensity == pytest.approx(0.5 / 3)
    assert (call.as_log() or {})["propensity"] == call.propensity
    call.ask("2")  # a fallback
    assert call.propensity is None
    assert "propensity" not in (call.as_log() or {})
    shadow = Call(group="g", decisions={"g": explored}, models={"1": "edge"}, shadow=True)
    shadow.ask("1")
    assert shadow.propensity is None
