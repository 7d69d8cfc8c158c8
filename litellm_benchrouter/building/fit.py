"""The default method, guarded, as a build fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import RequestFit, fit_request
from litellm_benchrouter.guarded.formulas import GuardedModel, TaskEstimator
from litellm_benchrouter.guarded.left_out import confident_s3
from litellm_benchrouter.guarded.task_predictors import NEIGHBORS, TaskPredictors
from litellm_benchrouter.guarded.unseen import Evidence
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import (
    TaskScores,
)
from litellm_benchrouter.paper.smoother import SmootherTable
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import unseen_choice
from litellm_benchrouter.validation.saving import trade_offs

FEWEST_SAMPLES = 50
"""With fewer, nothing can be shown to be better than the best model on average."""

FEWEST_TASKS = 3
"""With fewer, no candidate for new tasks can be tried on a task that it has not seen."""


@dataclass(frozen=True)
class GuardedTask:
    """A new task from its inputs; both of shape (M,).

    Attributes
    ----------
    scores : ndarray of float64
        By the candidate that was kept.
    knn : ndarray of float64
        The mean that the neighbours alone predict.
    """

    scores: NDArray[np.float64]
    knn: NDArray[np.float64]


@dataclass(frozen=True)
class GuardedFit:
    """The request estimates, and the candidate for tasks that are new.

    Attributes
    ----------
    requests : RequestFit
    trade_offs : dict or None
        As `trade_offs` returns them.
    unseen : TaskEstimator
    evidence : Evidence or None
        What the choice was made from; None where there were too few tasks.
    predictors : TaskPredictors
    cost_ranks, names, eta
        As in `decide_by_eq6`.
    """

    requests: RequestFit
    trade_offs: dict[str, Any] | None
    unseen: TaskEstimator
    evidence: Evidence | None
    predictors: TaskPredictors
    cost_ranks: Sequence[tuple[int, float]]
    names: Sequence[str]
    eta: float

    n_neighbors = NEIGHBORS

    @property
    def guarded(self) -> GuardedModel:
        """What serving needs."""
        return self.requests.guarded

    def without_candidate(self) -> GuardedFit:
        """Return the same, answering every new task with the best on average."""
        gains, p_values = self.unseen.gains, self.unseen.p_values
        return replace(self, unseen=TaskEstimator(None, gains=gains, p_values=p_values))

    @property
    def facts(self) -> dict[str, Any]:
        """What was chosen, and the scores of what was not, for the manifest."""
        return {
            "request": self.requests.as_manifest | {"trade_offs": self.trade_offs},
            "unseen": {
                "candidate": self.unseen.candidate,
                "coefficients": dict(self.unseen.coefficients),
                "margin": self.unseen.margin,
                "gains": {
                    name: {
                        "mean": mean,
                        "standard_error": error,
                        "p": self.unseen.p_values.get(name),
                    }
                    for name, (mean, error) in self.unseen.gains.items()
                    if np.isfinite(error)
                },
            },
        }

    def task_scores(
        self, inputs: NDArray[np.float32], near: Neighbors, scores: TaskScores
    ) -> GuardedTask:
        """Score a new task from its inputs.

        Parameters
        ----------
        inputs : ndarray of float32, shape (q, E)
        near : Neighbors
            Of the inputs in the benchmark, `n_neighbors` of them where there are.
        scores : TaskScores
            Of the task, by the paper.
        """
        average = self.predictors.average
        s3 = confident_s3(scores, average, self.cost_ranks, self.names, self.eta)
        predicted = self.predictors.predict(inputs, near.first(NEIGHBORS), s3)
        return GuardedTask(self.unseen.predict(average, predicted), predicted["knn200"])


def fit_guarded(
    prepared: TaskFolds,
    table: SmootherTable,
    progress: Progress,
    neighbors: Neighbors | None = None,
    base: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.intp]] | None = None,
) -> GuardedFit | None:
    """Fit on the whole benchmark, every choice by leaving out; None where it is too small.

    Parameters
    ----------
    prepared : TaskFolds
    table : SmootherTable
        Of the whole benchmark.
    progress : Progress or ProgressBars
    neighbors : Neighbors, optional
        Of each sample among more than these: the others are in `base`, as in `fit_request`.
    base : tuple of ndarray, optional
    """
    benchmark = prepared.benchmark
    if len(benchmark) < FEWEST_SAMPLES:
        return None
    with progress.stage("guarded method", 2) as advance:
        requests = fit_request(
            prepared.embeddings,
            prepared.labels,
            benchmark.task,
            prepared.n_tasks,
            prepared.neighbors if neighbors is None else neighbors,
            prepared.sample_group,
            base,
            prepared.seed,
        )
        average = requests.guarded.request.average
        suggested = trade_offs(
            benchmark, prepared.labels, requests.served, prepared.order(average, average)
        )
        advance(1)
        # Of fewer tasks, leaving one out leaves nothing to learn from another by.
        several = prepared.n_groups >= FEWEST_TASKS
        choice, evidence = (
            unseen_choice(prepared, table) if several else (TaskEstimator(None), None)
        )
        predictors = TaskPredictors(
            prepared.embeddings, prepared.labels, benchmark.task, prepared.n_tasks
        )
        advance(1)
    return GuardedFit(
        requests,
        suggested,
        choice,
        evidence,
        predictors,
        benchmark.cost_ranks,
        benchmark.models,
        prepared.routing.eta,
    )
