"""Which group a virtual model stands for."""

from __future__ import annotations

from litellm_benchrouter.proxy.groups import named_fallbacks, rank_groups, rewritten
from litellm_benchrouter.routing.decision import Decision

DECISION = Decision(ranking=("b", "c", "a"), method="s1", reason="because")


def test_a_group_is_worth_its_best_model() -> None:
    groups = {"one": ("a",), "two": ("a", "b"), "three": ("c",)}
    assert rank_groups(groups, DECISION) == ["two", "three", "one"]


def test_groups_that_tie_and_unknown_ones_keep_the_listed_order() -> None:
    groups = {"unknown": (), "second": ("b",), "first": ("b", "c"), "newer": ("z",)}
    assert rank_groups(groups, DECISION) == ["second", "first", "unknown", "newer"]


def test_without_a_decision_the_listed_order_stands() -> None:
    assert rank_groups({"z": ("a",), "a": ("b",), "m": ()}, None) == ["z", "a", "m"]


def test_the_request_names_each_group_once_and_is_a_new_one() -> None:
    data = {"model": "smart", "messages": [], "fallbacks": ["x"], "max_tokens": 5}
    request = rewritten(data, ["b", "a"], ["a", "last"])
    assert request["model"] == "b"
    assert request["fallbacks"] == ["a", "last"]
    assert request["max_tokens"] == 5
    assert data == {"model": "smart", "messages": [], "fallbacks": ["x"], "max_tokens": 5}


def test_a_request_for_a_single_group_takes_no_fallback_of_the_proxy() -> None:
    request = rewritten({"model": "smart"}, ["only"])
    kinds = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
    assert [request[kind] for kind in kinds] == [[], [], []]


def test_of_fallbacks_only_names_count() -> None:
    assert named_fallbacks(["a", {"model": "b", "messages": []}, None, "c"]) == ["a", "c"]
    assert named_fallbacks("a") == named_fallbacks(None) == []
