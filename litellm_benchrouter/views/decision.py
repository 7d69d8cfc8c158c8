"""A decision, and named tasks with their labels, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.artifact.named_tasks import LabelledTask
from litellm_benchrouter.paper.scores import probabilities_better
from litellm_benchrouter.routing.decision import Decision, Explanation
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.views import UNKNOWN, Table, is_number, number

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

_LABEL_COLUMNS = {
    "labels": "Labels",
    "right": "Right",
    "prior": "Expected before",
    "posterior": "Expected now",
    "posterior_sd": "+/-",
    "p_better_posterior": "P(better than BMA)",
    "labels_needed": "More labels to settle",
}


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
    scores, labels = columns[0].values, _labels(router, decision)
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
        labels=labels_table("Labels of the task", labels) if labels else None,
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
    star = _bma(router, explanation.decision.ranking)
    values = probabilities_better(scores, star).tolist()
    meaning = f"that it beats {router.models[star]}, the best on average (eq. 6)"
    columns.append(_Column("P(better)", meaning, dict(zip(router.models, values, strict=True))))
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


def _labels(router: BenchRouter, decision: Decision) -> dict[str, dict[str, Any]]:
    """Describe the labels of a decision's task, by model from the best; none without any."""
    labelled = router.artifact.labelled_tasks.get(decision.task or "")
    if labelled is None:
        return {}
    labels = describe_labels(labelled, router.models, _bma(router, decision.ranking))
    return {model: labels[model] for model in decision.ranking}


def _bma(router: BenchRouter, models: Sequence[str]) -> int:
    """Return the column of the best of some models on average."""
    return router.artifact.column[router.best_on_average(models, "").pick]


def _share(value: float | None, full: float) -> float | None:
    return min(max(value / full, 0.0), 1.0) if is_number(value) and value is not None else None


def describe_decision(router: BenchRouter, explanation: Explanation) -> dict[str, Any]:
    """Describe a decision for programs."""
    decision = explanation.decision
    return {
        "pick": decision.pick,
        "method": decision.method,
        "reason": decision.reason,
        "task": decision.task,
        "artifact": decision.artifact,
        "policy": decision.policy,
        "embedder": decision.embedder,
        "ranking": list(decision.ranking),
        "scores": dict(decision.scores or {}),
        "g": explanation.g,
        "average": explanation.average,
        "probability": explanation.probability,
        "expected_cost": explanation.cost,
        "cost_basis": explanation.cost_basis,
        "cost_unit": explanation.cost_unit,
        "task_scores": explanation.task_scores,
        "u": explanation.u,
        "labels": _labels(router, decision),
        "neighbors": [
            {"sample_id": sample_id, "task": task, "distance": distance}
            for sample_id, task, distance in explanation.neighbors
        ],
    }


# Named tasks


def describe_task(router: BenchRouter, name: str) -> dict[str, Any]:
    """Describe a named task for programs: its pick, and the scores and labels of each model."""
    artifact = router.artifact
    scores = artifact.named_tasks[name]
    decision = router.decide("", task=name)
    column, star = artifact.column, _bma(router, artifact.models)
    better = probabilities_better(scores, star)
    labelled, labels = artifact.labelled_tasks.get(name), _labels(router, decision)
    return {
        "pick": decision.pick,
        "method": decision.method,
        "reason": decision.reason,
        "n_inputs": scores.n_inputs,
        "u": scores.u,
        "n_labelled_inputs": 0 if labelled is None else labelled.n_inputs,
        "ranking": [
            {"model": model}
            | {key: float(getattr(scores, key)[column[model]]) for key in ("s1", "s2", "s3", "p")}
            | {"p_better": float(better[column[model]])}
            | labels.get(model, {})
            for model in decision.ranking
        ],
    }


def named_task_tables(name: str, task: Mapping[str, Any]) -> list[Table]:
    """List the models of a named task as `describe_task` describes it, and its labels if any."""
    keys = ("s1", "s2", "s3", "p", "p_better")
    title = f"Named task {name}: {task['pick']} ({task['method']}; {task['reason']})"
    rows = [[row["model"], *(number(row[key]) for key in keys)] for row in task["ranking"]]
    columns = ("Model", "S1", "S2", "S3", "p", "P(better than BMA)")
    tables = [Table(f"{title}; u={number(task['u'])}", columns, rows)]
    if task["n_labelled_inputs"]:
        title = f"Labels of {name}: {task['n_labelled_inputs']} of {task['n_inputs']} inputs"
        tables.append(labels_table(title, {row["model"]: row for row in task["ranking"]}))
    return tables


def describe_labels(
    labelled: LabelledTask, models: Sequence[str], than: int
) -> dict[str, dict[str, Any]]:
    """Describe the labels of each model, for programs: `labels` and `right` (share of them).

    Where there is a posterior, also `prior`, `posterior` and `posterior_sd`, and against the model
    at position `than` `p_better_posterior` and `labels_needed` (0: settled; null: not within
    1,000).
    """
    posterior = labelled.posterior
    better = None if posterior is None else posterior.better(than)
    rows: dict[str, dict[str, Any]] = {}
    for m, model in enumerate(models):
        rows[model] = {"labels": int(labelled.counts[m]), "right": float(labelled.accuracy[m])}
        if posterior is not None and better is not None:
            needed = int(posterior.needed[m, than])
            rows[model] |= {
                "prior": float(posterior.prior[m]),
                "posterior": float(posterior.score[m]),
                "posterior_sd": float(posterior.covariance[m, m] ** 0.5),
                "p_better_posterior": float(better[m]),
                "labels_needed": None if needed < 0 or m == than else needed,
            }
    return rows


def labels_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """List the labels of each model as `describe_labels` describes them."""
    keys = [key for key in _LABEL_COLUMNS if any(key in row for row in rows.values())]
    cells = [
        [model, *(number(row[key], 0 if isinstance(row[key], int) else 3) for key in keys)]
        for model, row in rows.items()
    ]
    return Table(title, ("Model", *(_LABEL_COLUMNS[key] for key in keys)), cells)
