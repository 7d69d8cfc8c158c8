"""The callback and the proxy's settings: well, and each way to get them wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor import callback, proxy_settings
from litellm_benchrouter.doctor.callback import HANDLER
from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy import canary


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
    registered, *others = callback.check(tmp_path / "c.yaml", {"litellm_settings": settings})
    assert registered.status == status
    assert [(f.check, f.status) for f in others] == [("hooks", "ok"), ("preferences", "ok")]
    assert words in registered.found
    assert (HANDLER in registered.remedy) is (status != "ok" and words != "twice")


def test_a_file_that_litellm_would_take_for_the_package_is_found(tmp_path: Path) -> None:
    (tmp_path / "litellm_benchrouter").mkdir()
    (tmp_path / "litellm_benchrouter" / "hook.py").write_text("handler = None\n")
    found = list(callback.check(tmp_path / "config.yaml", {}))
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
    hooks = list(callback.check(tmp_path / "config.yaml", {}))[-1]
    assert hooks.status == "fail"
    assert "async_filter_deployments" in hooks.found


def settings_of(proxy: dict[str, Any], **block: Any) -> dict[str, Any]:
    config = BenchRouterConfig.model_validate(block)
    return {finding.check: finding for finding in proxy_settings.check(config, proxy)}


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


def test_a_litellm_that_follows_no_preference_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "MAKERS", ())
    found = list(callback.check(tmp_path / "config.yaml", {}))[-1]
    assert (found.check, found.status) == ("preferences", "fail")
    assert "requests pass through" in found.found
