"""Does any of several candidates gain on new tasks? One sign-flip test for all of them together.

The candidate with the best gain on the benchmark's families is lucky too. Under no gain the sign of
a family's gains is a coin's, the same coin for all candidates; the largest of their statistics,
studentised by the root mean square, is compared with its own distribution over the flips
(docs/proof.md, step 5; Westfall and Young, 1993).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_EXACT = 12
"""Families up to which every flip of signs is looked at."""
FLIPS = 4_000
SURE = 0.524
"""Standard deviations of the prediction's error by which an advantage must exceed 0: P > .7."""
COMPETITION = 0.03


def max_t_p_values(gains: Floats, seed: int = 0) -> Floats:
    """Return a one-sided p-value of each candidate, adjusted for all that were tried.

    Parameters
    ----------
    gains : ndarray of float64, shape (C, F)
        Mean gain over BMA of each candidate on each family; 0 where it stays with BMA.
    seed : int
        Of the flips, where there are too many to look at all.

    Returns
    -------
    ndarray of float64, shape (C,)
    """
    n = gains.shape[1]
    if n <= MOST_EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), (FLIPS, n))
        signs[0] = 1.0
    # Flips do not change the root mean square.
    scale = np.maximum(np.sqrt((gains**2).mean(axis=1) / n), 1e-12)
    observed = gains.mean(axis=1) / scale
    largest = (signs @ gains.T / n / scale).max(axis=1)
    return np.asarray((largest[:, None] >= observed - 1e-9).mean(axis=0), dtype=np.float64)


def prediction_error(
    predicted: Floats, realised: Floats, average: Floats, best: NDArray[np.intp]
) -> float:
    """Return the typical error of predicted advantages over BMA, as accuracy.

    Parameters
    ----------
    predicted, realised : ndarray of float64, shape (D, M)
        Scores and accuracies of each task, the scores without the task's own family.
    average : ndarray of float64, shape (D, M)
        L of each task: models that are far below the best do not compete and hardly count.
    best : ndarray of int, shape (D,)
        BMA of each task.
    """
    rows = np.arange(len(best))
    expected = predicted - predicted[rows, best][:, None]
    error = realised - realised[rows, best][:, None] - expected
    weight = np.exp((average - average[rows, best][:, None]) / COMPETITION)
    weight[rows, best] = 0.0
    weight[np.isnan(error)] = 0.0
    return float(np.sqrt((weight * np.nan_to_num(error) ** 2).sum() / max(weight.sum(), 1e-12)))
