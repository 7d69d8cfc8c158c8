"""Intervals where several runs asked the same sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


def bootstrap_samples(
    rows: Sequence[Rows],
    differences: Sequence[Array],
    *,
    seed: int,
    weights: Sequence[Array] | None = None,
    resamples: int = 1_000,
) -> list[float]:
    """95 % percentile-bootstrap interval of a mean paired difference, over samples.

    A sample that several runs asked is drawn with all its differences: it is one sample.

    Parameters
    ----------
    rows : sequence of ndarray of int
        Rows of the benchmark that each run asked.
    differences : sequence of ndarray of float64
        One difference a row, NaN left out.
    seed : int
    weights : sequence of ndarray of float64, optional
        What the sum of the differences is divided by; default: their number.
    resamples : int

    Returns
    -------
    list of float
        Low and high; NaN where there is nothing to draw from.
    """
    row, difference = np.concatenate(rows), np.concatenate(differences)
    weight = np.ones(len(row)) if weights is None else np.concatenate(weights)
    known = ~np.isnan(difference)
    if not weight[known].sum() > 0:
        return [float("nan")] * 2
    _, sample = np.unique(row[known], return_inverse=True)
    total = np.bincount(sample, difference[known])
    divisor = np.bincount(sample, weight[known])
    generator = np.random.default_rng(seed)
    drawn = np.empty((2, resamples))
    for r in range(resamples):
        index = generator.integers(len(total), size=len(total))
        drawn[:, r] = total[index].sum(), divisor[index].sum()
    means = drawn[0, drawn[1] > 0] / drawn[1, drawn[1] > 0]
    return [float(limit) for limit in np.percentile(means, [2.5, 97.5])]
