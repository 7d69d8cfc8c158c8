"""The fit of the request estimates: discriminant, ridge, stack, isotonic regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.formulas import (
    GATE,
    PERCENTILES,
    PRIOR_MASS,
    Calibration,
    GateVerdict,
    GuardedModel,
    K,
    RequestEstimator,
    capped,
    gate_verdict,
    softmax,
    task_share,
)
from litellm_benchrouter.guarded.impute import TaskAccuracies, impute_labels
from litellm_benchrouter.paper.neighbors import Neighbors, nearest

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

TASK_MASS = 5.0
"""Samples that the mean over tasks is worth in T~."""
N_COMPONENTS = 96
"""Principal components of the embedding in all linear models."""
RIDGE = 0.1
SHRINKAGE = 0.1
MIN_LABELS = 50
"""A model with fewer labels has the calibration of all models together."""
_BLOCK = 4096  # rows gathered at once: K * M * _BLOCK labels stay in the cache
_LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class RequestFit:
    """What a fit found, besides what serving needs.

    Attributes
    ----------
    served : ndarray of float64, shape (n, M)
        Probabilities of the rows as they would be served, calibrated on the other folds.
    ece, ece_of_picks : float
        Calibration error of `served`: of all models, and of those that are picked by quality.
    """

    guarded: GuardedModel
    gate: GateVerdict
    served: Floats
    ece: float
    ece_of_picks: float

    def closed(self) -> RequestFit:
        """Return the same with nothing to gain: every row then has the averages as its scores."""
        scores = np.tile(self.guarded.request.average.astype(np.float32), (len(self.served), 1))
        best = int(self.guarded.request.average.argmax())
        return replace(
            self,
            guarded=replace(self.guarded, loo_scores=scores),
            gate=GateVerdict(0.0, self.gate.standard_error),
            served=capped(self.served, best),
        )

    @cached_property
    def as_manifest(self) -> dict[str, float | bool | list[float]]:
        """Return what the manifest says of it."""
        return {
            "gate_gain": self.gate.gain,
            "gate_standard_error": self.gate.standard_error,
            "gate_standard_errors_required": GATE,
            "routes": self.gate.routes,
            "stack_weights": self.guarded.request.stack.tolist(),
            "ece": self.ece,
            "ece_of_picks": self.ece_of_picks,
        }


def fit_request(
    vectors: NDArray[np.float32],
    labels: NDArray[np.float32],
    task: NDArray[np.int32],
    n_tasks: int,
    neighbors_loo: Neighbors,
    base: tuple[NDArray[np.float32], NDArray[np.int32]] | None = None,
) -> RequestFit:
    """Fit the request estimates on labelled rows.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, E)
        Rows of unit length.
    labels : ndarray of float32, shape (n, M)
        Correctness, or scores in [0, 1]; NaN is missing.
    task : ndarray of int32, shape (n,)
    neighbors_loo : Neighbors
        Of each row among the others (itself left out), at least K of them where there are.
    base : tuple of ndarray, optional
        As in `fit_estimator`.
    """
    estimator, scores = fit_estimator(vectors, labels, task, n_tasks, neighbors_loo.index, base)
    gate = gate_verdict(scores, labels, task, estimator.average)
    crossed = cross_fitted(scores, labels)
    finite = np.where(np.isfinite(neighbors_loo.distance), neighbors_loo.distance, np.nan)[:, :K]
    mean_distance = np.nanmean(finite, axis=1)
    guarded = GuardedModel(
        estimator,
        fit_calibration(scores, labels),
        scores.astype(np.float32),
        np.percentile(mean_distance, PERCENTILES),
    )
    best = int(estimator.average.argmax())
    picks = scores.argmax(axis=1) if gate.routes else np.full(len(scores), best)
    rows = np.arange(len(scores))
    return RequestFit(
        guarded,
        gate,
        crossed if gate.routes else capped(crossed, best),
        expected_calibration_error(crossed, labels),
        expected_calibration_error(crossed[rows, picks], labels[rows, picks]),
    )


def neighbors_of_each(vectors: NDArray[np.float32], k: int = K) -> Neighbors:
    """Nearest other rows of each row; the row itself is left out."""
    everything = np.arange(len(vectors))
    k = min(k, max(len(vectors) - 1, 1))
    return nearest(vectors, vectors, k, excluded=lambda rows: rows[:, None] == everything[None, :])


def fit_estimator(
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
    ndarray of float64, shape (n, M)
        Leave-one-out scores of the training rows, for the gate, the calibration and lambda.
    """
    size = np.maximum(np.bincount(task, minlength=n_tasks), 1).astype(float)
    cells = TaskAccuracies.of(labels, task, n_tasks)
    average, accuracy = cells.imputed().mean(axis=0), cells.cautious()
    filled = impute_labels(labels, task, cells, accuracy)
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


