"""What picks gain over the best model on average, how sure that is, and the gate that it opens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.impute import rarely_measured

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

N_FOLDS = 5
FEWEST_GROUPS = 10
"""Independent samples below which nothing is known of a gain's error."""
GATE = 1.645
"""Standard errors that the out-of-fold gain must exceed: a lower bound of 95 %, on one side."""


@dataclass(frozen=True)
class Gain:
    """Mean gain over the best on average (BMA) and how sure it is, as accuracy.

    Attributes
    ----------
    gain : float
        Unweighted mean over tasks; NaN where no sample has labels of both models.
    standard_error : float
    moved_share : float
        Share of the samples with another pick than BMA.
    n_samples : int
        Samples with labels of both models.
    """

    gain: float
    standard_error: float
    moved_share: float = 0.0
    n_samples: int = 0

    @property
    def lower(self) -> float:
        """The lower bound of 95 %, on one side: what may be claimed."""
        return self.gain - GATE * self.standard_error

    @property
    def routes(self) -> bool:
        """Whether the router may leave the best single model."""
        return self.lower > 0


def gate_verdict(
    scores: Floats, labels: Labels, task: Ints, average: Floats, group: Ints | None = None
) -> Gain:
    """Measure what the picks gain over the best single model, with the error over samples.

    A model that is rarely measured is left out: it has next to no labels where it would be picked.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, M)
        Out-of-fold scores.
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)
    average : ndarray of float64, shape (M,)
    group : ndarray of int, shape (n,), optional
        Of near-duplicates; default: there are none.
    """
    return gain_of(*gate_picks(scores, labels, task, average), labels, task, group)


def gate_picks(
    scores: Floats | Labels, labels: Labels, task: Ints, average: Floats
) -> tuple[NDArray[np.intp], int]:
    """Return the picks that `gate_verdict` measures, shape (n,), and the best single model."""
    rare = rarely_measured(labels, task, int(task.max()) + 1)
    if not rare.all():
        scores = np.where(rare, -np.inf, scores)
        average = np.where(rare, -np.inf, average)
    pick = (scores + 1e-7 * np.maximum(average, 0)).argmax(axis=1)
    return pick, int(average.argmax())


def gain_of(
    pick: NDArray[np.intp], best: int, labels: Labels, task: Ints, group: Ints | None = None
) -> Gain:
    """Return the mean gain of picks over one model, on the samples that have labels of both.

    The mean is unweighted over tasks; its standard error takes near-duplicates as one observation.
    A task of a single group says nothing of the spread: it is compared with the mean of all. Where
    picks differ on a handful of samples and happen to win each time, what was seen has next to no
    spread: 1/n^2 is added to its variance, n being the groups, as if one more had been lost.

    Parameters
    ----------
    pick : ndarray of int, shape (n,)
    best : int
    labels, task, group
        As in `gate_verdict`.
    """
    rows = np.arange(len(task))
    gain = labels[rows, pick].astype(np.float64) - labels[:, best]
    has_gain = ~np.isnan(gain)
    moved = float((pick != best).mean())
    if not has_gain.any():
        return Gain(float("nan"), float("inf"), moved)
    gain = gain[has_gain]
    _, index, size = np.unique(task[has_gain], return_inverse=True, return_counts=True)
    _, cluster = np.unique((rows if group is None else group)[has_gain], return_inverse=True)
    mean = np.bincount(index, gain) / size
    n_clusters = int(cluster.max()) + 1
    clusters = np.bincount(np.unique(index * n_clusters + cluster) // n_clusters)
    centre = np.where(clusters > 1, mean, mean.mean())
    correction = np.sqrt(clusters / np.maximum(clusters - 1, 1))
    influence = (correction / (len(size) * size))[index] * (gain - centre[index])
    variance = float((np.bincount(cluster, influence) ** 2).sum()) + 1 / n_clusters**2
    error = np.sqrt(variance) if n_clusters >= FEWEST_GROUPS else float("inf")
    return Gain(float(mean.mean()), float(error), moved, len(gain))


def draw_folds(group: Ints, task: Ints, seed: int) -> NDArray[np.intp]:
    """Put groups of samples into folds, each task's evenly, at random.

    Parameters
    ----------
    group, task : ndarray of int, shape (n,)
        Groups are numbered from 0.

    Returns
    -------
    ndarray of int, shape (groups,)
        The fold of each group.
    """
    groups, first = np.unique(group, return_index=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(groups)), task[first]))
    fold = np.zeros(int(groups[-1]) + 1, dtype=np.intp)
    fold[groups[order]] = np.arange(len(groups)) % N_FOLDS
    return fold
