"""Quality against cost: its figures and the tables behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

from litellm_benchrouter.views import PERCENT, UNKNOWN, Table, Unit, listed, number
from litellm_benchrouter.views.charts import (
    METHOD,
    OURS,
    Axis,
    Chart,
    Figure,
    Parts,
    line,
    line_styles,
    metric_axis,
    named_chart,
)
from litellm_benchrouter.views.protocols import (
    TITLES,
    Document,
    best_single,
    cost_label,
    digits_of,
    heading_of,
    in_usd,
    metric_of,
    models_of,
    name_of,
    ordered,
    ours,
)

_LOG_FROM = 8.0  # where the dearest model costs so many times the cheapest, cost is drawn in powers
_BETWEEN = 12  # a straight line bends on a logarithmic axis: points between its ends


def cost_section(document: Document) -> Parts:
    """Show what quality costs, with the router and without it."""
    basis = listed(sorted(set(document["cost_basis"]["models"].values())))
    words = [
        "One number says how much quality is worth: the router picks the model with the best "
        "predicted quality less its expected cost. The number is chosen on questions with known "
        "answers, and what it saves is measured on others.",
        f"Costs are from {basis}."
        if in_usd(document)
        else "Prices are not known of enough models, so a model's parameters stand for its cost.",
    ]
    left_out = document["cost_basis"].get("left_out")
    if left_out:
        words.append(
            f"All numbers here are of {models_of(document)}; the cost of the others is not known: "
            f"{', '.join(left_out)}."
        )
    return words, [curves_figure(document), _savings(document)]


def curves_figure(document: Document) -> Figure:
    """Draw the methods' curves above what single models and coins between them give."""
    factor = 1e3 if in_usd(document) else 1.0

    def spots(of: Sequence[Any]) -> list[tuple[float, float]]:
        both = (s for s in of if s["cost"] is not None and s["quality"] is not None)
        return sorted((factor * s["cost"], s["quality"]) for s in both)

    singles = {name: spot[0] for name, s in document["models"].items() if (spot := spots([s]))}
    hull = spots(document["zero_router"]["hull"])
    costs = [x for x, _ in [*singles.values(), *hull]]
    log = min(costs) > 0 and max(costs) / min(costs) > _LOG_FROM
    corners = sorted((name for name in singles if singles[name] in hull), key=singles.__getitem__)
    letters = {name: chr(ord("A") + i) for i, name in enumerate(corners)}
    rows = line("zero_router", _bent(hull) if log else hull)
    for name in ordered(document["methods"]):
        rows += line(name, spots(document["methods"][name]["curve"]))
    return Figure(
        f"{document['protocol']['name']}-curve",
        "What quality costs",
        [
            "Up is better, left is cheaper. Each square is a model used for everything; the dashed "
            "line is what tossing a coin between two of them gives without any router (the zero "
            "router). A router is worth its place where its line lies above the dashed one.",
            "At the corners of the dashed line: "
            + "; ".join(f"{letter}: {name}" for name, letter in letters.items())
            + ".",
        ],
        [curve_table(document)],
        Chart(
            Axis(cost_label(document), log=log),
            metric_axis(document),
            rows,
            line_styles(["zero_router", *document["methods"]]),
            dots=[spot for name, spot in singles.items() if name not in letters],
            letters=[(*singles[name], letter) for name, letter in letters.items()],
            points=False,
        ),
    )


