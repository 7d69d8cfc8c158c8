"""Protocol `task` (tables 1 and 2): each task in turn is the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.summary import Choice, baselines, summarise, task_rows
from litellm_benchrouter.paper.scores import (
    predictor_accuracy,
)
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.folds import Prepared
from litellm_benchrouter.validation.methods import (
    DEFAULT,
    choices_for,
    distance_of,
    knn,
    smoothed,
    unseen_choices,
)
from litellm_benchrouter.validation.metrics import (
    brier,
    expected_calibration_error,
    reliability,
)

_FEWEST_GROUPS = 3  # one to hold out, and two whose own predictions say how far to trust them

Array = NDArray[np.float64]
Estimator = Callable[[int, Array], Array]
"""Estimates p(d', m) of a task from its number and the predictions g on its inputs."""


def run_task(prepared: Prepared, stages: Silent, *, engine: Engine = LOCAL) -> dict[str, Any]:
    """Run the protocol with the paper's kNN predictors and kernel smoother.

    Returns
    -------
    dict
        The document that `evaluate --json` writes; docs/evaluation.md specifies it.
    """
    if prepared.n_groups < _FEWEST_GROUPS:
        raise ConfigError(
            f"the protocol task holds out each task in turn and learns from the others; the "
            f"benchmark has {prepared.n_groups}, it needs {_FEWEST_GROUPS}."
        )
    tables = dict(enumerate(prepared.smoother_tables(stages, engine)))
    guarded, kept = unseen_choices(prepared, tables, stages, engine)
    with stages.stage("held-out tasks", prepared.n_tasks) as advance:
        document = hold_out(
            prepared,
            lambda d: knn(prepared, d),
            {"s3": lambda d, _: smoothed(prepared, d, tables)},
            advance,
            extra={DEFAULT: guarded},
        )
    for d, row in enumerate(document["tasks"]):
        row["default_candidate"] = kept[d]
    document["protocol"] = {"name": "task", **describe(prepared)}
    return document


def hold_out(
    prepared: Prepared,
    predict: Callable[[int], Array],
    estimators: dict[str, Estimator],
    advance: Callable[[int], None],
    extra: Mapping[str, Mapping[int, Choice]] | None = None,
) -> dict[str, Any]:
    """Choose a model for each held-out task by every score, and describe what came of it.

    Parameters
    ----------
    prepared : Prepared
    predict : callable
        Task -> g on its inputs, shape (n_d, M), from predictors that have not seen it.
    estimators : dict of str to callable
        By name of the S3 method: how it estimates p(d', m). The first is the smoother whose error
        is reported as `smoother_mae`.
    advance : callable
        Called after each task.
    extra : mapping, optional
        What further methods chose: by name, by task.
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
        right.append(np.nanmean(true_p))
        said.append(g.ravel())
        seen.append(labels.ravel())
        estimated = {name: estimate(d, g) for name, estimate in estimators.items()}
        for name, p in estimated.items():
            errors[name].append(np.nanmean(np.abs(p - true_p)))
        for name, choice in choices_for(prepared, d, g, estimated, true_p).items():
            choices.setdefault(name, []).append(choice)
        for name, of_task in (extra or {}).items():
            choices.setdefault(name, []).append(of_task[d])
        advance(1)
    probability, outcome = np.concatenate(said), np.concatenate(seen)
    mae = {name: float(np.mean(values)) for name, values in errors.items()}
    return {
        "methods": summarise(prepared, choices, tasks),
        "baselines": baselines(prepared, tasks),
        "predictor_accuracy": float(np.mean(right)),
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


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return what a reader needs to run the protocol again."""
    routing = prepared.routing
    return {
        "n_tasks": prepared.n_tasks,
        "n_samples": len(prepared.benchmark),
        "models": list(prepared.benchmark.models),
        "held_out": "family" if prepared.n_groups < prepared.n_tasks else "task",
        "seed": prepared.seed,
        **routing.model_dump(),
    }
