"""Per-request estimates inside the benchmark's tasks: shrunken kNN, ridge, their stack, and a gate.

Three estimates of P(model m answers x correctly), each leave-one-out on the training rows:

* ``knn_mix``: (sum_k y + m * prior(x)) / (k + m), prior(x) = sum_t share_t(x) * T~_t with share the
  tasks of the k nearest neighbours and T~_t = (n_t T_t + mass * L) / (n_t + mass);
* ``knn_task``: the same with share = P(t | x) of a linear discriminant on the embedding;
* ``ridge``: on 96 principal components, rows weighted 1/n_task.

They are combined with non-negative weights fitted to the differences between models, which decide
the pick. The best single model answers unless the leave-one-out gain exceeds `GATE` standard
errors. Everything is linear in the embedding but the neighbour sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.filled import Cells, filled_labels, sparse_models
from litellm_benchrouter.guarded.linear import fit_ridge, fit_task_classifier

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

K = 20
PRIOR_MASS = 100.0
TASK_MASS = 5.0
GATE = 1.0
BLOCK = 4096
"""Rows gathered at once: K * M * BLOCK labels stay in the cache."""


@dataclass(frozen=True)
class RequestEstimator:
    """What the router needs at request time.

    Attributes
    ----------
    task_accuracy : ndarray of float64, shape (D, M)
        T~: each task's accuracy shrunk to the mean over tasks.
    task_weights, task_bias : ndarray of float64, shapes (E, D) and (D,)
        Linear discriminant: softmax of ``x @ task_weights + task_bias`` is P(t | x).
    ridge_weights, ridge_bias : ndarray of float64, shapes (E, M) and (M,)
    stack : ndarray of float64, shape (3,)
        Weights of knn_mix, knn_task, ridge.
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

    def predict(
        self,
        embeddings: NDArray[np.float32],
        near_labels: Labels,
        near_task: Ints,
    ) -> Floats:
        """Score of each model for each request, shape (q, M); not yet calibrated.

        Parameters
        ----------
        embeddings : ndarray of float32, shape (q, E)
        near_labels : ndarray of float32, shape (q, K, M)
            Labels of the nearest training rows, NaN where missing.
        near_task : ndarray of int, shape (q, K)
            Their tasks.
        """
        known = ~np.isnan(near_labels)
        total, count = np.where(known, near_labels, 0).sum(axis=1), known.sum(axis=1)
        share = task_share(near_task, len(self.task_bias))
        return self.score(embeddings.astype(np.float64), total, count, share)

    def score(self, embeddings: Floats, total: NDArray[Any], count: Ints, share: Floats) -> Floats:
        """Score as `predict` does, from sums over the nearest training rows, shape (..., M).

        Parameters
        ----------
        embeddings : ndarray of float64, shape (..., E)
        total, count : ndarray, shape (..., M)
            Sum and number of their labels that are known.
        share : ndarray of float64, shape (..., D)
            Of each task among them.
        """
        # The stack of the three estimates, written so that what they share is computed once.
        knn_mix, knn_task, ridge = self.stack.tolist()
        mix = knn_mix * share + knn_task * softmax(embeddings @ self.task_weights + self.task_bias)
        prior = PRIOR_MASS * (mix @ self.task_accuracy)
        near = ((knn_mix + knn_task) * total + prior) / (count + PRIOR_MASS)
        scores: Floats = near + ridge * (embeddings @ self.ridge_weights + self.ridge_bias)
        return scores

    def pool(self, models: Ints) -> RequestEstimator:
        """Return the same for some of the models (columns)."""
        return replace(
            self,
            task_accuracy=self.task_accuracy[:, models],
            ridge_weights=self.ridge_weights[:, models],
            ridge_bias=self.ridge_bias[models],
            average=self.average[models],
        )


@dataclass(frozen=True)
class GateVerdict:
    """Leave-one-out gain over the best single model (accuracy, macro mean over tasks)."""

    gain: float
    standard_error: float

    @property
    def routes(self) -> bool:
        """Whether the router may leave the best single model."""
        return self.gain - GATE * self.standard_error > 0


