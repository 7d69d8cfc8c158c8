"""What a build fits: the method guarded, and the posterior of named tasks that have labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.named_tasks import LabelledTask, TaskPosterior
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.guarded.few_labels import (
    LearnedPrior,
    TaskPrior,
    beta_prior,
    label_covariances,
    labels_needed,
    learn_prior,
    update,
)
from litellm_benchrouter.guarded.fit import RequestFit, fit_request, neighbors_of_each
from litellm_benchrouter.guarded.formulas import GuardedModel, TaskEstimator
from litellm_benchrouter.guarded.impute import impute_accuracy
from litellm_benchrouter.guarded.left_out import confident_s3
from litellm_benchrouter.guarded.unseen import NEIGHBORS, Evidence, TaskPredictors, candidate_scores
from litellm_benchrouter.paper.benchmark import MISSING, average_accuracy, mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    predictor_accuracy,
    s3,
)
from litellm_benchrouter.paper.smoother import SmootherTable
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.sources.tasks import labels_path, read_labels
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
        return replace(self, unseen=TaskEstimator(None, gains=self.unseen.gains))

    def without_routing(self) -> GuardedFit:
        """Return the same with a gate that no models on offer open."""
        return replace(self, requests=self.requests.closed())

    @property
    def found(self) -> dict[str, Any]:
        """What was chosen, and the scores of what was not, for the manifest."""
        return {
            "request": self.requests.as_manifest | {"trade_offs": self.trade_offs},
            "unseen": {
                "candidate": self.unseen.candidate,
                "coefficients": dict(self.unseen.coefficients),
                "gains": {
                    name: {"mean": mean, "standard_error": error}
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
    stages: Silent,
    neighbors_loo: Neighbors | None = None,
    base: tuple[NDArray[np.float32], NDArray[np.int32]] | None = None,
) -> GuardedFit | None:
    """Fit on the whole benchmark, every choice by leaving out; None where it is too small.

    Parameters
    ----------
    prepared : TaskFolds
    table : SmootherTable
        Of the whole benchmark.
    stages : Silent or Bars
    neighbors_loo : Neighbors, optional
        Of each sample among more than these: the others are in `base`, as in `request.fit`.
    base : tuple of ndarray, optional
    """
    benchmark = prepared.benchmark
    if len(benchmark) < FEWEST_SAMPLES:
        return None
    with stages.stage("guarded method", 2) as advance:
        requests = fit_request(
            prepared.embeddings,
            prepared.labels,
            benchmark.task,
            prepared.n_tasks,
            neighbors_of_each(prepared.embeddings) if neighbors_loo is None else neighbors_loo,
            base,
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


Floats = NDArray[np.float64]
Labels = NDArray[np.float32]


def read_task_labels(
    config: BenchRouterConfig,
    inputs: Mapping[str, Sequence[str]],
    models: Sequence[str],
    warnings: list[str],
) -> dict[str, Labels]:
    """Read the labels of the named tasks that have some, as correctness.

    Parameters
    ----------
    config : BenchRouterConfig
    inputs : mapping of str to sequence of str
        By task.
    models : sequence of str, length M
    warnings : list of str
        Sentences for the operator are added to it.

    Returns
    -------
    dict of str to ndarray of float32, shape (q, M)
        1 where the score is above the task's threshold, 0 where not, NaN without a label. Of equal
        inputs the first alone has labels: an answer counts once.
    """
    found = {}
    for name, task in sorted(config.tasks.items()):
        path = task.labels or labels_path(config.labels_home, name)
        if not path.exists():
            if task.labels is not None:
                warnings.append(
                    f"benchrouter.tasks.{name}.labels: {path} does not exist (yet): the task is "
                    f"decided without labels."
                )
            continue
        scores = read_labels(path, inputs[name], models, aliases=config.aliases, warnings=warnings)
        first = {text: row for row, text in reversed(list(enumerate(inputs[name])))}
        once = np.full_like(scores, np.nan)
        kept = sorted(first.values())
        once[kept] = scores[kept]
        if not np.isnan(once).all():
            found[name] = np.where(np.isnan(once), once, once > task.threshold).astype(np.float32)
    return found


@dataclass(frozen=True)
class TaskLabels:
    """Takes labels in, for one build.

    Attributes
    ----------
    prepared : TaskFolds
    fitted : GuardedFit or None
        Where the method `guarded` could be fitted.
    by_posterior : bool
        Whether the posterior decides: not with the method `paper`.
    """

    prepared: TaskFolds
    fitted: GuardedFit | None
    by_posterior: bool

    def take_in(
        self, labels: Labels, near: Neighbors, scores: TaskScores, guarded: GuardedTask | None
    ) -> tuple[LabelledTask, TaskScores]:
        """Return what labels say, and the scores of the task with p measured (eq. 5).

        Parameters
        ----------
        labels : ndarray of float32, shape (q, M)
        near : Neighbors
            Of the inputs, in the same order.
        scores : TaskScores
            Without labels.
        guarded : GuardedTask or None
            Without labels.
        """
        known = ~np.isnan(labels)
        p = self._measured_p(labels, near)
        measured = np.where(np.isnan(p), scores.p, p)
        labelled = LabelledTask(
            n_inputs=int(known.any(axis=1).sum()),
            counts=known.sum(axis=0),
            accuracy=mean(labels),
            p=p,
            posterior=self._posterior(labels, guarded) if self.by_posterior else None,
        )
        return labelled, replace(scores, p=measured, s3=s3(scores.s2, measured))

    def _measured_p(self, labels: Labels, near: Neighbors) -> Floats:
        """p(d', m) on the labelled inputs (eq. 3)."""
        rows = np.flatnonzero(~np.isnan(labels).all(axis=1))
        routing = self.prepared.routing
        g = correctness_predictor(
            self.prepared.benchmark.correctness, near.rows(rows).first(routing.k)
        )
        correctness = np.where(np.isnan(labels[rows]), MISSING, labels[rows]).astype(np.uint8)
        return predictor_accuracy(g, correctness, routing.t)

    def _posterior(self, labels: Labels, guarded: GuardedTask | None) -> TaskPosterior:
        prior = self._prior(guarded)
        posterior = update(prior, labels)
        needed = labels_needed(prior, labels, posterior)
        return TaskPosterior(prior.mean, posterior.score, posterior.covariance, needed)

    def _prior(self, guarded: GuardedTask | None) -> TaskPrior:
        if self._learned is None or guarded is None or self.fitted is None:
            return beta_prior(self._average, self._covariances)
        average = self.fitted.predictors.average
        return self._learned.of_task(guarded.scores, average, guarded.knn)

    @cached_property
    def _learned(self) -> LearnedPrior | None:
        evidence = None if self.fitted is None else self.fitted.evidence
        if self.fitted is None or evidence is None:
            return None
        scores = candidate_scores(evidence, self.fitted.unseen.candidate)
        size = np.array([len(rows) for rows in self.prepared.rows], dtype=np.float64)
        return learn_prior(evidence, scores, self._covariances, size)

    @cached_property
    def _covariances(self) -> Floats:
        prepared = self.prepared
        return label_covariances(prepared.labels, prepared.benchmark.task, prepared.n_tasks)

    @cached_property
    def _average(self) -> Floats:
        prepared = self.prepared
        task = prepared.benchmark.task
        return average_accuracy(impute_accuracy(prepared.labels, task, prepared.n_tasks))
