"""Plain values for people to read: the terminal, the page and the report only render them.

Here are the words and numbers that all views share. Views take manifests, explanations and the JSON
of protocols; they may import routing and what lies below it, but no evaluation, labelling or proxy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from markupsafe import Markup

UNKNOWN = "–"
"""A value that is not known."""

GAIN, UNCLEAR, LEVEL, LOSS = "gain", "unclear", "level", "loss"
SIGNS = {GAIN: "✓", UNCLEAR: "≈", LEVEL: "=", LOSS: "✕"}
"""Signs of the four tones, so that colour alone tells nothing."""

_PUNCTUATION = re.compile(r"(?<=[_/-])")
_AGES = (("day", 86_400), ("hour", 3_600), ("minute", 60))


@dataclass(frozen=True)
class Table:
    """Text in rows and columns: `n_text` of words, then of numbers; a row may be `marked`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text: int = 1
    marked: int | None = None


class Status(StrEnum):
    """Severity of a finding, from good to bad."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    check: str  # its subject; programs may rely on the name
    status: Status
    found: str  # the result, for people
    remedy: str = ""  # what to do; empty where all is well


def ok(check: str, found: str) -> Finding:
    """Report that all is well."""
    return Finding(check, Status.OK, found)


def warn(check: str, found: str, remedy: str) -> Finding:
    """Report that it works, but not as its operator may think."""
    return Finding(check, Status.WARN, found, remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    """Report that requests are not routed, or soon will not be."""
    return Finding(check, Status.FAIL, found, remedy)


@dataclass(frozen=True)
class Unit:
    """The way in which the values of a metric are written."""

    scale: float
    suffix: str  # follows a value
    gain: str  # follows a difference of values
    digits: int

    def value(self, value: object, digits: int | None = None) -> str:
        """Write a value with its unit."""
        text = self.bare(value, digits)
        return text if text == UNKNOWN else text + self.suffix

    def bare(self, value: Any, digits: int | None = None) -> str:
        """Write a value for a column that names the unit."""
        scaled = value * self.scale if is_number(value) else None
        return number(scaled, self.digits if digits is None else digits)

    def difference(self, value: object, digits: int | None = None) -> str:
        """Write a difference with its sign, zero without, and no unit."""
        text = self.bare(value, digits)
        positive = "−" not in text and any(digit in text for digit in "123456789")
        return f"+{text}" if positive else text

    def change(self, value: object) -> str:
        """Write a difference with its sign and its unit."""
        return f"{self.difference(value)} {self.gain}".rstrip()

    def interval(self, bounds: Iterable[object] | None, digits: int | None = None) -> str:
        """Write a 95 % interval of a difference for a column."""
        low, high = bounds or (None, None)
        if low is None or high is None:
            return UNKNOWN
        return f"[{self.difference(low, digits)}, {self.difference(high, digits)}]"

    def between(self, bounds: Iterable[object] | None) -> str:
        """Write a 95 % interval of a difference for a sentence."""
        low, high = bounds or (None, None)
        if low is None or high is None:
            return "no interval"
        return f"95 % interval {self.difference(low)} to {self.difference(high)}"


PERCENT = Unit(100.0, " %", "points", 1)
RAW = Unit(1.0, "", "", 3)


def number(value: object, digits: int = 3) -> str:
    """Write a number with a true minus sign, never "-0.0"; a dash where it is not known."""
    if not is_number(value):
        return UNKNOWN
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def points(value: object) -> str:
    """Write a gain in accuracy as points with a sign."""
    return PERCENT.difference(value)


def is_number(value: Any) -> bool:
    """Return True for a finite number; documents also hold nulls, and damaged ones anything."""
    number_like = isinstance(value, int | float) and not isinstance(value, bool)
    return number_like and math.isfinite(value)


def count(n: int, one: str, many: str | None = None) -> str:
    """Write "1 task" or "5,000 tasks"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(words: Iterable[str], most: int = 8) -> str:
    """Join words as a sentence does; of more than `most`, the first."""
    every = list(words)
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most} more"
    return f"{', '.join(every[:-1])} and {every[-1]}" if len(every) > 1 else "".join(every)


def moment(value: object, *, age: bool = False) -> str:
    """Write a time in UTC, for a table that says so or with its age; other text as it stands."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if not age:
        return f"{at:%Y-%m-%d %H:%M}"
    seconds = (datetime.now(UTC) - at).total_seconds()
    written = f"{at.day} {at:%B %Y at %H:%M} UTC"
    for unit, length in _AGES:
        if seconds >= length:
            return f"{written}, {count(int(seconds // length), unit)} ago"
    return f"{written}, just now" if seconds > -60 else written


def breakable(name: str) -> Markup:
    """Let a long name break after its punctuation."""
    return Markup("<wbr>").join(_PUNCTUATION.split(name))


def tight(sentence: str) -> str:
    """Keep a number and its percent sign on one line."""
    return sentence.replace(" %", "\u00a0%")


def mapping_at(document: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """Return a part of a document that may be absent, null, or of another kind."""
    inner = (document or {}).get(key)
    return inner if isinstance(inner, Mapping) else {}


def without_nan(document: Any) -> Any:
    """Return a document with None for every number that is not known, as JSON has no NaN."""
    if isinstance(document, dict):
        return {key: without_nan(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
