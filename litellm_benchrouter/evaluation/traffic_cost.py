"""The weight of cost that labels of own traffic choose, tried on prompts without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.building.traffic import balanced_picks, expected_costs, trade_off
from litellm_benchrouter.guarded.own_labels import OwnLabels
from litellm_benchrouter.guarded.traffic import BenchmarkPrior
from litellm_benchrouter.paper.benchmark import Benchmark, mean

FEWEST = 100
"""Labelled prompts from which on a weight is chosen."""

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class TrafficCosts:
    """Prompts of traffic in random order, whose first ones are labelled, with their costs.

    Attributes
    ----------
    benchmark : Benchmark
    prompts : list of str, length n
    vectors : ndarray of float32, shape (n, E)
    labels, scores : ndarray of float32 and float64, shape (n, M)
        Of all prompts, and S.
    percentile : ndarray of float64, shape (n,)
    group : ndarray of int, shape (n,)
    prior : BenchmarkPrior
    """

    benchmark: Benchmark
    prompts: Sequence[str]
    vectors: NDArray[np.float32]
    labels: NDArray[np.float32]
    scores: Floats
    percentile: Floats
    group: Rows
    prior: BenchmarkPrior

    def measure(self, n: int, left: Rows) -> dict[str, Any] | None:
        """Choose a weight on the first n prompts, and try it on those that are left.

        Returns
        -------
        dict or None
            `policy`, null where no weight keeps BMA's quality, the `gain` over BMA, and the share
            `saved` of its cost; None where nothing tells the costs of all models.
        """
        costs = expected_costs(self.benchmark, self.prompts)
        if costs is None:
            return None
        own = OwnLabels.fit(
            self.labels[:n], self.vectors[:n], self.scores[:n], self.percentile[:n], self.prior,
            np.ones(n), np.unique(self.group[:n], return_inverse=True)[1],
        )  # fmt: skip
        best = self.prior.best
        chosen = trade_off(own, self.benchmark, self.prompts[:n], best)
        if chosen is None:
            return {"policy": None, "gain": 0.0, "saved": 0.0}
        expected = own.model.predict(self.vectors[left], self.scores[left])
        weight = float(chosen["policy"].partition(":")[2] or 0.0)
        picks = balanced_picks(expected, costs[0][left], weight)
        labels = self.labels[left].astype(np.float64)
        difference = labels[np.arange(len(left)), picks] - labels[:, best]
        spent = costs[0][left, picks].sum() / costs[0][left, best].sum()
        return {
            "policy": chosen["policy"],
            "gain": float(mean(difference[:, None])[0]),
            "saved": float(1 - spent),
        }


def summary_of(by_split: Sequence[Mapping[str, Any]], n: int) -> dict[str, float] | None:
    """Average what weights chosen on n prompts gain and save over splits; None without any."""
    measured = [one[str(n)] for one in by_split if one.get(str(n)) is not None]
    if not measured:
        return None
    means = {name: float(np.mean([one[name] for one in measured])) for name in ("gain", "saved")}
    return means | {"worst_gain": min(one["gain"] for one in measured)}
