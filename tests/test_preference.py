"""The order of a group's deployments for one attempt, and the order copies that state it."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_benchrouter.proxy.orders import OrderCopies
from litellm_benchrouter.proxy.preference import places_of, ranks_of, without_room
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import ModelNames, id_of

NAMES = ModelNames({}, frozenset({"ant", "bee", "org/cat"}))
DECISION = Decision(ranking=("ant", "bee", "org/cat"), method="s1", reason="they know best")


def deployment(id_: str, model: str = "openai/x", **info: Any) -> dict[str, Any]:
    return {
        "model_name": "smart",
        "litellm_params": {"model": model, "api_key": "sk-1"},
        "model_info": {"id": id_, **info},
    }


def ids_of(deployments: list[Any]) -> list[str]:
    return [str(id_of(deployment)) for deployment in deployments]


def orders(deployments: list[dict[str, Any]], **options: Any) -> dict[str, int]:
    models = [NAMES.of(d) for d in deployments]
    target = options.pop("target", None)
    places = places_of(deployments, ids_of(deployments), models, DECISION, target=target, **options)
    ordered = stated(deployments, ranks_of(places), target)
    return {d["model_info"]["id"]: d["litellm_params"]["order"] for d in ordered}


def stated(deployments: list[Any], ranks: list[int], target: int | None = None) -> list[Any]:
    request = {} if target is None else {"_target_order": target}
    applied = OrderCopies().apply("smart", deployments, ranks, (), request, None)
    return asyncio.run(applied)


def with_orders(**orders_of: int) -> list[dict[str, Any]]:
    """Return the group with the operator's `order` on some of it."""
    return [
        {**d, "litellm_params": {**d["litellm_params"], "order": orders_of[name]}}
        if (name := d["model_info"]["id"]) in orders_of
        else d
        for d in GROUP
    ]


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


def test_the_operators_levels_come_first_and_models_are_ranked_within_them():
    levels = with_orders(c=1, b=2, a1=2)
    assert orders(levels) == {"c": 1, "a1": 2, "b": 3, "a2": 4, "?": 5}
    assert orders(levels, tried=["c"]) == {"a1": 1, "b": 2, "a2": 3, "?": 4, "c": 5}
    # after a level failed LiteLLM asks for another one
    assert orders(levels, target=2) == {"a1": 2, "b": 3, "c": 4, "a2": 5, "?": 6}


def test_what_has_no_room_stands_behind_all_that_was_not_tried():
    ids, models = ids_of(GROUP), [NAMES.of(d) for d in GROUP]
    places = places_of(GROUP, ids, models, DECISION, tried=["b"], pinned="c")
    ranks = ranks_of(without_room(places, ids, {"a1", "a2", "c"}))
    by_id = dict(zip(ids, ranks, strict=True))
    assert by_id == {"c": 1, "?": 2, "a1": 3, "a2": 3, "b": 4}


def test_orders_start_where_litellm_asks_and_leave_no_gap():
    assert orders(GROUP, target=7) == {"a1": 7, "a2": 7, "b": 8, "c": 9, "?": 10}
    assert orders(GROUP[:2]) == {"c": 1, "?": 2}


def test_the_sequence_stays_and_nothing_but_the_order_is_new():
    before = copy.deepcopy(GROUP)
    ordered = stated(GROUP, [3, 4, 1, 2, 1])
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
    st.none() | st.integers(1, 3),
    st.permutations(["ant", "bee", "org/cat"]),
)
def test_every_deployment_comes_back_once_in_its_place_and_none_is_changed(
    deployments, tried, pinned, target, ranking
):
    before = copy.deepcopy(deployments)
    models = [NAMES.of(d) for d in deployments]
    decision = Decision(tuple(ranking[:2]), "s1", "because")
    ids = ids_of(deployments)
    places = places_of(
        deployments, ids, models, decision, tried=tried, pinned=pinned, target=target
    )
    ordered = stated(deployments, ranks_of(places), target)
    assert deployments == before
    assert len(ordered) == len(deployments)
    for old, new in zip(deployments, ordered, strict=True):
        if not isinstance(old, dict):
            assert new is old
            continue
        params, order = old.get("litellm_params"), new["litellm_params"]["order"]
        kept = params if isinstance(params, dict) else {}
        assert new["litellm_params"] == kept | {"order": order}
        assert {k: v for k, v in new.items() if k != "litellm_params"} == {
            k: v for k, v in old.items() if k != "litellm_params"
        }
        assert (target or 1) <= order < (target or 1) + len(deployments)
