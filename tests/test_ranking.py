"""From a decision to the order of deployments, and what a call says about itself afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm_benchrouter.serving.ranking import Call, ModelNames, id_of, order_deployments

from litellm_benchrouter.routing.decision import Decision

NAMES = ModelNames(
    aliases={"gpt-x": "ant", "meta/bee-8b": "bee"}, known=frozenset({"ant", "bee", "org/cat"})
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


# The order


def orders(deployments: list[dict[str, Any]], **options: Any) -> dict[str, int]:
    models = [NAMES.of(d) for d in deployments]
    ordered = order_deployments(deployments, models, DECISION, **options)
    return {d["model_info"]["id"]: d["litellm_params"]["order"] for d in ordered}


GROUP = [
    deployment("c", benchrouter_model="org/cat"),
    deployment("?", benchrouter_model="nobody"),
    deployment("a1", benchrouter_model="ant"),
    deployment("b", benchrouter_model="bee"),
    deployment("a2", benchrouter_model="ant"),
]


def test_the_best_comes_first_replicas_share_a_rank_and_the_unknown_come_last():
    assert orders(GROUP) == {"a1": 1, "a2": 1, "b": 2, "c": 3, "?": 4}


def test_what_was_tried_comes_last_in_the_same_order():
    assert orders(GROUP, tried=["a1"]) == {"a2": 1, "b": 2, "c": 3, "?": 4, "a1": 5}
    assert orders(GROUP, tried=["a1", "a2", "?"]) == {"b": 1, "c": 2, "a1": 3, "a2": 3, "?": 4}
    assert orders(GROUP, tried=["c", "?", "a1", "b", "a2"]) == orders(GROUP)


def test_a_pinned_deployment_comes_before_all_others_until_it_was_tried():
    assert orders(GROUP, pinned="?") == {"?": 1, "a1": 2, "a2": 2, "b": 3, "c": 4}
    assert orders(GROUP, pinned="a1") == {"a1": 1, "a2": 2, "b": 3, "c": 4, "?": 5}
    assert orders(GROUP, pinned="b", tried=["b"]) == {"a1": 1, "a2": 1, "c": 2, "?": 3, "b": 4}
    assert orders(GROUP, pinned="elsewhere") == orders(GROUP)


def test_orders_start_where_litellm_asks_and_leave_no_gap():
    assert orders(GROUP, first=7) == {"a1": 7, "a2": 7, "b": 8, "c": 9, "?": 10}
    assert orders(GROUP[:2]) == {"c": 1, "?": 2}


def test_the_sequence_stays_and_nothing_but_the_order_is_new():
    before = copy.deepcopy(GROUP)
    ordered = order_deployments(GROUP, [NAMES.of(d) for d in GROUP], DECISION)
    assert before == GROUP
    for old, new in zip(GROUP, ordered, strict=True):
        assert new is not old
        assert new["litellm_params"] is not old["litellm_params"]
        assert new["model_info"] is old["model_info"]
        params = dict(new["litellm_params"])
        del params["order"]
        assert new | {"litellm_params": params} == old


VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.just([1])
MODELS = st.sampled_from(["ant", "bee", "org/cat", "nobody", "gpt-x", ""]) | VALUES
DEPLOYMENTS = st.fixed_dictionaries(
    {},
    optional={
        "model_name": VALUES,
        "litellm_params": VALUES
        | st.fixed_dictionaries({}, optional={"model": MODELS, "order": VALUES, "api_key": VALUES}),
        "model_info": VALUES
        | st.fixed_dictionaries(
            {}, optional={"id": st.sampled_from(["1", "2", "3", 4]), "benchrouter_model": MODELS}
        ),
    },
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(DEPLOYMENTS | VALUES, max_size=6),
    st.lists(st.sampled_from(["1", "2", "3", "4", "x"]), max_size=4),
    st.none() | st.sampled_from(["1", "4", "x"]),
    st.integers(1, 3),
    st.permutations(["ant", "bee", "org/cat"]),
)
def test_every_deployment_comes_back_once_in_its_place_and_none_is_changed(
    deployments, tried, pinned, first, ranking
):
    before = copy.deepcopy(deployments)
    models = [NAMES.of(d) for d in deployments]
    decision = Decision(tuple(ranking[:2]), "s1", "because")
    ordered = order_deployments(
        deployments, models, decision, tried=tried, pinned=pinned, first=first
    )
    assert deployments == before
    assert len(ordered) == len(deployments)
    given_orders = set()
    for old, new in zip(deployments, ordered, strict=True):
        if not isinstance(old, dict):
            assert new is old
            continue
        params, order = old.get("litellm_params"), new["litellm_params"]["order"]
        given_orders.add(order)
        kept = params if isinstance(params, dict) else {}
        assert new["litellm_params"] == kept | {"order": order}
        assert {k: v for k, v in new.items() if k != "litellm_params"} == {
            k: v for k, v in old.items() if k != "litellm_params"
        }
    if given_orders:
        assert min(given_orders) >= first
    assert all(order < first + len(deployments) for order in given_orders)


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
    away = asked("b").as_log()
    assert away is not None
    assert away["reason"] == "ant was not available; they know best"


def test_a_deployment_that_the_benchmark_does_not_know_has_no_model_header():
    headers = asked("?").as_headers("x-")
    assert "x-model" not in headers
    assert headers["x-reason"] == "ant was not available; they know best"


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
    call = Call("smart", {"smart": decision}, {"1": "ant"}, ["1"])
    for name, value in call.as_headers("x-").items():
        assert name.isascii()
        assert value == value.strip()
        assert len(value) <= 300
        assert all(" " <= character <= "~" for character in value)
