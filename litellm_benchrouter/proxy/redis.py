"""The Redis that the proxy has: where it stands, and a client of it as LiteLLM makes them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from litellm_benchrouter.proxy import running
from litellm_benchrouter.serving.memory import RedisMemory
from litellm_benchrouter.serving.metrics import Metrics

logger = logging.getLogger("litellm_benchrouter")

_VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES")
# Of `cache_params`: those that say where Redis is and how to get in; others are the cache's own.
_OF_CACHE = frozenset(
    (
        *("url", "host", "port", "username", "password", "db"),
        *("ssl", "ssl_cert_reqs", "ssl_ca_certs", "redis_startup_nodes"),
        *("sentinel_nodes", "service_name", "sentinel_password"),
        *("gcp_service_account", "gcp_ssl_ca_certs", "azure_redis_ad_token", "aws_iam_auth"),
    )
)
_WAIT_SECONDS = 5.0  # a thread's wait for the proxy's loop, which may be busy with its start


def of_proxy() -> tuple[dict[str, Any], str] | None:
    """Return how the running proxy reaches its Redis, and its prefix of keys; None without one."""
    of_router = getattr(getattr(running.router(), "cache", None), "redis_cache", None)
    for cache in (running.attribute("redis_usage_cache"), of_router):
        settings = getattr(cache, "redis_kwargs", None)
        if isinstance(settings, Mapping):
            namespace = getattr(cache, "namespace", None)
            return dict(settings), f"{namespace}:" if namespace else ""
    return _of_environment()


def of_yaml(proxy: Mapping[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return the same by the proxy's YAML, for a proxy that does not run here."""
    general, litellm, router = (
        section if isinstance(section := proxy.get(f"{name}_settings"), Mapping) else {}
        for name in ("general", "litellm", "router")
    )
    coordination, cache = general.get("coordination_redis"), litellm.get("cache_params")
    if isinstance(coordination, Mapping):
        return dict(coordination), ""
    if litellm.get("cache") is True and isinstance(cache, Mapping):
        settings = {key: cache[key] for key in _OF_CACHE & cache.keys()}
        if cache.get("type", "redis") == "redis" and settings:
            if "redis_startup_nodes" in settings:
                settings["startup_nodes"] = settings.pop("redis_startup_nodes")
            namespace = cache.get("namespace")
            return settings, f"{namespace}:" if namespace else ""
    names = ("url", "host", "port", "password", "db")
    settings = {key: router[f"redis_{key}"] for key in names if f"redis_{key}" in router}
    return (settings, "") if settings.keys() & {"url", "host"} else _of_environment()


def _of_environment() -> tuple[dict[str, Any], str] | None:
    return ({}, "") if any(map(os.environ.get, _VARIABLES)) else None


def client(settings: Mapping[str, Any]) -> Any:
    """Return a new client of `redis.asyncio`, by the settings and LiteLLM's variables."""
    from litellm._redis import get_redis_async_client

    return get_redis_async_client(**settings)


def open_memory(loop: asyncio.AbstractEventLoop | None, metrics: Metrics) -> RedisMemory | None:
    """Return a memory in the proxy's Redis, connected where that was possible; None without one.

    It is for a thread beside the proxy's loop; where the loop is not known, the first request
    connects it.
    """
    try:
        place = of_proxy()
        if place is None:
            return None
        memory = RedisMemory(partial(client, place[0]), place[1], metrics)
        if loop is not None:
            opening = asyncio.run_coroutine_threadsafe(memory.open(), loop)
            with suppress(TimeoutError):
                opening.result(_WAIT_SECONDS)
        return memory
    except Exception as error:  # its message may hold a password
        kind = type(error).__name__
        logger.warning("benchrouter: Redis cannot be used (%s); each worker remembers alone", kind)
        return None


def trouble_with(settings: Mapping[str, Any]) -> str:
    """Return the kind of error with which a Redis fails to answer in time; "" where it answers."""

    async def trial() -> str:
        memory = RedisMemory(partial(client, settings))
        answers = await memory.open()
        await memory.close()
        return "" if answers else memory.trouble

    return asyncio.run(trial())


def state_of(memory: RedisMemory | None) -> str:
    """Say where conversations are remembered."""
    if memory is None:
        return "worker"
    return "redis" if memory.answers else "worker, as Redis does not answer"
