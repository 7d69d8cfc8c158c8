"""The fit of the request estimates: discriminant, ridge, stack, isotonic regression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.formulas import (
    PERCENTILES,
    Calibration,
    GuardedModel,
    K,
    RequestEstimator,
    capped,
    task_share,
)
from litellm_benchrouter.guarded.gain import GATE, N_FOLDS, Gain, draw_folds, gate_verdict
from litellm_benchrouter.guarded.impute import TaskAccuracies, impute_labels
from litellm_benchrouter.paper.neighbors import MapFunction, Neighbors, nearest, one_by_one
from litellm_benchrouter.paper.scores import expected_calibration_error

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

TASK_MASS = 5.0
"""Samples that the mean over tasks is worth in T~."""
N_COMPONENTS = 96
"""Principal components of the embedding in all linear models."""
RIDGE = 0.1
SHRINKAGE = 0.1
LISTED = 2 * K
"""Neighbours of a row of which K are left, but for rare cases, without those of its fold."""
MIN_LABELS = 50
"""A model with fewer labels has the calibration of all models together."""
_FEWEST_FITTED = 2  # of fewer, nothing varies
_BLOCK = 4096  # rows gathered at once: K * M * _BLOCK labels stay in the cache
_LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class RequestFit:
    """Fitted request estimates, with their held-out quality.

    Attributes
    ----------
    served : ndarray of float64, shape (n, M)
        Probabilities of the rows as they would be served: scored and calibrated without their fold.
    ece, ece_of_picks : float
        Calibration error of `served`: of all models, and of those that are picked by quality.
    """

    guarded: GuardedModel
    gate: Gain
    served: Floats
    ece: float
    ece_of_picks: float

    @cached_property
    def as_manifest(self) -> dict[str, float | bool | list[float] | None]:
        """Return what the manifest says of it; None where too few groups tell."""
        error = self.gate.standard_error
        return {
            "gate_gain": None if np.isnan(self.gate.gain) else self.gate.gain,
            "gate_standard_error": error if np.isfinite(error) else None,
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
    neighbors: Neighbors,
    group: Ints | None = None,
    base: tuple[Labels, Ints, Ints] | None = None,
    seed: int = 0,
) -> RequestFit:
    """Fit the request estimates on labelled rows, and score each row by a fit without its fold.

    Folds hold groups of near-duplicates together, so that no copy of a row tells its label. The
    stack of a fold's scores is fitted on the others.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, E)
        Rows of unit length.
    labels : ndarray of float32, shape (n, M)
        Correctness, or scores in [0, 1]; NaN is missing.
    task : ndarray of int32, shape (n,)
    neighbors : Neighbors
        Of each row among the others (itself left out), `LISTED` of them where there are.
    group : ndarray of int, shape (n,), optional
        Of near-duplicates, numbered from 0; default: there are none.
    base : tuple of ndarray, optional
        Labels, tasks and groups of the rows that `neighbors` numbers, where they are not these.
    seed : int
        Of the folds.
    """
    group = np.arange(len(task)) if group is None else group
    base_labels, base_task, base_group = (labels, task, group) if base is None else base
    fold_of_group = draw_folds(base_group, base_task, seed)
    fold, base_fold = fold_of_group[group], fold_of_group[base_group]
    estimator = fit_estimator(vectors, labels, task, n_tasks)
    parts = np.tile(estimator.average, (3, len(task), 1))
    for f in range(N_FOLDS):
        held = np.flatnonzero(fold == f)
        rest = np.flatnonzero(fold != f)
        if not len(held) or len(rest) < _FEWEST_FITTED:
            continue
        near = neighbors.rows(held).without(base_fold, f, K).index
        total, count = neighbor_sums(near, base_labels)
        share = task_share(np.where(near < 0, -1, base_task[near]), n_tasks)
        one = fit_estimator(vectors[rest], labels[rest], task[rest], n_tasks)
        parts[:, held] = one.parts(vectors[held].astype(np.float64), total, count, share)
    weight = 1 / np.maximum(np.bincount(task, minlength=n_tasks), 1)[task]
    estimator = replace(estimator, stack=fit_stack(parts, labels, weight))
    scores = np.empty(labels.shape)
    for f in np.unique(fold):
        others = fold != f if (fold != f).any() else fold == f
        stack = fit_stack(parts[:, others], labels[others], weight[others])
        scores[fold == f] = np.einsum("p,pnm->nm", stack, parts[:, fold == f])
    gate = gate_verdict(scores, labels, task, estimator.average, group)
    crossed = cross_fitted(scores, labels, fold)
    guarded = GuardedModel(
        estimator,
        fit_calibration(scores, labels),
        scores.astype(np.float32),
        np.percentile(_own_distances(neighbors, group, base_group), PERCENTILES),
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


def _own_distances(neighbors: Neighbors, group: Ints, base_group: Ints) -> Floats:
    """Mean distance to the nearest rows that are no near-duplicates, one of each group of these."""
    copies = (neighbors.index < 0) | (base_group[neighbors.index] == group[:, None])
    distance = np.where(copies, np.inf, neighbors.distance)
    nearest_first = np.sort(distance, axis=1)[:, :K]
    finite = np.isfinite(nearest_first)
    alone = ~finite.any(axis=1)
    total = np.where(finite, nearest_first, 0.0).sum(axis=1)
    mean: Floats = total / np.maximum(finite.sum(axis=1), 1)
    if alone.all():
        return np.zeros(1)
    _, of_group, size = np.unique(group[~alone], return_inverse=True, return_counts=True)
    return np.bincount(of_group, mean[~alone]) / size


def neighbors_of_each(
    vectors: NDArray[np.float32],
    k: int = LISTED,
    *,
    progress: Callable[[int], None] | None = None,
    each: MapFunction = one_by_one,
) -> Neighbors:
    """Nearest other rows of each row; the row itself is left out."""
    everything = np.arange(len(vectors))
    k = min(k, max(len(vectors) - 1, 1))
    return nearest(
        vectors,
        vectors,
        k,
        excluded=lambda rows: rows[:, None] == everything[None, :],
        progress=progress,
        each=each,
    )


def fit_estimator(
    embeddings: NDArray[np.float32], labels: Labels, task: Ints, n_tasks: int
) -> RequestEstimator:
    """Fit the estimates on training rows; their weights in the stack are still equal.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, E), unit length
    labels : ndarray of float32, shape (n, M), NaN is missing
    task : ndarray of int, shape (n,)
    """
    size = np.bincount(task, minlength=n_tasks).astype(float)
    cells = TaskAccuracies.of(labels, task, n_tasks)
    average = cells.tasks(size > 0).imputed().mean(axis=0)
    accuracy = cells.cautious()
    filled = impute_labels(labels, task, cells, accuracy)
    shrunk = (size[:, None] * accuracy + TASK_MASS * average) / (size[:, None] + TASK_MASS)
    classifier = fit_task_classifier(embeddings, task, n_tasks)
    ridge = fit_ridge(embeddings, filled, 1 / size[task])
    return RequestEstimator(shrunk, *classifier, *ridge, np.full(3, 1 / 3), average)


def neighbor_sums(neighbors: Ints, labels: Labels) -> tuple[Floats, Floats]:
    """Sum and number of the neighbours' known labels, each of shape (q, M); -1 is no neighbour."""
    total = np.empty((len(neighbors), labels.shape[1]))
    count = np.empty_like(total)
    for start in range(0, len(neighbors), _BLOCK):
        near = neighbors[start : start + _BLOCK]
        values = labels[near]
        present = ~np.isnan(values) & (near >= 0)[..., None]
        count[start : start + _BLOCK] = present.sum(axis=1)
        total[start : start + _BLOCK] = np.where(present, values, 0).sum(axis=1)
    return total, count


