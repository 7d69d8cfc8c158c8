"""Figures of labelled questions, of distance and of robustness."""

from __future__ import annotations

from collections.abc import Sequence

from litellm_benchrouter.views import PERCENT, count, listed, number
from litellm_benchrouter.views import tables as made
from litellm_benchrouter.views.charts import (
    OURS,
    Axis,
    Chart,
    Figure,
    Parts,
    line,
    line_styles,
    named_chart,
)
from litellm_benchrouter.views.protocols import (
    PARTS,
    PERTURBATIONS,
    WORLDS,
    Document,
    name_of,
    ordered,
    ours,
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


def traffic_section(document: Document) -> Parts:
    """Show the gain over BMA by the number of labelled prompts of the traffic."""
    protocol, methods = document["protocol"], document["methods"]
    rows = []
    for name in ordered(methods):
        points = [(int(n), row) for n, row in methods[name].items() if row["gain"] is not None]
        bounded = ours(document) == name
        rows += line(
            name,
            (
                (n, row["gain"], *(row["gain_over_splits_95"] if bounded else ()))
                for n, row in points
            ),
        )
    figure = Figure(
        "traffic-gain",
        "What labels of your own traffic buy",
        [
            "Points of accuracy gained over BMA, averaged over splits; the band is the default "
            "router's 95 % interval over splits. Above zero, labelling paid.",
        ],
        [made.protocol_table(document)],
        Chart(
            Axis("Labelled prompts", log=True, ticks=document["n_labels"]),
            Axis("Points above BMA", "points"),
            rows,
            line_styles(methods),
            reference=0.0,
        ),
    )
    like = "" if not protocol["share"] else f", {PERCENT.value(protocol['share'], 0)} of it like it"
    words = [
        f"Half of the tasks stood for traffic{like}, the others were the benchmark, in "
        f"{count(protocol['splits'], 'random split')}. Prompts of the traffic, drawn at random, "
        "were answered and graded; a model was then picked for each of the others."
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
        named_chart(Axis("Picks that change", "percent"), rows, 0.0),
    )
    return words, [figure]


def proof_section(document: Document) -> Parts:
    """Show how often a build would serve what loses."""
    protocol = document["protocol"]
    rows = [
        {"name": f"{PARTS[part]}: {WORLDS[kind].lower()}", "x": row["served_wrongly"],
         "text": PERCENT.value(row["served_wrongly"], 0), "style": OURS}
        for part in PARTS
        for kind, parts in document["worlds"].items()
        if (row := parts[part])["served_wrongly"] is not None
    ]  # fmt: skip
    words = [
        f"{count(protocol['runs'], 'world')} of each kind were simulated, with the benchmark's "
        f"questions, tasks and gaps and a known truth; a build decided in each. Wrongly served is "
        f"what truly loses more than {PERCENT.bare(-protocol['wrong_below'])} points to BMA."
    ]
    figure = Figure(
        "proof-wrong",
        "How often a build would serve what loses",
        ["Up to one world in twenty is what a 95 % bound allows."],
        [made.protocol_table(document)],
        named_chart(Axis("Wrongly served", "percent"), rows, 0.05),
    )
    return words, [figure]
