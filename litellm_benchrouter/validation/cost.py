"""Quality against cost on held-out samples: costs, curves, and the prices of quality that pay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, Lengths, cost_model
from litellm_benchrouter.costs.answers import Costs, costs_of
from litellm_benchrouter.costs.policy import Policy, balanced
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import bootstrap_samples
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

TARGETS = {"equal_quality": 1.0, "quality_95": 0.95}
"""Shares of the best single model's quality at which saved costs are reported."""

_COST_NEIGHBORS = 50
_PRIOR_NEIGHBORS, _PRIOR_MASS = 50, 20.0
_TUNED_ON = 5_000  # training samples that lambda is chosen on, at most
_SMALLEST, _LARGEST, _PER_DECADE = -3, 4, 8  # of lambda, in powers of ten over the cost range
WEIGHTS: Array = np.array([0.0, *(float(f"{w:.2g}") for w in np.geomspace(1e-3, 10.0, 49))])
"""Tried, twelve a decade: from 1 on, cost alone decides against the dearest models."""


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
    def known(self) -> TrainSplit:
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


def share_of(quality: float, share: float) -> float:
    """Return a share of a quality; below it where a metric is negative too."""
    return quality - (1.0 - share) * abs(quality)


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


def cheapest_reaching(cost: Array, quality: Array, target: float) -> int | None:
    """Position of the cheapest point whose quality is at least the target; None where none is."""
    reached = np.flatnonzero(quality >= target - 1e-12)
    return int(reached[cost[reached].argmin()]) if len(reached) else None


def tuned_saving(runs: Sequence[CostRun], curves: Sequence[Curves], share: float) -> dict[str, Any]:
    """Choose lambda on the training part, and say what it turns out to save and to cost."""
    seed = runs[0].prepared.seed
    rows: list[Rows] = []
    gained, saved, paid, ratios, shares, prices = [], [], [], [], [], []
    for run, (_, tuned, test) in zip(runs, curves, strict=True):
        i = run.choose(tuned, share)
        asked, picks = run.split.test, run.picks_at(test, i)
        best = np.full_like(asked, run.known.best)
        rows.append(asked)
        gained.append(achieved(run.values, asked, picks) - achieved(run.values, asked, best))
        paid.append(achieved(run.costs, asked, best))
        saved.append(paid[-1] - achieved(run.costs, asked, picks))
        _, quality = run.point(asked, picks)
        _, best_quality = run.point(asked, best)
        ratios.append(quality / best_quality if best_quality > 0 else float("nan"))
        shares.append(saved[-1].sum() / paid[-1].sum() if paid[-1].sum() > 0 else float("nan"))
        prices.append(None if i is None else float(run.lambdas[i]))
    return {
        "saved": _mean(shares),
        "saved_over_samples_95": bootstrap_samples(rows, saved, weights=paid, seed=seed),
        "quality_ratio": _mean(ratios),
        "quality_gain": _mean([float(mean(gain)) for gain in gained]),
        "quality_gain_over_samples_95": bootstrap_samples(rows, gained, seed=seed),
        "lambda": prices,
        "runs_with_bma": sum(price is None for price in prices),
    }


def trade_offs(
    benchmark: Benchmark,
    labels: NDArray[np.float32],
    probability: Array,
    preferred: NDArray[np.intp],
) -> dict[str, Any] | None:
    """Find the cheapest weights that keep the quality of the best single model, or 95 % of it.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M), NaN is missing
    probability : ndarray of float64, shape (n, M)
        Of held-out folds, as they would be served.
    preferred : ndarray of int, shape (M,)
        The models, best on average first.

    Returns `policy`, `saved` and `quality_ratio` for each target, None where no weight does, and
    `costs`, their basis; None where nothing tells the costs of all models.
    """
    facts = {model: benchmark.facts.get(model, ModelFacts()) for model in benchmark.models}
    costs = cost_model(facts, benchmark.models, Lengths.of(list(facts.values())), {})
    if costs is None:
        return None
    tokens = np.array([len(prompt) for prompt in benchmark.prompts]) / CHARACTERS_PER_TOKEN
    expected = tokens[:, None] * costs.per_token + costs.fixed
    paid, basis = _paid(benchmark, expected, costs.basis)
    # Columns in the order of preference: the first of those that tie is taken.
    likely, price = probability[:, preferred], balanced(0.0, expected[:, preferred], -1.0)
    spent, earned = np.empty(len(WEIGHTS)), np.empty(len(WEIGHTS))
    for i, weight in enumerate(WEIGHTS):
        picks = preferred[(likely - weight * price).argmax(axis=1)]
        spent[i], earned[i] = _point(labels, paid, picks)
    best = np.full(len(labels), preferred[0])
    cost, quality = _point(labels, paid, best)
    found: dict[str, Any] = {"costs": basis}
    for name, share in TARGETS.items():
        chosen = cheapest_reaching(spent, earned, share_of(quality, share))
        found[name] = (
            None
            if chosen is None or spent[chosen] >= cost
            else {
                "policy": str(Policy("balanced", float(WEIGHTS[chosen]))),
                "saved": float(1.0 - spent[chosen] / cost),
                "quality_ratio": float(earned[chosen] / quality),
            }
        )
    return found


def _paid(benchmark: Benchmark, expected: Array, basis: str) -> tuple[Array, str]:
    """What the answers cost: as recorded where that is known of all models, else as expected."""
    try:
        costs = costs_of(benchmark)
    except ConfigError:
        return expected, basis
    recorded = not costs.left_out and set(costs.basis.values()) == {"recorded costs"}
    return (costs.values, "costs as recorded") if recorded else (expected, basis)


def _point(
    labels: NDArray[np.float32], cost: Array, picks: NDArray[np.intp]
) -> tuple[float, float]:
    """Mean cost and quality over the rows whose pick has a label."""
    rows = np.arange(len(labels))
    earned = labels[rows, picks].astype(np.float64)
    spent = np.where(np.isnan(earned), np.nan, cost[rows, picks])
    return float(mean(spent)), float(mean(earned))


def _mean(values: Sequence[float]) -> float:
    return float(mean(np.array(values, dtype=np.float64)))
