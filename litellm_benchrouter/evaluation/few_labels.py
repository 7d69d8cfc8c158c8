"""Protocol `few-labels`: a new task of which some inputs were labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.evaluation.task import describe, require_groups
from litellm_benchrouter.guarded.few_labels import (
    BETA_MASS,
    TaskPrior,
    label_covariances,
    learn_prior,
    required_probability,
    update,
)
from litellm_benchrouter.guarded.unseen import candidate_scores, select
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import DEFAULT, evidence_without
from litellm_benchrouter.validation.metrics import bootstrap_mean

LABELS = (5, 10, 20, 50)
METHODS = ("raw", "beta20", DEFAULT)

_DRAWS = 10
_FEWEST_LEFT = 10  # unlabelled inputs that a pick is measured on


@dataclass(frozen=True)
class _NewTask:
    """What is known of a held-out task before any label of it."""

    average: NDArray[np.float64]
    prior: TaskPrior
    best: int


def run_few_labels(
    prepared: TaskFolds,
    progress: Progress,
    *,
    n_labels: Sequence[int] = LABELS,
    draws: int = _DRAWS,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Hold out each task, label some of its inputs at random, and pick a model for the rest.

    `raw` takes the best on the labels, `beta20` shrinks each model to its mean over tasks by 20
    labels, and `default` is the posterior of `guarded.few_labels` behind its rule. Inputs are drawn
    `draws` times. docs/evaluation.md specifies the document.
    """
    require_groups(prepared, "few-labels")
    tables = prepared.smoother_tables(progress, engine)
    covariances = label_covariances(prepared.labels, prepared.benchmark.task, prepared.n_tasks)
    size = np.array([len(rows) for rows in prepared.rows], dtype=np.float64)
    gains = np.full((len(METHODS), len(n_labels), prepared.n_tasks), np.nan)

    def try_on(group: int) -> dict[int, NDArray[np.float64]]:
        evidence = evidence_without(prepared, tables[group], group)
        scores = candidate_scores(evidence, select(evidence).candidate)
        learned = learn_prior(evidence, scores, covariances, size)
        gains = {}
        for d in np.flatnonzero(prepared.group_of_task == group).tolist():
            average = evidence.average[d]
            prior = learned.of_task(scores[d], average, evidence.predicted["knn200"][d])
            new = _NewTask(average, prior, int(prepared.order(average, average)[0]))
            gains[d] = _gains(prepared, new, d, n_labels, draws)
        return gains

    with progress.stage("few labels", prepared.n_groups) as advance:
        for of_group in engine.map(try_on, range(prepared.n_groups)):
            for d, gained in of_group.items():
                gains[:, :, d] = gained
            advance(1)
    return {
        "protocol": {"name": "few-labels", **describe(prepared), "draws": draws},
        "n_labels": list(n_labels),
        "methods": {
            method: [_summary(gains[i, j], prepared.seed) for j in range(len(n_labels))]
            for i, method in enumerate(METHODS)
        },
        "tasks": [
            {
                "task": name,
                "gain": {method: gains[i, :, d].tolist() for i, method in enumerate(METHODS)},
            }
            for d, name in enumerate(prepared.benchmark.tasks)
        ],
    }


def _gains(
    prepared: TaskFolds, new: _NewTask, d: int, n_labels: Sequence[int], draws: int
) -> NDArray[np.float64]:
    """Mean gain over BMA on the unlabelled inputs, shape (methods, len(n_labels)).

    Near-duplicates of a labelled input are not asked, and a task of which fewer than ten inputs are
    left says nothing: NaN.
    """
    rows, group = prepared.rows[d], prepared.sample_group
    generator = np.random.default_rng([prepared.seed, d])
    total = np.zeros((len(METHODS), len(n_labels)))
    for _ in range(draws):
        order = generator.permutation(rows)
        for j, n in enumerate(n_labels):
            asked = order[:n]
            left = order[n:][~np.isin(group[order[n:]], group[asked])]
            if len(left) < _FEWEST_LEFT:
                total[:, j] = np.nan
                continue
            accuracy = mean(prepared.labels[left])
            for i, pick in enumerate(_picks(prepared, new, prepared.labels[asked])):
                total[i, j] += (accuracy[pick] - accuracy[new.best]) / draws
    return total


def _picks(prepared: TaskFolds, new: _NewTask, labels: NDArray[np.float32]) -> tuple[int, int, int]:
    count = (~np.isnan(labels)).sum(axis=0)
    raw = np.where(count > 0, mean(labels), -np.inf)
    seen = np.where(count > 0, count * np.where(count > 0, raw, 0.0), 0.0)
    beta = (seen + BETA_MASS * new.average) / (count + BETA_MASS)
    posterior = update(new.prior, labels)
    return (
        int(prepared.order(raw, new.average)[0]),
        int(prepared.order(beta, new.average)[0]),
        posterior.pick(new.best, required_probability(len(labels))),
    )


def _summary(gains: NDArray[np.float64], seed: int) -> dict[str, Any]:
    gain, low, high = bootstrap_mean(gains, seed=seed)
    measured = gains[~np.isnan(gains)]
    return {
        "gain": gain,
        "gain_over_tasks_95": [low, high],
        "n_tasks": len(measured),
        "tasks_worse": int((measured < -1e-12).sum()),
        "worst_task_gain": float(measured.min()) if len(measured) else float("nan"),
    }
