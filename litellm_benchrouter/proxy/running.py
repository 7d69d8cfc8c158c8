"""The LiteLLM proxy that runs in this process, if one does. It imports nothing of LiteLLM."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import BenchRouterError

MAX_FALLBACKS = 5
"""LiteLLM's own limit of fallbacks for a request (`ROUTER_MAX_FALLBACKS`)."""

ROUTER_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_MODULE = "litellm.proxy.proxy_server"


def attribute(name: str) -> Any:
    """Return one of the proxy's globals; None outside of a proxy."""
    return getattr(sys.modules.get(_MODULE), name, None)


def router() -> Any:
    """Return the proxy's `litellm.Router`; None where there is none yet."""
    return attribute("llm_router")


def config_path() -> Path:
    """Return the running proxy's configuration, as the proxy or the environment names it."""
    named = attribute("user_config_file_path")
    for path in (os.environ.get("BENCHROUTER_CONFIG"), named, os.environ.get("CONFIG_FILE_PATH")):
        if path:
            return Path(str(path))
    raise BenchRouterError(
        "the proxy names no configuration file; set BENCHROUTER_CONFIG to the YAML with the "
        "`benchrouter:` block."
    )


def is_here() -> bool:
    """Say whether a proxy runs in this process."""
    return _MODULE in sys.modules


def wait_for_router() -> None:
    """Wait a while for the proxy's router, which it makes only after it has imported us."""
    deadline = time.monotonic() + ROUTER_WAIT_SECONDS
    while is_here() and attribute("llm_router") is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
