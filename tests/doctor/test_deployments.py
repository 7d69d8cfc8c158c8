"""Whether deployments and benchmark models know each other."""

from __future__ import annotations

from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor import Finding, deployments

MODELS = ("ant", "bee", "cat")


def entry(group: str, model: str, *, order: int | None = None, **info: Any) -> dict[str, Any]:
    params = {"model": f"openai/{model}"} | ({} if order is None else {"order": order})
    return {"model_name": group, "litellm_params": params, "model_info": info}


def checked(*entries: Any, **block: Any) -> list[Finding]:
    config = BenchRouterConfig.model_validate(block)
    settings = {"general_settings": {"store_model_in_db": "db" in block.get("models", {})}}
    found = list(deployments.check(config, {"model_list": list(entries), **settings}, MODELS))
    assert all(bool(finding.remedy) is (finding.status != "ok") for finding in found)
    return found


def bad(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in found if finding.status != "ok"]


def test_a_group_whose_models_are_all_known_is_well() -> None:
    found = checked(entry("g", "ant"), entry("g", "x", benchrouter_model="bee"), entry("g", "cat"))
    assert bad(found) == []
    assert [finding.found for finding in found] == [
        "g offers ant, bee, cat",
        "each of the benchmark's 3 models has a deployment",
    ]


def test_a_deployment_that_the_benchmark_does_not_know_is_named_with_the_nearest_model() -> None:
    found = checked(entry("g", "ant"), entry("g", "cat"), entry("g", "bees"))
    assert bad(found) == [("deployments", "warn")]
    assert "openai/bees of group g" in found[0].found
    assert "benchrouter_model: bee " in found[0].remedy
    aliased = checked(
        entry("g", "ant"), entry("g", "bees"), models={"bee": {"aliases": ["openai/bees"]}}
    )
    assert bad(aliased) == []


def test_groups_that_name_no_model_are_left_alone_and_a_wrong_name_is_not() -> None:
    routed = (entry("g", "ant"), entry("g", "bee"))
    quiet = checked(*routed, entry("other", "x"), entry("vectors", "y", mode="embedding"))
    assert bad(quiet) == []
    assert any("other is left alone" in finding.found for finding in quiet)
    assert not any("vectors" in finding.found for finding in quiet)
    loud = checked(*routed, entry("other", "x", benchrouter_model="antt"))
    assert bad(loud) == [("deployments", "warn")]


def test_one_known_model_leaves_nothing_to_choose_but_behind_a_virtual_model() -> None:
    lonely = entry("g", "ant"), entry("g", "ant")
    assert bad(checked(*lonely)) == [("groups", "warn")]
    virtual = {"mode": "groups", "virtual_models": {"v": ["g", "h"]}}
    assert bad(checked(*lonely, entry("h", "bee"), **virtual)) == []
    everything = {"mode": "groups", "virtual_models": {"v": "*"}}
    assert bad(checked(*lonely, entry("h", "bee"), **everything)) == []


def test_nothing_known_at_all_fails_unless_models_are_kept_in_the_database() -> None:
    assert bad(checked(entry("g", "x"))) == [("groups", "fail")]
    assert bad(checked()) == [("groups", "fail")]
    assert bad(checked("nonsense", {"model_name": 3}, models={"db": {}})) == [("groups", "warn")]


def test_benchmark_models_without_a_deployment_are_listed() -> None:
    models = checked(entry("g", "ant"), entry("g", "bee"))[-1]
    assert (models.check, models.status) == ("models", "ok")
    assert models.found == "1 of 3 models of the benchmark have no deployment: cat"


def test_orders_of_the_yaml_come_before_the_ranks_in_routed_groups_alone() -> None:
    routed = entry("g", "ant", order=1), entry("g", "bee", order=2)
    assert bad(checked(*routed)) == [("order", "warn")]
    assert bad(checked(entry("g", "ant"), entry("g", "bee"), entry("h", "x", order=1))) == []


def test_names_of_groups_that_are_not_there() -> None:
    routed = entry("g", "ant"), entry("g", "bee")
    assert bad(checked(*routed, groups={"h": {"policy": "quality"}})) == [("policies", "warn")]
    assert bad(checked(*routed, groups={"g": {"policy": "quality"}})) == []
    virtual = {"mode": "groups", "virtual_models": {"v": ["g", "h"]}}
    assert bad(checked(*routed, **virtual)) == [("virtual_models", "warn")]


def test_more_groups_than_litellm_falls_back_to() -> None:
    names = [f"g{i}" for i in range(7)]
    groups = [entry(name, MODELS[i % 3]) for i, name in enumerate(names)]
    found = checked(*groups, mode="groups", virtual_models={"v": names})
    assert bad(found) == [("virtual_models", "warn")]
    assert "max_fallbacks to 6" in found[-1].remedy