def fit_stack(parts: Floats, labels: Labels, weight: Floats) -> Floats:
    """Non-negative weights of the estimates; least squares on contrasts between models."""
    from scipy.optimize import nnls  # build side only

    present = ~np.isnan(labels)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)

    def contrast(values: Floats) -> Floats:
        values = np.where(present, values, 0.0)
        return np.where(present, values - values.sum(axis=1, keepdims=True) / count, 0.0)

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
) -> tuple[Floats, Floats]:
    """Ridge with a free intercept: weights (E, M) and bias (M,)."""
    centre = weight @ embeddings / weight.sum()
    centred = embeddings - centre
    scatter = (centred * weight[:, None]).T @ centred
    components = np.linalg.eigh(scatter)[1][:, ::-1][:, :N_COMPONENTS]
    features = np.hstack([centred @ components, np.ones((len(embeddings), 1))])
    penalty = strength * np.eye(features.shape[1])
    penalty[-1, -1] = 0.0
    weighted = (features * weight[:, None]).T
    solution = np.linalg.solve(weighted @ features + penalty, weighted @ targets)
    weights = components @ solution[:-1]
    return weights, solution[-1] - centre @ weights


def fit_calibration(scores: Floats, labels: Labels) -> Calibration:
    """Fit on held-out scores: leave-one-out, or of folds.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, M)
    labels : ndarray of float32, shape (n, M), NaN is missing
    """
    from sklearn.isotonic import IsotonicRegression  # build side only

    present = ~np.isnan(labels)

    def knots(x: Floats, y: Labels) -> tuple[Floats, Floats]:
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
        return (
            np.asarray(model.X_thresholds_, np.float64),
            np.asarray(model.y_thresholds_, np.float64),
        )

    shared = knots(scores[present], labels[present])
    maps = [
        knots(scores[present[:, m], m], labels[present[:, m], m])
        if present[:, m].sum() >= MIN_LABELS
        else shared
        for m in range(labels.shape[1])
    ]
    return Calibration(tuple(x for x, _ in maps), tuple(p for _, p in maps))


def cross_fitted(scores: Floats, labels: Labels, fold: Ints) -> Floats:
    """Calibrated training rows, each by a map fitted without its fold; shape (n, M)."""
    out = np.empty_like(scores)
    for f in np.unique(fold):
        others = fold != f if (fold != f).any() else fold == f
        calibration = fit_calibration(scores[others], labels[others])
        out[fold == f] = calibration.predict_proba(scores[fold == f])
    return out
