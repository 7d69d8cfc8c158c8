"""Which group a virtual model stands for, and who may use it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from litellm.exceptions import BudgetExceededError
from litellm.proxy._types import UserAPIKeyAuth

from litellm_benchrouter.config import VirtualModel
from litellm_benchrouter.proxy import access, running
from litellm_benchrouter.proxy.groups import (
    ModelIndex,
    VirtualModels,
    named_fallbacks,
    rank_groups,
    rewritten,
)
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import ModelNames

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


# Following the proxy's list


class Router:
    """What of LiteLLM's router is looked at."""

    def __init__(self, *groups: str) -> None:
        self.model_list = [deployment(group) for group in groups]
        self.fallbacks: list[Any] = []
        self.max_fallbacks = 2

    def get_model_list(self, model_name: str, team_id: str | None) -> list[Any]:
        return [d for d in self.model_list if d["model_name"] == model_name]

    def registry(self) -> SimpleNamespace:
        """Where LiteLLM looks from 1.109 on."""
        return SimpleNamespace(all=lambda: self.model_list, deployments=self.get_model_list)


def deployment(group: str, **info: Any) -> dict[str, Any]:
    params = {"model": f"openai/{group}"}
    return {"model_name": group, "litellm_params": params, "model_info": {"id": group, **info}}


NAMES = ModelNames({}, frozenset("abc"))


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    router = Router("a", "b", "unknown")
    attributes = {"llm_router": router}
    monkeypatch.setattr(running, "attribute", attributes.get)
    return router


def virtual_of(**groups: Any) -> VirtualModels:
    models = {name: VirtualModel.model_validate(each) for name, each in groups.items()}
    return VirtualModels(models)


def index_of(virtual: VirtualModels, names: ModelNames = NAMES) -> ModelIndex:
    index = virtual.index(names)
    assert index is not None
    return index


def test_the_list_is_looked_through_once_for_each_change(router: Router) -> None:
    virtual = virtual_of(any="*")
    first = index_of(virtual)
    assert index_of(virtual) is first
    assert {g: set(models) for g, models in first.groups.models_of.items()} == {
        "a": {"a"}, "b": {"b"}, "unknown": set(),
    }  # fmt: skip
    router.model_list.append(deployment("c"))
    assert "c" in index_of(virtual).groups
    index = index_of(virtual)
    router.model_list[-1] = deployment("d")  # as many as before: seen when they are compared
    assert index_of(virtual) is index
    index._compare_at = 0.0
    assert "d" in index_of(virtual).groups
    assert index_of(virtual, ModelNames({}, frozenset("d"))).groups.models_of["d"] == {"d"}


def test_a_router_that_appears_late_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    virtual, attributes = virtual_of(any="*"), dict[str, Any]()
    monkeypatch.setattr(running, "attribute", attributes.get)
    assert virtual.index(NAMES) is None
    attributes["llm_router"] = Router("a")
    assert list(index_of(virtual).groups) == ["a"]


def test_a_star_is_what_the_benchmark_knows_else_what_answers_text(router: Router) -> None:
    router.model_list.append(deployment("vectors", mode="embedding"))
    router.model_list.append(deployment("of-a-team", team_id="t"))
    star, granted = VirtualModel(groups="*"), VirtualModel(groups="*", grants_access=True)
    known = index_of(virtual_of(any="*")).stands_for("any", granted, None)
    assert (list(known[0]), known[1]) == (["a", "b"], True)
    unloaded = index_of(virtual_of(any="*"), ModelNames({}, frozenset()))
    for name, virtual in (("any", star), ("all", granted)):
        groups, is_granted = unloaded.stands_for(name, virtual, None)
        assert (list(groups), is_granted) == (["a", "b", "unknown"], False)
    groups, _ = unloaded.stands_for("a", star, None)
    assert "a" not in groups, "it does not stand for itself"


# Who may use what is asked once


class Asked:
    """LiteLLM's checks: who was asked about, and what they say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self.allowed, self.spent = 0, {"a", "b"}, dict[str, Exception]()
        monkeypatch.setattr(access, "allowed_groups", self._allowed_groups)
        monkeypatch.setattr(access, "over_budget", self._over_budget)

    async def _allowed_groups(self, asked: str, groups: Any, caller: Any) -> set[str]:
        self.times += 1
        await asyncio.sleep(0)
        if "error" in self.allowed:
            raise RuntimeError("no database")
        return self.allowed & set(groups)

    async def _over_budget(self, groups: Any, caller: Any) -> dict[str, Exception]:
        return {group: self.spent[group] for group in groups if group in self.spent}


def caller(token: str = "k", **rights: Any) -> Any:
    return UserAPIKeyAuth(token=token, **rights)


def test_litellm_is_asked_once_for_a_caller_and_again_when_its_key_or_the_list_changes(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, virtual = Asked(monkeypatch), virtual_of(any="*", other=["b", "a"])

    async def opened(name: str = "any", **rights: Any) -> list[str]:
        groups, _ = await virtual.open(name, caller(**rights), index_of(virtual))
        return list(groups)

    async def ask() -> None:
        both = await asyncio.gather(*(opened() for _ in range(8)))
        assert (both, asked.times) == ([["a", "b"]] * 8, 1)
        asked.allowed = {"b"}
        assert await opened(models=["b"]) == ["b"], "the key says something else"
        assert await opened(token="another") == ["b"]
        assert await opened("other") == ["b"]
        assert await opened() == ["a", "b"], "for a while"
        asked.spent = {"b": BudgetExceededError(1.0, 0.5)}
        assert await opened() == ["a"], "budgets are asked for each request"
        asked.spent = {}
        router.model_list.append(deployment("c"))
        assert await opened() == ["b"]
        assert asked.times == 5

    asyncio.run(ask())


def test_what_cannot_be_found_out_is_a_refusal_and_is_asked_again(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, virtual = Asked(monkeypatch), virtual_of(any="*", none=["gone"])

    async def opened(name: str) -> list[str]:
        return list((await virtual.open(name, caller(), index_of(virtual)))[0])

    asked.allowed = {"error"}
    assert asyncio.run(opened("any")) == []
    asked.allowed = {"a"}
    assert asyncio.run(opened("any")) == ["a"]
    assert asyncio.run(opened("none")) == []


def test_a_request_names_as_many_groups_as_litellm_tries(router: Router) -> None:
    request = rewritten({"model": "any"}, list("abcdefg"))
    assert (request["model"], request["fallbacks"]) == ("a", ["b", "c"])
