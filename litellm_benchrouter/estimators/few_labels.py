"""A few labels on a new task: posterior of every model's accuracy, the pick, what is still needed.

Prior mean mu = the unlabelled score of `unseen` plus a level shift; prior covariance Sigma from the
leave-one-task-out residuals of the benchmark. With n labels of mean ybar (R is the pooled
within-task covariance of the labels)::

    MVN  = mu + Sigma (Sigma + R / n)^-1 (ybar - mu)
    Beta = (n ybar + 20 mu) / (n + 20)
    score = (MVN + Beta) / 2

A model replaces the best on average (BMA) only where P(theta_m > theta_BMA) > eta, with the
posterior covariance of the MVN; eta = .7, from 20 labels .6. Eq. 6 of Shnitzer et al. 2023 has
the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

BETA_MASS = 20.0
CAUTIOUS_BELOW = 20
"""Below this many labels leaving BMA takes P > .7 instead of the paper's .6."""
SETTLED = 0.95
HERDED = 10
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
class Posterior:
    """Posterior of the models' accuracies on the task.

    Attributes
    ----------
    score : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
    """

    score: Floats
    covariance: Floats

    def probability_better(self, model: int, than: int) -> float:
        """P(theta_model > theta_than), normal approximation."""
        difference = float(self.score[model] - self.score[than])
        return _normal_cdf(difference / _spread(self.covariance, model, than))

    def pick(self, bma: int, eta: float) -> int:
        """Best model if it beats BMA with probability above eta, else BMA."""
        best = int(self.score.argmax())
        return best if best != bma and self.probability_better(best, bma) > eta else bma


def required_probability(n_labels: int) -> float:
    """eta for a number of labels."""
    return 0.7 if n_labels < CAUTIOUS_BELOW else 0.6


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
    """Covariance of the labels within each task, shape (D, M, M); a gap counts as the mean."""
    out = np.zeros((n_tasks, labels.shape[1], labels.shape[1]))
    for t in range(n_tasks):
        rows = labels[task == t].astype(np.float64)
        known = ~np.isnan(rows)
        mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, rows - mean, 0.0)
        out[t] = centred.T @ centred / max(len(rows) - 1, 1)
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


def update(prior: TaskPrior, labels: Labels) -> Posterior:
    """Posterior after n labelled inputs.

    Parameters
    ----------
    prior : TaskPrior
    labels : ndarray of float32, shape (n, M), NaN where a model was not asked
    """
    known = ~np.isnan(labels)
    count = known.sum(axis=0).astype(np.float64)
    mean = np.where(known, labels, 0).sum(axis=0) / np.maximum(count, 1)
    seen = np.flatnonzero(count)
    score, covariance = prior.mean.copy(), prior.covariance.copy()
    if len(seen):
        # R_ij n_ij / (n_i n_j): models that answered different inputs share less noise.
        pairs = (known.T.astype(np.float64) @ known)[np.ix_(seen, seen)]
        noise = prior.noise[np.ix_(seen, seen)] * pairs / np.outer(count[seen], count[seen])
        total = prior.covariance[np.ix_(seen, seen)] + noise + 1e-9 * np.eye(len(seen))
        gain = np.linalg.solve(total, prior.covariance[seen]).T
        score = score + gain @ (mean[seen] - prior.mean[seen])
        covariance = covariance - gain @ prior.covariance[seen]
    beta = (count * mean + BETA_MASS * prior.mean) / (count + BETA_MASS)
    return Posterior((score + beta) / 2, covariance)


def labels_needed(
    prior: TaskPrior, posterior: Posterior, bma: int, n: int, limit: int = 1000
) -> int | None:
    """How many more labels would settle best-or-BMA at 95 %, were the estimates to stay.

    Returns
    -------
    int or None
        0 if it is settled already; None if `limit` labels would not be enough.
    """
    order = np.argsort(-posterior.score, kind="stable")
    best = int(order[0])
    rival = bma if best != bma else int(order[1])
    gap = float(posterior.score[best] - posterior.score[rival])
    for more in range(limit + 1):
        noise = prior.noise / max(n + more, 1)
        gain = np.linalg.solve(prior.covariance + noise, prior.covariance).T
        spread = _spread(prior.covariance - gain @ prior.covariance, best, rival)
        if _normal_cdf(gap / spread) >= SETTLED:
            return more
    return None


def herd(embeddings: NDArray[np.float32], n: int = HERDED) -> NDArray[np.intp]:
    """Inputs to label first: greedily keep the sample's mean embedding close to the task's.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (inputs, E)
    n : int

    Returns
    -------
    ndarray of int, shape (min(n, inputs),)
    """
    target = embeddings.mean(axis=0)
    total = np.zeros_like(target)
    free = np.ones(len(embeddings), bool)
    picked: list[int] = []
    for i in range(min(n, len(embeddings))):
        distance = (((total + embeddings) / (i + 1) - target) ** 2).sum(axis=1)
        best = int(np.where(free, distance, np.inf).argmin())
        free[best] = False
        total = total + embeddings[best]
        picked.append(best)
    return np.array(picked, dtype=np.intp)


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


def _spread(covariance: Floats, a: int, b: int) -> float:
    return sqrt(max(float(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]), 1e-9))


def _normal_cdf(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))
