"""Settings of the proxy under which the plugin is not asked, or its ranks do not count."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor.callback import callbacks
from litellm_benchrouter.views import Finding, fail, ok, warn

_UNASKED_STRATEGY = "usage-based-routing"
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def check(config: BenchRouterConfig, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    """Check what of the proxy's settings stands in the plugin's way."""
    yield _strategy(proxy)
    yield _retries(proxy)
    yield from _mode(config)
    if "prometheus" in callbacks(proxy):
        yield _multiprocess()


def _part(proxy: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a section of the YAML; empty where it is none."""
    found = proxy.get(key)
    return found if isinstance(found, Mapping) else {}


def _strategy(proxy: Mapping[str, Any]) -> Finding:
    strategy = _part(proxy, "router_settings").get("routing_strategy") or "simple-shuffle"
    if strategy == _UNASKED_STRATEGY:
        return fail(
            "routing_strategy",
            f"LiteLLM asks no plugin with {strategy}",
            f"say router_settings: {{ routing_strategy: {_UNASKED_STRATEGY}-v2 }}, or leave it out",
        )
    return ok("routing_strategy", f"{strategy} asks the plugin")


def _retries(proxy: Mapping[str, Any]) -> Finding:
    key = "router_settings.num_retries"
    retries = _part(proxy, "router_settings").get("num_retries")
    if retries is None:
        key = "litellm_settings.num_retries"
        retries = _part(proxy, "litellm_settings").get("num_retries")
    if retries == 0:
        return warn(
            "retries",
            f"{key} is 0, so a request whose model fails does not go to the next best",
            f"set {key} to 1 or more",
        )
    shown = "LiteLLM's default" if retries is None else retries
    return ok("retries", f"{shown}; each goes to the next best model")


def _mode(config: BenchRouterConfig) -> Iterator[Finding]:
    serving = config.serving
    if serving.mode == "shadow":
        yield warn(
            "mode", "shadow: decisions are counted and change nothing", "say mode: active to route"
        )
    elif serving.mode == "canary":
        percent = serving.canary_percent
        yield warn("mode", f"canary: {percent:g} % are routed", "say mode: active to route all")


def _multiprocess() -> Finding:
    named = os.environ.get(_MULTIPROCESS)
    workers = os.environ.get("NUM_WORKERS", "1")
    if named is None:
        found = f"with several workers their counts meet in a folder; {_MULTIPROCESS} names none"
        if workers.isdecimal() and int(workers) > 1:
            remedy = f"set {_MULTIPROCESS} to an empty folder of this proxy's own"
            return warn("workers", found, remedy)
        return ok("workers", f"{found}, so LiteLLM takes one that all proxies here share")
    folder = Path(named)
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)):
        return fail(
            "workers",
            f"{_MULTIPROCESS} names {folder}, which is no folder that can be written",
            "make it, and give it to the proxy's user",
        )
    return ok("workers", f"counts meet in {folder}")
