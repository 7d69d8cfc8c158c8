"""Routing by quality and cost: argmax p(x, m) - lambda c(x, m), policies, savings and AIQ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

LAMBDAS: Floats = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 61), [1e9]])
"""Trade-offs tried, in accuracy per mean cost of a request; 1e9 is the cheapest model."""


@dataclass(frozen=True)
class CostCurve:
    """Realised cost and quality of each lambda, shape (len(LAMBDAS),) each."""

    cost: Floats
    quality: Floats

    def cheapest(self, quality: float) -> int:
        """Index of the cheapest lambda that reaches a quality; 0 (best quality) if none does."""
        reached = np.flatnonzero(self.quality >= quality)
        return int(reached[self.cost[reached].argmin()]) if len(reached) else 0


def neighbor_costs(neighbors: Ints, cost: Floats, n_neighbors: int = 50) -> Floats:
    """Expected cost: mean recorded cost of the neighbours, gaps filled by the model's mean (q, M).

    Without recorded costs use price times expected output length, or the price alone.
    """
    filled = np.where(np.isnan(cost), np.nanmean(cost, axis=0), cost)
    total = np.zeros((len(neighbors), cost.shape[1]))
    for column in neighbors[:, :n_neighbors].T:
        total += filled[column]
    expected: Floats = total / min(n_neighbors, neighbors.shape[1])
    return expected


def balanced(
    probability: Floats, cost: Floats, trade_off: float, average: Floats
) -> NDArray[np.intp]:
    """argmax p - trade_off * c, ties to the best on average; shape (q,)."""
    picks: NDArray[np.intp] = (probability - trade_off * cost + 1e-9 * average).argmax(axis=1)
    return picks


def cheapest_with(probability: Floats, cost: Floats, target: float) -> NDArray[np.intp]:
    """Cheapest model with P(success) >= target; the most probable where none reaches it."""
    allowed = probability >= target
    cheapest = np.where(allowed, cost, np.inf).argmin(axis=1)
    picks: NDArray[np.intp] = np.where(allowed.any(axis=1), cheapest, probability.argmax(axis=1))
    return picks


def within(probability: Floats, cost: Floats, epsilon: float) -> NDArray[np.intp]:
    """Cheapest model whose probability is within epsilon of the best; shape (q,)."""
    allowed = probability >= probability.max(axis=1, keepdims=True) - epsilon
    picks: NDArray[np.intp] = np.where(allowed, cost, np.inf).argmin(axis=1)
    return picks


def curve(
    probability: Floats,
    expected_cost: Floats,
    labels: Labels,
    cost: Floats,
    average: Floats,
    mean_cost: float,
) -> CostCurve:
    """Cost and quality of each lambda on labelled rows.

    Parameters
    ----------
    probability, expected_cost : ndarray of float64, shape (n, M)
        Leave-one-out on training rows, so that a lambda chosen here carries over.
    labels : ndarray of float32, shape (n, M), NaN is missing
    cost : ndarray of float64, shape (n, M)
        What each answer really cost, in USD.
    mean_cost : float
        Mean cost over the training rows and models; the unit of `LAMBDAS`.
    """
    rows = np.arange(len(labels))
    spent, earned = [], []
    for trade_off in LAMBDAS / mean_cost:
        pick = balanced(probability, expected_cost, float(trade_off), average)
        spent.append(cost[rows, pick].mean())
        earned.append(np.nanmean(labels[rows, pick]))
    return CostCurve(np.array(spent), np.array(earned))


def choose_trade_off(training: CostCurve, best_single_quality: float, share: float) -> int:
    """Index of the cheapest lambda that keeps a share of the best single model's quality."""
    return training.cheapest(share * best_single_quality)


def average_improvement_in_quality(cost: Floats, quality: Floats, low: float, high: float) -> float:
    """AIQ (RouterBench): mean over [low, high] of the non-decreasing convex hull over cost.

    Parameters
    ----------
    cost, quality : ndarray of float64, shape (points,)
    low, high : float
        Range of cost: the cheapest and the dearest single model.
    """
    order = np.lexsort((-quality, cost))
    hull: list[tuple[float, float]] = []
    best = -np.inf
    for x, y in zip(cost[order].tolist(), quality[order].tolist(), strict=True):
        best = max(best, y)
        while len(hull) > 1 and _below(hull[-2], hull[-1], (x, best)):
            hull.pop()
        hull.append((x, best))
    grid = np.linspace(low, high, 2001)
    points = np.array(hull)
    left = points[0, 1] if points[0, 0] <= low else 0.0
    values = np.interp(grid, points[:, 0], points[:, 1], left=left)
    return float(np.trapezoid(values, grid) / (high - low))


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b is on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
