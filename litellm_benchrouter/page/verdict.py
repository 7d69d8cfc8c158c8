"""The verdict that a manifest may hold, in words; versions without one are older than verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.page.words import NONE, part, points

_TITLES = {"unseen": "New tasks", "requests": "Requests"}
_WIDTH = 200.0  # of the picture of an interval, in its own units


@dataclass(frozen=True)
class Interval:
    """A gain and its interval, as places in a picture with nothing gained at `zero`."""

    zero: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """What was found of one part."""

    title: str
    gain: str
    interval: str
    picture: Interval | None
    sentences: Sequence[str]


@dataclass(frozen=True)
class VerdictView:
    """A verdict: `tone` is gain, unclear or loss."""

    tone: str
    headline: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]


def verdict_view(verdict: object) -> VerdictView | None:
    """Show a verdict; None where there is none. What it does not say is left out."""
    if not isinstance(verdict, Mapping):
        return None
    tone, headline = _headline(verdict)
    parts = {key: part(verdict, key) for key in _TITLES}
    reach = max((abs(v) for found in parts.values() for v in _numbers(found)), default=0.0)
    return VerdictView(
        tone=tone,
        headline=headline,
        findings=[
            _finding(title, parts[key], reach, part(verdict, "served").get(key))
            for key, title in _TITLES.items()
            if parts[key]
        ],
        facts=[*_cost(part(verdict, "cost")), *_unproven(part(verdict, "unproven"))],
    )


def _headline(verdict: Mapping[str, Any]) -> tuple[str, str]:
    if verdict.get("forced"):
        return "loss", "It does not pass, and was published by force"
    if verdict.get("passes"):
        if not any(part(verdict, key) for key in _TITLES):
            return "unclear", "There was nothing to prove it on"
        return "gain", "It passes"
    return "loss", "It does not pass"


def _finding(title: str, found: Mapping[str, Any], reach: float, served: object) -> Finding:
    low, high = _interval(found)
    sentences = []
    for key, one in (("n_tasks", "held-out tasks"), ("n_samples", "held-out samples")):
        if isinstance(found.get(key), int):
            sentences.append(f"Measured on {found[key]:,} {one}.")
    if isinstance(found.get("tasks_worse"), int):
        sentences.append(f"Worse than the best on average on {found['tasks_worse']}.")
    worst = part(found, "worst_task")
    if worst:
        sentences.append(
            f"Worst task: {worst.get('name', NONE)}, {points(worst.get('gain'))} points."
        )
    because = found.get("bma_because")
    if because:
        sentences.append(f"These picks are not served, the best on average is: {because}.")
    elif served:
        sentences.append(f"Served by {served}.")
    return Finding(
        title=title,
        gain=f"{points(found.get('gain'))} points",
        interval="" if low is None else f"95 %: {points(low)} to {points(high)}",
        picture=_picture(found, reach),
        sentences=sentences,
    )


def _picture(found: Mapping[str, Any], reach: float) -> Interval | None:
    gain, (low, high) = found.get("gain"), _interval(found)
    if not _is_number(gain) or low is None or high is None or reach <= 0:
        return None

    def place(value: float) -> float:
        return round(_WIDTH / 2 * (1 + 0.95 * value / reach), 1)

    assert isinstance(gain, int | float)
    return Interval(_WIDTH / 2, place(gain), place(low), place(high))


def _interval(found: Mapping[str, Any], key: str = "gain_95") -> tuple[float | None, float | None]:
    given = found.get(key)
    if isinstance(given, Sequence) and len(given) == 2 and all(map(_is_number, given)):
        return float(given[0]), float(given[1])
    return None, None


def _numbers(found: Mapping[str, Any]) -> list[float]:
    return [float(v) for v in (found.get("gain"), *_interval(found)) if v is not None]


def _cost(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    saved = cost.get("saved")
    if not _is_number(saved):
        return []
    assert isinstance(saved, int | float)
    against = cost.get("best_single")
    text = f"{100 * saved:.0f} % at equal quality" + (f", against {against}" if against else "")
    if _is_number(cost.get("quality_gain")):
        low, high = _interval(cost, "quality_gain_95")
        text += f"; its quality there: {points(cost['quality_gain'])} points"
        text += "" if low is None else f" (95 %: {points(low)} to {points(high)})"
    return [("Saved", text)]


def _unproven(reasons: Mapping[str, Any]) -> list[tuple[str, str]]:
    titles = {**_TITLES, "cost": "Cost"}
    return [(titles.get(key, key), f"not proved: {reason}") for key, reason in reasons.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
