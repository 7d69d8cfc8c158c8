"""Figures of quality against cost, of labelled questions, of distance and of robustness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from litellm_benchrouter.views import PERCENT, count, listed, number
from litellm_benchrouter.views import tables as made
from litellm_benchrouter.views.figures import (
    METHOD,
    OURS,
    Axis,
    Chart,
    Figure,
    Parts,
    line,
    line_styles,
    named_chart,
    unit_name,
)
from litellm_benchrouter.views.protocols import (
    PERTURBATIONS,
    Document,
    best_single,
    cost_label,
    heading_of,
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
    in_usd = document["cost_basis"]["unit"] == "usd"
    words = [
        "One number says how much quality is worth: the router picks the model with the best "
        "predicted quality less its expected cost. The number is chosen on questions with known "
        "answers, and what it saves is measured on others.",
        f"Costs are from {basis}."
        if in_usd
        else "Prices are not known of enough models, so a model's parameters stand for its cost.",
    ]
    left_out = document["cost_basis"].get("left_out")
    if left_out:
        words.append(
            f"All numbers here are of {models_of(document)}; the cost of the others is not known: "
            f"{', '.join(left_out)}."
        )
    return words, [_curves(document), _savings(document)]


def _curves(document: Document) -> Figure:
    """Draw the methods' curves above what single models and coins between them give."""
    metric, _, unit = metric_of(document)
    factor = 1e3 if document["cost_basis"]["unit"] == "usd" else 1.0

    def spots(of: Sequence[Any]) -> list[tuple[float, float]]:
        known = (s for s in of if s["cost"] is not None and s["quality"] is not None)
        return sorted((factor * s["cost"], s["quality"]) for s in known)

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
        "cost-curve",
        "What quality costs",
        [
            "Up is better, left is cheaper. Each square is a model used for everything; the dashed "
            "line is what tossing a coin between two of them gives without any router (the zero "
            "router). A router is worth its place where its line lies above the dashed one.",
            "At the corners of the dashed line: "
            + "; ".join(f"{letter}: {name}" for name, letter in letters.items())
            + ".",
        ],
        [made.curve_table(document)],
        Chart(
            Axis(cost_label(document), log=log),
            Axis(heading_of(metric).removesuffix(" %"), unit_name(unit is PERCENT)),
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
    for target, at in (("equal_quality", "same quality"), ("quality_95", "95 % of it")):
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
                    "text": f"{PERCENT.value(tuned['saved'])}, quality {change}",
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
            f"{best_single(document)}, or at 95 % of it. The dot is what this saved on other "
            f"questions, the bar its 95 % interval; quality is the change that came with "
            f"it{in_points}.",
            "In the table: AIQ is the mean height of the curve over all costs (RouterBench); APGR "
            "the share of the gap between a weak and a strong model that is recovered on average, "
            "one half for a coin, and CPT the share of calls to the strong model that recovers so "
            "much of it (RouteLLM); the RouterArena score weighs accuracy with the logarithm of "
            "cost; Gain, Gap, PerfGain and CostSave are LLMRouterBench's, the last two in "
            "hindsight.",
        ],
        [made.protocol_table(document)],
        named_chart("Cost saved", "percent", rows, 0.0),
    )


def few_labels_section(document: Document) -> Parts:
    """Show the gain over BMA by the number of labelled questions."""
    rows = []
    for name in ordered(document["methods"]):
        points = zip(document["n_labels"], document["methods"][name], strict=True)
        bounded = ours(document) == name
        rows += line(
            name,
            (
                (n, row["gain"], *(row["gain_over_tasks_95"] if bounded else ()))
                for n, row in points
            ),
        )
    draws = count(document["protocol"]["draws"], "time")
    figure = Figure(
        "few-labels-gain",
        "What each labelled question buys",
        [
            "Points of accuracy gained over BMA, averaged over tasks; the band is the default "
            "router's 95 % interval over tasks. Above zero, labelling paid.",
        ],
        [made.protocol_table(document)],
        Chart(
            Axis("Labelled questions", log=True, ticks=document["n_labels"]),
            Axis("Points above BMA", "points"),
            rows,
            line_styles(document["methods"]),
            reference=0.0,
        ),
    )
    words = [
        f"A few questions of each new task, drawn {draws}, were answered by every model and "
        "graded; one model was then picked for the rest of it."
    ]
    return words, [figure]


