"""The callback, the proxy's settings and its deployments: well, and each way to get them wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor import HANDLER, check_callback
from litellm_benchrouter.doctor import proxy as checks
from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy import canary
from litellm_benchrouter.views import Finding


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"callbacks": ["prometheus", HANDLER]}, "ok", "is registered"),
        ({"callbacks": HANDLER}, "warn", "bare name"),
        ({"callbacks": [HANDLER, HANDLER]}, "warn", "twice"),
        ({"callbacks": ["litellm_benchrouter.handler"]}, "fail", "'litellm_benchrouter.handler'"),
        ({"callbacks": ["prometheus"]}, "fail", "is not registered"),
        ({"success_callback": [HANDLER]}, "fail", "success_callback"),
        ({"callbacks": None}, "fail", "is not registered"),
        ("nonsense", "fail", "is not registered"),
    ],
)
def test_the_callback_is_registered_exactly(
    tmp_path: Path, settings: Any, status: str, words: str
) -> None:
    registered, *others = check_callback(tmp_path / "c.yaml", {"litellm_settings": settings})
    assert registered.status == status
    assert [(f.check, f.status) for f in others] == [("hooks", "ok"), ("preferences", "ok")]
    assert words in registered.found
    assert (HANDLER in registered.remedy) is (status != "ok" and words != "twice")


def test_a_file_that_litellm_would_take_for_the_package_is_found(tmp_path: Path) -> None:
    (tmp_path / "litellm_benchrouter").mkdir()
    (tmp_path / "litellm_benchrouter" / "hook.py").write_text("handler = None\n")
    found = list(check_callback(tmp_path / "config.yaml", {}))
    assert [(f.check, f.status) for f in found] == [
        ("callback", "fail"),
        ("callback", "fail"),
        ("hooks", "ok"),
        ("preferences", "ok"),
    ]
    assert "in place of the installed package" in found[1].found


def test_a_hook_that_litellm_calls_in_another_way_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def async_filter_deployments(self: Any, model: str, deployments: list[Any]) -> list[Any]:
        return deployments

    monkeypatch.setattr(BenchRouterHook, "async_filter_deployments", async_filter_deployments)
    hooks = list(check_callback(tmp_path / "config.yaml", {}))[-1]
    assert hooks.status == "fail"
    assert "async_filter_deployments" in hooks.found


def settings_of(proxy: dict[str, Any], **block: Any) -> dict[str, Any]:
    config = BenchRouterConfig.model_validate(block)
    return {finding.check: finding for finding in checks.check_settings(config, proxy)}


@pytest.mark.parametrize(
    ("strategy", "status"),
    [
        (None, "ok"),
        ("simple-shuffle", "ok"),
        ("usage-based-routing-v2", "ok"),
        ("usage-based-routing", "fail"),
    ],
)
def test_a_strategy_that_asks_no_plugin_fails(strategy: str | None, status: str) -> None:
    found = settings_of({"router_settings": {"routing_strategy": strategy}})["routing_strategy"]
    assert found.status == status


@pytest.mark.parametrize(
    ("proxy", "status", "key"),
    [
        ({}, "ok", ""),
        ({"litellm_settings": {"num_retries": 2}}, "ok", ""),
        ({"litellm_settings": {"num_retries": 0}}, "warn", "litellm_settings.num_retries"),
        ({"router_settings": {"num_retries": 0}}, "warn", "router_settings.num_retries"),
        (
            {"router_settings": {"num_retries": 1}, "litellm_settings": {"num_retries": 0}},
            "ok",
            "",
        ),
    ],
)
def test_without_retries_a_failed_pick_does_not_move_on(
    proxy: dict[str, Any], status: str, key: str
) -> None:
    found = settings_of(proxy)["retries"]
    assert found.status == status
    assert key in found.remedy


def test_a_mode_that_changes_nothing_is_said() -> None:
    assert "mode" not in settings_of({})
    assert "shadow" in settings_of({}, serving={"mode": "shadow"})["mode"].found
    canary = settings_of({}, serving={"mode": "canary", "canary_percent": 5})["mode"]
    assert (canary.status, "5 %" in canary.found) == ("warn", True)


def test_the_folder_where_workers_counts_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = {"litellm_settings": {"callbacks": ["prometheus"]}}
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.delenv("NUM_WORKERS", raising=False)
    assert "workers" not in settings_of({})
    assert settings_of(counting)["workers"].status == "ok"
    monkeypatch.setenv("NUM_WORKERS", "4")
    assert settings_of(counting)["workers"].status == "warn"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert settings_of(counting)["workers"].status == "ok"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    assert settings_of(counting)["workers"].status == "fail"


def test_a_key_that_is_kept_with_its_first_pick_is_said() -> None:
    pinned = {"router_settings": {"optional_pre_call_checks": ["deployment_affinity"]}}
    assert settings_of(pinned)["affinity"].status == "warn"
    assert "stickiness" in settings_of(pinned)["affinity"].remedy
    other = {"router_settings": {"optional_pre_call_checks": ["prompt_caching"]}}
    assert "affinity" not in settings_of(other)


def test_tasks_named_by_tag_and_tag_filtering_do_not_go_together() -> None:
    filtered = {"router_settings": {"enable_tag_filtering": True}}
    tasks = {"tasks": {"contracts": {"inputs": "contracts.txt"}}}
    assert settings_of(filtered, **tasks)["tags"].status == "warn"
    assert "tags" not in settings_of(filtered)
    assert "tags" not in settings_of({}, **tasks)


# Deployments

MODELS = ("ant", "bee", "cat")


def entry(group: str, model: str, *, order: int | None = None, **info: Any) -> dict[str, Any]:
    params = {"model": f"openai/{model}"} | ({} if order is None else {"order": order})
    return {"model_name": group, "litellm_params": params, "model_info": info}


def checked(*entries: Any, **block: Any) -> list[Finding]:
    config = BenchRouterConfig.model_validate(block)
    settings = {"general_settings": {"store_model_in_db": "db" in block.get("models", {})}}
    found = list(
        checks.check_deployments(config, {"model_list": list(entries), **settings}, MODELS)
    )
    assert all(bool(finding.remedy) is (finding.status != "ok") for finding in found)
    return found


def bad(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in found if finding.status != "ok"]


def test_a_group_whose_models_are_all_known_is_well() -> None:
    found = checked(entry("g", "ant"), entry("g", "x", benchrouter_model="bee"), entry("g", "cat"))
    assert bad(found) == []
    assert [finding.found for finding in found] == [
        "g offers ant, bee and cat",
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


def test_several_efforts_of_one_model_need_names_of_their_own() -> None:
    low, high, plain = entry("g", "ant"), entry("g", "ant"), entry("g", "ant")
    low["litellm_params"]["reasoning_effort"] = "low"
    high["litellm_params"]["reasoning_effort"] = {"effort": "high", "summary": "auto"}
    other = entry("g", "bee")
    assert bad(checked(low, low, other)) == []
    for pair, named in (((low, high), "high and low"), ((low, plain), "low and none named")):
        found = checked(*pair, other)
        assert bad(found) == [("efforts", "warn")]
        assert f"several efforts ({named})" in next(f for f in found if f.check == "efforts").found
    high["model_info"]["benchrouter_model"] = "cat"
    assert bad(checked(low, high, other)) == []


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


def test_a_wildcard_is_routed_where_the_benchmark_knows_the_model() -> None:
    found = checked(entry("openai/*", "*"))
    assert bad(found) == []
    assert found[0].found.startswith("openai/*, a wildcard, is routed where")


def test_a_virtual_model_that_is_a_group_as_well_is_said() -> None:
    groups = entry("g", "ant"), entry("h", "bee"), entry("v", "cat")
    found = checked(*groups, mode="groups", virtual_models={"v": ["g", "h"]})
    assert bad(found) == [("groups", "warn"), ("virtual_models", "warn")]
    assert found[-2].found.startswith("v is a model group as well")


def test_a_litellm_that_follows_no_preference_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "MAKERS", ())
    preferences = list(check_callback(tmp_path / "config.yaml", {}))[-1]
    assert (preferences.check, preferences.status) == ("preferences", "fail")
    assert "requests pass through" in preferences.found


def test_what_litellm_warns_of_its_own_libraries_is_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "working", lambda handler: warnings.warn("theirs", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(check_callback(tmp_path / "proxy.yaml", {}))
    assert (found[-1].check, found[-1].status) == ("preferences", "fail")
