"""Cascades without a proxy: who is asked, when it ends, and which answer is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from litellm_benchrouter.costs.cascade import Cascade, Evidence
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.cascading import Answer, Limits, Outcome, Plan, RefusedError, Run
from litellm_benchrouter.verifiers import Verifier, answer_of

PROBABILITY = {"small": 0.6, "middle": 0.7, "large": 0.9}
COSTS = {"small": 0.001, "middle": 0.004, "large": 0.02}
NO_LIMITS = Limits()
REQUEST = {"model": "smart", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}

# Nine of ten scores are right about the answer.
SURE = Evidence(
    scores=np.array([0.0, 1.0]),
    values=np.array([-2.2, 2.2]),
    atoms=np.array([-2.2, 2.2]),
    right=np.array([0.1, 0.9]),
    wrong=np.array([0.9, 0.1]),
)


def right_by_text(request: Any, answer: Any) -> float | None:
    return {"4": 1.0, "5": 0.0}.get(answer["choices"][0]["message"]["content"])


def broken(request: Any, answer: Any) -> float:
    raise RuntimeError("down")


def said(model: str, text: str, usd: float = 0.0) -> Answer:
    return Answer(model, answer_of(text), usd, response=f"{model}: {text}")


class Asked:
    """Answers of models by their names; what they were asked is noted."""

    def __init__(self, answers: Mapping[str, str | Exception | float]) -> None:
        self.answers, self.models, self.bodies = answers, [], []  # type: ignore[var-annotated]

    async def model(self, model: str, posterior: Mapping[str, float]) -> Answer:
        self.models.append(model)
        answer = self.answers[model]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return said(model, "4", COSTS[model])
        if isinstance(answer, Exception):
            raise answer
        return said(model, answer, COSTS[model])

    async def group(self, request: Any) -> tuple[Any, float]:
        self.bodies.append(request)
        return answer_of('{"correct": true, "reason": ""}'), 0.002


def cascade(
    text: str,
    answers: Mapping[str, str | Exception | float],
    *,
    check: Verifier | Callable[[Any, Any], float | None] = right_by_text,
    limits: Limits = NO_LIMITS,
    price: float = 1.0,
    costs: Mapping[str, float] = COSTS,
) -> tuple[Outcome, Asked]:
    asked = Asked(answers)
    one = check if isinstance(check, Verifier) else Verifier("own", check)
    decision = Decision(
        ("small", "large", "middle"), "bma", "", probability=PROBABILITY, costs_usd=costs
    )
    plan = Plan(Cascade(price, {one.name: SURE}), decision)
    run = Run(plan, REQUEST, [one], limits, asked.model, asked.group)
    first = Answer("small", answer_of(text), 0.001)
    return asyncio.run(run.outcome(first)), asked


def test_an_answer_that_holds_is_given_without_another_call() -> None:
    outcome, asked = cascade("4", {}, price=8.0)
    assert (outcome.is_first, outcome.ended, asked.models) == (True, "enough", [])
    assert outcome.posterior["small"] == pytest.approx(0.93, abs=0.01)


def test_a_better_model_is_asked_where_it_does_not_hold() -> None:
    outcome, asked = cascade("5", {"large": "4"})
    assert (outcome.answer.response, outcome.ended) == ("large: 4", "enough")
    assert asked.models == ["large"]
    assert outcome.usd == pytest.approx(0.021)
    assert list(outcome.posterior) == ["small", "large"]
    assert str(outcome).startswith("P(right) small 0.14, large 0.99; no further call pays")


def test_the_most_probable_of_all_answers_is_given() -> None:
    outcome, asked = cascade("5", {"large": "5", "middle": "5"})
    assert sorted(asked.models) == ["large", "middle"]
    best = max(outcome.posterior, key=lambda model: outcome.posterior[model])
    assert outcome.answer.model == best


@pytest.mark.parametrize(
    ("answer", "ended"),
    [(RuntimeError("500"), "failed"), (RefusedError(), "refused")],
)
def test_a_call_that_fails_ends_it_with_what_there_is(answer: Exception, ended: str) -> None:
    outcome, asked = cascade("5", {"large": answer})
    assert (outcome.is_first, outcome.ended, asked.models) == (True, ended, ["large"])


def test_the_answer_that_is_late_is_not_waited_for() -> None:
    outcome, asked = cascade("5", {"large": 5.0}, limits=Limits(seconds=0.05))
    assert (outcome.is_first, outcome.ended, asked.models) == (True, "time_limit", ["large"])


def test_no_call_begins_after_the_time_limit() -> None:
    outcome, asked = cascade("5", {"large": "4"}, limits=Limits(seconds=0.0))
    assert (outcome.is_first, outcome.ended, asked.models) == (True, "time_limit", [])


def test_no_call_begins_that_would_cost_too_much() -> None:
    outcome, asked = cascade("5", {"large": "4"}, limits=Limits(usd=0.01))
    assert (outcome.is_first, outcome.ended, asked.models) == (True, "usd_limit", [])


def test_a_verifier_that_fails_ends_it_with_what_there_is() -> None:
    outcome, asked = cascade("5", {"large": "4"}, check=broken)
    assert (outcome.is_first, outcome.ended, asked.models) == (True, "verifier", [])


def test_a_verifier_that_says_nothing_leaves_the_probability_as_it_was() -> None:
    outcome, asked = cascade("six", {"large": "4"}, check=lambda request, answer: None, price=500.0)
    assert outcome.posterior["small"] == pytest.approx(PROBABILITY["small"])
    assert (outcome.is_first, asked.models) == (True, [])


def test_a_model_that_answers_in_place_of_another_counts_as_itself() -> None:
    class Fallback(Asked):
        async def model(self, model: str, posterior: Mapping[str, float]) -> Answer:
            self.models.append(model)
            return said("small" if len(self.models) > 1 else "middle", "5")

    asked = Fallback({})
    decision = Decision(("small",), "bma", "", probability=PROBABILITY, costs_usd=COSTS)
    plan = Plan(Cascade(1.0, {"own": SURE}), decision)
    run = Run(plan, REQUEST, [Verifier("own", right_by_text)], Limits(), asked.model, asked.group)
    outcome = asyncio.run(run.outcome(Answer("small", answer_of("5"))))
    assert set(outcome.posterior) == {"small", "middle"}
    assert outcome.ended == "failed"  # the second asked was answered by one that had been asked


def test_a_judge_is_paid_for() -> None:
    async def judge(request: Any, answer: Any, ask: Any) -> float:
        await ask({"model": "judge", "messages": []})
        return 1.0

    outcome, asked = cascade("?", {}, check=Verifier("own", judge, asks=True))
    assert len(asked.bodies) == 1
    assert outcome.usd == pytest.approx(0.003)
    outcome, asked = cascade(
        "?", {}, check=Verifier("own", judge, asks=True), limits=Limits(usd=0.0005)
    )
    assert (outcome.ended, asked.bodies) == ("usd_limit", [])


def test_an_answer_that_was_asked_to_compare_is_not_asked_again() -> None:
    async def agreement(request: Any, answer: Any, ask: Any) -> float:
        other = await ask(request)
        return float(other["choices"] == answer["choices"])

    outcome, asked = cascade(
        "5",
        {"middle": "4", "large": "4"},
        check=Verifier("own", agreement, asks=True),
        costs={"small": 0.001, "middle": 0.002, "large": 5.0},
    )
    assert asked.models == ["middle"]
    assert (outcome.answer.model, outcome.ended) == ("middle", "enough")


def test_an_answer_that_is_paid_costs_nothing_more() -> None:
    """A better model than the price allows is given where its answer was asked to compare."""

    async def agreement(request: Any, answer: Any, ask: Any) -> float:
        return float((await ask(request))["choices"] == answer["choices"])

    costs = {"small": 0.001, "middle": 5.0, "large": 9.0}
    one = Verifier("own", agreement, asks=True)
    outcome, asked = cascade("5", {"middle": "4"}, check=one, costs=costs)
    assert asked.models == ["middle"]
    assert (outcome.answer.model, outcome.ended) == ("middle", "enough")
    assert outcome.usd == pytest.approx(0.001 + COSTS["middle"])


def test_without_evidence_there_is_no_cascade() -> None:
    asked = Asked({})
    decision = Decision(("small",), "bma", "", probability=PROBABILITY, costs_usd=COSTS)
    none = Run(
        Plan(Cascade(1.0, {}), decision),
        REQUEST,
        [Verifier("own", right_by_text)],
        Limits(),
        asked.model,
        asked.group,
    )
    assert not none.may_ask_on
