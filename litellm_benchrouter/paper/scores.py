"""The correctness predictor g and the three scores of section 3: eqs. 1, 2, 5 and 7."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.paper.masked import mean, ratio
from litellm_benchrouter.paper.neighbors import Neighbors

Array = NDArray[np.float64]


def correctness_predictor(
    correctness: NDArray[np.uint8] | NDArray[np.float32], neighbors: Neighbors
) -> Array:
    """g_m(x): the mean correctness of model m over the neighbours of x (eq. 7).

    Parameters
    ----------
    correctness : ndarray, shape (n, M)
        uint8 labels with 255 for missing, or float32 scores with NaN for missing (appendix D).
    neighbors : Neighbors
        NN(phi(x), k, D), of shape (n_queries, k).

    Returns
    -------
    ndarray of float64, shape (n_queries, M)
        In [0, 1] for labels. NaN where none of the neighbours has a label.
    """
    value = correctness[neighbors.index]  # (n_queries, k, M); row -1 is masked out next
    known = value != MISSING if correctness.dtype == np.uint8 else ~np.isnan(value)
    known &= (neighbors.index >= 0)[:, :, None]
    total = np.where(known, value, 0).sum(axis=1, dtype=np.float64)
    count = known.sum(axis=1)
    return ratio(total, count)


def predict(g: Array, t: float = 0.5) -> Array:
    """The thresholded prediction I(g_m(x) > t) of eq. 2, as 0.0 and 1.0; NaN stays NaN."""
    return np.where(np.isnan(g), np.nan, g > t)


def s1(g: Array) -> Array:
    """S1(m, d'): the mean of g over the inputs of the task (eq. 1).

    Parameters
    ----------
    g : ndarray of float64, shape (n_inputs, M)

    Returns
    -------
    ndarray of float64, shape (M,)
        NaN for a model that has no label near any of the inputs.
    """
    return mean(g)


def s2(g: Array, t: float = 0.5) -> Array:
    """S2(m, d'): the share of the inputs that g predicts to be answered correctly (eq. 2)."""
    return s1(predict(g, t))


def s3(s2_score: Array, p: Array) -> Array:
    """S3(m, d'): S2 under the confidence model, S2 p + (1 - S2)(1 - p) (eq. 5).

    Parameters
    ----------
    s2_score : ndarray of float64, shape (M,)
    p : ndarray of float64, shape (M,)
        p(d', m): the probability that the prediction is right on the task (eq. 3).
    """
    return s2_score * p + (1.0 - s2_score) * (1.0 - p)


def predictor_accuracy(g: Array, correctness: NDArray[np.uint8], t: float = 0.5) -> Array:
    """p(d, m): how often the prediction I(g_m(x) > t) is right (eq. 3).

    Parameters
    ----------
    g : ndarray of float64, shape (n_inputs, M)
    correctness : ndarray of uint8, shape (n_inputs, M)
        Missing labels and undefined predictions are left out.

    Returns
    -------
    ndarray of float64, shape (M,)
    """
    known = (correctness != MISSING) & ~np.isnan(g)
    right = np.where(known, (g > t) == (correctness == 1), np.nan)
    return mean(right)
