"""The section of the protocols `task` and `mlp`: each task in turn was the new one."""

from __future__ import annotations

from collections.abc import Mapping

from litellm_benchrouter.evaluation.report.chart import (
    Key,
    Plot,
    Point,
    Ranking,
    Row,
    Series,
    percent_axis,
)
from litellm_benchrouter.evaluation.report.heatmap import heatmap_figure
from litellm_benchrouter.evaluation.report.parts import (
    Document,
    Figure,
    Section,
    Table,
    ours,
)
from litellm_benchrouter.evaluation.report.words import (
    NEEDS_ANSWERS,
    PERCENT,
    count,
    listed,
    name_of,
    number,
    ordered,
)

_HELD_OUT = {"task": "task", "family": "family of tasks"}
_TITLES = {
    "task": "On a new task",
    "mlp": "On a new task, with a neural network as predictor",
}


def task_section(document: Document) -> Section:
    """Show what the router does on tasks whose answers it has not seen."""
    protocol = document["protocol"]
    name = protocol["name"]
    held_out = _HELD_OUT.get(protocol.get("held_out", "task"), "task")
    words = [
        f"Each {held_out} in turn was treated as new. The router saw its questions and none of its "
        f"answers, and chose one of {len(protocol['models'])} models for all of it. "
        f"{count(protocol['n_samples'], 'question')} of {count(protocol['n_tasks'], 'task')}."
    ]
    figures = [methods_figure(document)]
    if name == "task":
        figures.append(heatmap_figure(document, ours(document, "s3") or "bma"))
    if document.get("reliability"):
        figures.append(reliability_figure(document, name))
    return Section(name, _TITLES.get(name, name), words, figures)


def methods_table(document: Document) -> Table:
    """Tables 1 to 3 of the paper, with the gain over BMA."""
    chosen, names = ours(document, "s3"), ordered(document["methods"])
    rows = [
        [
            name_of(name),
            PERCENT.bare(row["accuracy"], 2),
            PERCENT.difference(row["gain"], 2),
            PERCENT.interval(row["gain_over_tasks_95"], 2),
            PERCENT.interval(row["gain_over_samples_95"], 2),
            number(row["ratio_to_best"], 3),
            number(row["pearson"], 3),
            number(row["spearman"], 3),
            PERCENT.bare(row["bma_share"], 0),
            number(row["params_b"], 1),
            number(row["rank"], 2),
            number(row["tasks_worse"], 0),
            PERCENT.difference(row["worst_task_gain"], 2),
        ]
        for name, row in ((name, document["methods"][name]) for name in names)
    ]
    bma = document["methods"]["bma"]["accuracy"]
    for name, row in document["baselines"].items():
        gain = row["accuracy"] - bma if row["accuracy"] is not None else None
        text = [name_of(name), PERCENT.bare(row["accuracy"], 2), PERCENT.difference(gain, 2)]
        rows.append(text + [""] * (len(rows[0]) - len(text)))
    columns = (
        "Method",
        "Accuracy %",
        "Gain, points",
        "95 % over tasks",
        "95 % over samples",
        "Ratio to best",
        "Pearson",
        "Spearman",
        "As BMA %",
        "Params, 10⁹",
        "Rank",
        "Tasks worse",
        "Worst task",
    )
    marked = names.index(chosen) if chosen else None
    return Table(_TITLES[document["protocol"]["name"]], columns, rows, marked=marked)


def methods_figure(document: Document) -> Figure:
    """Accuracy by method, with the interval of its difference from BMA."""
    chosen, methods = ours(document, "s3"), document["methods"]
    bma = methods["bma"]["accuracy"]
    rows = []
    for name, row in methods.items():
        if row["accuracy"] is None:
            continue
        low, high = row["gain_over_tasks_95"]
        within = low is not None and name != "bma"
        interval = f" {PERCENT.interval((low, high))}" if within else ""
        rows.append(
            Row(
                name_of(name),
                row["accuracy"],
                f"{PERCENT.value(row['accuracy'])}{interval}",
                style_of(name, chosen),
                bma + low if within else None,
                bma + high if within else None,
            )
        )
    for name in ("half_split_oracle", "fixed_best_in_hindsight"):
        value = document["baselines"].get(name, {}).get("accuracy")
        if value is not None:
            rows.append(Row(name_of(name), value, PERCENT.value(value), style_of(name, chosen)))
    rows.sort(key=lambda row: -row.value)
    values = [x for row in rows for x in (row.value, row.low, row.high) if x is not None]
    protocol = document["protocol"]["name"]
    return Figure(
        f"{protocol}-methods",
        "Which method gets most questions right",
        [
            "Accuracy, averaged over tasks. The bar is the 95 % interval of the difference from "
            "BMA: where it crosses the dashed line, the method is not proven to differ from the "
            "best single model.",
            f"The predictions behind S1 to S3 are right in "
            f"{PERCENT.value(document['predictor_accuracy'])} of cases on a task that they have "
            f"not seen; estimates of that share are off by {_errors(document['mae'])} on average.",
        ],
        (methods_table(document),),
        Ranking("Accuracy by method", percent_axis("Accuracy", values), rows, reference=bma),
        legend=METHOD_KEYS,
    )


def _errors(mae: Mapping[str, float | None]) -> str:
    points = {name: PERCENT.bare(error) for name, error in mae.items()}
    if len(points) == 1:
        return f"{next(iter(points.values()))} points"
    return listed(f"{error} points ({name_of(name)})" for name, error in points.items())


METHOD_KEYS = (
    Key("circle", "ours", "what the verdict is about"),
    Key("circle", "method", "other methods"),
    Key("ring", "answers", "needs the answers: for comparison only"),
    Key("line", "bma", "BMA"),
)


def style_of(method: str, chosen: str | None) -> str:
    """Return how a method is drawn in a ranking."""
    if method == chosen:
        return "ours"
    if method == "bma":
        return "bma"
    return "answers" if method in NEEDS_ANSWERS else "method"


def reliability_figure(document: Document, section: str) -> Figure:
    """Predicted against observed share of right answers."""
    rows = document["reliability"]
    most = max(row["count"] for row in rows)
    points = [
        Point(
            row["probability"],
            row["frequency"],
            f"predicted {PERCENT.value(row['probability'])}, were right "
            f"{PERCENT.value(row['frequency'])} ({row['count']:,.0f} answers)",
            size=3.0 + 5.0 * (row["count"] / most) ** 0.5,
        )
        for row in rows
    ]
    gap = document["ece"]
    table = Table(
        "Reliability",
        ("Predicted %", "Were right %", "Answers"),
        [
            [
                PERCENT.bare(row["probability"]),
                PERCENT.bare(row["frequency"]),
                number(row["count"], 0),
            ]
            for row in rows
        ],
        n_text=0,
    )
    return Figure(
        f"{section}-reliability",
        "Can the predictions be taken at their word",
        [
            "Each dot gathers the answers for which the router predicted about the same chance of "
            "being right; its height is how many were right. On the dashed diagonal predictions "
            "mean what they say; a larger dot holds more answers.",
            f"On average they are off by {PERCENT.difference(gap).lstrip('+')} points (expected "
            f"calibration error {number(gap, 3)}; Brier score {number(document['brier'], 3)}, "
            f"where guessing one half gives 0.25).",
        ],
        (table,),
        Plot(
            "Share of right answers, predicted and observed",
            percent_axis("Predicted", [], low=-0.03, high=1.03),
            percent_axis("Were right", [], low=-0.03, high=1.03),
            [Series("predictors", "ours", points, line=True)],
            diagonal=True,
        ),
    )
