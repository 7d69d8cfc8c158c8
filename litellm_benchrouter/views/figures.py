"""The figures of an evaluation: each chart as data, its words, and the tables behind it."""

from __future__ import annotations

from typing import Any

from litellm_benchrouter.views import PERCENT, count, listed, number
from litellm_benchrouter.views import tables as made
from litellm_benchrouter.views.charts import (
    ANSWERS,
    BMA,
    METHOD,
    OURS,
    SINGLE,
    Axis,
    Chart,
    Figure,
    Parts,
    Row,
    line,
    line_styles,
    metric_axis,
    named_chart,
)
from litellm_benchrouter.views.evaluation import task_gain
from litellm_benchrouter.views.protocols import (
    NEEDS_ANSWERS,
    Document,
    best_single,
    in_a_sentence,
    metric_of,
    name_of,
    ours,
)

_MOST_TASKS = 40
_TINY = 1e-9


def task_section(document: Document) -> Parts:
    protocol = document["protocol"]
    held_out = {"family": "family of tasks", "fold": "hundredth of the tasks"}.get(
        protocol.get("held_out", ""), "task"
    )
    words = [
        f"Each {held_out} in turn was treated as new. The router saw its questions and none of its "
        f"answers, and chose one model for all of it."
    ]
    figures = [_accuracies(document)]
    if protocol["name"] == "task":
        figures.append(_strips(document))
    if document.get("reliability"):
        figures.append(_reliability(document))
    return words, figures


def _accuracies(document: Document) -> Figure:
    methods, bma = document["methods"], document["methods"]["bma"]["accuracy"]
    rows = [
        _row(name, row["accuracy"], row["gain_over_tasks_95"], bma, document)
        for name, row in methods.items()
        if row["accuracy"] is not None
    ]
    rows += [
        _row(name, row["accuracy"], None, bma, document)
        for name, row in document["baselines"].items()
        if name != "random" and row["accuracy"] is not None
    ]
    errors = {name: PERCENT.bare(error) for name, error in document["mae"].items()}
    off = listed(f"{error} points ({name_of(name)})" for name, error in errors.items())
    return Figure(
        f"{document['protocol']['name']}-methods",
        "Which method gets most questions right",
        [
            "Accuracy, averaged over tasks. The bar is the 95 % interval of the difference from "
            f"BMA, which is {best_single(document)}: where it crosses the dashed line, the method "
            "is not proven to differ.",
            f"The predictions behind S1 to S3 are right in "
            f"{PERCENT.value(document['predictor_accuracy'])} of cases on a task that they have "
            f"not seen; estimates of that share are off by {off} on average.",
        ],
        [made.protocol_table(document)],
        named_chart(Axis("Accuracy", "percent"), sorted(rows, key=lambda row: -row["x"]), bma),
    )


def _row(name: str, value: float, gain: Any, bma: float, document: Document) -> dict[str, Any]:
    """Return a method's row, its bounds those of its difference from BMA."""
    unit = metric_of(document)[2]
    bounds = gain if gain and gain[0] is not None and name != "bma" else None
    style = OURS if name == ours(document) else BMA if name == "bma" else METHOD
    return {
        "name": name_of(name),
        "x": value,
        "text": unit.value(value) + (f" {unit.interval(bounds)}" if bounds else ""),
        "style": ANSWERS if name in NEEDS_ANSWERS else style,
        "low": bma + bounds[0] if bounds else None,
        "high": bma + bounds[1] if bounds else None,
    }


def _strips(document: Document) -> Figure:
    """Show where the pick of a method wins and loses, the worst task first."""
    method = ours(document) or "bma"
    tasks = sorted(document["tasks"], key=lambda row: (task_gain(row, method), row["task"]))
    gains = [task_gain(row, method) for row in tasks]
    won, lost = sum(gain > _TINY for gain in gains), sum(gain < -_TINY for gain in gains)
    shown, half = tasks, _MOST_TASKS // 2
    if len(tasks) > _MOST_TASKS:
        shown = [*tasks[:half], *tasks[-half:]]
    rows: list[Row] = []
    for task in shown:
        text = PERCENT.change(task_gain(task, method))
        row = {"name": task["task"], "text": text}
        values = [value for value in task["accuracy"].values() if value is not None]
        rows += [row | {"x": value, "style": SINGLE} for value in values]
        for name, style in (("bma", BMA), (method, OURS)):
            if task["method_accuracy"][name] is not None:
                rows.append(row | {"x": task["method_accuracy"][name], "style": style})
    some = f" The {half} worst and the {half} best are drawn." if shown is not tasks else ""
    return Figure(
        "task-models",
        "Where the router's pick wins and loses",
        [
            "Each line is a held-out task, each tick a model's accuracy on it, the worst task for "
            "the router first. The number is what the router gains there over BMA.",
            f"Of {count(len(tasks), 'task')}, {in_a_sentence(method)} wins {won}, loses {lost} and "
            f"is level with BMA on {len(tasks) - won - lost}.{some}",
        ],
        made.tasks_tables(document, method),
        named_chart(Axis("Accuracy", "percent"), rows),
    )