def _bent(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a line's points with those between that make it right on a logarithmic axis."""
    bent = list(points[:1])
    for (x0, y0), (x1, y1) in pairwise(points):
        for step in range(1, _BETWEEN + 1):
            x = x0 * math.exp(step / _BETWEEN * math.log(x1 / x0))
            bent.append((x, y0 + (x - x0) / (x1 - x0) * (y1 - y0)))
    return bent


def _savings(document: Document) -> Figure:
    unit, rows = metric_of(document)[2], []
    for target, at in (("equal_quality", "at 100 %"), ("quality_95", "at 95 %")):
        for name in ordered(document["methods"]):
            tuned = document["methods"][name]["tuned"][target]
            if tuned["saved"] is None:
                continue
            low, high = tuned["saved_over_samples_95"] or (None, None)
            change = unit.difference(tuned["quality_gain"])
            rows.append(
                {
                    "name": f"{name_of(name)}, {at}",
                    "x": tuned["saved"],
                    "text": f"{PERCENT.value(tuned['saved'])} ({change})",
                    "style": OURS if name == ours(document) else METHOD,
                    "low": low,
                    "high": high,
                }
            )
    in_points = ", in points" if unit is PERCENT else ""
    return Figure(
        "cost-saved",
        "What would be saved against the best single model",
        [
            "The weight of cost was chosen on known questions so that quality stays at that of "
            f"{best_single(document)} (at 100 %), or at 95 % of it. The dot is what this saved on "
            "other questions, the bar its 95 % interval; in brackets stands the change in quality "
            f"that came with it{in_points}.",
            "In the table: AIQ is the mean height of the curve over all costs (RouterBench); APGR "
            "the share of the gap between a weak and a strong model that is recovered on average, "
            "one half for a coin, and CPT the share of calls to the strong model that recovers so "
            "much of it (RouteLLM); the RouterArena score weighs accuracy with the logarithm of "
            "cost; Gain, Gap, PerfGain and CostSave are LLMRouterBench's, the last two in "
            "hindsight.",
        ],
        [cost_table(document)],
        named_chart(Axis("Cost saved", "percent"), rows, 0.0),
    )


def cost_table(document: Document) -> Table:
    """List measures beneath one another, methods beside one another, the zero router last."""
    methods, zero = document["methods"], document["zero_router"]
    names, unit = ordered(methods), metric_of(document)[2]
    without_router = {
        "aiq": unit.bare(zero["aiq"], 2),
        "hindsight equal_quality saved": PERCENT.bare(zero["hindsight"]["equal_quality"]),
        "hindsight quality_95 saved": PERCENT.bare(zero["hindsight"]["quality_95"]),
    }
    rows = []
    for title, path, write in _measures(unit):
        cells = [write(reduce(lambda at, key: at[key], path.split(), methods[n])) for n in names]
        if any(cell != UNKNOWN for cell in cells):
            rows.append([title, *cells, without_router.get(path, "")])
    among = f" ({models_of(document)})" if document["cost_basis"].get("left_out") else ""
    title = f"{TITLES['cost']}{among}"
    return Table(title, ("Measure", *map(name_of, [*names, "zero_router"])), rows)


def _measures(unit: Unit) -> list[tuple[str, str, Callable[[Any], str]]]:
    """List each row's title, the place of its value, and how it is written."""

    def tuned(target: str, at: str) -> list[tuple[str, str, Callable[[Any], str]]]:
        return [
            (f"Saved at {at}, %", f"tuned {target} saved", PERCENT.bare),
            ("… 95 % over samples", f"tuned {target} saved_over_samples_95", _share_range),
            ("… quality then, against BMA", f"tuned {target} quality_gain", unit.difference),
            (
                "… 95 % over samples",
                f"tuned {target} quality_gain_over_samples_95",
                unit.interval,
            ),
            (f"Best in hindsight: saved at {at}, %", f"hindsight {target} saved", PERCENT.bare),
        ]

    def score(value: object) -> str:
        return PERCENT.bare(value, 2)

    return [
        *tuned("equal_quality", "equal quality"),
        *tuned("quality_95", "95 % of the quality"),
        ("AIQ", "aiq", lambda value: unit.bare(value, 2)),
        ("AIQ above the zero router", "aiq_gain", unit.difference),
        ("… 95 % over runs", "aiq_gain_over_runs_95", unit.interval),
        ("APGR (RouteLLM)", "route_llm apgr", number),
        *((f"CPT({n} %), % of calls", f"route_llm cpt_{n}", PERCENT.bare) for n in (20, 50, 80)),
        ("RouterArena score", "router_arena score", score),
        ("RouterArena score, best single model", "router_arena best_single", score),
        ("Gain@Random, %", "llm_router_bench gain_at_random", PERCENT.bare),
        ("Gain@BestSingle, %", "llm_router_bench gain_at_best_single", PERCENT.bare),
        ("Gap@Oracle, %", "llm_router_bench gap_at_oracle", PERCENT.bare),
        ("PerfGain, %", "llm_router_bench perf_gain", PERCENT.bare),
        ("CostSave, %", "llm_router_bench cost_save", PERCENT.bare),
    ]


def curve_table(document: Document) -> Table:
    """List the points of every curve of quality against cost."""
    metric, _, unit = metric_of(document)
    factor = 1e3 if in_usd(document) else 1.0
    spots = list(document["models"].items())
    spots += [(name_of(name), document[name]) for name in ("bma", "oracle")]
    spots += [(name_of("zero_router"), spot) for spot in document["zero_router"]["hull"]]
    for name in ordered(document["methods"]):
        spots += [(name_of(name), spot) for spot in document["methods"][name]["curve"]]
    rows = [
        [
            name,
            "" if spot.get("lambda") is None else f"{spot['lambda']:.3g}",
            UNKNOWN if spot["cost"] is None else f"{spot['cost'] * factor:.4g}",
            unit.bare(spot["quality"], digits_of(metric)),
        ]
        for name, spot in spots
    ]
    columns = ("What", "λ", cost_label(document), heading_of(metric))
    return Table("Cost and quality", columns, rows)


def _share_range(bounds: Any) -> str:
    low, high = bounds or (None, None)
    return UNKNOWN if low is None else f"[{PERCENT.bare(low)}, {PERCENT.bare(high)}]"