def labels_section(document: Document) -> Parts:
    """Show how accuracy grows with labelled questions of the new task."""
    protocol, names = document["protocol"], list(document["alphas"][0]["methods"])
    words = [
        f"Some questions of the new task were answered by every model, graded, and added to what "
        f"the router knows: a share of the task, at most {protocol['max_moved']} questions, drawn "
        f"{protocol['repeats']} times. What is left of the task is what counts."
    ]
    if document.get("reference"):
        words.append(
            f"“{name_of('reference')}” is the best single model on average of the whole pool: "
            f"{', '.join(document['reference']['models'])}."
        )
    rows = []
    banded = next((name for name in ("default", "s3", "s1") if name in names), "")
    for name in names:
        for at in document["alphas"]:
            value, spread = (at["methods"][name][key] for key in ("accuracy", "accuracy_sd"))
            if value is not None:
                around = [value + sign * (spread or 0.0) for sign in (-1, 1) if name == banded]
                rows += line(name, [(at["alpha"], value, *around)])
    figure = Figure(
        "labels-curve",
        "How much a few labelled questions help",
        [
            "Accuracy against the share of the new task that was labelled; the band is one "
            f"standard deviation of {name_of(banded)} over draws. At the left end, nothing is "
            "known of the new task.",
        ],
        [made.protocol_table(document)],
        Chart(
            Axis("Share of the task that is labelled", "percent"),
            Axis("Accuracy", "percent"),
            rows,
            line_styles(names),
        ),
    )
    return words, [figure]


def distance_section(document: Document) -> Parts:
    """Show the distance u of a task against the correlation of scores and accuracies."""
    methods, points = document["methods"], document["points"]
    names = [name for name in ordered(methods) if name in ("default", "s1", "s2", "s3")]
    rows = []
    for name in names:
        rows += line(name, ((row["u"], row["pearson"]) for row in methods[name]["bins"]))
    dotted = next((name for name in ("default", "s3", "s1") if name in methods), "")
    draws = zip(points["u"], points["pearson"].get(dotted, []), strict=False)
    figure = Figure(
        "distance-correlation",
        "Are near tasks judged better",
        [
            "Height is how well a score orders the models of a new task (correlation with their "
            "true accuracies: 1 is perfect, 0 is chance, below 0 is upside down). Small dots are "
            f"single draws of {name_of(dotted)}, lines are means.",
            _trend(document, names),
        ],
        [made.protocol_table(document), made.draws_table(document)],
        Chart(
            Axis("Distance u of the task"),
            Axis("Correlation"),
            rows,
            line_styles(names),
            dots=[(u, r) for u, r in draws if u is not None and r is not None],
        ),
    )
    words = [
        "The distance u of a task is how far its questions lie on average from the nearest ones "
        "of the benchmark (0: the same texts, 1: nothing in common). Labelled questions of a task "
        "bring it nearer, so each task was measured at several distances.",
    ]
    return words, [figure]


def _trend(document: Document, names: Sequence[str]) -> str:
    ranks = {name_of(name): document["methods"][name]["spearman"] for name in names}
    ranks = {name: value for name, value in ranks.items() if value is not None}
    if not ranks:
        return "There are too few draws to say whether nearer tasks are judged better."
    numbers = listed(f"{number(value, 2)} for {name}" for name, value in ranks.items())
    if all(value < 0 for value in ranks.values()):
        meaning = "nearer tasks are judged better, as in the paper"
    elif all(value > 0 for value in ranks.values()):
        meaning = "here, unlike in the paper, nearer tasks are not judged better"
    else:
        meaning = "here distance alone says little"
    return f"The rank correlation of distance with this height is {numbers}: {meaning}."


def robustness_section(document: Document) -> Parts:
    """Show how often the pick changes when the meaning does not."""
    rows = [
        {"name": PERTURBATIONS.get(name, name), "x": share, "text": PERCENT.value(share),
         "style": OURS}
        for name, share in document["changed"].items()
        if share is not None
    ]  # fmt: skip
    words = [
        f"{count(document['n_prompts'], 'prompt')} were asked again with changes that leave their "
        f"meaning alone. The pick changed in {PERCENT.value(document['changed_mean'])} of cases."
    ]
    figure = Figure(
        "robustness-changes",
        "How often the pick changes",
        ["Zero would be best; a model that is nearly as good may take the place of another."],
        [made.protocol_table(document)],
        named_chart("Picks that change", "percent", rows, 0.0),
    )
    return words, [figure]
