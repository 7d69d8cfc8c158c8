"""Which way of stating preferences is chosen, on the LiteLLM that is installed."""

from __future__ import annotations

import logging
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy import canary
from litellm_benchrouter.proxy.orders import OrderCopies

# LiteLLM may warn of itself; what it does is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

LISTS = ("callbacks", "success_callback", "failure_callback", "_async_success_callback")


class Nothing(OrderCopies):
    """States no preference at all."""

    name = "nothing"

    async def apply(self, group: str, offered: list[Any], *rest: Any) -> list[Any]:
        return offered


class Lost(Nothing):
    """Fails."""

    async def apply(self, group: str, offered: list[Any], *rest: Any) -> list[Any]:
        raise RuntimeError("lost")


@pytest.fixture
def hook() -> BenchRouterHook:
    hook = BenchRouterHook()
    hook._started = True  # it would look for a proxy's configuration
    return hook


def adapters(hook: CustomLogger, **options: Any) -> tuple[canary.Adapters, list[str]]:
    changes: list[str] = []
    return canary.Adapters(hook, lambda: None, changes.append, **options), changes


def test_one_way_works_and_the_trial_leaves_nothing_behind(hook: BenchRouterHook) -> None:
    before = {name: list(getattr(litellm, name)) for name in LISTS}
    chosen, changes = adapters(hook)
    chosen.choose()
    assert chosen.current is not None
    assert changes == [chosen.current.name]
    assert {name: list(getattr(litellm, name)) for name in LISTS} == before


@pytest.mark.parametrize("maker", [Nothing, Lost])
def test_a_way_that_is_not_followed_or_fails_does_not_work(
    hook: BenchRouterHook, maker: canary.Maker
) -> None:
    assert not canary.works(maker, hook)


def test_where_no_way_works_one_error_says_so(
    hook: BenchRouterHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(canary, "MAKERS", (Nothing,))
    chosen, changes = adapters(hook)
    with caplog.at_level(logging.ERROR, "litellm_benchrouter"):
        chosen.choose()
        chosen.choose()
    assert chosen.current is None
    assert changes == [""]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "requests pass through" in caplog.text


def test_on_a_breach_the_other_way_is_taken_and_at_most_once_a_minute_it_is_tried(
    hook: BenchRouterHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    tried: list[str] = []
    working = {"orders"}

    def works(maker: canary.Maker, _: object) -> bool:
        tried.append(maker.name)
        return maker.name in working

    class AtOnce:
        def __init__(self, target: Any, **_: Any) -> None:
            self.start = target

    monkeypatch.setattr(canary, "works", works)
    monkeypatch.setattr(canary.threading, "Thread", AtOnce)
    chosen, changes = adapters(hook, clock=lambda: now[0])
    chosen.suspect()  # nothing was chosen yet
    assert tried == []
    chosen.choose()
    now[0] = 59.0
    chosen.suspect()
    assert tried == ["orders"]
    now[0] = 61.0
    chosen.suspect()  # a later filter explained it
    assert tried == ["orders", "orders"]
    assert caplog.records == []
    working.clear()
    working.add("narrowing")
    now[0] = 122.0
    chosen.suspect()
    assert changes == ["orders", "narrowing"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "by orders; they are stated by narrowing from now on" in caplog.text
