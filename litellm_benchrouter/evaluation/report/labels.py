"""The section of the protocol `labels`: what a few labelled questions of the new task are worth."""

from __future__ import annotations

from litellm_benchrouter.evaluation.report.chart import Plot, Point, Series, percent_axis
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Section, Table
from litellm_benchrouter.evaluation.report.words import PERCENT, name_of, number

_TITLE = "When part of the new task is labelled"
_STYLES = {
    "default": "ours",
    "s1": "s1",
    "s2": "s2",
    "s3": "s3",
    "s3_true_p": "other",
    "bma": "bma",
    "oracle": "oracle",
    "reference": "model",
}


def labels_section(document: Document) -> Section:
    """Show how accuracy grows with labelled questions of the new task."""
    protocol = document["protocol"]
    words = [
        f"Some questions of the new task were answered by every model, graded, and added to what "
        f"the router knows: a share of the task, at most {protocol['max_moved']} questions, drawn "
        f"{protocol['repeats']} times. What is left of the task is what counts."
    ]
    reference = document.get("reference")
    if reference:
        words.append(
            f"“{name_of('reference')}” is the best single model on average of the whole pool: "
            f"{', '.join(reference['models'])}."
        )
    return Section("labels", _TITLE, words, [_figure(document)])


def labels_table(document: Document) -> Table:
    """Figures 2, 4 and 8 of the paper as numbers."""
    rows = [
        [
            number(100 * row["alpha"], 0),
            number(row["moved"], 1),
            *(
                f"{PERCENT.bare(row['methods'][name]['accuracy'], 2)} "
                f"± {PERCENT.bare(row['methods'][name]['accuracy_sd'], 2)}"
                for name in row["methods"]
            ),
            number(row["u"], 3),
            PERCENT.bare(row["predictor_accuracy"]),
            number(row["smoother_mae"], 3),
        ]
        for row in document["alphas"]
    ]
    names = [name_of(name) for name in document["alphas"][0]["methods"]]
    columns = (
        "α, %",
        "Questions a task",
        *(f"{name} %" for name in names),
        "Distance u",
        "Predictors right %",
        "MAE of p",
    )
    return Table(f"{_TITLE}: mean accuracy ± deviation over draws", columns, rows, n_text=0)


def _figure(document: Document) -> Figure:
    series = []
    for name, style in _STYLES.items():
        points = [
            Point(
                row["alpha"],
                found["accuracy"],
                f"{name_of(name)}: {PERCENT.value(found['accuracy'])} "
                f"± {PERCENT.bare(found['accuracy_sd'])} with {row['moved']:.0f} questions a task",
                found["accuracy"] - (found["accuracy_sd"] or 0.0),
                found["accuracy"] + (found["accuracy_sd"] or 0.0),
                size=3.0,
            )
            for row in document["alphas"]
            if (found := row["methods"].get(name)) and found["accuracy"] is not None
        ]
        if points:
            series.append(Series(name_of(name), style, points, line=True, band=True))
    every = [p for one in series for p in one.points]
    return Figure(
        "labels-curve",
        "How much a few labelled questions help",
        [
            "Accuracy against the share of the new task that was labelled; the band is one "
            "standard deviation over draws. At the left end, nothing is known of the new task.",
        ],
        (labels_table(document),),
        Plot(
            "Accuracy by share of labelled questions",
            percent_axis("Share of the task that is labelled", [p.x for p in every]),
            percent_axis("Accuracy", [y for p in every for y in (p.low, p.y, p.high) if y]),
            series,
            height=340.0,
        ),
        legend=[one.key for one in series],
    )
