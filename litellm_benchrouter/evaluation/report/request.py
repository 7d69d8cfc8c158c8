"""The section of the protocol `request`: a model for each request, on its own."""

from __future__ import annotations

from collections.abc import Sequence

from litellm_benchrouter.evaluation.report.chart import (
    Axis,
    Key,
    Plot,
    Point,
    Ranking,
    Row,
    Series,
    axis,
    percent_axis,
)
from litellm_benchrouter.evaluation.report.parts import (
    Document,
    Figure,
    Section,
    Table,
    ours,
)
from litellm_benchrouter.evaluation.report.task import METHOD_KEYS, reliability_figure, style_of
from litellm_benchrouter.evaluation.report.words import (
    PERCENT,
    RAW,
    Unit,
    count,
    name_of,
    number,
    ordered,
)

_BEST_SHOWN = 3  # single models that the axis reaches to at least

_TITLE = "On requests like those in the benchmark"


def request_section(document: Document) -> Section:
    """Show what routing each request on its own does, on samples like those known."""
    protocol = document["protocol"]
    if protocol["split"] == "given":
        split = f"The source's own test part ({count(protocol['n_test'][0], 'question')})"
    else:
        asked, known = sum(protocol["n_test"]), sum(protocol["n_train"])
        split = (
            f"{PERCENT.value(asked / (asked + known), 0)} of the questions, drawn at random "
            f"{count(protocol['runs'], 'time')},"
        )
    words = [
        f"{split} played the requests; the router knew the answers to all others, and chose one of "
        f"{len(protocol['models'])} models for each request by its {protocol['k']} nearest "
        f"questions."
    ]
    if protocol["metric"] != "correctness":
        words.append(f"What counts is the mean of {metric_name(protocol['metric'])}.")
    figures = [_methods_figure(document)]
    if document.get("curve"):
        figures.append(_distance_figure(document))
    if document.get("reliability"):
        figures.append(reliability_figure(document, "request"))
    return Section("request", _TITLE, words, figures)


def unit_of(metric: str) -> Unit:
    """Return how values of a metric are written."""
    return PERCENT if metric == "correctness" else RAW


def metric_name(metric: str) -> str:
    """Return how a metric is called."""
    return "accuracy" if metric == "correctness" else metric.removeprefix("metric:")


def request_table(document: Document) -> Table:
    """Table 4 of the paper: every metric, the model calls, and the gain over BMA."""
    metric, methods = document["protocol"]["metric"], document["methods"]
    metrics, names = _distinct(document), ordered(methods)
    unit = unit_of(metric)
    rows = [
        [
            name_of(name).removeprefix("ranker:"),
            *(unit_of(m).bare(row["metrics"][m], _digits(m)) for m in metrics),
            unit.difference(row["gain"], _digits(metric)),
            unit.interval(row["gain_over_samples_95"], _digits(metric)),
            unit.interval(row["gain_over_runs_95"], _digits(metric)),
            number(row["calls_per_request"], 0),
            PERCENT.bare(row["bma_share"], 0),
            number(row["params_b"], 1),
            number(row["missing"], 0),
        ]
        for name, row in ((name, methods[name]) for name in names)
    ]
    for name, row in document["baselines"].items():
        gain = _above(row["mean_score"], methods["bma"]["mean_score"])
        rows.append([name_of(name), *("" for _ in metrics), unit.difference(gain, _digits(metric))])
        rows[-1][1] = unit.bare(row["mean_score"], _digits(metric))
        rows[-1] += [""] * (len(rows[0]) - len(rows[-1]))
    singles = document["models"]
    for model in sorted(singles, key=lambda name: -(singles[name][metric] or 0.0)):
        values = singles[model]
        rows.append([model, *(unit_of(m).bare(values[m], _digits(m)) for m in metrics)])
        rows[-1] += [""] * (len(rows[0]) - len(rows[-1]))
    chosen = ours(document, "s1")
    columns = (
        "Method or model",
        *(heading_of(m) for m in metrics),
        f"Gain, {unit.gain}" if unit.gain else "Gain",
        "95 % over samples",
        "95 % over runs",
        "Calls a request",
        "As BMA %",
        "Params, 10⁹",
        "Missing",
    )
    marked = names.index(chosen) if chosen else None
    return Table(_TITLE, columns, rows, marked=marked)


