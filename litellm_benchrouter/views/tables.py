"""A table for each protocol of `benchrouter evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litellm_benchrouter.views import PERCENT, RAW, UNKNOWN, Table, number
from litellm_benchrouter.views.cost import cost_table
from litellm_benchrouter.views.evaluation import task_gain
from litellm_benchrouter.views.protocols import (
    PARTS,
    PERTURBATIONS,
    TITLES,
    WORLDS,
    Document,
    digits_of,
    heading_of,
    metric_of,
    name_of,
    ordered,
    ours,
)

PREDICTOR = "The predictor behind S1 to S3"


def protocol_table(document: Document) -> Table:
    """Return the table of a protocol's document."""
    return _TABLES[document["protocol"]["name"]](document)


def _methods(document: Document) -> Table:
    """List tables 1 to 3 of the paper, with the gain over BMA."""
    chosen, names = ours(document), ordered(document["methods"])
    rows = [
        [
            name_of(name),
            PERCENT.bare(row["accuracy"], 2),
            PERCENT.difference(row["gain"], 2),
            PERCENT.interval(row["gain_over_tasks_95"], 2),
            PERCENT.interval(row["gain_over_samples_95"], 2),
            *(number(row[key]) for key in ("ratio_to_best", "pearson", "spearman")),
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
        *("Method", "Accuracy %", "Gain, points", "95 % over tasks", "95 % over samples"),
        *("Ratio to best", "Pearson", "Spearman", "As BMA %", "Params, 10⁹"),
        *("Rank", "Tasks worse", "Worst task"),
    )
    marked = names.index(chosen) if chosen else None
    return Table(TITLES[document["protocol"]["name"]], columns, rows, marked=marked)


def tasks_tables(document: Document, method: str) -> list[Table]:
    """List each held-out task with its picks, and with every model's accuracy."""
    tasks = sorted(document["tasks"], key=lambda row: (task_gain(row, method), row["task"]))
    rows = [
        [
            row["task"],
            *(row["picks"].get(name) or "varies" for name in (method, "bma", "oracle")),
            number(row["n_samples"], 0),
            *(PERCENT.bare(row["method_accuracy"][name]) for name in (method, "bma", "oracle")),
            PERCENT.difference(task_gain(row, method)),
            number(row["u"]),
        ]
        for row in tasks
    ]
    columns = (
        *("Task", "Pick", "BMA's pick", "Best model", "Questions", "Pick %", "BMA %"),
        *("Oracle %", "Gain, points", "Distance u"),
    )
    models = document["protocol"]["models"]
    matrix = [
        [row["task"], *(PERCENT.bare(row["accuracy"][model], 0) for model in models)]
        for row in tasks
    ]
    return [
        Table("Task by task", columns, rows, n_text=4),
        Table("Accuracy of each model on each task, in percent", ("Task", *models), matrix),
    ]


def _request(document: Document) -> Table:
    """List table 4 of the paper: every metric, the model calls, and the gain over BMA."""
    metric, _, unit = metric_of(document)
    methods, singles = document["methods"], document["models"]
    metrics, names, chosen = _distinct(document), ordered(methods), ours(document)
    digits = digits_of(metric)

    def values(row: dict[str, Any]) -> list[str]:
        return [
            (PERCENT if m == "correctness" else RAW).bare(row[m], digits_of(m)) for m in metrics
        ]

    rows = [
        [
            name_of(name),
            *values(row["metrics"]),
            unit.difference(row["gain"], digits),
            unit.interval(row["gain_over_samples_95"], digits),
            unit.interval(row["gain_over_runs_95"], digits),
            number(row["calls_per_request"], 0),
            PERCENT.bare(row["bma_share"], 0),
            number(row["params_b"], 1),
            number(row["missing"], 0),
        ]
        for name, row in ((name, methods[name]) for name in names)
    ]
    bma = methods["bma"]["mean_score"]
    for name, row in document["baselines"].items():
        score = row["mean_score"]
        gain = None if score is None or bma is None else score - bma
        blank = [""] * (len(metrics) - 1)
        rows.append(
            [name_of(name), unit.bare(score, digits), *blank, unit.difference(gain, digits)]
        )
    ranked = sorted(singles, key=lambda model: -(singles[model][metric] or 0.0))
    rows += [[model, *values(singles[model])] for model in ranked]
    columns = (
        "Method or model",
        *(heading_of(m) for m in metrics),
        f"Gain, {unit.gain}" if unit.gain else "Gain",
        *("95 % over samples", "95 % over runs", "Calls a request", "As BMA %"),
        *("Params, 10⁹", "Missing"),
    )
    rows = [row + [""] * (len(columns) - len(row)) for row in rows]
    marked = names.index(chosen) if chosen else None
    return Table(TITLES["request"], columns, rows, marked=marked)


def distance_table(document: Document) -> Table:
    """List the metric by distance to the nearest known questions (figure 7)."""
    metric, _, unit = metric_of(document)
    curve = document["curve"]
    names = ordered(name for name in curve[0]["metrics"][metric] if name in document["methods"])
    rows = [
        [
            number(row["max_distance"]),
            PERCENT.bare(row["share"], 0),
            *(unit.bare(row["metrics"][metric][name], digits_of(metric)) for name in names),
        ]
        for row in curve
    ]
    columns = ("Distance up to", "Requests %", *(name_of(name) for name in names))
    return Table("By distance", columns, rows, n_text=0)


def reliability_table(series: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """List predicted against observed shares of right answers, of each kind of probabilities."""
    rows = [
        [
            name,
            PERCENT.bare(row["probability"]),
            PERCENT.bare(row["frequency"]),
            number(row["count"], 0),
        ]
        for name, bins in series.items()
        for row in bins
    ]
    return Table(
        "Reliability", ("Probabilities of", "Predicted %", "Were right %", "Answers"), rows
    )


def _few_labels(document: Document) -> Table:
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
    return Table(TITLES["few-labels"], columns, rows)


def _traffic(document: Document) -> Table:
    rows = [
        [
            name_of(name),
            n,
            PERCENT.difference(row["gain"], 2),
            PERCENT.interval(row["gain_over_splits_95"], 2),
            PERCENT.difference(min((g for g in row["by_split"] if g is not None), default=None), 2),
            UNKNOWN,
        ]
        for name in ordered(document["methods"])
        for n, row in document["methods"][name].items()
    ]
    rows += [
        ["Cost weighed by labels", n, PERCENT.difference(row["gain"], 2), UNKNOWN,
         PERCENT.difference(row["worst_gain"], 2), PERCENT.bare(row["saved"])]
        for n, row in document.get("trade_off", {}).items()
        if row is not None
    ]  # fmt: skip
    columns = ("Method", "Labels", "Gain, points", "95 % over splits", "Worst split", "Saved, %")
    return Table(TITLES["traffic"], columns, rows)


def _labels(document: Document) -> Table:
    """List figures 2, 4 and 8 of the paper as numbers."""
    names = list(document["alphas"][0]["methods"])
    rows = [
        [
            number(100 * row["alpha"], 0),
            number(row["moved"], 1),
            *(
                f"{PERCENT.bare(row['methods'][name]['accuracy'], 2)} "
                f"± {PERCENT.bare(row['methods'][name]['accuracy_sd'], 2)}"
                for name in names
            ),
            number(row["u"]),
            PERCENT.bare(row["predictor_accuracy"]),
            number(row["smoother_mae"]),
        ]
        for row in document["alphas"]
    ]
    columns = (
        *("α, %", "Questions a task", *(f"{name_of(name)} %" for name in names)),
        *("Distance u", "Predictors right %", "MAE of p"),
    )
    title = f"{TITLES['labels']}: mean accuracy ± deviation over draws"
    return Table(title, columns, rows, n_text=0)


def _distance(document: Document) -> Table:
    rows = [
        [
            name_of(name),
            *(number(row[key]) for key in ("u_min", "u_max", "pearson", "pearson_sd")),
            number(row["count"], 0),
        ]
        for name in ordered(document["methods"])
        for row in document["methods"][name]["bins"]
    ]
    columns = ("Method", "u from", "u to", "Pearson, mean", "Deviation", "Draws")
    return Table("Correlation of scores and accuracies by distance", columns, rows)


def draws_table(document: Document) -> Table:
    """List the correlation of each task and draw."""
    points = document["points"]
    names = ordered(points["pearson"])
    draws = zip(points["task"], points["alpha"], points["u"], strict=True)
    rows = [
        [
            task,
            number(100 * alpha, 0),
            number(u),
            *(number(points["pearson"][name][i]) for name in names),
        ]
        for i, (task, alpha, u) in enumerate(draws)
    ]
    return Table(
        "Correlation for each task", ("Task", "Labelled %", "u", *map(name_of, names)), rows
    )


def _robustness(document: Document) -> Table:
    rows = [
        [PERTURBATIONS.get(name, name), PERCENT.bare(share), number(document["altered"][name], 0)]
        for name, share in document["changed"].items()
    ]
    columns = ("Change", "Picks changed %", "Prompts altered")
    return Table(TITLES["robustness"], columns, rows)


def _proof(document: Document) -> Table:
    shares = ("served", "served_wrongly", "overclaimed", "coverage")
    rows = [
        [
            WORLDS[kind],
            PARTS[part],
            number(row["runs"], 0),
            *(PERCENT.bare(row[key], 0) for key in shares),
            *(PERCENT.difference(row[key], 2) for key in ("lower", "gain", "possible")),
        ]
        for kind, parts in document["worlds"].items()
        for part, row in parts.items()
    ]
    columns = (
        *("World", "Part", "Worlds", "Not BMA %", "Wrongly %", "Claims too much %"),
        *("Bound holds %", "Claimed, points", "True gain", "Possible"),
    )
    return Table(TITLES["proof"], columns, rows, n_text=2)


def _distinct(document: Document) -> list[str]:
    """Return the metrics that differ from those before: 0/1 scores repeat the correctness."""
    metric = document["protocol"]["metric"]
    rows = [row["metrics"] for row in document["methods"].values()]
    rows += list(document["models"].values())
    distinct: list[str] = []
    for name in sorted(rows[0], key=lambda name: name != metric):
        if not any(all(_same(row[name], row[other]) for row in rows) for other in distinct):
            distinct.append(name)
    return distinct


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and abs(a - b) < 1e-9)


_TABLES: dict[str, Callable[[Document], Table]] = {
    "task": _methods,
    "mlp": _methods,
    "request": _request,
    "cost": cost_table,
    "few-labels": _few_labels,
    "labels": _labels,
    "distance": _distance,
    "robustness": _robustness,
    "proof": _proof,
    "traffic": _traffic,
}
