"""Named tasks in a build: what their labels say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.named_tasks import LabelledTask, TaskPosterior
from litellm_benchrouter.building.fit import GuardedFit, GuardedTask
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.guarded.few_labels import (
    LIMIT,
    SETTLED,
    LearnedPrior,
    TaskPrior,
    beta_prior,
    label_covariances,
    labels_needed,
    learn_prior,
    update,
)
from litellm_benchrouter.guarded.unseen import candidate_scores
from litellm_benchrouter.paper.benchmark import MISSING, mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    predictor_accuracy,
    s3,
)
from litellm_benchrouter.sources.tasks import labels_path, read_labels
from litellm_benchrouter.validation.folds import TaskFolds

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
    by_task = {}
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
        firsts = sorted(first.values())
        once[firsts] = scores[firsts]
        if not np.isnan(once).all():
            by_task[name] = np.where(np.isnan(once), once, once > task.threshold).astype(np.float32)
    return by_task


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
        present = ~np.isnan(labels)
        p = self._measured_p(labels, near)
        measured = np.where(np.isnan(p), scores.p, p)
        labelled = LabelledTask(
            n_inputs=int(present.any(axis=1).sum()),
            counts=present.sum(axis=0),
            accuracy=mean(labels),
            p=p,
            posterior=self._posterior(labels, guarded) if self.by_posterior else None,
        )
        return labelled, replace(scores, p=measured, s3=s3(scores.s2, measured))

    @cached_property
    def usual_need(self) -> int:
        """Labels of a new task with which a difference of the usual size would be seen.

        The difference is that of the two models that are best on average, and as far from 0 as
        tasks stray; it is seen with 95 % where it is `SETTLED` standard errors of the labels.
        """
        if self._learned is None:
            prior = beta_prior(self._average, self._covariances)
        else:
            prior = TaskPrior(self._average, self._learned.covariance, self._learned.noise)
        a, b = self.prepared.order(self._average, self._average)[:2]
        strays, noise = (
            float(matrix[a, a] + matrix[b, b] - 2 * matrix[a, b])
            for matrix in (prior.covariance, prior.noise)
        )
        return int(np.clip(np.ceil(SETTLED**2 * noise / max(strays, 1e-9)), 1, LIMIT))

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
        return self.prepared.average
