"""Protocol `task` (tables 1 and 2): each task in turn is the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.scores import (
    expected_calibration_error,
    predictor_accuracy,
    reliability,
)
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import (
    DEFAULT,
    Choice,
    choices_for,
    distance_of,
    knn,
    smoothed,
    unseen_choice,
    unseen_choices,
)
from litellm_benchrouter.validation.metrics import (
    bootstrap_mean,
    bootstrap_within_tasks,
    brier,
    half_split_oracle,
    pearson,
    rank_of,
    spearman,
)

_FEWEST_GROUPS = 3  # one to hold out, and two whose own predictions say how far to trust them

Array = NDArray[np.float64]
Estimator = Callable[[int, Array], Array]
"""Estimates p(d', m) of a task from its number and the predictions g on its inputs."""


def run_task(prepared: TaskFolds, progress: Progress, *, engine: Engine = LOCAL) -> dict[str, Any]:
    """Run the protocol with the paper's kNN predictors and kernel smoother.

    docs/evaluation.md specifies the document.
    """
    require_groups(prepared, "task")
    whole, tables = prepared.smoother_table_and_without(progress, range(prepared.n_groups), engine)
    guarded, candidates = unseen_choices(prepared, tables, progress, engine)
    served = unseen_choice(prepared, whole)[0].candidate or "bma"
    with progress.stage("held-out tasks", prepared.n_tasks) as advance:
        document = hold_out(
            prepared,
            lambda d: knn(prepared, d),
            {"s3": lambda d, _: smoothed(prepared, d, tables)},
            advance,
            extra={DEFAULT: guarded},
        )
    for d, row in enumerate(document["tasks"]):
        row["default_candidate"] = candidates[d]
        row["as_served"] = candidates[d] == served
    document["served_candidate"] = served
    document["protocol"] = {"name": "task", **describe(prepared)}
    return document


def require_groups(prepared: TaskFolds, protocol: str) -> None:
    """Raise a ConfigError where too few tasks remain when one is held out."""
    if prepared.n_groups < _FEWEST_GROUPS:
        raise ConfigError(
            f"the protocol {protocol} holds out each task in turn and learns from the others: it "
            f"needs {_FEWEST_GROUPS} tasks that are no variants of one another, and the "
            f"{prepared.n_tasks} of the benchmark are {prepared.n_groups}. Add results of others."
        )


def hold_out(
    prepared: TaskFolds,
    predict: Callable[[int], Array],
    estimators: dict[str, Estimator],
    advance: Callable[[int], None],
    extra: Mapping[str, Mapping[int, Choice]] | None = None,
) -> dict[str, Any]:
    """Choose a model for each held-out task by every score, and describe what came of it.

    `predict` gives g on a task's inputs, shape (n_d, M), from predictors that have not seen it.
    `estimators` say by name of the S3 method how p(d', m) is estimated; the first is the smoother
    whose error is reported as `smoother_mae`. `advance` is called after each task; `extra` is what
    further methods chose, by name and task.
    """
    choices: dict[str, list[Choice]] = {}
    tasks = list(range(prepared.n_tasks))
    right, errors = [], {name: [] for name in estimators}  # type: ignore[var-annotated]
    said, seen = [], []
    for d in tasks:
        g = predict(d)
        labels = prepared.labels[prepared.rows[d]].astype(np.float64)
        correctness = prepared.benchmark.correctness[prepared.rows[d]]
        true_p = predictor_accuracy(g, correctness, prepared.routing.t)
        right.append(mean(true_p))
        said.append(g.ravel())
        seen.append(labels.ravel())
        estimated = {name: estimate(d, g) for name, estimate in estimators.items()}
        for name, p in estimated.items():
            errors[name].append(mean(np.abs(p - true_p)))
        for name, choice in choices_for(prepared, d, g, estimated, true_p).items():
            choices.setdefault(name, []).append(choice)
        for name, of_task in (extra or {}).items():
            choices.setdefault(name, []).append(of_task[d])
        advance(1)
    probability, outcome = np.concatenate(said), np.concatenate(seen)
    mae = {name: float(mean(np.array(values))) for name, values in errors.items()}
    return {
        "methods": summarise(prepared, choices, tasks),
        "baselines": baselines(prepared, tasks),
        "predictor_accuracy": float(mean(np.array(right))),
        "smoother_mae": next(iter(mae.values())),
        "mae": mae,
        "brier": brier(probability, outcome),
        "ece": expected_calibration_error(probability, outcome),
        "reliability": reliability(probability, outcome),
        "tasks": [
            row | {"u": distance_of(prepared, d)}
            for d, row in zip(tasks, task_rows(prepared, choices, tasks), strict=True)
        ],
    }


def describe(prepared: TaskFolds) -> dict[str, Any]:
    """Return what a reader needs to run the protocol again."""
    routing = prepared.routing
    held_out = "family" if prepared.n_groups < prepared.n_tasks else "task"
    return {
        "n_tasks": prepared.n_tasks,
        "n_samples": len(prepared.benchmark),
        "models": list(prepared.benchmark.models),
        "held_out": "fold" if prepared.merged else held_out,
        "seed": prepared.seed,
        **routing.model_dump(),
    }


def summarise(
    prepared: TaskFolds, choices: Mapping[str, Sequence[Choice]], tasks: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Describe each method over the held-out tasks, in whose order its choices are.

    Accuracy, ratio_to_best, pearson, spearman, bma_share, params_b, rank, and the gain over `bma`,
    which must be among them, with its paired-bootstrap intervals over tasks and over samples.
    """
    bma = [choice.pick for choice in choices["bma"]]
    base = [_answers(prepared, d, pick) for d, pick in zip(tasks, bma, strict=True)]
    base_accuracy = np.array([_mean(answers) for answers in base])
    best = np.array([np.nanmax(prepared.accuracy[d]) for d in tasks])
    document = {}
    for method, chosen in choices.items():
        answers = [_answers(prepared, d, c.pick) for d, c in zip(tasks, chosen, strict=True)]
        accuracy = np.array([_mean(values) for values in answers])
        ratio = np.divide(accuracy, best, out=np.ones_like(accuracy), where=best > 0)
        over_tasks = bootstrap_mean(accuracy - base_accuracy, seed=prepared.seed)
        over_samples = bootstrap_within_tasks(
            [a - b for a, b in zip(answers, base, strict=True)], seed=prepared.seed
        )
        document[method] = {
            "accuracy": _mean(accuracy),
            "ratio_to_best": _mean(ratio),
            "pearson": _correlation(prepared, chosen, tasks, pearson),
            "spearman": _correlation(prepared, chosen, tasks, spearman),
            "bma_share": _mean(
                np.array([np.mean(c.pick == m) for c, m in zip(chosen, bma, strict=True)])
            ),
            "params_b": _mean(np.array([_mean(prepared.params[c.pick]) for c in chosen])),
            "rank": _mean(
                np.array(
                    [
                        _rank(prepared, d, c.pick, value)
                        for d, c, value in zip(tasks, chosen, accuracy, strict=True)
                    ]
                )
            ),
            "gain": over_tasks[0],
            "gain_over_tasks_95": list(over_tasks[1:]),
            "gain_over_samples_95": list(over_samples[1:]),
            "tasks_worse": int((accuracy < base_accuracy - 1e-12).sum()),
            "worst_task_gain": float(np.nanmin(accuracy - base_accuracy)),
        }
    return document


def baselines(prepared: TaskFolds, tasks: Sequence[int]) -> dict[str, Any]:
    """Honest baselines beside BMA and the oracle.

    The oracle picks on the labels that it is measured on, and leave-one-task-out BMA is weak where
    the top models nearly tie: the half-split oracle and the fixed model that is best in hindsight
    say how much of either is noise.
    """
    accuracy = prepared.accuracy[list(tasks)]
    fixed = accuracy.mean(axis=0) if not np.isnan(accuracy).any() else np.nanmean(accuracy, axis=0)
    best = int(np.nanargmax(fixed))
    half = [
        half_split_oracle(prepared.labels[prepared.rows[d]].astype(np.float64), seed=prepared.seed)
        for d in tasks
    ]
    return {
        "fixed_best_in_hindsight": {
            "model": prepared.benchmark.models[best],
            "accuracy": float(fixed[best]),
        },
        "half_split_oracle": {"accuracy": _mean(np.array(half))},
        "random": {"accuracy": _mean(accuracy)},
    }


def task_rows(
    prepared: TaskFolds, choices: Mapping[str, Sequence[Choice]], tasks: Sequence[int]
) -> list[dict[str, Any]]:
    """Describe each held-out task: its models' accuracies and every method's pick."""
    models = prepared.benchmark.models
    rows = []
    for position, d in enumerate(tasks):
        picks = {method: chosen[position].pick for method, chosen in choices.items()}
        rows.append(
            {
                "task": prepared.benchmark.tasks[d],
                "n_samples": len(prepared.rows[d]),
                "accuracy": dict(zip(models, prepared.accuracy[d].tolist(), strict=True)),
                "picks": {
                    method: models[pick] if isinstance(pick, int) else None
                    for method, pick in picks.items()
                },
                "method_accuracy": {
                    method: _mean(_answers(prepared, d, pick)) for method, pick in picks.items()
                },
            }
        )
    return rows


def _answers(prepared: TaskFolds, d: int, pick: int | NDArray[np.intp]) -> NDArray[np.float64]:
    """Correctness of the picked model on each sample of a task."""
    values = prepared.labels[prepared.rows[d]]
    if isinstance(pick, int):
        return values[:, pick].astype(np.float64)
    return values[np.arange(len(values)), pick].astype(np.float64)


def _correlation(
    prepared: TaskFolds, chosen: Sequence[Choice], tasks: Sequence[int], measure: Any
) -> float | None:
    values = [
        measure(c.scores, prepared.accuracy[d])
        for d, c in zip(tasks, chosen, strict=True)
        if c.scores is not None
    ]
    correlation = _mean(np.array(values)) if values else float("nan")
    return None if np.isnan(correlation) else correlation


def _rank(prepared: TaskFolds, d: int, pick: int | NDArray[np.intp], accuracy: float) -> float:
    if isinstance(pick, int):
        return float(rank_of(pick, prepared.accuracy[d]))
    return 1.0 + float((prepared.accuracy[d] > accuracy + 1e-12).sum())


def _mean(values: NDArray[Any]) -> float:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[~np.isnan(finite)]
    return float(finite.mean()) if finite.size else float("nan")
