"""The guarded method as it is served, in the order of docs/guarded.md.

`GuardedModel` holds what a build fitted. A prompt's score is `RequestEstimator.score`; the gate
(`gain.gate_verdict`) and the distance guard (`GuardedModel.far`) hold it back; `Calibration` turns
scores into probabilities; `TaskEstimator` scores a task that is new. Numpy alone, and no state
between requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

K = 20
"""Neighbours of a prompt."""
PRIOR_MASS = 100.0
"""Labels that the prior of a prompt is worth."""
FAR_PERCENTILE = 99
"""Of the benchmark's own distances; beyond it the best model on average answers."""
MARGIN = 0.005
"""Smallest predicted advantage over the best model on average worth leaving it for (accuracy)."""

PERCENTILES = np.arange(101)


@dataclass(frozen=True)
class RequestEstimator:
    """P(model m answers x correctly), before calibration.

    Attributes
    ----------
    task_accuracy : ndarray of float64, shape (D, M)
        T~: each task's accuracy drawn to the mean over tasks.
    task_weights, task_bias : ndarray of float64, shapes (E, D) and (D,)
        Linear discriminant: softmax of ``x @ task_weights + task_bias`` is P(t | x).
    ridge_weights, ridge_bias : ndarray of float64, shapes (E, M) and (M,)
    stack : ndarray of float64, shape (3,)
        Weights of knn_mix, knn_task and ridge.
    average : ndarray of float64, shape (M,)
        Mean accuracy over tasks; its best entry is the best single model.
    """

    task_accuracy: Floats
    task_weights: Floats
    task_bias: Floats
    ridge_weights: Floats
    ridge_bias: Floats
    stack: Floats
    average: Floats

    def score(self, embeddings: Floats, total: NDArray[Any], count: Ints, share: Floats) -> Floats:
        """Score each model, from sums over the K nearest samples.

        With prior(x) = sum_t share_t(x) T~_t, share_t being the tasks of the neighbours (knn_mix)
        or P(t | x) (knn_task)::

            knn   = (total + 100 prior) / (count + 100)
            ridge = x w + b
            score = stack . (knn_mix, knn_task, ridge)

        Parameters
        ----------
        embeddings : ndarray of float64, shape (..., E)
        total, count : ndarray, shape (..., M)
            Sum and number of the neighbours' labels.
        share : ndarray of float64, shape (..., D)
            Of each task among the neighbours.

        Returns
        -------
        ndarray of float64, shape (..., M)
        """
        # Written so that what the three estimates share is computed once.
        knn_mix, knn_task, ridge = self.stack.tolist()
        mix = knn_mix * share + knn_task * softmax(embeddings @ self.task_weights + self.task_bias)
        prior = PRIOR_MASS * (mix @ self.task_accuracy)
        near = ((knn_mix + knn_task) * total + prior) / (count + PRIOR_MASS)
        scores: Floats = near + ridge * (embeddings @ self.ridge_weights + self.ridge_bias)
        return scores

    def parts(
        self, embeddings: Floats, total: NDArray[Any], count: NDArray[Any], share: Floats
    ) -> Floats:
        """Estimate by knn_mix, knn_task and ridge, of which `score` is the weighted sum.

        Parameters are those of `score`.

        Returns
        -------
        ndarray of float64, shape (3, ..., M)
        """
        classified = softmax(embeddings @ self.task_weights + self.task_bias)
        near = [
            (total + PRIOR_MASS * (mix @ self.task_accuracy)) / (count + PRIOR_MASS)
            for mix in (share, classified)
        ]
        return np.stack([*near, embeddings @ self.ridge_weights + self.ridge_bias])

    def predict(
        self, embeddings: NDArray[np.float32], near_labels: Labels, near_task: Ints
    ) -> Floats:
        """Score many requests, shape (q, M), from their neighbours.

        Parameters
        ----------
        embeddings : ndarray of float32, shape (q, E)
        near_labels : ndarray of float32, shape (q, K, M)
            Labels of the nearest samples; NaN is missing.
        near_task : ndarray of int, shape (q, K)
            Their tasks.
        """
        has_label = ~np.isnan(near_labels)
        total, count = np.where(has_label, near_labels, 0).sum(axis=1), has_label.sum(axis=1)
        share = task_share(near_task, len(self.task_bias))
        return self.score(embeddings.astype(np.float64), total, count, share)

    def pool(self, models: Ints) -> RequestEstimator:
        """Restrict the estimator to some models (columns)."""
        return replace(
            self,
            task_accuracy=self.task_accuracy[:, models],
            ridge_weights=self.ridge_weights[:, models],
            ridge_bias=self.ridge_bias[models],
            average=self.average[models],
        )


