"""What is expected of a new task before any label, learned from the benchmark's tasks.

Prior mean mu = the unlabelled score of `unseen` plus a level shift; prior covariance Sigma = that
of the leave-one-task-out residuals, less sampling noise, shrunk to compound symmetry by likelihood;
R = pooled within-task covariance of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.unseen import Evidence
from litellm_benchrouter.paper.masked import mean

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

BETA_MASS = 20.0
"""Labels that the prior of a single model is worth."""
SHRINKAGES = (0.1, 0.25, 0.5, 0.75, 0.95)
MAX_TASKS = 30
"""Tasks that the shrinkage's likelihood is summed over, evenly spaced."""
FLOOR = 1e-5
"""Smallest eigenvalue of a covariance of accuracies (0.3 points of standard deviation)."""


@dataclass(frozen=True)
class TaskPrior:
    """What is expected of a new task before any label.

    Attributes
    ----------
    mean : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
        Sigma: how far tasks stray from their prior mean.
    noise : ndarray of float64, shape (M, M)
        R: covariance of single labels within a task.
    """

    mean: Floats
    covariance: Floats
    noise: Floats


@dataclass(frozen=True)
class LearnedPrior:
    """What the priors of all new tasks have in common, learned from the benchmark's tasks.

    Attributes
    ----------
    shift : float
        gamma in [0, 1].
    covariance, noise : ndarray of float64, shape (M, M)
        As in `TaskPrior`.
    """

    shift: float
    covariance: Floats
    noise: Floats

    def of_task(self, scores: Floats, average: Floats, predicted: Floats) -> TaskPrior:
        """Prior of one task; all of shape (M,).

        Parameters
        ----------
        scores : ndarray of float64
            Of `unseen`, without labels.
        average : ndarray of float64
            L, the mean over the other tasks.
        predicted : ndarray of float64
            The kNN task mean.
        """
        level = float(predicted.mean() - average.mean())
        return TaskPrior(scores + self.shift * level, self.covariance, self.noise)


def learn_prior(
    evidence: Evidence,
    scores: Floats,
    covariances: Floats,
    size: Floats,
) -> LearnedPrior:
    """Learn what new tasks have in common from tasks each of which was left out.

    Parameters
    ----------
    evidence : Evidence
    scores : ndarray of float64, shape (D, M)
        Unlabelled scores of the tasks, each without its own group.
    covariances : ndarray of float64, shape (D, M, M)
        As `label_covariances` returns them.
    size : ndarray of float64, shape (D,)
        Samples of each task.

    Notes
    -----
    Too little is known of sparse models to learn from: they vary as the others do in the mean.
    """
    sparse = evidence.sparse
    if sparse.any() and not sparse.all():
        kept = np.flatnonzero(~sparse)
        square = np.ix_(np.arange(len(size)), kept, kept)
        of_kept = learn_prior(evidence.telling, scores[:, kept], covariances[square], size)
        return LearnedPrior(
            of_kept.shift,
            _extended(of_kept.covariance, kept, len(sparse)),
            _extended(of_kept.noise, kept, len(sparse)),
        )
    used = evidence.used
    average, predicted = evidence.average[used], evidence.predicted["knn200"][used]
    shift = level_shift(average, predicted, (evidence.accuracy - scores)[used])
    level = predicted.mean(axis=1) - average.mean(axis=1)
    expected = scores[used] + shift * level[:, None]
    covariance, _ = residual_covariance(
        evidence.accuracy[used] - expected,
        np.nan_to_num(covariances[used]) / size[used, None, None],
    )
    return LearnedPrior(shift, covariance, _pooled(covariances[used]))


def beta_prior(mean: Floats, covariances: Floats) -> TaskPrior:
    """Prior worth 20 labels a model, where there are too few tasks to learn one from.

    Parameters
    ----------
    mean : ndarray of float64, shape (M,)
    covariances : ndarray of float64, shape (D, M, M)
        As `label_covariances` returns them.
    """
    spread = np.clip(mean, 0.05, 0.95)
    covariance = np.diag(spread * (1 - spread) / (BETA_MASS + 1))
    # Within-task variances of a tiny benchmark may all be zero; a label is never that certain.
    noise = _pooled(covariances)
    np.fill_diagonal(noise, np.maximum(np.diag(noise), spread * (1 - spread)))
    return TaskPrior(mean, covariance, noise)


