"""Secrets of a store: named by variables in the options, and masked in what is said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from litellm_benchrouter.errors import ConfigError

_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_SECRET_KEYS = re.compile(r"key|secret|token|pass|credential|connection", re.IGNORECASE)
_SHORTEST_SECRET = 4
_LONGEST_REASON = 300


def resolved(value: Any, secrets: set[str], key: str = "") -> Any:
    """Return options with the values of the variables that they name; collect all secrets."""
    if isinstance(value, Mapping):
        return {name: resolved(each, secrets, f"{key}.{name}") for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, secrets, key) for each in value]
    if not isinstance(value, str):
        return value
    name = value.removeprefix(_ENVIRONMENT)
    if name != value and name not in os.environ:
        raise ConfigError(f"benchrouter.storage_options names {value}, which is not set.")
    given = os.environ[name] if name != value else value
    if len(given) >= _SHORTEST_SECRET and (name != value or _SECRET_KEYS.search(key)):
        secrets.add(given)
    return given


def redacted(error: BaseException, secrets: Iterable[str]) -> str:
    """Return what an error says, without secrets."""
    text = " ".join(str(error).split())
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"\?\S+", "?...", re.sub(r"//[^/@\s]+@", "//***@", text))
    return f"{type(error).__name__}: {text[:_LONGEST_REASON]}"


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"(//[^/:@]*):[^@]*@", r"\1:***@", url)
