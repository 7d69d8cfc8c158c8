"""The section of the protocol `cost`: quality against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from litellm_benchrouter.evaluation.report.chart import (
    Axis,
    Key,
    Plot,
    Point,
    Ranking,
    Row,
    Series,
    axis,
    percent_axis,
)
from litellm_benchrouter.evaluation.report.cost_table import COST_TITLE, cost_table
from litellm_benchrouter.evaluation.report.parts import (
    Document,
    Figure,
    Section,
    Table,
    ours,
)
from litellm_benchrouter.evaluation.report.request import axis_of, metric_name, unit_of
from litellm_benchrouter.evaluation.report.words import (
    PERCENT,
    listed,
    name_of,
    number,
    ordered,
)

_LOG_FROM = 8.0  # where the dearest model costs so many times the cheapest, cost is drawn in powers
_BETWEEN = 12  # a straight line bends on a logarithmic axis: points between its ends
_APART = 0.03  # of the axis, between the points of a curve
_OTHERS = ("s1", "s2", "s3", "other")  # how methods beside ours are drawn


def cost_section(document: Document) -> Section:
    """Show what quality costs, with the router and without it."""
    basis = sorted(set(document["cost_basis"]["models"].values()))
    words = [
        "One number says how much quality is worth: the router picks the model with the best "
        "predicted quality less its expected cost. The number is chosen on questions with known "
        "answers, and what it saves is measured on others.",
        f"Costs are from {listed(basis)}.",
    ]
    left_out = document["cost_basis"].get("left_out")
    if left_out:
        words.append(f"Not compared, as their cost is not known: {', '.join(left_out)}.")
    return Section("cost", COST_TITLE, words, [_curve_figure(document), _savings_figure(document)])


def _curve_figure(document: Document) -> Figure:
    metric = document["protocol"]["metric"]
    unit, price = unit_of(metric), _price(document)
    scale = 1_000.0 if _in_usd(document) else 1.0
    chosen, methods = ours(document, "s1"), _methods(document)

    def point(row: Mapping[str, Any], name: str, label: str = "", size: float = 4.0) -> Point:
        text = f"{name}: {unit.value(row['quality'])} for {price(row['cost'])}"
        return Point(row["cost"] * scale, row["quality"], text, label=label, size=size)

    models = {name: row for name, row in document["models"].items() if _known(row)}
    hull = document["zero_router"]["hull"]
    on_hull = {(row["cost"], row["quality"]) for row in hull}
    hull_points = [point(row, "coin between single models") for row in hull]
    letters = {
        name: chr(ord("A") + i)
        for i, name in enumerate(
            sorted(
                (n for n, row in models.items() if (row["cost"], row["quality"]) in on_hull),
                key=lambda n: models[n]["cost"],
            )
        )
    }
    single_points = [
        point(row, name, letters.get(name, ""), size=7.5 if name in letters else 4.0)
        for name, row in sorted(models.items(), key=lambda item: item[0] in letters)
    ]
    axis_x = _cost_axis(document, [p.x for p in single_points + hull_points])
    curves = [
        Series(
            name_of(name),
            style,
            _thinned([point(p, name_of(name), size=3.0) for p in row["curve"]], axis_x),
            line=True,
        )
        for (name, row), style in zip(methods.items(), _styles(methods, chosen), strict=True)
    ]
    series = [
        Series("Zero router", "bma", _bent(hull_points, axis_x), line=True, dots=False),
        *curves,
        Series("A single model", "model", single_points),
    ]
    every = [p.y for s in series for p in s.points]
    rows = [
        [name, "", price(row["cost"]), unit.bare(row["quality"], 2)] for name, row in models.items()
    ]
    rows += [["Zero router", "", price(row["cost"]), unit.bare(row["quality"], 2)] for row in hull]
    rows += [
        [name_of(name), f"{p['lambda']:.4g}", price(p["cost"]), unit.bare(p["quality"], 2)]
        for name, row in methods.items()
        for p in row["curve"]
    ]
    heading = f"{metric_name(metric).capitalize()}{' %' if unit is PERCENT else ''}"
    return Figure(
        "cost-curve",
        "What quality costs",
        [
            "Up is better, left is cheaper. Each square is a model used for everything; the dashed "
            "line is what tossing a coin between two of them gives without any router (the zero "
            "router); lettered models are its ends. A router is worth its place where its line "
            "lies above the dashed one.",
        ],
        (Table("Cost and quality", ("What", "λ", "Cost", heading), rows),),
        Plot(
            f"{metric_name(metric)} against cost",
            axis_x,
            axis_of(metric, every),
            series,
            height=380.0,
        ),
        legend=[
            *(one.key for one in series),
            *(Key("letter", letter, name) for name, letter in letters.items()),
        ],
    )


def _savings_figure(document: Document) -> Figure:
    chosen, methods = ours(document, "s1"), _methods(document)
    unit = unit_of(document["protocol"]["metric"])
    rows = []
    for target, at in (("equal_quality", "same quality"), ("quality_95", "95 % of it")):
        for name, row in methods.items():
            tuned = row["tuned"][target]
            if tuned["saved"] is None:
                continue
            low, high = tuned["saved_over_samples_95"] or (None, None)
            rows.append(
                Row(
                    f"{name_of(name)}, {at}",
                    tuned["saved"],
                    f"{PERCENT.value(tuned['saved'])}, quality "
                    f"{unit.difference(tuned['quality_gain'])}",
                    "ours" if name == chosen else "method",
                    low,
                    high,
                )
            )
    values = [x for row in rows for x in (row.value, row.low, row.high) if x is not None]
    return Figure(
        "cost-saved",
        "What would be saved against the best single model",
        [
            "The weight of cost was chosen on known questions so that quality stays at the best "
            "single model's, or at 95 % of it. The dot is what this saved on other questions, the "
            f"bar its 95 % interval; quality is the change that came with it"
            f"{', in points' if unit is PERCENT else ''}.",
            "In the table: AIQ is the mean height of the curve over all costs (RouterBench); APGR "
            "the share of the gap between a weak and a strong model that is recovered on average, "
            "one half for a coin, and CPT the share of calls to the strong model that recovers so "
            "much of it (RouteLLM); the RouterArena score weighs accuracy with the logarithm of "
            "cost; Gain, Gap, PerfGain and CostSave are LLMRouterBench's, the last two in "
            "hindsight.",
        ],
        (cost_table(document),),
        Ranking(
            "Cost saved against the best single model",
            percent_axis("Cost saved", [0.0, *values]),
            rows,
            reference=0.0,
        ),
        legend=(
            Key("circle", "ours", "what the verdict is about"),
            Key("circle", "method", "other methods"),
            Key("line", "bma", "nothing saved"),
        ),
    )


def _methods(document: Document) -> dict[str, Any]:
    return {name: document["methods"][name] for name in ordered(document["methods"])}


def _in_usd(document: Document) -> bool:
    return bool(document["cost_basis"]["unit"] == "usd")


def _price(document: Document) -> Callable[[float], str]:
    if not _in_usd(document):
        return lambda cost: f"{number(cost, 1)} billion parameters"
    return lambda cost: f"${1_000 * cost:.3g} per 1,000"


def _cost_axis(document: Document, values: Sequence[float]) -> Axis:
    label = "USD per 1,000 requests" if _in_usd(document) else "Billions of parameters"
    positive = [value for value in values if value > 0]
    log = bool(positive) and max(positive) / min(positive) > _LOG_FROM and min(values) > 0
    return axis(label, values, log=log, low=None if log else 0.0)


def _bent(points: Sequence[Point], scale: Axis) -> list[Point]:
    """Return a line's points with those between that make it right on a logarithmic axis."""
    if not scale.log:
        return list(points)
    bent = list(points[:1])
    for a, b in pairwise(points):
        for step in range(1, _BETWEEN + 1):
            x = math.exp(math.log(a.x) + step / _BETWEEN * math.log(b.x / a.x))
            share = (x - a.x) / (b.x - a.x)
            bent.append(Point(x, a.y + share * (b.y - a.y), b.text))
    return bent


def _thinned(points: Sequence[Point], scale: Axis) -> list[Point]:
    """Return a curve's points from left to right without those that would lie on one another."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not kept or scale.at(point.x) - scale.at(kept[-1].x) >= _APART:
            kept.append(point)
    return kept


def _styles(methods: Mapping[str, Any], chosen: str | None) -> list[str]:
    others = iter(_OTHERS * len(methods))
    return ["ours" if name == chosen else next(others) for name in methods]


def _known(row: Mapping[str, float | None]) -> bool:
    return row["cost"] is not None and row["quality"] is not None
