"""Weights of cost that pay: what they save at the quality of the best single model, or near it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, Lengths, cost_model
from litellm_benchrouter.costs.answers import costs_of
from litellm_benchrouter.costs.policy import Policy, balanced
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, ratio
from litellm_benchrouter.validation.cost import CostRun, Curves
from litellm_benchrouter.validation.metrics import percentiles_with, resampled
from litellm_benchrouter.validation.splits import Array, Rows, achieved

Q = TypeVar("Q", float, NDArray[np.float64])

TARGETS = {"equal_quality": 1.0, "quality_95": 0.95}
"""Shares of the best single model's quality at which saved costs are reported."""

WEIGHTS: Array = np.array([0.0, *(float(f"{w:.2g}") for w in np.geomspace(1e-3, 10.0, 49))])
"""Tried, twelve a decade: from 1 on, cost alone decides against the dearest models."""


def share_of(quality: Q, share: float) -> Q:
    """Return a share of a quality; below it where a metric is negative too."""
    return quality - (1.0 - share) * abs(quality)


@dataclass(frozen=True)
class Outcomes:
    """What picks cost and are worth on some samples, in the last column the best single model's.

    Attributes
    ----------
    rows : ndarray of int, shape (q,)
    cost : ndarray of float64, shape (q, L + 1)
    worth, best : ndarray of float64, shape (q, L + 1)
        Value of the pick and of the best single model's answer; 0 where one of them has no label.
    paired : ndarray of float64, shape (q, L + 1)
        1 where both have a label, else 0.
    """

    rows: Rows
    cost: Array
    worth: Array
    best: Array
    paired: Array

    @classmethod
    def of(
        cls, values: NDArray[np.float32], costs: Array, rows: Rows, picks: Rows, best: int
    ) -> Outcomes:
        """Look up the outcomes of picks, shape (L, q)."""
        columns = [*picks, np.full(len(rows), best)]
        cost, worth = (
            np.stack([achieved(of, rows, column) for column in columns], axis=1)
            for of in (costs, values)
        )
        return cls.beside_last(rows, cost, worth)

    @classmethod
    def beside_last(cls, rows: Rows, cost: Array, worth: Array) -> Outcomes:
        """Compare with the last column, on the samples that have a label of both."""
        paired = ~np.isnan(worth + worth[:, -1:])
        worth, reference = (np.where(paired, value, 0.0) for value in (worth, worth[:, -1:]))
        return cls(rows, cost, worth, reference, paired.astype(np.float64))

    def sums(self, weights: Array) -> Array:
        """Return the sums of the four with samples weighted, shape (4, R, L + 1)."""
        weights = weights[:, self.rows]
        return np.stack(
            [weights @ each for each in (self.cost, self.worth, self.best, self.paired)]
        )


def cheapest_of(sums: Array, share: float) -> Rows:
    """Column of the cheapest picks that reach a share of the best single model's quality.

    Compared on the samples with both labels. The last column, the best single model, where nothing
    does so for less than that model costs: then it answers everything. Shape (R,).
    """
    cost, worth, best, paired = sums
    reached = (paired > 0) & (worth >= share_of(best, share) - 1e-12 * paired)
    reached &= cost < cost[:, -1:] * (1 - 1e-12)
    spent = np.where(reached, cost, np.inf)
    # Sums of the same numbers may differ in the last bits: the first of those that tie.
    column = (spent <= spent.min(axis=1, keepdims=True) * (1 + 1e-12)).argmax(axis=1)
    columns: Rows = np.where(reached.any(axis=1), column, cost.shape[1] - 1)
    return columns


def tuned_saving(runs: Sequence[CostRun], curves: Sequence[Curves], share: float) -> dict[str, Any]:
    """Choose lambda on the training part, and say what it turns out to save and to cost.

    All numbers are of all runs together: a ratio of sums, and differences of the same samples. In
    each resample of the benchmark's samples, lambda is chosen anew; predictions and the best single
    model of each run stay.
    """
    outcomes = [
        [
            Outcomes.of(run.values, run.costs, rows, curve.picks, run.training.best)
            for rows, curve in ((run.tuned, tuned), (run.split.test, test))
        ]
        for run, (_, tuned, test) in zip(runs, curves, strict=True)
    ]

    def measured(weights: Array) -> tuple[list[Rows], Array]:
        """Return the columns chosen in each run, and saved share, gain and ratio of quality."""
        chosen = [cheapest_of(tuned.sums(weights), share) for tuned, _ in outcomes]
        totals = np.zeros((5, len(weights)))
        for (_, test), column in zip(outcomes, chosen, strict=True):
            sums, each = test.sums(weights), np.arange(len(weights))
            totals += np.concatenate([sums[:, each, column], sums[:1, :, -1]])
        spent, worth, best, paired, paid = totals
        gain = ratio(worth - best, paired)
        return chosen, np.stack([1.0 - ratio(spent, paid), gain, ratio(worth, best)])

    prepared, n = runs[0].prepared, len(runs[0].prepared.benchmark)
    chosen, point = measured(np.ones((1, n)))
    saved, gain, quality_ratio = point[:, 0].tolist()
    draws = resampled(prepared.sample_group, seed=prepared.seed)
    drawn = np.concatenate([measured(weights)[1] for weights in draws], axis=1)
    prices = [
        None if column[0] == len(run.lambdas) else float(run.lambdas[column[0]])
        for run, column in zip(runs, chosen, strict=True)
    ]
    return {
        "saved": saved,
        "lower": percentiles_with(saved, drawn[0], [5.0])[0],
        "saved_over_samples_95": percentiles_with(saved, drawn[0], [2.5, 97.5]),
        "quality_ratio": quality_ratio,
        "quality_gain": gain,
        "quality_gain_over_samples_95": percentiles_with(gain, drawn[1], [2.5, 97.5]),
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
    picks = np.array([preferred[(likely - w * price).argmax(axis=1)] for w in WEIGHTS])
    rows = np.arange(len(labels))
    sums = Outcomes.of(labels, paid, rows, picks, int(preferred[0])).sums(np.ones((1, len(rows))))
    offers: dict[str, Any] = {"costs": basis}
    for name, share in TARGETS.items():
        chosen = cheapest_of(sums, share)[0]
        cost, worth, best, _ = sums[:, 0, chosen]
        offers[name] = (
            None
            if chosen == len(WEIGHTS)
            else {
                "policy": str(Policy("balanced", float(WEIGHTS[chosen]))),
                "saved": float(1.0 - cost / sums[0, 0, -1]),
                "quality_ratio": float(worth / best) if best > 0 else math.nan,
            }
        )
    return offers


def _paid(benchmark: Benchmark, expected: Array, basis: str) -> tuple[Array, str]:
    """What the answers cost: as recorded where that is known of all models, else as expected."""
    try:
        costs = costs_of(benchmark)
    except ConfigError:
        return expected, basis
    recorded = not costs.left_out and set(costs.basis.values()) == {"recorded costs"}
    return (costs.values, "costs as recorded") if recorded else (expected, basis)