def _reliability(document: Document) -> Figure:
    """Show whether probabilities mean what they say: the served ones where they were measured."""
    default = document["methods"].get("default", {})
    series = {made.PREDICTOR: document["reliability"]}
    served = ""
    if "reliability" in default:
        series[name_of("default")] = default["reliability"]
        served = (
            f"The default router's are off by {PERCENT.bare(default['ece'])} points over all "
            f"models and by {PERCENT.bare(default['ece_of_picks'])} points over its picks. "
        )
    rows: list[Row] = []
    for name, bins in series.items():
        rows += line(name, ((row["probability"], row["frequency"]) for row in bins))
    styles = {made.PREDICTOR: "first"}
    return Figure(
        f"{document['protocol']['name']}-reliability",
        "Can the probabilities be taken at their word",
        [
            "Each mark gathers the answers that were given about the same chance of being right; "
            "its height is how many were right. On the dashed diagonal probabilities mean what "
            "they say.",
            f"{served}The correctness predictor behind S1 to S3 is off by "
            f"{PERCENT.bare(document['ece'])} points (expected calibration error "
            f"{number(document['ece'])}; Brier score {number(document['brier'])}, where guessing "
            f"one half gives 0.25).",
        ],
        [made.reliability_table(series)],
        Chart(
            Axis("Predicted", "percent", domain=(0.0, 1.0)),
            Axis("Were right", "percent", domain=(0.0, 1.0)),
            rows,
            {name: styles.get(name, OURS) for name in series},
            diagonal=True,
        ),
    )


def request_section(document: Document) -> Parts:
    protocol, (metric, what, _) = document["protocol"], metric_of(document)
    if protocol["split"] == "given":
        split = f"The source's own test part ({count(protocol['n_test'][0], 'question')})"
    else:
        asked, rest = sum(protocol["n_test"]), sum(protocol["n_train"])
        share = PERCENT.value(asked / (asked + rest), 0)
        times = count(protocol["runs"], "time")
        split = f"{share} of the questions, drawn at random {times},"
    words = [
        f"{split} played the requests; the router had the answers to all others, and chose a model "
        f"for each request. S1 asks its {protocol['k']} nearest questions alone; the default "
        "router also asks a model fitted to all of them."
    ]
    if metric != "correctness":
        words.append(f"What counts is the mean of {what}.")
    figures = [_scores(document)]
    if document.get("curve"):
        figures.append(_by_distance(document))
    if document.get("reliability"):
        figures.append(_reliability(document))
    return words, figures


def _scores(document: Document) -> Figure:
    methods, metric = document["methods"], metric_of(document)[0]
    bma = methods["bma"]["mean_score"]
    rows = [
        _row(name, row["mean_score"], row["gain_over_samples_95"], bma, document)
        for name, row in methods.items()
        if row["mean_score"] is not None and name != "random"
    ]
    half = document["baselines"]["half_split_task_oracle"]["mean_score"]
    if half is not None:
        rows.append(_row("half_split_task_oracle", half, None, bma, document))
    rows.sort(key=lambda row: -row["x"])
    singles = {m: row[metric] for m, row in document["models"].items() if row[metric] is not None}
    least = min([*(row["low"] or row["x"] for row in rows), *sorted(singles.values())[-3:]])
    shown = [value for value in singles.values() if value >= least]
    weaker = len(singles) - len(shown)
    text = f"{count(weaker, 'weaker one')} further left" if weaker else ""
    rows += [{"name": "Each single model", "x": v, "text": text, "style": SINGLE} for v in shown]
    return Figure(
        "request-methods",
        "What a pick for each request is worth",
        [
            "The bar is the 95 % interval of the difference from BMA, which is "
            f"{best_single(document)}, paired question by question: where it crosses the dashed "
            "line, nothing is proven. The oracle knows which model answers each single question; "
            "the task oracle picks one model a task.",
        ],
        [made.protocol_table(document)],
        named_chart(metric_axis(document), rows, bma),
    )


def _by_distance(document: Document) -> Figure:
    metric, curve = metric_of(document)[0], document["curve"]
    names = [name for name in (ours(document), "bma", "task_oracle") if name]
    rows = [
        row
        for name in names
        for row in line(
            name, ((at["max_distance"], at["metrics"][metric].get(name)) for at in curve)
        )
    ]
    return Figure(
        "request-distance",
        "Does it help when the benchmark holds similar questions",
        [
            "Only requests whose nearest known questions are on average no further than this "
            "(0: the same text, 1: nothing in common). On the left the benchmark holds such "
            "requests; at the right end all requests are in.",
        ],
        [made.distance_table(document)],
        Chart(
            Axis("Mean distance, at most"),
            metric_axis(document),
            rows,
            line_styles(names),
        ),
    )
