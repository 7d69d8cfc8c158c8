"""Which model a deployment is, and what a call says about itself afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import ModelNames, id_of
from litellm_benchrouter.serving.call import Attempt, Call
from litellm_benchrouter.serving.cascading import Answer, Outcome

NAMES = ModelNames(
    aliases={"gpt-x": "ant", "meta/bee-8b": "bee"}, models=frozenset({"ant", "bee", "org/cat"})
)
DECISION = Decision(
    ranking=("ant", "bee", "org/cat"),
    method="s1",
    reason="they know best",
    artifact="v1",
    costs_usd={"ant": 0.002, "bee": 0.001, "org/cat": 0.003},
)


def deployment(id_: str, model: str = "openai/x", **info: Any) -> dict[str, Any]:
    return {
        "model_name": "smart",
        "litellm_params": {"model": model, "api_key": "sk-1"},
        "model_info": {"id": id_, **info},
    }


# Which benchmark model a deployment is


@pytest.mark.parametrize(
    ("info", "model", "found"),
    [
        ({"benchrouter_model": "ant"}, "openai/bee", "ant"),
        ({"benchrouter_model": "gpt-x"}, "openai/bee", "ant"),
        # what it says of itself counts, even where it is unknown
        ({"benchrouter_model": "nobody"}, "openai/ant", None),
        ({"benchrouter_model": 7}, "openai/ant", None),
        ({}, "ant", "ant"),
        ({}, "openai/ant", "ant"),
        ({}, "together_ai/org/cat", "org/cat"),
        ({}, "openrouter/meta/bee-8b", "bee"),
        ({}, "org/cat", "org/cat"),
        ({}, "cat", None),
        ({}, "openai/ant-2", None),
        ({}, "openai/", None),
        ({}, "", None),
    ],
)
def test_a_deployment_says_which_model_it_is_or_its_litellm_model_does(info, model, found):
    assert NAMES.of(deployment("1", model, **info)) == found


@pytest.mark.parametrize(
    "strange", [None, 7, "ant", [], {}, {"litellm_params": None}, {"model_info": "x"},
                {"litellm_params": {"model": ["ant"]}}, {"model_info": {"benchrouter_model": []}}],
)  # fmt: skip
def test_what_is_no_deployment_is_no_model(strange):
    assert NAMES.of(strange) is None
    assert id_of(strange) is None


def test_a_warning_names_what_the_deployment_says_of_itself():
    assert NAMES.said(deployment("1", benchrouter_model="nobody")) == "nobody"
    assert NAMES.said(deployment("1", "openai/x")) == "openai/x"


GROUP = [
    deployment("c", benchrouter_model="org/cat"),
    deployment("?", benchrouter_model="nobody"),
    deployment("a1", benchrouter_model="ant"),
    deployment("b", benchrouter_model="bee"),
    deployment("a2", benchrouter_model="ant"),
]


# What a call says afterwards


def asked(*deployment_ids: str) -> Call:
    call = Call(group="smart", decisions={"smart": DECISION})
    call.models = {d["model_info"]["id"]: NAMES.of(d) for d in GROUP}
    for deployment_id in deployment_ids:
        call.ask(deployment_id)
    return call


def test_the_log_and_the_headers_say_who_answered_and_why():
    call = asked("a1")
    assert call.as_log() == {
        "model": "ant", "pick": "ant", "method": "s1", "reason": "they know best",
        "task": None, "artifact": "v1", "policy": "quality", "expected_cost_usd": 0.002,
        "embedder": None, "kind": "routed", "distance": None, "seconds": None,
    }  # fmt: skip
    assert call.as_headers("x-") == {
        "x-model": "ant", "x-method": "s1", "x-reason": "they know best", "x-artifact": "v1",
        "x-policy": "quality",
    }  # fmt: skip


def test_where_another_than_the_pick_answered_the_reason_begins_with_why():
    failed = asked("a1", "b").as_log()
    assert failed is not None
    assert (failed["model"], failed["pick"]) == ("bee", "ant")
    assert failed["reason"] == "ant failed; they know best"


AWAY = "was taken out by LiteLLM, in cooldown or unhealthy"
PICKS = frozenset({"a1", "a2"})


@pytest.mark.parametrize(
    ("attempt", "followed", "why"),
    [
        (Attempt(), "", AWAY),
        (Attempt(frozenset({"b"})), "followed", AWAY),
        (Attempt(PICKS, full=PICKS), "followed", "has reached its rate limit"),
        (Attempt(PICKS, full=frozenset({"a1"})), "tag_filter", "was taken out by LiteLLM's tag "
         "filter"),
        (Attempt(PICKS), "pre_call_checks", "was taken out by LiteLLM's pre-call checks"),
        (Attempt(PICKS), "affinity", "gave way to an affinity pin of LiteLLM"),
        (Attempt(PICKS), "other_filter", "was taken out by another callback"),
        (Attempt(PICKS), "not_followed", "was ranked first, and LiteLLM served another"),
        (Attempt(PICKS), "followed", "stands behind by the `order` of the configuration"),
        (Attempt(PICKS, pinned=True), "followed", "gave way to the deployment that holds the "
         "response which this request continues"),
    ],
)  # fmt: skip
def test_why_the_pick_did_not_answer_is_what_happened(attempt, followed, why):
    call = asked("b")
    call.attempt, call.followed = attempt, followed
    log = call.as_log()
    assert log is not None
    assert log["reason"] == f"ant {why}; they know best"


def test_a_virtual_model_whose_groups_all_failed_says_so():
    call = asked("a1", "b")
    call.virtual, call.group = "any", "spare"
    call.ask("elsewhere")
    log = call.as_log()
    assert log == {
        "virtual": "any", "group": "spare", "method": "listed",
        "reason": "the groups that the benchmark ranks failed (ant, bee); a fallback answered",
    }  # fmt: skip
    call.tried = ["elsewhere"]
    assert "no deployment of a group that the benchmark ranks" in call.as_log()["reason"]
    call.decisions = {}
    assert call.as_log()["reason"].startswith("by its place in the list")


def test_a_deployment_that_the_benchmark_does_not_know_has_no_model_header():
    headers = asked("?").as_headers("x-")
    assert "x-model" not in headers
    assert headers["x-reason"] == f"ant {AWAY}; they know best"


def test_a_call_without_an_attempt_or_a_decision_says_nothing():
    assert asked().as_log() is None
    assert asked().as_headers("x-") == {}
    assert Call(group="smart", tried=["a1"]).as_log() is None


def test_a_deployment_named_twice_in_a_row_was_asked_once():
    assert asked("a1", "a1", "b", "a1").tried == ["a1", "b", "a1"]


def test_a_decision_is_kept_while_it_ranks_all_that_is_on_offer():
    call = asked()
    assert call.decision_for("smart", ["bee", "ant"]) is DECISION
    assert call.decision_for("smart", ["bee", "eel"]) is None
    assert call.decision_for("other", ["bee"]) is None


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=400))
def test_headers_are_one_line_of_visible_ascii_whatever_the_task_is_called(task):
    decision = Decision(("ant",), "s3", f"because of {task}", task=task, artifact="v1")
    call = Call("smart", decisions={"smart": decision}, models={"1": "ant"}, tried=["1"])
    assert "x-model" in call.as_headers("x-")
    for name, value in call.as_headers("x-").items():
        assert name.isascii()
        assert value == value.strip()
        assert len(value) <= 300
        assert all(" " <= character <= "~" for character in value)


def test_who_answers_a_cascade_is_who_gave_the_answer():
    call = Call(group="smart", decisions={"smart": DECISION}, models={"1": "ant"}, tried=["1"])
    first = Answer("ant", {})
    call.cascade = Outcome(first, "refused", {"ant": 0.4}, 0.001)
    assert (call.answered_by, call.outcome) == ("ant", "pick")
    later = Answer("bee", {}, response=object())
    call.cascade = Outcome(later, "enough", {"ant": 0.4, "bee": 0.9}, 0.003)
    assert (call.answered_by, call.outcome) == ("bee", "cascade")
    headers = call.as_headers("x-")
    assert headers["x-model"] == "bee"
    assert headers["x-cascade"] == "P(right) ant 0.40, bee 0.90; no further call pays"
    assert headers["x-reason"] == "they know best"
    assert call.as_log()["expected_cost_usd"] == 0.001
