"""Cascades on answers that are known: what they ask, pay and give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from litellm_benchrouter.costs.cascade import OTHERS, STOP, choose, learned
from litellm_benchrouter.costs.evidence import EDGE, Evidence, logit

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_MASS = 50.0  # samples without correlation that every pair of models has besides its own


@dataclass(frozen=True)
class Answered:
    """Answers to n samples, as a cascade meets them; all of shape (n, M).

    Attributes
    ----------
    p, expected : ndarray of float64
        P(success) and expected cost before anything was asked.
    value, cost : ndarray of float64
        What each answer is worth and cost; NaN in `value` where there is none: the model is then
        not on offer for this sample.
    evidence : ndarray of float64
        Log likelihood ratio that the verifiers give each answer.
    fee : ndarray of float64, optional
        What it costs to verify each answer.
    beside : ndarray of int, optional
        The model whose answer each is compared with, and which is therefore asked; -1 for none.
    """

    p: Array
    expected: Array
    value: Array
    cost: Array
    evidence: Array
    fee: Array | None = None
    beside: Rows | None = None

    @property
    def offered(self) -> Array:
        """Expected cost, infinite where there is no answer."""
        return np.where(np.isnan(self.value), np.inf, self.expected)

    def rows(self, rows: Rows | slice) -> Answered:
        """Return some of the samples."""
        parts = {name: of[rows] for name, of in vars(self).items() if of is not None}
        return replace(self, **parts)


@dataclass(frozen=True)
class Ran:
    """What a cascade did on n samples; all of shape (n,).

    Attributes
    ----------
    cost, value : ndarray of float64
        Paid for all answers; of the answer that was given, NaN where nothing was on offer.
    calls, pick : ndarray of int
        Models asked; the model whose answer was given.
    belief : ndarray of float64
        P(right) of that answer.
    kept : ndarray of bool
        Whether the model most probable to be right was not asked at all.
    """

    cost: Array
    value: Array
    calls: Rows
    pick: Rows
    belief: Array
    kept: NDArray[np.bool_]

    @property
    def kept_wrong(self) -> NDArray[np.bool_]:
        """Whether a kept answer was wrong."""
        return self.kept & (self.value < 0.5)


def run_cascade(
    answered: Answered,
    ahead: Evidence,
    together: Array,
    *,
    price: float,
    steps: int = 3,
    keep: float = 0.0,
) -> Ran:
    """Ask model after model, as the proxy does; parameters as in `choose`.

    Without evidence it asks argmax p - price * cost, and no more.
    """
    n = len(answered.p)
    rows, live = np.arange(n), np.arange(n)
    now, offered = np.clip(answered.p, EDGE, 1 - EDGE), answered.offered
    top = np.where(np.isfinite(offered), answered.p, -np.inf).argmax(axis=1)
    asked, paid = np.zeros(now.shape, dtype=bool), np.zeros(now.shape, dtype=bool)
    cost = np.zeros(n)
    plain = (answered.p - np.where(np.isfinite(offered), price * answered.expected, np.inf)).argmax(
        axis=1
    )
    for left in range(steps, 0, -1):
        if left == steps and not ahead.tells:
            model = plain  # of p as it is: scores are not always probabilities
        else:
            model = choose(
                *(now[live], offered[live], asked[live], ahead, together),
                price=price,
                left=left,
                keep=keep,
                top=top[live],
            )
        live, model = live[model != STOP], model[model != STOP]
        if not len(live):
            break
        asked[live, model] = True
        _pay(answered.cost, cost, paid, live, model)
        if ahead.tells:
            _pay_verifiers(answered, cost, paid, offered, live, model)
            evidence = np.nan_to_num(answered.evidence[live, model])
            now[live] = learned(now[live], model, evidence, together)
    pick = np.where(asked, now, -1.0).argmax(axis=1)
    is_kept = ~asked[rows, top]
    return Ran(cost, answered.value[rows, pick], asked.sum(axis=1), pick, now[rows, pick], is_kept)


def _pay(of_each: Array, cost: Array, paid: NDArray[np.bool_], rows: Rows, model: Rows) -> None:
    """Add what models cost, once each."""
    cost[rows] += np.where(paid[rows, model], 0.0, of_each[rows, model])
    paid[rows, model] = True


def _pay_verifiers(
    answered: Answered,
    cost: Array,
    paid: NDArray[np.bool_],
    offered: Array,
    rows: Rows,
    model: Rows,
) -> None:
    """Add what verifying costs; an answer that was asked to compare with costs no more later."""
    if answered.fee is not None:
        cost[rows] += answered.fee[rows, model]
    if answered.beside is not None:
        other = answered.beside[rows, model]
        rows, other = rows[other >= 0], other[other >= 0]
        _pay(answered.cost, cost, paid, rows, other)
        offered[rows, other] = 0.0


def correlation(p: Array, value: Array) -> Array:
    """How the rightness of models goes together beyond p, shape (M, M), drawn to 0.

    Correlation of the residuals value - p, each pair on the samples with answers of both.
    """
    p = np.clip(p, 0.02, 0.98)
    there = (~np.isnan(value)).astype(np.float64)
    residual, spread = np.nan_to_num(value - p), np.sqrt(p * (1 - p)) * there
    count, scale = there.T @ there, spread.T @ spread
    together = (residual.T @ residual) / np.maximum(scale, EDGE) * count / (count + _MASS)
    together = np.clip(together, -0.9, 0.9)
    np.fill_diagonal(together, 1.0)
    return np.asarray(together)


def named(together: Array, models: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return correlations by model, and their mean for pairs that are not among these."""
    pairs = together[~np.eye(len(together), dtype=bool)]
    by_pair = {
        a: {b: round(float(together[i, j]), 4) for j, b in enumerate(models)}
        for i, a in enumerate(models)
    }
    return by_pair | {OTHERS: {OTHERS: round(float(pairs.mean()), 4) if len(pairs) else 0.0}}


def simulated_scores(value: Array, auc: float, seed: int) -> Array:
    """Draw a verifier's score of each answer: two normals whose area under the curve is `auc`."""
    drawn = np.random.default_rng(seed).normal(size=value.shape)
    return drawn + np.where(value >= 0.5, norm.ppf(auc) * math.sqrt(2.0), 0.0)


def fit_evidence(scores: Mapping[str, Array], value: Array, p: Array) -> dict[str, Evidence]:
    """Fit each verifier on labelled answers, beyond what p and those before it say of them.

    All of one shape; NaN where there is no answer or the verifier said nothing.
    """
    there = ~np.isnan(value)
    right = (value[there] >= 0.5).astype(np.float64)
    before = logit(p[there])
    by_verifier = {}
    for name, of in scores.items():
        by_verifier[name] = Evidence.fit(of[there], right, 1 / (1 + np.exp(-before)))
        before = before + by_verifier[name].of_each(of[there])
    return by_verifier
