"""The verdict of a version in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.views import (
    GAIN,
    LOSS,
    PERCENT,
    UNCLEAR,
    UNKNOWN,
    Table,
    count,
    is_number,
    mapping_at,
    number,
    points,
)

_GAINS = {"requests": "Requests", "named": "Tasks of the benchmark", "unseen": "New tasks"}
_PARTS = _GAINS | {"traffic": "Own traffic", "cost": "Cost at target quality"}


@dataclass(frozen=True)
class Measured:
    """One result of a proof: its number, how sure it is, and what it is of.

    `picture` places the interval on a line of length 1: zero, low, value and high.
    """

    title: str
    figure: str
    interval: str
    served: str
    pool: str
    finding: str
    picture: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class VerdictView:
    """A verdict: its tone, its headline, and the results that it rests on."""

    tone: str
    headline: str
    parts: Sequence[Measured]


def verdict_view(verdict: object, best: str) -> VerdictView | None:
    """Put a manifest's verdict into words, with the best single model; None where there is none."""
    if not isinstance(verdict, Mapping):
        return None
    measured = {key: mapping_at(verdict, key) for key in (*_GAINS, "traffic")}
    if verdict.get("forced"):
        tone, headline = LOSS, "It does not pass, and was published by force"
    elif not verdict.get("passes"):
        tone, headline = LOSS, "It does not pass"
    elif not any(measured.values()):
        tone, headline = UNCLEAR, "There was nothing to prove it on"
    else:
        tone, headline = GAIN, "It passes"
    values = [v for m in measured.values() for v in (m.get("gain"), *_bounds(m, "gain_95"))]
    reach = max((abs(v) for v in values if v is not None and is_number(v)), default=0.0)
    parts = [_measured(key, measured[key], verdict, reach) for key in measured if measured[key]]
    parts += _feedback(mapping_at(verdict, "feedback"))
    parts += _cost(mapping_at(verdict, "cost"))
    parts += [
        Measured(
            title=_PARTS.get(key, key),
            figure=UNKNOWN,
            interval=UNKNOWN,
            served=UNKNOWN,
            pool=UNKNOWN,
            finding=f"not proved: {reason}",
        )
        for key, reason in mapping_at(verdict, "unproven").items()
    ]
    return VerdictView(tone, f"{headline}, against {best}, the best model on average", parts)


def verdict_table(verdict: VerdictView) -> Table:
    """List the results of a verdict."""
    columns = ("", "Served by", "Measured on", "Finding", "Result", "95 %")
    rows = [[p.title, p.served, p.pool, p.finding, p.figure, p.interval] for p in verdict.parts]
    return Table(f"Verdict: {verdict.headline}", columns, rows, n_text=4)


def _measured(
    key: str, part: Mapping[str, Any], verdict: Mapping[str, Any], reach: float
) -> Measured:
    gain, bounds = part.get("gain"), _bounds(part, "gain_95")
    pool = [
        count(part[n], f"held-out {one}")
        for n, one in (("n_tasks", "task"), ("n_samples", "sample"))
        if isinstance(part.get(n), int)
    ]
    families = part.get("n_families")
    if isinstance(families, int) and families != part.get("n_tasks"):
        pool.append(count(families, "family", "families"))
    if part.get("runs", 1) > 1:
        pool.append(f"{part['runs']} splits")
    findings = [_finding(part, verdict.get("tolerance") or 0.0)]
    if isinstance(part.get("tasks_worse"), int):
        findings.append(f"worse than the best on average on {count(part['tasks_worse'], 'task')}")
    worst = mapping_at(part, "worst_task")
    if worst and (worst.get("gain") or 0.0) < 0:
        findings.append(f"worst task {worst.get('name', UNKNOWN)}, {points(worst['gain'])} points")
    return Measured(
        _PARTS[key],
        f"{points(gain)} points",
        _range(bounds),
        str(mapping_at(verdict, "served").get(key) or UNKNOWN),
        ", ".join(pool),
        "; ".join(findings),
        _picture(gain, bounds, reach),
    )


