"""What fsspec's file systems are opened with, and what of it no message may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from litellm_benchrouter.errors import ConfigError

_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_SECRET_KEYS = re.compile(r"key|secret|token|pass|credential|connection", re.IGNORECASE)
_SHORTEST_SECRET = 4
_LONGEST_REASON = 300


def resolved(value: Any) -> Any:
    """Return options with the values of the environment variables that they name.

    Raises
    ------
    ConfigError
        If one is not set.
    """
    if isinstance(value, Mapping):
        return {key: resolved(each) for key, each in value.items()}
    if isinstance(value, list):
        return [resolved(each) for each in value]
    if isinstance(value, str) and value.startswith(_ENVIRONMENT):
        name = value.removeprefix(_ENVIRONMENT)
        if name not in os.environ:
            raise ConfigError(f"benchrouter.storage_options names {value}, which is not set.")
        return os.environ[name]
    return value


def secrets_of(url: str, options: Any) -> set[str]:
    """Return all that no message may hold: keys, passwords, values of environment variables."""
    password = urlsplit(url).password
    of_url = {password, unquote(password)} if password else set()
    return of_url | set(_secrets(options, resolved(options)))


def redacted(error: BaseException, secrets: Iterable[str]) -> str:
    """Return what an error says, without secrets."""
    text = " ".join(str(error).split())
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    # What signs a URL stands in its query, and a password before its host.
    text = re.sub(r"\?\S+", "?...", re.sub(r"//[^/@\s]+@", "//***@", text))
    return f"{type(error).__name__}: {text[:_LONGEST_REASON]}"


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"(//[^/:@]*):[^@]*@", r"\1:***@", url)


def _secrets(given: Any, value: Any, key: str = "") -> Iterator[str]:
    if isinstance(given, Mapping):
        for name in given:
            yield from _secrets(given[name], value[name], f"{key}.{name}")
    elif isinstance(given, list):
        for one, other in zip(given, value, strict=True):
            yield from _secrets(one, other, key)
    elif isinstance(given, str) and len(value) >= _SHORTEST_SECRET:
        named = given.startswith(_ENVIRONMENT)
        if named or _SECRET_KEYS.search(key):
            yield value
