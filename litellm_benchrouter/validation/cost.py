"""One split of the protocol `cost`: the curve of every predictor and what is read off it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.evaluation.cost_metrics import (
    aiq,
    arena_score,
    average_gap_recovered,
    call_curve,
    call_threshold,
    cheapest_reaching,
    cost_saved,
    gap_recovered,
    non_decreasing_hull,
    performance_gain,
    relative_gain,
    relative_gap,
)
from litellm_benchrouter.paper.masked import mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.validation.folds import Prepared
from litellm_benchrouter.validation.splits import (
    Array,
    Rows,
    Split,
    Training,
    achieved,
    training,
)

Predictor = Callable[[Training, Rows], Array]
"""p(x): (training part, rows asked) -> expected quality of each model, shape (q, M).

It is asked for the test part and, to choose lambda, for training samples, where what it says of a
sample must not come from that sample's own labels (`Training.near` sees to that).
"""

TARGETS = {"equal_quality": 1.0, "quality_95": 0.95}
"""Shares of the best single model's quality at which saved costs are reported."""

SHARES = np.linspace(0.0, 1.0, 11)
"""Shares of strong calls at which the two-model curve is reported."""

_COST_NEIGHBORS = 50
_PRIOR_NEIGHBORS, _PRIOR_MASS = 50, 20.0
_TUNED_ON = 5_000  # training samples that lambda is chosen on, at most


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


