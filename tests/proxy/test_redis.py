"""Where the proxy's Redis stands, by the running proxy and by its YAML, and what doctor says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis_server import redis_server

from litellm_benchrouter.config import load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.doctor.proxy import check_settings
from litellm_benchrouter.proxy import redis, running
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.views import Finding, Status

HOST = {"host": "redis.internal", "port": 6380, "password": "made-up"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in redis._VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({}, None),
        ({"litellm_settings": None, "router_settings": ["x"]}, None),
        (
            {"litellm_settings": {"cache": True, "cache_params": {"type": "redis", **HOST}}},
            (HOST, ""),
        ),
        (
            {"litellm_settings": {"cache": True, "cache_params": {"namespace": "ns", **HOST}}},
            (HOST, "ns:"),
        ),
        (
            {"litellm_settings": {"cache": True, "cache_params": {"ttl": 60, "url": "redis://r"}}},
            ({"url": "redis://r"}, ""),
        ),
        ({"litellm_settings": {"cache": False, "cache_params": HOST}}, None),
        ({"litellm_settings": {"cache": True, "cache_params": {"type": "s3", **HOST}}}, None),
        (
            {"router_settings": {f"redis_{key}": value for key, value in HOST.items()}},
            (HOST, ""),
        ),
        ({"router_settings": {"redis_url": "redis://r"}}, ({"url": "redis://r"}, "")),
        ({"general_settings": {"coordination_redis": HOST}}, (HOST, "")),
    ],
)
def test_the_yaml_says_where_redis_is(settings: dict[str, Any], place: object) -> None:
    assert redis.of_yaml(settings) == place


@pytest.mark.parametrize("variable", redis._VARIABLES)
def test_variables_count_where_settings_say_nothing(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redis.of_proxy() is None
    monkeypatch.setenv(variable, "value")
    assert redis.of_proxy() == redis.of_yaml({}) == ({}, "")


def test_the_redis_of_the_running_proxy_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    of_router = SimpleNamespace(redis_kwargs={"host": "router"}, namespace=None)
    router = SimpleNamespace(cache=SimpleNamespace(redis_cache=of_router))
    monkeypatch.setattr(running, "router", lambda: router)
    assert redis.of_proxy() == ({"host": "router"}, "")
    of_proxy = SimpleNamespace(redis_kwargs={"host": "proxy"}, namespace="ns")
    monkeypatch.setattr(running, "attribute", lambda name: of_proxy)
    assert redis.of_proxy() == ({"host": "proxy"}, "ns:")


async def test_a_memory_is_opened_from_a_thread_in_the_proxys_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(redis.open_memory, loop, Metrics()) is None
    assert redis.state_of(None) == "worker"
    with redis_server() as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        memory = await asyncio.to_thread(redis.open_memory, loop, Metrics())
        assert memory is not None
        async with asyncio.timeout(20):
            while redis.state_of(memory) != "redis":
                await asyncio.sleep(0.01)
        await memory.close()
    assert redis.state_of(memory) == "worker, as Redis does not answer"


def memory_finding(folder: Path, serving: str, more: str = "") -> list[Finding]:
    path = folder / "config.yaml"
    path.write_text(f"benchrouter:\n  sources: []\n  serving: {{{serving}}}\n{more}")
    found = check_settings(load_config(path), read_proxy_yaml(path))
    return [finding for finding in found if finding.check == "memory"]


def test_doctor_says_where_conversations_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert memory_finding(tmp_path, "") == []
    (alone,) = memory_finding(tmp_path, "stickiness: session")
    assert (alone.status, alone.found) == (
        Status.OK,
        "each worker remembers its own conversations: the proxy has no Redis",
    )
    with redis_server() as server:
        router = f"router_settings: {{redis_host: 127.0.0.1, redis_port: {server.port}}}\n"
        (shared,) = memory_finding(tmp_path, "stickiness: session", router)
        assert shared.status is Status.OK
        assert "share their conversations in Redis" in shared.found
        (own,) = memory_finding(tmp_path, "stickiness: session, memory: worker", router)
        assert "by serving.memory" in own.found
    (gone,) = memory_finding(tmp_path, "stickiness: session", router)
    assert gone.status is Status.WARN
    assert "does not answer" in gone.found
