"""Weights of the policy `balanced` that pay on the benchmark: the builder suggests them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs.expected_cost import CHARACTERS_PER_TOKEN, Lengths, cost_model
from litellm_benchrouter.costs.policy import Policy, balanced
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.cost_metrics import cheapest_reaching
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts
from litellm_benchrouter.paper.masked import mean
from litellm_benchrouter.validation.cost import TARGETS, share_of
from litellm_benchrouter.validation.costs import costs_of

Floats = NDArray[np.float64]

WEIGHTS: Floats = np.array([0.0, *(float(f"{w:.2g}") for w in np.geomspace(1e-3, 10.0, 49))])
"""Tried, twelve a decade: from 1 on, cost alone decides against the dearest models."""


def trade_offs(
    benchmark: Benchmark,
    labels: NDArray[np.float32],
    probability: Floats,
    preferred: NDArray[np.intp],
) -> dict[str, Any] | None:
    """Find the cheapest weights that keep the quality of the best single model, or 95 % of it.

    Parameters
    ----------
    benchmark : Benchmark
    labels : ndarray of float32, shape (n, M), NaN is missing
    probability : ndarray of float64, shape (n, M)
        Of held-out folds, as they would be served.
    preferred : ndarray of int, shape (M,)
        The models, best on average first.

    Returns
    -------
    dict or None
        For each target `policy`, `saved` (share of what the best single model costs) and
        `quality_ratio`, or None where no weight does; and `costs`, what they rest on. None where
        nothing tells the costs of all models.
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


def _paid(benchmark: Benchmark, expected: Floats, basis: str) -> tuple[Floats, str]:
    """What the answers cost: as recorded where that is known of all models, else as expected."""
    try:
        costs = costs_of(benchmark)
    except ConfigError:
        return expected, basis
    recorded = not costs.left_out and set(costs.basis.values()) == {"recorded costs"}
    return (costs.values, "costs as recorded") if recorded else (expected, basis)


def _point(
    labels: NDArray[np.float32], cost: Floats, picks: NDArray[np.intp]
) -> tuple[float, float]:
    """Mean cost and quality over the rows whose pick has a label."""
    rows = np.arange(len(labels))
    earned = labels[rows, picks].astype(np.float64)
    spent = np.where(np.isnan(earned), np.nan, cost[rows, picks])
    return float(mean(spent)), float(mean(earned))
