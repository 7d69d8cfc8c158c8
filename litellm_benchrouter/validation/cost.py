"""Quality against cost on held-out samples: costs, predictions and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs.answers import Costs, costs_of
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.splits import (
    Array,
    Rows,
    Split,
    TrainSplit,
    achieved,
    choose_splits,
    metric_values,
    training,
)

R = TypeVar("R", bound="CostRun")

Predictor = Callable[[TrainSplit, Rows], Array]
"""p(x): (training part, rows asked) -> expected quality of each model, shape (q, M).

It is asked for the test part and, to choose lambda, for training samples, where what it says of a
sample must not come from that sample's own labels (`TrainSplit.near` sees to that).
"""

_COST_NEIGHBORS = 50
_PRIOR_NEIGHBORS, _PRIOR_MASS = 50, 20.0
_TUNED_ON = 5_000  # training samples that lambda is chosen on, at most
_SMALLEST, _LARGEST, _PER_DECADE = -3, 4, 8  # of lambda, in powers of ten over the cost range


@dataclass(frozen=True)
class Curve:
    """What a rule achieves on some samples at each lambda.

    Attributes
    ----------
    picks : ndarray of int, shape (L, q)
    cost, quality : ndarray of float64, shape (L,)
        Means over the samples whose pick has a label.
    """

    picks: Rows
    cost: Array
    quality: Array


Curves = tuple[Array, Curve, Curve]
"""p(x), the curve on the tuned samples, the curve on the test samples."""


@dataclass(frozen=True)
class CostRun:
    """One split, with the costs of all answers.

    Attributes
    ----------
    prepared : TaskFolds
        Of the models that have a cost.
    values : ndarray of float32, shape (n, M)
    costs : ndarray of float64, shape (n, M)
    lambdas : ndarray of float64, shape (L,)
        Prices of quality, from 0: quality per unit of cost.
    in_usd : bool
        Whether costs are USD, as RouterArena's score needs.
    """

    prepared: TaskFolds
    split: Split
    values: NDArray[np.float32]
    costs: Array
    lambdas: Array
    k: int
    in_usd: bool

    @cached_property
    def training(self) -> TrainSplit:
        """The training part."""
        return training(self.prepared, self.split, self.values)

    @cached_property
    def tuned(self) -> Rows:
        """Training samples that lambda is chosen on."""
        rows = self.split.train
        if len(rows) <= _TUNED_ON:
            return rows
        generator = np.random.default_rng(self.prepared.seed)
        return np.sort(generator.choice(rows, size=_TUNED_ON, replace=False))

    @cached_property
    def near(self) -> Neighbors:
        """Neighbours of the tuned and then the test samples."""
        asked = np.concatenate([self.tuned, self.split.test])
        return self.training.near(asked, max(self.k, _COST_NEIGHBORS, _PRIOR_NEIGHBORS))

    @cached_property
    def expected_cost(self) -> Array:
        """c(x): mean cost of the neighbours, in the rows of `near`."""
        costs = self.costs.astype(np.float32)
        cost = self.training.averaged_over(self.near.first(_COST_NEIGHBORS), costs)
        return np.where(np.isnan(cost), self.costs[self.split.train].mean(axis=0), cost)

    def predictions(self, predictors: Mapping[str, Predictor]) -> dict[str, Array]:
        """Return p(x) of each predictor, in the rows of `near`."""
        asked = np.concatenate([self.tuned, self.split.test])
        by_name = {"s1": self._knn(), "s1_prior": self._knn_with_prior()}
        by_name |= {name: predict(self.training, asked) for name, predict in predictors.items()}
        average = self.training.average
        return {
            name: np.where(np.isnan(p).all(axis=1, keepdims=True), average, p)
            for name, p in by_name.items()
        }

    def _knn(self) -> Array:
        return self.training.averaged_over(self.near.first(self.k))

    def _knn_with_prior(self) -> Array:
        """(sum_k y + m mean) / (k + m): g over more neighbours, drawn to the training mean."""
        near, average = self.near.first(_PRIOR_NEIGHBORS), self.training.average
        labelled = (~np.isnan(self.training.values)).astype(np.float32)
        existing = (near.index >= 0).sum(axis=1)[:, None]
        count = np.nan_to_num(self.training.averaged_over(near, labelled)) * existing
        total = np.nan_to_num(self.training.averaged_over(near)) * count
        shrunk: Array = (total + _PRIOR_MASS * average) / (count + _PRIOR_MASS)
        return shrunk

    def curve(self, p: Array, *, tuned: bool) -> Curve:
        """Pick argmax p(x) - lambda c(x) for each lambda, on the tuned or on the test samples."""
        part = slice(None, len(self.tuned)) if tuned else slice(len(self.tuned), None)
        rows = self.tuned if tuned else self.split.test
        p, c = p[part], self.expected_cost[part]
        picks = np.array([self.training.argmax(p - price * c) for price in self.lambdas])
        points = np.array([self.point(rows, picked) for picked in picks])
        return Curve(picks, points[:, 0], points[:, 1])

    def curves(self, p: Array) -> Curves:
        """Return a predictor's curves."""
        return p, self.curve(p, tuned=True), self.curve(p, tuned=False)

    def point(self, rows: Rows, picks: Rows) -> tuple[float, float]:
        """Mean cost and quality of picks."""
        quality = achieved(self.values, rows, picks)
        cost = np.where(np.isnan(quality), np.nan, achieved(self.costs, rows, picks))
        return float(mean(cost)), float(mean(quality))

    def always(self, m: int, rows: Rows) -> tuple[float, float]:
        """Mean cost and quality of one model."""
        return self.point(rows, np.full(len(rows), m, dtype=np.intp))


def cost_runs(
    kind: type[R],
    prepared: TaskFolds,
    *,
    test_share: float,
    runs: int,
    metric: str = "correctness",
    k: int | None = None,
    given: bool | None = None,
) -> tuple[list[R], Costs, str]:
    """Split the benchmark of the models that have a cost; parameters as in `run_cost`.

    Returns the splits, the costs, and how the splits were made.
    """
    costs = costs_of(prepared.benchmark)
    if costs.left_out:
        prepared = prepared.pool(list(costs.basis))
    values = metric_values(prepared, metric)
    splits, how = choose_splits(prepared, test_share=test_share, runs=runs, given=given)
    lambdas = prices_of_quality(costs.values.mean(axis=0))
    k, in_usd = prepared.routing.k if k is None else k, costs.unit == "usd"
    made = [kind(prepared, split, values, costs.values, lambdas, k, in_usd) for split in splits]
    return made, costs, how


def prices_of_quality(mean_cost: Array) -> Array:
    """Return the grid of lambda: 0, then geometric from 0.001 to 10,000 over the cost range.

    At 1 over the range, the whole range of costs is worth as much as a right answer; the steps far
    above it are for models that are all cheap beside the dearest.
    """
    span = float(np.ptp(mean_cost)) or float(mean_cost.max()) or 1.0
    steps = (_LARGEST - _SMALLEST) * _PER_DECADE + 1
    return np.concatenate(([0.0], np.logspace(_SMALLEST, _LARGEST, steps) / span))
