"""A decision as the page shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from litellm_benchrouter.page.question import Question
from litellm_benchrouter.page.words import NONE, number
from litellm_benchrouter.paper.scores import probabilities_better
from litellm_benchrouter.routing.explanation import Explanation
from litellm_benchrouter.routing.router import BenchRouter

METHODS = {
    "guarded": "the guarded method",
    "s1": "S1, the nearest samples",
    "s3": "S3 with its confidence rule",
    "measured": "what the benchmark measured on this task",
    "posterior": "the labels of this task, with what was expected before",
    "bma": "the best model on average",
    "only": "the only known model on offer",
}


@dataclass(frozen=True)
class Column:
    """Numbers of the models, with what they are."""

    title: str
    meaning: str
    values: Mapping[str, float]
    digits: int = 3

    def text(self, model: str) -> str:
        """Return a model's number, or a dash."""
        return number(self.values.get(model), self.digits)


@dataclass(frozen=True)
class Row:
    """One model: `share` is its score's part of the bar, None where it has none."""

    model: str
    share: float | None
    cells: Sequence[str]


@dataclass(frozen=True)
class Answer:
    """What the page says to a question.

    Attributes
    ----------
    pick, method, reason : str
    facts : sequence of (str, str)
        What else the decision says of itself.
    columns : sequence of Column
    rows : sequence of Row
        Best first.
    neighbors : sequence of (str, str, str)
        Sample id, task, distance.
    """

    pick: str
    method: str
    reason: str
    facts: Sequence[tuple[str, str]]
    columns: Sequence[Column]
    rows: Sequence[Row]
    neighbors: Sequence[tuple[str, str, str]]


def answer(router: BenchRouter, question: Question, explanation: Explanation) -> Answer:
    """Put an explanation into the page's words."""
    decision = explanation.decision
    columns = _columns(router, question, explanation)
    scores = columns[0].values
    known = [value for value in scores.values() if math.isfinite(value)]
    full = max([1.0, *known])
    return Answer(
        pick=decision.pick,
        method=METHODS.get(decision.method, decision.method),
        reason=decision.reason,
        facts=_facts(question, explanation),
        columns=columns,
        rows=[
            Row(model, _share(scores.get(model), full), [column.text(model) for column in columns])
            for model in decision.ranking
        ],
        neighbors=[
            (sample_id, task, number(distance))
            for sample_id, task, distance in explanation.neighbors
        ],
    )


def _columns(router: BenchRouter, question: Question, explanation: Explanation) -> list[Column]:
    """The one list of what is shown of each model; the first has a bar."""
    columns = [
        Column("Score", "what the ranking follows", dict(explanation.decision.scores or {})),
        Column("P", "chance of a right answer, as policies weigh it", explanation.probability),
    ]
    if explanation.cost:
        in_usd = explanation.cost_unit == "usd"
        columns.append(
            Column(
                "Cost" if in_usd else "Size",
                f"{'USD of 1,000 such requests' if in_usd else 'billions of parameters'} "
                f"({explanation.cost_basis})",
                {m: (1000 if in_usd else 1) * cost for m, cost in explanation.cost.items()},
            )
        )
    if explanation.neighbors:
        n = len(explanation.neighbors)
        columns.append(Column("g", f"mean over the {n} nearest samples (eq. 7)", explanation.g))
    columns.append(Column("Average", "mean over the benchmark's tasks", explanation.average))
    return [*columns, *_of_a_task(router, question.task, explanation)]


def _of_a_task(router: BenchRouter, task: str, explanation: Explanation) -> list[Column]:
    artifact = router.artifact
    scores = artifact.named_tasks.get(task)
    if scores is None:
        return []
    columns = [
        Column(title, meaning, {m: each[key] for m, each in explanation.task_scores.items()})
        for key, title, meaning in _OF_A_TASK
    ]
    star = router.best_on_average(explanation.decision.ranking, "").pick
    better = probabilities_better(scores, artifact.models.index(star))
    columns.append(
        Column(
            "P(better)",
            f"that it beats {star}, the best on average (eq. 6)",
            dict(zip(artifact.models, better.tolist(), strict=True)),
        )
    )
    labelled = artifact.labelled_tasks.get(task)
    if labelled is not None:
        for title, meaning, values, digits in (
            ("Labels", "of this task", labelled.counts, 0),
            ("Right", "share of its labels", labelled.accuracy, 3),
        ):
            by_model = dict(zip(artifact.models, values.tolist(), strict=True))
            columns.append(Column(title, meaning, by_model, digits))
    return columns


_OF_A_TASK = (
    ("s1", "S1", "eq. 1"),
    ("s2", "S2", "eq. 2"),
    ("s3", "S3", "eq. 5"),
    ("p", "p", "chance that the correctness predictor is right (eq. 10)"),
)


def _facts(question: Question, explanation: Explanation) -> list[tuple[str, str]]:
    facts = []
    if question.task:
        facts.append(("Task", question.task))
    facts.append(("Policy", explanation.decision.policy))
    if explanation.decision.embedder is not None:
        facts.append(("Embedder", explanation.decision.embedder))
    if explanation.u is not None:
        facts.append(("Task distance", number(explanation.u)))
    facts.append(("Version", explanation.decision.artifact or NONE))
    return facts


def _share(value: float | None, full: float) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return min(max(value / full, 0.0), 1.0)
