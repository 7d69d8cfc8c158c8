"""The linear models of a request: its task by a discriminant, its scores by ridge regression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

RIDGE = 0.1
SHRINKAGE = 0.1
N_COMPONENTS = 96
_LEAST_SPREAD = 1e-12


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
