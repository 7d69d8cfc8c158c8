"""A decision in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from litellm_benchrouter.paper.scores import probabilities_better
from litellm_benchrouter.routing.decision import Explanation
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.views import UNKNOWN, Table, is_number, number
from litellm_benchrouter.views.version import describe_labels, labels_table

METHODS = {
    "guarded": "the guarded method",
    "s1": "S1, the nearest samples",
    "s3": "S3 with its confidence rule",
    "measured": "what the benchmark measured on this task",
    "posterior": "the labels of this task, with what was expected before",
    "bma": "the best model on average",
    "only": "the only known model on offer",
}

_OF_A_TASK = (
    ("s1", "S1", "eq. 1"),
    ("s2", "S2", "eq. 2"),
    ("s3", "S3", "eq. 5"),
    ("p", "p", "chance that the correctness predictor is right (eq. 10)"),
)


@dataclass(frozen=True)
class Answer:
    """The answer to a question."""

    pick: str
    method: str
    reason: str
    facts: Sequence[tuple[str, str]]  # whatever else the decision says of itself
    models: Table  # best first
    meanings: Sequence[tuple[str, str]]  # what each column of numbers means
    shares: Sequence[float | None]  # score of each model as a part of the longest bar
    neighbors: Table | None  # nearest samples of the benchmark
    labels: Table | None  # of the named task


@dataclass(frozen=True)
class _Column:
    title: str
    meaning: str
    values: Mapping[str, float]


def answer(router: BenchRouter, explanation: Explanation) -> Answer:
    """Put an explanation into words."""
    decision = explanation.decision
    columns = _columns(router, explanation)
    scores = columns[0].values
    full = max([1.0, *(value for value in scores.values() if is_number(value))])
    return Answer(
        pick=decision.pick,
        method=METHODS.get(decision.method, decision.method),
        reason=decision.reason,
        facts=_facts(explanation),
        models=Table(
            "Models, best first",
            ("Model", *(column.title for column in columns)),
            [
                [model, *(number(column.values.get(model)) for column in columns)]
                for model in decision.ranking
            ],
            marked=0,
        ),
        meanings=[(column.title, column.meaning) for column in columns],
        shares=[_share(scores.get(model), full) for model in decision.ranking],
        neighbors=_neighbors(explanation),
        labels=_labels(router, explanation),
    )


def _columns(router: BenchRouter, explanation: Explanation) -> list[_Column]:
    """List what is shown of each model; the first column has a bar."""
    columns = [
        _Column("Score", "what the ranking follows", dict(explanation.decision.scores or {})),
        _Column("P", "chance of a right answer, as policies weigh it", explanation.probability),
    ]
    if explanation.cost:
        in_usd = explanation.cost_unit == "usd"
        columns.append(
            _Column(
                "Cost" if in_usd else "Size",
                f"{'USD of 1,000 such requests' if in_usd else 'billions of parameters'} "
                f"({explanation.cost_basis})",
                {m: (1000 if in_usd else 1) * cost for m, cost in explanation.cost.items()},
            )
        )
    if explanation.neighbors:
        n = len(explanation.neighbors)
        columns.append(_Column("g", f"mean over the {n} nearest samples (eq. 7)", explanation.g))
    columns.append(_Column("Average", "mean over the benchmark's tasks", explanation.average))
    scores = router.artifact.named_tasks.get(explanation.decision.task or "")
    if scores is None:
        return columns
    columns += [
        _Column(title, meaning, {m: each[key] for m, each in explanation.task_scores.items()})
        for key, title, meaning in _OF_A_TASK
    ]
    star = router.best_on_average(explanation.decision.ranking, "").pick
    models = router.artifact.models
    better = dict(
        zip(models, probabilities_better(scores, models.index(star)).tolist(), strict=True)
    )
    columns.append(
        _Column("P(better)", f"that it beats {star}, the best on average (eq. 6)", better)
    )
    return columns


def _facts(explanation: Explanation) -> list[tuple[str, str]]:
    decision = explanation.decision
    facts = [
        ("Task", decision.task),
        ("Policy", decision.policy),
        ("Embedder", decision.embedder),
        ("Task distance", None if explanation.u is None else number(explanation.u)),
        ("Version", decision.artifact or UNKNOWN),
    ]
    return [(name, text) for name, text in facts if text]


def _neighbors(explanation: Explanation) -> Table | None:
    if not explanation.neighbors:
        return None
    return Table(
        "Nearest benchmark samples",
        ("Sample", "Task", "Cosine distance"),
        [(sample, task, number(distance)) for sample, task, distance in explanation.neighbors],
        n_text=2,
    )


def _labels(router: BenchRouter, explanation: Explanation) -> Table | None:
    decision = explanation.decision
    labelled = router.artifact.labelled_tasks.get(decision.task or "")
    if labelled is None:
        return None
    star = router.models.index(router.best_on_average(decision.ranking, "").pick)
    labels = describe_labels(labelled, router.models, star)
    return labels_table("Labels of the task", {model: labels[model] for model in decision.ranking})


def _share(value: float | None, full: float) -> float | None:
    return min(max(value / full, 0.0), 1.0) if is_number(value) and value is not None else None
