"""The section of the protocol `few-labels`: what a handful of labelled questions buys."""

from __future__ import annotations

from litellm_benchrouter.evaluation.report.chart import Axis, Plot, Point, Series, axis
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Section, Table
from litellm_benchrouter.evaluation.report.words import (
    PERCENT,
    count,
    name_of,
    number,
    ordered,
    signed,
)

_TITLE = "With a handful of labelled questions"
_STYLES = {"default": "ours", "raw": "s1", "beta20": "s2"}


def few_labels_section(document: Document) -> Section:
    """Show the gain over BMA by the number of labelled questions."""
    draws = count(document["protocol"]["draws"], "time")
    words = [
        f"A few questions of each new task, drawn {draws}, were answered by every model and "
        "graded; one model was then picked for the rest of it."
    ]
    return Section("few-labels", _TITLE, words, [_figure(document)])


def few_labels_table(document: Document) -> Table:
    """Each method at each number of labels."""
    rows = [
        [
            name_of(name),
            number(labels, 0),
            PERCENT.difference(row["gain"], 2),
            PERCENT.interval(row["gain_over_tasks_95"], 2),
            number(row["tasks_worse"], 0),
            PERCENT.difference(row["worst_task_gain"], 2),
        ]
        for name in ordered(document["methods"])
        for labels, row in zip(document["n_labels"], document["methods"][name], strict=True)
    ]
    columns = ("Method", "Labels", "Gain, points", "95 % over tasks", "Tasks worse", "Worst task")
    return Table(_TITLE, columns, rows)


def _figure(document: Document) -> Figure:
    series = []
    for name in ordered(document["methods"]):
        points = []
        for labels, row in zip(document["n_labels"], document["methods"][name], strict=True):
            if row["gain"] is not None:
                low, high = row["gain_over_tasks_95"]
                text = f"{name_of(name)}, {count(labels, 'label')}: " + PERCENT.difference(
                    row["gain"]
                )
                points.append(Point(labels, row["gain"], text, low, high))
        style = _STYLES.get(name, "other")
        series.append(Series(name_of(name), style, points, line=True, band=style == "ours"))
    every = [p for one in series for p in one.points]
    heights = [y for p in every for y in (p.low, p.y, p.high) if y is not None]
    made = axis("Points above BMA", [0.0, *heights])
    return Figure(
        "few-labels-gain",
        "What each labelled question buys",
        [
            "Points of accuracy gained over BMA, averaged over tasks; the band is the default "
            "router's 95 % interval over tasks. Above zero, labelling paid.",
        ],
        (few_labels_table(document),),
        Plot(
            "Gain over BMA by labelled questions",
            axis("Labelled questions", [p.x for p in every], log=True),
            Axis(made.label, made.low, made.high, lambda value: signed(100 * value, 0)),
            series,
        ),
        legend=[one.key for one in series],
    )