def task_share(near_task: Ints, n_tasks: int) -> Floats:
    """Share of each task among the neighbours, shape (q, D); a task of -1 is no neighbour."""
    row, place = np.nonzero(near_task >= 0)
    flat = near_task[row, place] + n_tasks * row
    count = np.bincount(flat, minlength=len(near_task) * n_tasks).reshape(-1, n_tasks)
    share: Floats = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    return share


def softmax(values: Floats) -> Floats:
    """Softmax over the last axis, shape kept."""
    exponential = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: Floats = exponential / exponential.sum(axis=-1, keepdims=True)
    return shares


def capped(probability: Floats, best: int) -> Floats:
    """Cap each model's probability at that of the best single model.

    A closed gate allows savings, but no claim of quality: a cheaper model may still be found to be
    as good on a request.

    Parameters
    ----------
    probability : ndarray of float64, shape (..., M)
    best : int
        The best single model.
    """
    return np.minimum(probability, probability[..., best : best + 1])


@dataclass(frozen=True)
class Calibration:
    """A monotone piecewise linear map from score to probability for each model.

    Attributes
    ----------
    scores, probabilities : tuple of ndarray of float64
        One pair of equal length for each model.
    """

    scores: tuple[Floats, ...]
    probabilities: tuple[Floats, ...]

    def predict_proba(self, scores: Floats) -> Floats:
        """Map raw scores of shape (q, M) to probabilities."""
        columns = [
            np.interp(scores[:, m], x, p)
            for m, (x, p) in enumerate(zip(self.scores, self.probabilities, strict=True))
        ]
        return np.stack(columns, axis=1)

    def of_models(self, models: NDArray[np.intp], scores: Floats) -> Floats:
        """Map the raw scores of some models for one request, same shape."""
        return np.array(
            [self.of_model(int(m), float(s)) for m, s in zip(models, scores, strict=True)]
        )

    def of_model(self, model: int, score: float) -> float:
        """Map one raw score of one model."""
        return float(np.interp(score, self.scores[model], self.probabilities[model]))


@dataclass(frozen=True)
class GuardedModel:
    """Fitted request estimates, and all that serving needs of them.

    Attributes
    ----------
    loo_scores : ndarray of float32, shape (f, M)
        Out-of-fold scores of the samples that were fitted; the gate is asked again over
        whatever models are on offer.
    distances : ndarray of float64, shape (101,)
        Percentiles of the benchmark's own mean distances to its K nearest neighbours.
    """

    request: RequestEstimator
    calibration: Calibration
    loo_scores: NDArray[np.float32]
    distances: Floats

    @property
    def far(self) -> float:
        """Mean distance beyond which a prompt is unlike everything that was validated."""
        return float(self.distances[FAR_PERCENTILE])

    def percentile(self, mean_distance: float) -> float:
        """Locate a distance among the benchmark's own, from 0 to 100."""
        return float(np.interp(mean_distance, self.distances, PERCENTILES))


@dataclass(frozen=True)
class TaskEstimator:
    """The score of a new task, by the candidate that gained most on held-out tasks.

    With L the mean accuracy over tasks and G_p the task mean of predictor p::

        score(m) = L(m) + sum_p b_p ((G_p(m) - mean G_p) - (L(m) - mean L))

    Attributes
    ----------
    candidate : str or None
        None: the best model on average answers.
    coefficients : mapping of str to float
        b_p of each predictor; empty where there is no candidate.
    gains : mapping of str to (mean, standard error)
        Leave-one-family-out gain over the best model on average of every candidate, as accuracy.
    p_values : mapping of str to float
        Of these gains, adjusted for all candidates that were tried.
    margin : float
        Predicted advantage from which on the best model on average is left.
    """

    candidate: str | None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    p_values: Mapping[str, float] = field(default_factory=dict)
    margin: float = MARGIN

    def predict(self, average: Floats, predicted: Mapping[str, Floats]) -> Floats:
        """Score each model, from averages and predictions of shape (..., M)."""
        total = average.astype(np.float64)
        for name, coefficient in self.coefficients.items():
            total = total + coefficient * (centred(predicted[name]) - centred(average))
        return total


def centred(values: Floats) -> Floats:
    """Subtract the mean over models."""
    difference: Floats = values - values.mean(axis=-1, keepdims=True)
    return difference


def pick_for_task(scores: Floats, average: Floats, margin: float = MARGIN) -> NDArray[np.intp]:
    """Pick the best model of each task, shape (D,), or the best on average within the margin."""
    rows = np.arange(len(scores))
    pick, best = scores.argmax(axis=1), average.argmax(axis=1)
    picks: NDArray[np.intp] = np.where(scores[rows, pick] - scores[rows, best] > margin, pick, best)
    return picks
