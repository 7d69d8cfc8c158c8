"""The section of the protocol `distance`: are scores better where the new task is near?"""

from __future__ import annotations

from litellm_benchrouter.evaluation.report.chart import Axis, Plot, Point, Series, axis
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Section, Table
from litellm_benchrouter.evaluation.report.words import listed, name_of, number, ordered

_TITLE = "When to trust the router: near and far tasks"
_STYLES = {"default": "ours", "s1": "s1", "s2": "s2", "s3": "s3"}
_DOTTED = ("default", "s3", "s1")  # the first of these that was run shows its single points


def distance_section(document: Document) -> Section:
    """Show the distance u against the correlation of scores and accuracies."""
    words = [
        "The distance u of a task is how far its questions lie on average from the nearest ones "
        "of the benchmark (0: the same texts, 1: nothing in common). Labelled questions of a task "
        "bring it nearer, so each task was measured at several distances.",
    ]
    return Section("distance", _TITLE, words, [_figure(document)])


def distance_table(document: Document) -> Table:
    """Mean correlation by distance, in bins of equally many draws."""
    rows = [
        [
            name_of(name),
            number(row["u_min"], 3),
            number(row["u_max"], 3),
            number(row["pearson"], 3),
            number(row["pearson_sd"], 3),
            number(row["count"], 0),
        ]
        for name in ordered(document["methods"])
        for row in document["methods"][name]["bins"]
    ]
    columns = ("Method", "u from", "u to", "Pearson, mean", "Deviation", "Draws")
    return Table("Correlation of scores and accuracies by distance", columns, rows)


def _figure(document: Document) -> Figure:
    methods, points = document["methods"], document["points"]
    dotted = next((name for name in _DOTTED if name in methods), None)
    single = [
        Point(
            u, r, f"{task}, {100 * alpha:.0f} % labelled: u {u:.3f}, correlation {r:.3f}", size=1.8
        )
        for task, alpha, u, r in zip(
            points["task"],
            points["alpha"],
            points["u"],
            points["pearson"].get(dotted, []),
            strict=False,
        )
        if u is not None and r is not None
    ]
    series = [Series(f"a task, {name_of(dotted or '')}", "single", single)]
    for name in ordered(set(methods) & set(_STYLES)):
        means = [
            Point(
                row["u"],
                row["pearson"],
                f"{name_of(name)}: {row['pearson']:.3f} for u from {row['u_min']:.3f} to "
                f"{row['u_max']:.3f}",
            )
            for row in methods[name]["bins"]
        ]
        series.append(Series(f"{name_of(name)}, mean", _STYLES[name], means, line=True))
    every = [p for one in series for p in one.points]
    return Figure(
        "distance-correlation",
        "Are near tasks judged better",
        [
            "Height is how well a score orders the models of a new task (correlation with their "
            "true accuracies: 1 is perfect, 0 is chance, below 0 is upside down).",
            _trend(document),
        ],
        (distance_table(document), _points_table(document)),
        Plot(
            "Correlation of scores and accuracies by distance",
            axis("Distance u of the task", [p.x for p in every]),
            _correlations([p.y for p in every]),
            series,
            height=340.0,
        ),
        legend=[one.key for one in series],
    )


def _trend(document: Document) -> str:
    found = {
        name_of(name): document["methods"][name]["spearman"]
        for name in ordered(document["methods"])
        if name in _STYLES and document["methods"][name]["spearman"] is not None
    }
    if not found:
        return "There are too few draws to say whether nearer tasks are judged better."
    numbers = listed(f"{number(value, 2)} for {name}" for name, value in found.items())
    if all(value < 0 for value in found.values()):
        meaning = "nearer tasks are judged better, as in the paper"
    elif all(value > 0 for value in found.values()):
        meaning = "here, unlike in the paper, nearer tasks are not judged better"
    else:
        meaning = "here distance alone says little"
    return f"The rank correlation of distance with this height is {numbers}: {meaning}."


def _correlations(values: list[float]) -> Axis:
    """Return an axis that ends at 1, above which no correlation lies."""
    made = axis("Correlation", values)
    return axis("Correlation", values, low=made.low, high=1.03) if made.high > 1 else made


def _points_table(document: Document) -> Table:
    points = document["points"]
    names = ordered(points["pearson"])
    columns = ("Task", "Labelled %", "u", *(name_of(name) for name in names))
    rows = [
        [
            task,
            number(100 * alpha, 0),
            number(u, 3),
            *(number(points["pearson"][name][i], 3) for name in names),
        ]
        for i, (task, alpha, u) in enumerate(
            zip(points["task"], points["alpha"], points["u"], strict=True)
        )
    ]
    return Table("Correlation for each task", columns, rows)
