"""Every measure of quality against cost that the field reports, in one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from litellm_benchrouter.evaluation.report.parts import Document, Table
from litellm_benchrouter.evaluation.report.request import unit_of
from litellm_benchrouter.evaluation.report.words import (
    PERCENT,
    UNKNOWN,
    Unit,
    name_of,
    number,
    ordered,
)

COST_TITLE = "Quality against cost"

_Write = Callable[[Any], str]


def cost_table(document: Document) -> Table:
    """Measures beneath one another, methods beside one another, the zero router last."""
    methods, zero = document["methods"], document["zero_router"]
    names = ordered(methods)
    unit = unit_of(document["protocol"]["metric"])
    without_router = {
        "aiq": unit.bare(zero["aiq"], 2),
        "hindsight equal_quality saved": PERCENT.bare(zero["hindsight"]["equal_quality"]),
        "hindsight quality_95 saved": PERCENT.bare(zero["hindsight"]["quality_95"]),
    }
    rows = []
    for title, path, write in _measures(unit):
        cells = [
            write(reduce(lambda part, key: part[key], path.split(), methods[n])) for n in names
        ]
        if any(cell != UNKNOWN for cell in cells):
            rows.append([title, *cells, without_router.get(path, "")])
    columns = ("Measure", *(name_of(name) for name in names), name_of("zero_router"))
    return Table(COST_TITLE, columns, rows)


def _measures(unit: Unit) -> list[tuple[str, str, _Write]]:
    """What a row is called, where its value is, and how it is written."""

    def tuned(target: str, at: str) -> list[tuple[str, str, _Write]]:
        where = f"tuned {target}"
        return [
            (f"Saved at {at}, %", f"{where} saved", PERCENT.bare),
            ("… 95 % over samples", f"{where} saved_over_samples_95", _range),
            ("… quality then, against BMA", f"{where} quality_gain", unit.difference),
            ("… 95 % over samples", f"{where} quality_gain_over_samples_95", unit.interval),
            (f"Best in hindsight: saved at {at}, %", f"hindsight {target} saved", PERCENT.bare),
        ]

    return [
        *tuned("equal_quality", "equal quality"),
        *tuned("quality_95", "95 % of the quality"),
        ("AIQ", "aiq", lambda value: unit.bare(value, 2)),
        ("AIQ above the zero router", "aiq_gain", unit.difference),
        ("… 95 % over runs", "aiq_gain_over_runs_95", unit.interval),
        ("APGR (RouteLLM)", "route_llm apgr", lambda value: number(value, 3)),
        ("CPT(20 %), % of calls", "route_llm cpt_20", PERCENT.bare),
        ("CPT(50 %), % of calls", "route_llm cpt_50", PERCENT.bare),
        ("CPT(80 %), % of calls", "route_llm cpt_80", PERCENT.bare),
        ("RouterArena score", "router_arena score", _score),
        ("RouterArena score, best single model", "router_arena best_single", _score),
        ("Gain@Random, %", "llm_router_bench gain_at_random", PERCENT.bare),
        ("Gain@BestSingle, %", "llm_router_bench gain_at_best_single", PERCENT.bare),
        ("Gap@Oracle, %", "llm_router_bench gap_at_oracle", PERCENT.bare),
        ("PerfGain, %", "llm_router_bench perf_gain", PERCENT.bare),
        ("CostSave, %", "llm_router_bench cost_save", PERCENT.bare),
    ]


def _score(value: float | None) -> str:
    return PERCENT.bare(value, 2)


def _range(bounds: Any) -> str:
    """Write an interval of a share, which needs no signs."""
    low, high = bounds or (None, None)
    return UNKNOWN if low is None else f"[{PERCENT.bare(low)}, {PERCENT.bare(high)}]"