@dataclass(frozen=True)
class CostRun:
    """One split, with the costs of all answers.

    Attributes
    ----------
    prepared : Prepared
        Of the models that have a cost.
    split : Split
    values : ndarray of float32, shape (n, M)
    costs : ndarray of float64, shape (n, M)
    lambdas : ndarray of float64, shape (L,)
        Prices of quality, from 0: quality per unit of cost.
    k : int
    in_usd : bool
        Whether costs are USD, as RouterArena's score needs.
    """

    prepared: Prepared
    split: Split
    values: NDArray[np.float32]
    costs: Array
    lambdas: Array
    k: int
    in_usd: bool

    @cached_property
    def known(self) -> Training:
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
        return self.known.near(asked, max(self.k, _COST_NEIGHBORS, _PRIOR_NEIGHBORS))

    @cached_property
    def expected_cost(self) -> Array:
        """c(x): mean cost of the neighbours, in the rows of `near`."""
        costs = self.costs.astype(np.float32)
        found = self.known.averaged_over(self.near.first(_COST_NEIGHBORS), costs)
        return np.where(np.isnan(found), self.costs[self.split.train].mean(axis=0), found)

    def predictions(self, predictors: Mapping[str, Predictor]) -> dict[str, Array]:
        """Return p(x) of each predictor, in the rows of `near`."""
        asked = np.concatenate([self.tuned, self.split.test])
        found = {"s1": self._knn(), "s1_prior": self._knn_with_prior()}
        found |= {name: predict(self.known, asked) for name, predict in predictors.items()}
        average = self.known.average
        return {
            name: np.where(np.isnan(p).all(axis=1, keepdims=True), average, p)
            for name, p in found.items()
        }

    def _knn(self) -> Array:
        return self.known.averaged_over(self.near.first(self.k))

    def _knn_with_prior(self) -> Array:
        """(sum_k y + m mean) / (k + m): g over more neighbours, drawn to the training mean."""
        near, average = self.near.first(_PRIOR_NEIGHBORS), self.known.average
        labelled = (~np.isnan(self.known.values)).astype(np.float32)
        existing = (near.index >= 0).sum(axis=1)[:, None]
        count = np.nan_to_num(self.known.averaged_over(near, labelled)) * existing
        total = np.nan_to_num(self.known.averaged_over(near)) * count
        shrunk: Array = (total + _PRIOR_MASS * average) / (count + _PRIOR_MASS)
        return shrunk

    def curve(self, p: Array, *, tuned: bool) -> Curve:
        """Pick argmax p(x) - lambda c(x) for each lambda, on the tuned or on the test samples."""
        part = slice(None, len(self.tuned)) if tuned else slice(len(self.tuned), None)
        rows = self.tuned if tuned else self.split.test
        p, c = p[part], self.expected_cost[part]
        picks = np.array([self.known.argmax(p - price * c) for price in self.lambdas])
        points = np.array([self.point(rows, picked) for picked in picks])
        return Curve(picks, points[:, 0], points[:, 1])

    def point(self, rows: Rows, picks: Rows) -> tuple[float, float]:
        """Mean cost and quality of picks."""
        quality = achieved(self.values, rows, picks)
        cost = np.where(np.isnan(quality), np.nan, achieved(self.costs, rows, picks))
        return float(mean(cost)), float(mean(quality))

    def always(self, m: int, rows: Rows) -> tuple[float, float]:
        """Mean cost and quality of one model."""
        return self.point(rows, np.full(len(rows), m, dtype=np.intp))

    @cached_property
    def singles(self) -> tuple[Array, Array]:
        """Mean cost and quality of every single model on the test part."""
        every = range(len(self.prepared.benchmark.models))
        points = np.array([self.always(m, self.split.test) for m in every])
        return points[:, 0], points[:, 1]

    @cached_property
    def cheapest(self) -> int:
        """The cheapest model of the training part; of several the best."""
        cost = self.costs[self.split.train].mean(axis=0)
        return int(self.known.order[cost[self.known.order].argmin()])

    @cached_property
    def oracle(self) -> Rows:
        """The cheapest of the models that answer best, for each test sample."""
        asked = self.values[self.split.test]
        value = np.where(np.isnan(asked), -np.inf, asked)
        best = value == value.max(axis=1, keepdims=True)
        picks: Rows = np.where(best, self.costs[self.split.test], np.inf).argmin(axis=1)
        return picks

    def aiq_of(self, cost: Array, quality: Array) -> float:
        """AIQ of a set of points over the cost range of the single models."""
        singles, _ = self.singles
        low, high = float(np.nanmin(singles)), float(np.nanmax(singles))
        return aiq(non_decreasing_hull(cost, quality), low, high)

    def choose(self, tuned: Curve, share: float) -> int | None:
        """Cheapest lambda that reaches a share of the best single model's quality in training.

        None where no lambda does so for less than that model costs: then it answers everything.
        """
        cost, quality = self.always(self.known.best, self.tuned)
        i = cheapest_reaching(tuned.cost, tuned.quality, share_of(quality, share))
        return None if i is None or tuned.cost[i] >= cost else i

    def picks_at(self, test: Curve, i: int | None) -> Rows:
        """Picks at a chosen lambda, or the best single model."""
        return np.full_like(self.split.test, self.known.best) if i is None else test.picks[i]

    def metrics(self, p: Array, tuned: Curve, test: Curve) -> dict[str, float]:
        """Return the numbers of one predictor, by flat name; NaN where one is not defined."""
        cost, quality = self.always(self.known.best, self.split.test)
        found = {"aiq": self.aiq_of(test.cost, test.quality)}
        for name, share in TARGETS.items():
            wanted = share_of(quality, share)
            found[f"hindsight.{name}"] = cost_saved(test.cost, test.quality, wanted, cost)
        return found | self._route_llm(p) | self._arena(tuned, test) | self._llm_router_bench(test)

    def _route_llm(self, p: Array) -> dict[str, float]:
        strong, weak = self.known.best, self.cheapest
        asked = self.values[self.split.test].astype(np.float64)
        said = p[len(self.tuned) :]
        share, quality = call_curve(
            said[:, strong] - said[:, weak], asked[:, weak], asked[:, strong]
        )
        recovered = gap_recovered(quality, float(quality[0]), float(quality[-1]))
        found = {f"cpt_{t}": call_threshold(share, recovered, t / 100) for t in (20, 50, 80)}
        found |= {
            f"pgr_{s:.1f}": float(at)
            for s, at in zip(SHARES, np.interp(SHARES, share, recovered), strict=True)
        }
        return found | {"apgr": average_gap_recovered(share, recovered)}

    def _arena(self, tuned: Curve, test: Curve) -> dict[str, float]:
        names = ("arena", "arena_cost_per_1k", "arena_quality", "arena_best_single")
        if not self.in_usd or np.nanmin(self.values) < 0 or np.nanmax(self.values) > 1:
            return dict.fromkeys(names, math.nan)
        score = np.array([_arena(*point) for point in zip(tuned.cost, tuned.quality, strict=True)])
        i = int(np.where(np.isnan(score), -1.0, score).argmax())
        single = [_arena(*point) for point in zip(*self.singles, strict=True)]
        cost, quality = float(test.cost[i]), float(test.quality[i])
        found = (_arena(cost, quality), 1_000 * cost, quality, float(np.nanmax(single)))
        return dict(zip(names, found, strict=True))

    def _llm_router_bench(self, test: Curve) -> dict[str, float]:
        rows = self.split.test
        cost, quality = self.singles
        best = int(self.prepared.order(quality, quality)[0])
        task = self.prepared.benchmark.task[rows]
        asked = self.values[rows].astype(np.float64)

        def per_task(value: Array) -> Array:
            return np.array([float(mean(value[task == d])) for d in np.unique(task)])

        router = per_task(achieved(self.values, rows, test.picks[0]))
        return {
            "gain_at_random": relative_gain(router, per_task(mean(asked, axis=1))),
            "gain_at_best_single": relative_gain(router, per_task(asked[:, best])),
            "gap_at_oracle": relative_gap(
                router, per_task(achieved(self.values, rows, self.oracle))
            ),
            "perf_gain": performance_gain(test.quality, float(quality[best])),
            "cost_save": cost_saved(
                test.cost, test.quality, float(quality[best]), float(cost[best])
            ),
        }


def share_of(quality: float, share: float) -> float:
    """Return a share of a quality; below it where a metric is negative too."""
    return quality - (1.0 - share) * abs(quality)


def _arena(cost: float, quality: float) -> float:
    return math.nan if math.isnan(quality) else arena_score(quality, 1_000 * cost)
