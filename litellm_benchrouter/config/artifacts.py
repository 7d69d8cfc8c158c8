"""Where artifacts are kept: in a directory, or behind a URL with a local folder for copies."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from litellm_benchrouter.errors import ConfigError

DIRECTORY = "router_artifacts"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s][^\s?#]*")
_PATH = re.compile(r"(file|local)://(?=/)")
_LONGEST_SLUG = 40


def is_url(value: object) -> bool:
    """Say whether artifacts are behind a URL."""
    return isinstance(value, str) and _URL.match(value) is not None


def checked(url: str) -> str:
    """Return a URL that names a place.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if _PLACE.fullmatch(url) is None and _PATH.match(url) is None:
        shown = re.sub(r"//.*@", "//***@", url)
        raise ConfigError(
            f"benchrouter.artifacts: {shown!r} names no place; s3://bucket/prefix does."
        )
    return url.rstrip("/")


def mirror_folder(url: str, cache: Path | None) -> Path:
    """Return the local folder for copies of what is behind a URL.

    Parameters
    ----------
    url : str
    cache : Path, optional
        Default: `litellm-benchrouter` in the user's cache directory.

    Raises
    ------
    ConfigError
        If the user has none.
    """
    place = re.sub(r"(//[^/:@]*):[^@]*@", r"\1@", url)  # a new password is the same place
    slug = re.sub(r"[^A-Za-z0-9]+", "-", place.partition("://")[2]).strip("-")[:_LONGEST_SLUG]
    name = f"{slug}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    return (cache or _users_cache()) / name


def _users_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    if given and Path(given).is_absolute():
        return Path(given) / "litellm-benchrouter"
    try:
        return Path.home() / ".cache" / "litellm-benchrouter"
    except RuntimeError as error:
        raise ConfigError(
            "artifacts behind a URL are copied to the user's cache directory, and this user has "
            "none; name a folder in benchrouter.artifacts_cache."
        ) from error