def fit(
    embeddings: NDArray[np.float32],
    labels: Labels,
    task: Ints,
    n_tasks: int,
    neighbors: Ints,
    base: tuple[Labels, Ints] | None = None,
) -> tuple[RequestEstimator, Floats]:
    """Fit on the training rows.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, E), unit length
    labels : ndarray of float32, shape (n, M), NaN is missing
    task : ndarray of int, shape (n,)
    neighbors : ndarray of int, shape (n, K)
        Nearest rows of each row, the row itself left out.
    base : tuple of ndarray, optional
        Labels and tasks of the rows that `neighbors` numbers, where they are not these rows.

    Returns
    -------
    RequestEstimator
    ndarray of float64, shape (n, M)
        Leave-one-out scores of the training rows, for the gate, the calibration and lambda.
    """
    size = np.maximum(np.bincount(task, minlength=n_tasks), 1).astype(float)
    cells = Cells.of(labels, task, n_tasks)
    average, accuracy = cells.filled().mean(axis=0), cells.cautious()
    filled = filled_labels(labels, task, cells, accuracy)
    shrunk = (size[:, None] * accuracy + TASK_MASS * average) / (size[:, None] + TASK_MASS)
    classifier = fit_task_classifier(embeddings, task, n_tasks)
    base_labels, base_task = (labels, task) if base is None else base
    share = task_share(base_task[neighbors[:, :K]], n_tasks)
    probability = softmax(embeddings @ classifier[0] + classifier[1])
    # A row's own label is inside its task's mean: take it out before scoring the row.
    own = size[task][:, None]
    without = (own * accuracy[task] - filled + TASK_MASS * average) / (own - 1 + TASK_MASS)
    rows = np.arange(len(task))
    total, count = neighbor_sums(neighbors, base_labels)
    parts = []
    for mix in (share, probability):
        prior = mix @ shrunk + mix[rows, task][:, None] * (without - shrunk[task])
        parts.append((total + PRIOR_MASS * prior) / (count + PRIOR_MASS))
    weights, bias, left_out = fit_ridge(embeddings, filled, 1 / size[task])
    parts.append(left_out)
    stack = fit_stack(parts, labels, 1 / size[task])
    estimator = RequestEstimator(
        shrunk, classifier[0], classifier[1], weights, bias, stack, average
    )
    return estimator, combine(parts, stack)


def combine(parts: list[Floats], stack: Floats) -> Floats:
    """Weighted sum of the estimates, shape of one of them."""
    total = np.zeros_like(parts[0])
    for weight, part in zip(stack, parts, strict=True):
        total += weight * part
    return total


def gate(scores: Floats, labels: Labels, task: Ints, average: Floats) -> GateVerdict:
    """Gain of the picks over the best single model, with the standard error over rows.

    A model with a few labels only is left out: it has next to none where it would be picked.
    """
    rows = np.arange(len(task))
    left_out = sparse_models(labels, task, int(task.max()) + 1)
    if not left_out.all():
        scores = np.where(left_out, -np.inf, scores)
        average = np.where(left_out, -np.inf, average)
    pick = (scores + 1e-7 * np.maximum(average, 0)).argmax(axis=1)
    gain = labels[rows, pick].astype(float) - labels[rows, int(average.argmax())]
    known = ~np.isnan(gain)
    _, index, size = np.unique(task[known], return_inverse=True, return_counts=True)
    gain = gain[known]
    mean = np.bincount(index, gain) / size
    weight = 1.0 / (len(size) * size[index])
    error = float(np.sqrt((weight**2 * (gain - mean[index]) ** 2).sum()))
    return GateVerdict(float(mean.mean()), error)


def capped(probability: Floats, best: int) -> Floats:
    """Take no model to be better than the best single model: what a closed gate allows.

    It protects quality alone: a cheaper model may still be found to be as good on a request.

    Parameters
    ----------
    probability : ndarray of float64, shape (..., M)
    best : int
        The best single model.
    """
    return np.minimum(probability, probability[..., best : best + 1])


def fit_stack(parts: list[Floats], labels: Labels, weight: Floats) -> Floats:
    """Non-negative weights of the estimates; least squares on contrasts between models."""
    from scipy.optimize import nnls  # build side only

    known = ~np.isnan(labels)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)

    def contrast(values: Floats) -> Floats:
        values = np.where(known, values, 0.0)
        return np.where(known, values - values.sum(axis=1, keepdims=True) / count, 0.0)

    root = np.sqrt(weight)[:, None]
    design = np.stack([(root * contrast(part)).ravel() for part in parts], axis=1)
    target = (root * contrast(labels.astype(np.float64))).ravel()
    gram = design.T @ design
    factor = np.linalg.cholesky(gram + 1e-9 * np.eye(len(parts)))
    solution: Floats = nnls(factor.T, np.linalg.solve(factor, design.T @ target))[0]
    return solution if solution.sum() > 0 else np.full(len(parts), 1.0 / len(parts))


def neighbor_sums(neighbors: Ints, labels: Labels) -> tuple[Floats, Floats]:
    """Sum and number of the known labels over the first K neighbours, each of shape (q, M)."""
    total = np.empty((len(neighbors), labels.shape[1]))
    count = np.empty_like(total)
    for start in range(0, len(neighbors), BLOCK):
        values = labels[neighbors[start : start + BLOCK, :K]]
        known = ~np.isnan(values)
        count[start : start + BLOCK] = known.sum(axis=1)
        total[start : start + BLOCK] = np.where(known, values, 0).sum(axis=1)
    return total, count


def task_share(near_task: Ints, n_tasks: int) -> Floats:
    """Share of each task among the neighbours, shape (q, D)."""
    flat = near_task + n_tasks * np.arange(len(near_task))[:, None]
    count = np.bincount(flat.ravel(), minlength=len(near_task) * n_tasks)
    share: Floats = count.reshape(len(near_task), n_tasks) / near_task.shape[1]
    return share


def softmax(values: Floats) -> Floats:
    """Softmax over the last axis, shape kept."""
    exponential = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: Floats = exponential / exponential.sum(axis=-1, keepdims=True)
    return shares
