"""Which model to ask for a task of the benchmark: its own results, drawn to those of the others.

The best of many models on a few samples is lucky. With delta_dm the advantage of model m over the
best on average (BMA) on task d, and V_dm its sampling variance::

    mu_m  = mean_d delta_dm
    w_m   ~ exp((L_m - max L) / .03)
    tau^2 = max(0, sum_m w_m mean_d((delta_dm - mu_m)^2 D/(D - 1) - V_dm))
    k     = tau^2 / (tau^2 + V)
    posterior mean      mu + k (delta - mu)
    posterior variance  k V + (1 - k)^2 (tau^2 + mean_d V) / D

BMA is left where P(advantage > 0) > `SURE`, and not at all unless such picks gain on samples that
they were made without (docs/proof.md; eq. 6 of Shnitzer et al. 2023 with a posterior in the place
of S3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.gain import N_FOLDS, Gain, draw_folds, gain_of

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

SURE = 0.7
COMPETITION = 0.03


@dataclass(frozen=True)
class Advantages:
    """Advantage of every model over the best on average, by task; all of shape (D, M).

    Attributes
    ----------
    mean : ndarray of float64
        Posterior mean.
    variance : ndarray of float64
        Posterior variance; 0 for the best on average itself.
    """

    mean: Floats
    variance: Floats

    def probability_better(self) -> Floats:
        """P(advantage > 0); 0 for the best on average itself."""
        z = self.mean / np.sqrt(np.maximum(self.variance, 1e-12))
        probability = np.array([0.5 * (1 + erf(each / sqrt(2))) for each in z.ravel()])
        return np.where(self.variance > 0, probability.reshape(z.shape), 0.0)

    def picks(self, best: int) -> NDArray[np.intp]:
        """The model with the highest posterior mean of each task where that is sure, else BMA."""
        rows = np.arange(len(self.mean))
        pick = self.mean.argmax(axis=1)
        leaves = self.probability_better()[rows, pick] > SURE
        return np.where(leaves, pick, best).astype(np.intp)


@dataclass(frozen=True)
class Differences:
    """Paired differences of every model to one of them, by task; all of shape (D, M).

    Attributes
    ----------
    mean : ndarray of float64
        Over the samples that have labels of both, near-duplicates being one.
    variance : ndarray of float64
        Of the mean.
    count : ndarray of float64
        Such samples.
    """

    mean: Floats
    variance: Floats
    count: Floats


def paired_differences(
    labels: NDArray[np.float32], task: Ints, group: Ints, n_tasks: int, best: int
) -> Differences:
    """Compare every model with one of them on the samples that both answered.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)
    group : ndarray of int, shape (n,)
        Of near-duplicates.
    best : int
        The model to compare with.
    """
    difference = (labels - labels[:, best : best + 1]).astype(np.float64)
    of_group, of_task = _group_means(difference, task, group)
    present = ~np.isnan(of_group)
    count = _sums(present.astype(np.float64), of_task, n_tasks)
    shared = np.maximum(count, 1)
    mean = _sums(np.where(present, of_group, 0.0), of_task, n_tasks) / shared
    centred = np.where(present, of_group - mean[of_task], 0.0)
    variance = _sums(centred**2, of_task, n_tasks) / np.maximum(count - 1, 1)
    return Differences(mean, (variance + 1 / shared) / shared, count)


def advantages(differences: Differences, average: Floats, best: int) -> Advantages:
    """Return the posterior advantage over BMA of every model on every task.

    Parameters
    ----------
    differences : Differences
        To BMA.
    average : ndarray of float64, shape (M,)
        Mean accuracy over tasks.
    best : int
        BMA.
    """
    measured = differences.count > 0
    return _posterior(differences.mean, differences.variance, measured, average, best)


@dataclass(frozen=True)
class NamedTaskModel:
    """The posterior of every task of the benchmark, and what its picks gain held out.

    Attributes
    ----------
    advantages : Advantages
    gate : Gain
        Of picks for samples that they were made without.
    """

    advantages: Advantages
    gate: Gain

    def serves(self, tolerance: float) -> bool:
        """Say whether the picks gained on held-out samples and are shown to be no worse than BMA.

        Parameters
        ----------
        tolerance : float
            Loss that passes as none, as accuracy.
        """
        return self.gate.gain > 0 and self.gate.lower > -tolerance


def fit_named_tasks(
    labels: NDArray[np.float32], task: Ints, group: Ints, n_tasks: int, average: Floats, best: int
) -> NamedTaskModel:
    """Fit the posterior over some models, and hold out folds of it.

    Parameters
    ----------
    labels, task, group, n_tasks, best
        As in `paired_differences`; best is BMA.
    average : ndarray of float64, shape (M,)
        Mean accuracy over tasks.
    """

    def fitted(rows: Ints) -> Advantages:
        between = paired_differences(labels[rows], task[rows], group[rows], n_tasks, best)
        return advantages(between, average, best)

    fold = draw_folds(group, task, 0)[group]
    picks = np.full(len(task), best, dtype=np.intp)
    for f in range(N_FOLDS):
        asked, rest = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
        if len(asked) and len(rest):
            picks[asked] = fitted(rest).picks(best)[task[asked]]
    gate = gain_of(picks, best, labels, task, group)
    return NamedTaskModel(fitted(np.arange(len(task))), gate)


def _posterior(
    delta: Floats, sampling: Floats, measured: NDArray[np.bool_], average: Floats, best: int
) -> Advantages:
    tasks = np.maximum(measured.sum(axis=0), 1)
    mu = np.where(measured, delta, 0.0).sum(axis=0) / tasks
    excess = (delta - mu) ** 2 * (tasks / np.maximum(tasks - 1, 1)) - sampling
    of_model = np.where(measured, excess, 0.0).sum(axis=0) / tasks
    weight = np.exp((average - average.max()) / COMPETITION)
    weight[best] = 0.0  # it has no advantage over itself
    weight /= max(float(weight.sum()), 1e-300)
    tau2 = max(0.0, float(weight @ of_model))
    shrink = np.where(measured, tau2 / np.maximum(tau2 + sampling, 1e-12), 0.0)
    typical = np.where(measured, sampling, 0.0).sum(axis=0) / tasks
    variance = shrink * sampling + (1 - shrink) ** 2 * (tau2 + typical) / tasks
    # A task without labels of a model is as unsure as tasks differ.
    variance = np.where(measured, variance, variance + tau2)
    mean = mu + shrink * (delta - mu)
    mean[:, best], variance[:, best] = 0.0, 0.0
    return Advantages(mean, variance)


def _group_means(values: Floats, task: Ints, group: Ints) -> tuple[Floats, Ints]:
    """Mean of each group within its task over known values, and the task of each."""
    n_groups = int(group.max()) + 1
    pair, row = np.unique(task.astype(np.int64) * n_groups + group, return_inverse=True)
    if len(pair) == len(values):
        return values, task
    present = ~np.isnan(values)
    total = _sums(np.where(present, values, 0.0), row, len(pair))
    count = _sums(present.astype(np.float64), row, len(pair))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), pair // n_groups


def _sums(values: Floats, index: Ints, size: int) -> Floats:
    """Sum of the rows with each index, shape (size, M)."""
    columns = [np.bincount(index, values[:, m], size) for m in range(values.shape[1])]
    return np.stack(columns, axis=1)