def _finding(part: Mapping[str, Any], tolerance: float) -> str:
    gain, low = part.get("gain"), _bounds(part, "gain_95")[0]
    if part.get("bma_because"):
        return f"these picks are not served, the best on average is: {part['bma_because']}"
    if part.get("claim"):
        return f"{part['claim']}: at least {points(part.get('lower'))} points"
    # What was built before there were lower bounds.
    if not is_number(gain) or gain is None:
        return UNKNOWN
    if low is not None and low > 0:
        return "gains"
    if gain > 0:
        return "gains, not significantly"
    return "no worse within the tolerance" if gain >= -tolerance else "loses"


def _feedback(part: Mapping[str, Any]) -> list[Measured]:
    if not part:
        return []
    error, without = (number(part.get(key), 4) for key in ("error", "error_without"))
    does = "adds to the estimate" if part.get("served") else "decides nothing"
    finding = (
        f"it {does}: mean squared error {error} with it, {without} without; what routing gains "
        "by it is not measured"
    )
    pool = f"{count(part.get('events') or 0, 'scored explored request')}, left out in ten parts"
    served = "feedback" if part.get("served") else UNKNOWN
    return [Measured("Feedback", UNKNOWN, UNKNOWN, served, pool, finding)]


def _cost(cost: Mapping[str, Any]) -> list[Measured]:
    if not cost:
        return []
    models = f"{cost.get('n_models')} of {cost.get('of_models')} models have a known cost"
    saved, unit = cost.get("saved"), "USD" if cost.get("unit") == "usd" else "parameters"
    low, high = _bounds(cost, "saved_95")
    quality = f"{points(cost.get('quality_gain'))} points"
    finding = (
        f"of the cost of {cost.get('best_single')}, counted in {unit}; its quality was asked for, "
        f"measured {quality} ({_range(_bounds(cost, 'quality_gain_95'))})"
        if is_number(saved)
        else "savings are not known"
    )
    return [
        Measured(
            _PARTS["cost"],
            f"{PERCENT.value(saved, 0)} saved",
            UNKNOWN if low is None else f"{PERCENT.bare(low, 0)} to {PERCENT.bare(high, 0)}",
            UNKNOWN,
            f"{cost.get('n_samples', 0):,} samples; {models}",
            finding,
        )
    ]


def _picture(
    gain: Any, bounds: tuple[float | None, float | None], reach: float
) -> tuple[float, float, float, float] | None:
    low, high = bounds
    if not is_number(gain) or low is None or high is None or reach <= 0:
        return None
    low, gain, high = (round(0.5 * (1 + 0.95 * v / reach), 3) for v in (low, gain, high))
    return 0.5, low, gain, high


def _bounds(part: Mapping[str, Any], key: str) -> tuple[float | None, float | None]:
    given = part.get(key)
    if isinstance(given, Sequence) and len(given) == 2 and all(map(is_number, given)):
        return float(given[0]), float(given[1])
    return None, None


def _range(bounds: tuple[float | None, float | None]) -> str:
    return UNKNOWN if bounds[0] is None else f"{points(bounds[0])} to {points(bounds[1])}"


def embedders_table(compared: Mapping[str, Any]) -> Table:
    """List what the proof found with each embedder, and how long a prompt takes."""
    rows = []
    for each in compared["embedders"]:
        if "failed" in each:
            rows.append([each["kind"], f"does not work here: {each['failed']}", *[UNKNOWN] * 4])
            continue
        verdict = each["verdict"]
        of = verdict["served"]
        served = ", ".join(f"{title.lower()}: {of[part]}" for part, title in _GAINS.items())
        gains = [_gain(verdict[part]) for part in _GAINS]
        rows.append([each["kind"], served, number(each["p50_ms"], 2), *gains])
    return Table(
        "Gain over the best single model in points [95 %], and median milliseconds of a prompt",
        ["Embedder", "Served", "ms", *_GAINS.values()],
        rows,
        n_text=2,
    )


def _gain(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return UNKNOWN
    low, high = (UNKNOWN if limit is None else points(limit) for limit in part["gain_95"])
    return f"{points(part['gain'])} [{low}, {high}]"
