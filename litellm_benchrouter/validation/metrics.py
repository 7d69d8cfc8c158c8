"""The numbers that the tables show, each a small function, and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from litellm_benchrouter.paper.benchmark import mean

Array = NDArray[np.float64]

RESAMPLES = 5_000


def pearson(scores: Array, accuracy: Array) -> float:
    """Pearson correlation over the models that have both; NaN where one of them is constant."""
    return _correlation(scores, accuracy, ranks=False)


def spearman(scores: Array, accuracy: Array) -> float:
    """Spearman correlation over the models that have both; NaN where one of them is constant."""
    return _correlation(scores, accuracy, ranks=True)


def _correlation(scores: Array, accuracy: Array, *, ranks: bool) -> float:
    both = ~np.isnan(scores) & ~np.isnan(accuracy)
    a, b = scores[both], accuracy[both]
    if len(a) < 2:
        return float("nan")
    if ranks:
        a, b = stats.rankdata(a), stats.rankdata(b)
    if np.ptp(a) < 1e-12 or np.ptp(b) < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def rank_of(pick: int, accuracy: Array) -> int:
    """Rank of the picked model by true accuracy: one more than the models that are better."""
    return 1 + int((accuracy > accuracy[pick] + 1e-12).sum())


def brier(probability: Array, outcome: Array) -> float:
    """Mean squared difference between probability and outcome, NaN pairs left out."""
    both = ~np.isnan(probability) & ~np.isnan(outcome)
    if not both.any():
        return float("nan")
    return float(((probability[both] - outcome[both]) ** 2).mean())


def bootstrap_mean(
    values: Array, *, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % percentile-bootstrap interval.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        One difference a task (or sample).
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return (float("nan"),) * 3
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def bootstrap_within_tasks(
    differences: list[Array], *, seed: int, resamples: int = 1_000
) -> tuple[float, float, float]:
    """Mean over tasks of mean paired differences, resampling the samples of each task.

    Parameters
    ----------
    differences : list of ndarray
        One array a task: one difference a sample, NaN left out.
    """
    generator = np.random.default_rng(seed)
    means, drawn = [], np.zeros(resamples)
    by_task = [d[~np.isnan(d)] for d in differences]
    by_task = [d for d in by_task if len(d)]
    for difference in by_task:
        means.append(difference.mean())
        value, count = np.unique(difference, return_counts=True)
        if len(value) <= 8:  # labels differ by -1, 0 or 1: draw counts and not samples
            counts = generator.multinomial(len(difference), count / len(difference), resamples)
            drawn += counts @ value / len(difference)
        else:
            for r in range(resamples):
                index = generator.integers(len(difference), size=len(difference))
                drawn[r] += difference[index].mean()
    if not by_task:
        return (float("nan"),) * 3
    low, high = np.percentile(drawn / len(by_task), [2.5, 97.5])
    return float(np.mean(means)), float(low), float(high)


def half_split_oracle(values: Array, *, seed: int, splits: int = 20) -> float:
    """Accuracy of the model that is best on one half of a task, measured on the other half.

    The oracle picks and measures on the same labels, so noise inflates it; this one does not.

    Parameters
    ----------
    values : ndarray of float, shape (n, M)
        Correctness or scores of one task; NaN is missing.
    """
    generator = np.random.default_rng(seed)
    halves = []
    for _ in range(splits):
        order = generator.permutation(len(values))
        half = len(values) // 2
        if half == 0:
            return float("nan")
        chosen, measured = order[:half], order[half:]
        a, b = mean(values[chosen]), mean(values[measured])
        if np.isnan(a).all():
            continue
        best = np.nanmax(a)
        tied = b[np.isclose(a, best)]
        if not np.isnan(tied).all():
            halves.append(float(np.nanmean(tied)))
    return float(np.mean(halves)) if halves else float("nan")


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
    weights : sequence of ndarray of float64, optional
        What the sum of the differences is divided by; default: their number.

    Returns
    -------
    list of float
        Low and high; NaN where there is nothing to draw from.
    """
    row, difference = np.concatenate(rows), np.concatenate(differences)
    weight = np.ones(len(row)) if weights is None else np.concatenate(weights)
    present = ~np.isnan(difference)
    if not weight[present].sum() > 0:
        return [float("nan")] * 2
    _, sample = np.unique(row[present], return_inverse=True)
    total = np.bincount(sample, difference[present])
    divisor = np.bincount(sample, weight[present])
    generator = np.random.default_rng(seed)
    drawn = np.empty((2, resamples))
    for r in range(resamples):
        index = generator.integers(len(total), size=len(total))
        drawn[:, r] = total[index].sum(), divisor[index].sum()
    means = drawn[0, drawn[1] > 0] / drawn[1, drawn[1] > 0]
    return [float(limit) for limit in np.percentile(means, [2.5, 97.5])]


_CHUNK = 100  # resamples in memory at once


def resampled(unit: NDArray[np.integer], *, seed: int, resamples: int = 1_000) -> Iterator[Array]:
    """Yield how often each sample is drawn in bootstrap resamples, some of them at a time.

    Parameters
    ----------
    unit : ndarray of int, shape (n,)
        What is drawn together, numbered from 0.

    Yields
    ------
    ndarray of float64, shape (c, n)
    """
    generator, n = np.random.default_rng(seed), int(unit.max(initial=-1)) + 1
    for start in range(0, resamples, _CHUNK):
        drawn = generator.integers(n, size=(min(_CHUNK, resamples - start), n))
        counts = np.stack([np.bincount(row, minlength=n) for row in drawn])
        yield counts[:, unit].astype(np.float64)


def percentiles_with(point: float, drawn: Array, at: Sequence[float]) -> list[float]:
    """Percentiles of what resamples give, on the outer side of the point that they are about.

    A choice that is made anew in each resample may move nearly all of them to one side of it.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn) or np.isnan(point):
        return [float("nan")] * len(at)
    limits = np.percentile(drawn, at)
    return [
        float(min(limit, point) if percent < 50 else max(limit, point))
        for limit, percent in zip(limits, at, strict=True)
    ]
