"""Covariances of the models' accuracies over tasks, and of their labels within a task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import mean

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

SHRINKAGES = (0.1, 0.25, 0.5, 0.75, 0.95)
MAX_TASKS = 30
"""Tasks that the shrinkage's likelihood is summed over, evenly spaced."""
FLOOR = 1e-5
"""Smallest eigenvalue of a covariance of accuracies (0.3 points of standard deviation)."""


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


def pooled(covariances: Floats) -> Floats:
    """Mean over tasks; what no task tells counts as nothing in common."""
    if not np.isnan(covariances).any():
        over_tasks: Floats = covariances.mean(axis=0)
        return over_tasks
    flat = mean(covariances.reshape(len(covariances), -1))
    return _positive(np.nan_to_num(flat).reshape(covariances.shape[1:]))


def extended(matrix: Floats, models: Ints, size: int) -> Floats:
    """Covariance of `size` models from that of those kept: the others are as these in the mean."""
    n, variance = len(matrix), float(np.trace(matrix)) / len(matrix)
    shared = (float(matrix.sum()) - variance * n) / max(n * (n - 1), 1)
    matrix_of_all = np.full((size, size), np.clip(shared, 0.0, 0.95 * variance))
    np.fill_diagonal(matrix_of_all, variance)
    matrix_of_all[np.ix_(models, models)] = matrix
    return _positive(matrix_of_all)


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