def neighbor_sums(neighbors: Ints, labels: Labels) -> tuple[Floats, Floats]:
    """Sum and number of the known labels over the first K neighbours, each of shape (q, M)."""
    total = np.empty((len(neighbors), labels.shape[1]))
    count = np.empty_like(total)
    for start in range(0, len(neighbors), _BLOCK):
        values = labels[neighbors[start : start + _BLOCK, :K]]
        known = ~np.isnan(values)
        count[start : start + _BLOCK] = known.sum(axis=1)
        total[start : start + _BLOCK] = np.where(known, values, 0).sum(axis=1)
    return total, count


def combine(parts: list[Floats], stack: Floats) -> Floats:
    """Weighted sum of the estimates, shape of one of them."""
    total = np.zeros_like(parts[0])
    for weight, part in zip(stack, parts, strict=True):
        total += weight * part
    return total


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


def fit_task_classifier(
    embeddings: NDArray[np.float32], task: Ints, n_tasks: int
) -> tuple[Floats, Floats]:
    """Linear discriminant of the task on 96 components, covariance shrunk by 0.1 to its mean."""
    data = embeddings.astype(np.float64)
    components = np.linalg.eigh(np.atleast_2d(np.cov(data.T)))[1][:, ::-1][:, :N_COMPONENTS]
    reduced = data @ components
    size = np.bincount(task, minlength=n_tasks)
    means = np.zeros((n_tasks, reduced.shape[1]))
    np.add.at(means, task, reduced)
    means /= np.maximum(size, 1)[:, None]
    residual = reduced - means[task]
    covariance = residual.T @ residual / len(task)
    # Prompts that all embed alike have no spread; then the shares of the tasks decide.
    spread = max(float(np.trace(covariance)) / len(covariance), _LEAST_SPREAD)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, means.T)
    log_share = np.log(np.maximum(size, 1) / len(task))
    return components @ weights, log_share - 0.5 * (means * weights.T).sum(axis=1)


def fit_ridge(
    embeddings: NDArray[np.float32], targets: Floats, weight: Floats, strength: float = RIDGE
) -> tuple[Floats, Floats, Floats]:
    """Ridge with a free intercept: weights (E, M), bias (M,), leave-one-out scores (n, M)."""
    centre = weight @ embeddings / weight.sum()
    centred = embeddings - centre
    scatter = (centred * weight[:, None]).T @ centred
    components = np.linalg.eigh(scatter)[1][:, ::-1][:, :N_COMPONENTS]
    features = np.hstack([centred @ components, np.ones((len(embeddings), 1))])
    penalty = strength * np.eye(features.shape[1])
    penalty[-1, -1] = 0.0
    inverse = np.linalg.inv((features * weight[:, None]).T @ features + penalty)
    solution = inverse @ ((features * weight[:, None]).T @ targets)
    leverage = weight * np.einsum("ij,jk,ik->i", features, inverse, features, optimize=True)
    left_out = (features @ solution - leverage[:, None] * targets) / (1 - leverage[:, None])
    weights = components @ solution[:-1]
    return weights, solution[-1] - centre @ weights, left_out


def fit_calibration(scores: Floats, labels: Labels) -> Calibration:
    """Fit on held-out scores: leave-one-out, or of folds.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, M)
    labels : ndarray of float32, shape (n, M), NaN is missing
    """
    from sklearn.isotonic import IsotonicRegression  # build side only

    known = ~np.isnan(labels)

    def knots(x: Floats, y: Labels) -> tuple[Floats, Floats]:
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
        return (
            np.asarray(model.X_thresholds_, np.float64),
            np.asarray(model.y_thresholds_, np.float64),
        )

    shared = knots(scores[known], labels[known])
    maps = [
        knots(scores[known[:, m], m], labels[known[:, m], m])
        if known[:, m].sum() >= MIN_LABELS
        else shared
        for m in range(labels.shape[1])
    ]
    return Calibration(tuple(x for x, _ in maps), tuple(p for _, p in maps))


def cross_fitted(scores: Floats, labels: Labels, n_folds: int = 5, seed: int = 0) -> Floats:
    """Calibrated training rows, each by a map fitted without its fold; shape (n, M)."""
    fold = np.random.default_rng(seed).permutation(len(scores)) % n_folds
    out = np.empty_like(scores)
    for f in range(n_folds):
        calibration = fit_calibration(scores[fold != f], labels[fold != f])
        out[fold == f] = calibration.predict_proba(scores[fold == f])
    return out


def expected_calibration_error(probabilities: Floats, labels: Labels, n_bins: int = 15) -> float:
    """ECE over equal-width bins of all known entries: sum_b |sum (p - y)| / n."""
    known = ~np.isnan(labels)
    p, y = probabilities[known], labels[known]
    index = np.minimum((p * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(index, p - y, minlength=n_bins)).sum() / max(len(p), 1))