def level_shift(average: Floats, predicted: Floats, residual: Floats) -> float:
    """gamma in [0, 1]: how much of a predicted change of level carries over.

    Parameters
    ----------
    average, predicted : ndarray of float64, shape (D, M)
        L and the kNN task means of the training tasks, each left out.
    residual : ndarray of float64, shape (D, M)
        Accuracy minus the unlabelled score; NaN is missing.
    """
    level = predicted.mean(axis=1) - average.mean(axis=1)
    error = np.nan_to_num(residual).mean(axis=1)
    return float(np.clip(level @ error / max(float(level @ level), 1e-9), 0, 1))


def label_covariances(labels: Labels, task: Ints, n_tasks: int) -> Floats:
    """Covariance of the labels within each task, shape (D, M, M).

    Of two models it is that over the samples which both have; NaN where that is less than two.
    """
    out = np.full((n_tasks, labels.shape[1], labels.shape[1]), np.nan)
    for t in range(n_tasks):
        rows = labels[task == t].astype(np.float64)
        known = ~np.isnan(rows)
        mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, rows - mean, 0.0)
        pairs = known.T.astype(np.float64) @ known
        np.divide(centred.T @ centred, pairs - 1, out=out[t], where=pairs > 1)
    return out


def residual_covariance(residual: Floats, sampling: Floats) -> tuple[Floats, float]:
    """Sigma of eq. mu + e, less sampling noise, shrunk to compound symmetry; and the shrinkage.

    Parameters
    ----------
    residual : ndarray of float64, shape (D, M)
        Leave-one-task-out accuracy minus mu; NaN is missing.
    sampling : ndarray of float64, shape (D, M, M)
        Covariance of each task's accuracies: label covariance over the number of samples.

    Returns
    -------
    ndarray of float64, shape (M, M)
    float
        The shrinkage of the highest leave-one-out likelihood.
    """
    error = np.nan_to_num(residual)
    n_tasks, n_models = error.shape
    scatter, noise = error.T @ error, sampling.sum(axis=0)
    tasks = np.unique(np.linspace(0, n_tasks - 1, min(MAX_TASKS, n_tasks)).astype(int))
    likelihood = np.zeros(len(SHRINKAGES))
    for t in tasks:
        left_out = scatter - np.outer(error[t], error[t]) - noise + sampling[t]
        raw = _positive(left_out / max(n_tasks - 1, 1))
        for i, shrinkage in enumerate(SHRINKAGES):
            total = _shrunk(raw, shrinkage) + sampling[t] + 1e-6 * np.eye(n_models)
            factor = np.linalg.cholesky(total)
            z = np.linalg.solve(factor, error[t])
            likelihood[i] -= 0.5 * float(z @ z) + float(np.log(np.diag(factor)).sum())
    best = SHRINKAGES[int(likelihood.argmax())]
    return _shrunk(_positive((scatter - noise) / n_tasks), best), best


def _pooled(covariances: Floats) -> Floats:
    """Mean over tasks; what no task tells counts as nothing in common."""
    if not np.isnan(covariances).any():
        pooled: Floats = covariances.mean(axis=0)
        return pooled
    flat = mean(covariances.reshape(len(covariances), -1))
    return _positive(np.nan_to_num(flat).reshape(covariances.shape[1:]))


def _extended(matrix: Floats, kept: Ints, size: int) -> Floats:
    """Covariance of `size` models from that of those kept: the others are as these in the mean."""
    n, variance = len(matrix), float(np.trace(matrix)) / len(matrix)
    shared = (float(matrix.sum()) - variance * n) / max(n * (n - 1), 1)
    extended = np.full((size, size), np.clip(shared, 0.0, 0.95 * variance))
    np.fill_diagonal(extended, variance)
    extended[np.ix_(kept, kept)] = matrix
    return _positive(extended)


def _shrunk(covariance: Floats, shrinkage: float) -> Floats:
    size = len(covariance)
    variance = float(np.trace(covariance)) / size
    shared = (float(covariance.sum()) - variance * size) / max(size * (size - 1), 1)
    shared = float(np.clip(shared, 0.0, 0.95 * variance))
    symmetric = shared + (variance - shared) * np.eye(size)
    return _positive((1 - shrinkage) * covariance + shrinkage * symmetric)


def _positive(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    positive: Floats = (vectors * np.maximum(values, FLOOR)) @ vectors.T
    return positive
