"""The figure of quality against cost, with every single model and their hull."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from litellm_benchrouter.evaluation.report.chart import Axis, Key, Plot, Point, Series, axis
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Table, ours
from litellm_benchrouter.evaluation.report.request import axis_of, heading_of, metric_name, unit_of
from litellm_benchrouter.evaluation.report.words import name_of, number, ordered

_LOG_FROM = 8.0  # where the dearest model costs so many times the cheapest, cost is drawn in powers
_BETWEEN = 12  # a straight line bends on a logarithmic axis: points between its ends
_APART = 0.03  # of the axis, between the points of a curve
_OTHERS = ("s1", "s2", "s3", "other")  # how methods beside ours are drawn

_Spot = Mapping[str, float]
"""A cost and the quality that it buys."""


def curve_figure(document: Document) -> Figure:
    """Draw the methods' curves above what single models and coins between them give."""
    singles = {name: spot for name, spot in document["models"].items() if None not in spot.values()}
    hull = document["zero_router"]["hull"]
    letters = _letters(singles, hull)
    corners = _points(document, "A coin between single models", hull)
    models = [
        point
        for name in sorted(singles, key=lambda name: name in letters)  # letters above the others
        for point in _points(document, name, [singles[name]], letters.get(name, ""))
    ]
    scale = _cost_axis(document, [p.x for p in corners + models])
    series = [
        Series(name_of("zero_router"), "bma", _bent(corners, scale), line=True, dots=False),
        *_curves(document, scale),
        Series("A single model", "model", models),
    ]
    metric = document["protocol"]["metric"]
    return Figure(
        "cost-curve",
        "What quality costs",
        [
            "Up is better, left is cheaper. Each square is a model used for everything; the dashed "
            "line is what tossing a coin between two of them gives without any router (the zero "
            "router); lettered models are its corners. A router is worth its place where its line "
            "lies above the dashed one.",
        ],
        (_table(document),),
        Plot(
            f"{metric_name(metric)} against cost",
            scale,
            axis_of(metric, [point.y for one in series for point in one.points]),
            series,
            height=380.0,
        ),
        legend=[
            *(one.key for one in series),
            *(Key("letter", letter, name) for name, letter in letters.items()),
        ],
    )


def _table(document: Document) -> Table:
    unit = unit_of(document["protocol"]["metric"])
    spots: list[tuple[str, Mapping[str, Any]]] = list(document["models"].items())
    spots += [(name_of(name), document[name]) for name in ("bma", "oracle")]
    spots += [(name_of("zero_router"), spot) for spot in document["zero_router"]["hull"]]
    for name in ordered(document["methods"]):
        spots += [(name_of(name), spot) for spot in document["methods"][name]["curve"]]
    rows = [
        [
            name,
            f"{spot['lambda']:.3g}" if "lambda" in spot else "",
            number(None if spot["cost"] is None else _cost(document, spot["cost"]), 3),
            unit.bare(spot["quality"], 2),
        ]
        for name, spot in spots
    ]
    heading = heading_of(document["protocol"]["metric"])
    return Table("Cost and quality", ("What", "λ", _cost_label(document), heading), rows)


def _letters(singles: Mapping[str, _Spot], hull: Sequence[_Spot]) -> dict[str, str]:
    """Letter the models on the hull, the cheapest first: names would lie over one another."""
    corners = {(spot["cost"], spot["quality"]) for spot in hull}
    on_hull = [n for n, spot in singles.items() if (spot["cost"], spot["quality"]) in corners]
    on_hull.sort(key=lambda name: singles[name]["cost"])
    return {name: chr(ord("A") + i) for i, name in enumerate(on_hull)}


def _curves(document: Document, scale: Axis) -> list[Series]:
    chosen, methods = ours(document, "s1"), ordered(document["methods"])
    others = iter(_OTHERS * len(methods))
    curves = []
    for name in methods:
        style = "ours" if name == chosen else next(others)
        points = _points(document, name_of(name), document["methods"][name]["curve"])
        curves.append(Series(name_of(name), style, _thinned(points, scale), line=True))
    return curves


def _points(document: Document, name: str, spots: Iterable[_Spot], letter: str = "") -> list[Point]:
    unit, label = unit_of(document["protocol"]["metric"]), _cost_label(document)
    return [
        Point(
            _cost(document, spot["cost"]),
            spot["quality"],
            f"{name}: {unit.value(spot['quality'])}; {label}: {_cost(document, spot['cost']):.3g}",
            size=8.0 if letter else 3.5,
            label=letter,
        )
        for spot in spots
    ]


def _cost(document: Document, cost: float) -> float:
    return 1_000 * cost if document["cost_basis"]["unit"] == "usd" else cost


def _cost_label(document: Document) -> str:
    in_usd = document["cost_basis"]["unit"] == "usd"
    return "USD per 1,000 requests" if in_usd else "Billions of parameters"


def _cost_axis(document: Document, costs: Sequence[float]) -> Axis:
    log = min(costs) > 0 and max(costs) / min(costs) > _LOG_FROM
    return axis(_cost_label(document), costs, log=log)


def _bent(points: Sequence[Point], scale: Axis) -> list[Point]:
    """Return a line's points with those between that make it right on a logarithmic axis."""
    if not scale.log:
        return list(points)
    bent = list(points[:1])
    for a, b in pairwise(points):
        for step in range(1, _BETWEEN + 1):
            x = a.x * math.exp(step / _BETWEEN * math.log(b.x / a.x))
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
