"""Numbers, times and names as the page writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

NONE = "–"
"""What is not known."""

_PUNCTUATION = re.compile(r"(?<=[_/-])")
_AGES = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def number(value: object, digits: int = 3) -> str:
    """Format a number; a dash for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    return f"{value + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def points(value: object) -> str:
    """Format a gain in accuracy as points with a sign."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    return f"{100 * value + 0.0:+.1f}".replace("-0.0", "+0.0").replace("-", "\N{MINUS SIGN}")


def count(n: int, one: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{n:,} {one}{'' if n == 1 else 's'}"


def moment(value: object) -> str:
    """Write a time in UTC, for a table; as it stands if it is no ISO time."""
    at = _time(value)
    return str(value) if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def moment_and_age(value: object) -> str:
    """Write a time in UTC with how long ago it was; as it stands if it is no ISO time."""
    at = _time(value)
    if at is None:
        return str(value)
    seconds = (datetime.now(UTC) - at).total_seconds()
    written = f"{at.day} {at:%B %Y at %H:%M} UTC"
    for unit, length in _AGES:
        if seconds >= length:
            return f"{written}, {count(int(seconds // length), unit)} ago"
    return f"{written}, just now" if seconds > -60 else written


def breakable(name: str) -> Markup:
    """Let a long name break after its punctuation."""
    return Markup("<wbr>").join(_PUNCTUATION.split(name))


def part(found: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """Return a part of a document that may be absent, null, or of another kind."""
    inner = (found or {}).get(key)
    return inner if isinstance(inner, Mapping) else {}


def _time(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
