"""The section of the protocol `cost`: quality against cost."""

from __future__ import annotations

from litellm_benchrouter.evaluation.report.chart import Key, Ranking, Row, percent_axis
from litellm_benchrouter.evaluation.report.cost_curve import curve_figure
from litellm_benchrouter.evaluation.report.cost_table import COST_TITLE, cost_table
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Section, ours
from litellm_benchrouter.evaluation.report.request import unit_of
from litellm_benchrouter.evaluation.report.words import PERCENT, listed, name_of, ordered


def cost_section(document: Document) -> Section:
    """Show what quality costs, with the router and without it."""
    basis = sorted(set(document["cost_basis"]["models"].values()))
    source = (
        f"Costs are from {listed(basis)}."
        if document["cost_basis"]["unit"] == "usd"
        else "Prices are not known of enough models, so a model's parameters stand for its cost."
    )
    words = [
        "One number says how much quality is worth: the router picks the model with the best "
        "predicted quality less its expected cost. The number is chosen on questions with known "
        "answers, and what it saves is measured on others.",
        source,
    ]
    left_out = document["cost_basis"].get("left_out")
    if left_out:
        words.append(f"Not compared, as their cost is not known: {', '.join(left_out)}.")
    return Section("cost", COST_TITLE, words, [curve_figure(document), _savings_figure(document)])


def _savings_figure(document: Document) -> Figure:
    chosen = ours(document, "s1")
    unit = unit_of(document["protocol"]["metric"])
    rows = []
    for target, at in (("equal_quality", "same quality"), ("quality_95", "95 % of it")):
        for name in ordered(document["methods"]):
            tuned = document["methods"][name]["tuned"][target]
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