def _methods_figure(document: Document) -> Figure:
    chosen, methods = ours(document, "s1"), document["methods"]
    metric = document["protocol"]["metric"]
    unit = unit_of(metric)
    bma = methods["bma"]["mean_score"]
    rows = []
    for name, row in methods.items():
        if row["mean_score"] is None or name == "random":
            continue
        low, high = row["gain_over_samples_95"]
        within = low is not None and name != "bma"
        interval = f" {unit.interval((low, high))}" if within else ""
        rows.append(
            Row(
                name_of(name).removeprefix("ranker:"),
                row["mean_score"],
                unit.value(row["mean_score"]) + interval,
                style_of(name, chosen),
                bma + low if within else None,
                bma + high if within else None,
            )
        )
    half = document["baselines"]["half_split_task_oracle"]["mean_score"]
    if half is not None:
        name = "half_split_task_oracle"
        rows.append(Row(name_of(name), half, unit.value(half), style_of(name, chosen)))
    rows.sort(key=lambda row: -row.value)
    values = [x for row in rows for x in (row.value, row.low, row.high) if x is not None]
    singles = [row[metric] for row in document["models"].values() if row[metric] is not None]
    scale = axis_of(metric, values + sorted(singles)[-_BEST_SHOWN:])
    rows.append(_models_row(document, scale, unit))
    return Figure(
        "request-methods",
        "What a pick for each request is worth",
        [
            "The bar is the 95 % interval of the difference from BMA, paired question by question: "
            "where it crosses the dashed line, nothing is proven. The oracle knows which model "
            "answers each single question; the task oracle picks one model a task.",
        ],
        (request_table(document),),
        Ranking(f"{heading_of(metric)} by method", scale, rows, reference=bma),
        legend=(*METHOD_KEYS, Key("square", "model", "a single model")),
    )


def _models_row(document: Document, scale: Axis, unit: Unit) -> Row:
    metric = document["protocol"]["metric"]
    found = {model: values[metric] for model, values in document["models"].items()}
    numbers = {model: value for model, value in found.items() if value is not None}
    shown = {model: value for model, value in numbers.items() if scale.low <= value <= scale.high}
    outside = len(numbers) - len(shown)
    return Row(
        "Each single model",
        max(numbers.values(), default=scale.low),
        f"{count(outside, 'weaker one')} further left" if outside else "",
        "model",
        dots=[Point(value, 0.0, f"{model}: {unit.value(value)}") for model, value in shown.items()],
    )


def _distance_figure(document: Document) -> Figure:
    curve, metric = document["curve"], document["protocol"]["metric"]
    unit = unit_of(metric)
    chosen = ours(document, "s1") or "s1"
    styles = {chosen: "ours", "bma": "bma", "task_oracle": "oracle"}
    series = []
    for name, style in styles.items():
        points = [
            Point(
                row["max_distance"],
                row["metrics"][metric][name],
                f"{name_of(name)}: {unit.value(row['metrics'][metric][name])} on the nearest "
                f"{PERCENT.value(row['share'], 0)} of requests",
                size=3.0,
            )
            for row in curve
            if row["metrics"][metric].get(name) is not None
        ]
        series.append(Series(name_of(name), style, points, line=True))
    named = ordered(name for name in curve[0]["metrics"][metric] if name in document["methods"])
    table = Table(
        "By distance",
        ("Distance up to", "Requests %", *(name_of(n).removeprefix("ranker:") for n in named)),
        [
            [
                number(row["max_distance"], 3),
                PERCENT.bare(row["share"], 0),
                *(unit.bare(row["metrics"][metric][n], _digits(metric)) for n in named),
            ]
            for row in curve
        ],
        n_text=0,
    )
    every = [point for one in series for point in one.points]
    return Figure(
        "request-distance",
        "Does it help when the benchmark holds similar questions",
        [
            "Only requests whose nearest known questions are on average no further than this "
            "(0: the same text, 1: nothing in common). On the left the benchmark knows such "
            "requests well; at the right end all requests are in.",
        ],
        (table,),
        Plot(
            f"{heading_of(metric)} by distance to the nearest known questions",
            axis("Mean distance to the nearest questions, at most", [p.x for p in every]),
            axis_of(metric, [p.y for p in every]),
            series,
        ),
        legend=[one.key for one in series],
    )


def axis_of(metric: str, values: Sequence[float]) -> Axis:
    """Return an axis for a metric's values."""
    if metric == "correctness":
        return percent_axis("Accuracy", values)
    return axis(metric_name(metric), values)


def _distinct(document: Document) -> list[str]:
    """Return the metrics that differ from those before: 0/1 scores repeat the correctness."""
    metric = document["protocol"]["metric"]
    rows = [row["metrics"] for row in document["methods"].values()]
    rows += list(document["models"].values())
    names = sorted(rows[0], key=lambda name: name != metric)
    kept: list[str] = []
    for name in names:
        if not any(all(_same(row[name], row[other]) for row in rows) for other in kept):
            kept.append(name)
    return kept


def _above(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and abs(a - b) < 1e-9)


def heading_of(metric: str) -> str:
    """Return how a column or an axis of a metric is headed."""
    return "Accuracy %" if metric == "correctness" else metric_name(metric)


def _digits(metric: str) -> int:
    return 2 if metric == "correctness" else 4
