"""A split of protocol `traffic`: half of a benchmark is traffic, and what is gained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.traffic_cost import FEWEST, TrafficCosts
from litellm_benchrouter.guarded.fit import fit_request, neighbors_of_each
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.guarded.impute import TaskAccuracies
from litellm_benchrouter.guarded.racing import BATCH, race
from litellm_benchrouter.guarded.traffic import BenchmarkPrior, fit_traffic
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.neighbors import nearest
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import DEFAULT

METHODS = (DEFAULT, "benchmark", "own_best", "as_task")

_FEWEST_LEFT = 10  # prompts that picks are measured on
_FEWEST_KNOWN = 50  # samples of a benchmark that anything is learned from
_RESERVED = 0.3  # of the traffic, never asked in a race
_BLOCK = 2_048  # prompts scored at once

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class TrafficSplit:
    """Two parts of a benchmark: one is its benchmark, the other traffic in random order."""

    whole: TaskFolds
    prior_rows: Rows
    traffic: Rows
    seed: tuple[int, int]

    @classmethod
    def draw(cls, prepared: TaskFolds, split: int, share: float, held_back: float) -> TrafficSplit:
        """Draw the families of the traffic, each equally often, and hold back some samples."""
        seed, half = (prepared.seed, split), prepared.n_groups // 2
        # Consecutive splits share an order of the families, of which each takes the next half.
        turn, place = divmod(split, prepared.n_groups // half)
        order = np.random.default_rng((prepared.seed, turn, half)).permutation(prepared.n_groups)
        families = order[place * half : (place + 1) * half]
        generator = np.random.default_rng(seed)
        is_new = np.isin(prepared.group, families)
        new, rest = np.flatnonzero(is_new), np.flatnonzero(~is_new)
        like = np.empty(0, dtype=np.intp)
        if share > 0:
            _, group = np.unique(prepared.sample_group[rest], return_inverse=True)
            like = rest[generator.random(int(group.max()) + 1)[group] < held_back]
            rest = np.setdiff1d(rest, like)
            # The larger part is thinned until the shares are as they should be.
            n = min(len(like) / share, len(new) / (1 - share) if share < 1 else np.inf)
            like = generator.permutation(like)[: round(n * share)]
            new = generator.permutation(new)[: round(n * (1 - share))]
        copies = np.isin(prepared.sample_group[new], prepared.sample_group[rest])
        traffic = generator.permutation(np.concatenate([new[~copies], like]))
        if min(len(rest), len(traffic)) < _FEWEST_KNOWN:
            raise ConfigError(
                f"the protocol traffic needs {_FEWEST_KNOWN} samples on each side; split {split} "
                f"has {len(rest)} of the benchmark and {len(traffic)} of traffic. Add samples, or "
                "leave the protocol out."
            )
        return cls(prepared, rest, traffic, seed)

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """Of the traffic, shape (n, M)."""
        return self.whole.labels[self.traffic]

    @cached_property
    def group(self) -> NDArray[np.intp]:
        """Near-duplicates of the traffic, shape (n,)."""
        return self.whole.sample_group[self.traffic]

    def route(
        self, rows: Rows, labels: NDArray[np.float32], task: NDArray[np.integer], asked: Rows
    ) -> RoutedTraffic:
        """Fit the request estimates on samples, and ask them of others."""
        vectors, queries = self.whole.embeddings[rows], self.whole.embeddings[asked]
        _, number = np.unique(task, return_inverse=True)
        _, group = np.unique(self.whole.sample_group[rows], return_inverse=True)
        number, n_tasks = number.astype(np.int32), int(number.max()) + 1
        listed = neighbors_of_each(vectors)
        fitted = fit_request(vectors, labels, number, n_tasks, listed, group, seed=self.whole.seed)
        guarded, near = fitted.guarded, nearest(queries, vectors, min(K, len(rows)))
        blocks = np.array_split(np.arange(len(asked)), len(asked) // _BLOCK + 1)
        scores = [
            guarded.request.predict(queries[b], labels[near.index[b]], number[near.index[b]])
            for b in blocks
        ]
        average, distance = guarded.request.average, near.distance.mean(axis=1)
        best = int(self.whole.order(average, average)[0])
        return RoutedTraffic(
            np.concatenate(scores),
            np.array([guarded.percentile(float(d)) for d in distance]),
            distance > guarded.far,
            average,
            best,
            fitted.gate.routes,
        )

    @cached_property
    def benchmark(self) -> RoutedTraffic:
        """What the benchmark says of the traffic."""
        task = self.whole.benchmark.task[self.prior_rows]
        return self.route(self.prior_rows, self.whole.labels[self.prior_rows], task, self.traffic)

    @cached_property
    def prior(self) -> BenchmarkPrior:
        """What the benchmark expects of traffic."""
        _, task = np.unique(self.whole.benchmark.task[self.prior_rows], return_inverse=True)
        cells = TaskAccuracies.of(self.whole.labels[self.prior_rows], task, int(task.max()) + 1)
        size, average = cells.count.mean(axis=1), self.benchmark.average
        return BenchmarkPrior.of(cells.imputed(), size, average, self.benchmark.best)

    def measure(
        self, numbers: Sequence[int], methods: Sequence[str], racing: bool, costs: bool = True
    ) -> dict[str, Any]:
        """Gains over BMA on prompts without labels, by method and number of labels.

        With `costs` also what weighing costs by own labels gives, which takes longer.
        """
        gain: dict[str, dict[str, float]] = {name: {} for name in methods}
        asked, trade_offs = {}, {}
        for n in numbers:
            given = self._race(n) if racing else self.labels[:n]
            left = np.flatnonzero(~np.isin(self.group, self.group[: len(given)]))
            asked[str(n)] = {"prompts": len(given), "answers": int((~np.isnan(given)).sum())}
            enough = len(left) >= _FEWEST_LEFT and (racing or len(given) == n)
            for name in methods:
                value = self._gain(left, self._picks(name, given, left)) if enough else np.nan
                gain[name][str(n)] = value
            if costs and n >= FEWEST and enough and not racing and DEFAULT in methods:
                trade_offs[str(n)] = self.costs.measure(n, left)
        benchmark, task = self.whole.benchmark, self.whole.benchmark.task
        new = np.setdiff1d(task[self.traffic], task[self.prior_rows])
        return {
            "traffic": [benchmark.tasks[d] for d in new],
            "n_benchmark": len(self.prior_rows),
            "n_traffic": len(self.traffic),
            "bma": benchmark.models[self.benchmark.best],
            "benchmark_routes": self.benchmark.routes,
            "asked": asked,
            "gain": gain,
            "trade_off": trade_offs,
        }

    @property
    def costs(self) -> TrafficCosts:
        """The traffic with what tells its costs."""
        whole, prompts = self.whole, self.whole.benchmark.prompts
        return TrafficCosts(
            whole.benchmark, [prompts[i] for i in self.traffic], whole.embeddings[self.traffic],
            self.labels, self.benchmark.scores, self.benchmark.percentile, self.group, self.prior,
        )  # fmt: skip

    def _gain(self, left: Rows, picks: Rows) -> float:
        """Mean over the prompts on which the pick and BMA have labels."""
        labels = self.labels[left].astype(np.float64)
        difference = labels[np.arange(len(left)), picks] - labels[:, self.benchmark.best]
        return float(mean(difference[:, None])[0])

    def _picks(self, name: str, given: NDArray[np.float32], left: Rows) -> Rows:
        """Pick a model for each of the prompts that are left, by labels of the first ones."""
        benchmark, taken = self.benchmark, np.arange(len(given))
        if name == "benchmark":
            return benchmark.picks[left]
        if name == "own_best":
            # After a race, of the models that were asked to the end.
            last = (~np.isnan(given[-BATCH:])).any(axis=0)
            score = np.where(last, mean(given), -np.inf)
            return np.full(len(left), self.whole.order(score, self.prior.average)[0])
        vectors = self.whole.embeddings[self.traffic]
        if name == "as_task":
            rows = np.concatenate([self.prior_rows, self.traffic[taken]])
            labels = np.concatenate([self.whole.labels[self.prior_rows], given])
            task = self.whole.benchmark.task[rows]
            task[len(self.prior_rows) :] = self.whole.n_tasks
            return self.route(rows, labels, task, self.traffic[left]).picks
        scores = benchmark.scores
        model = fit_traffic(
            given, vectors[taken], scores[taken], self.prior, group=self.group[taken]
        )
        ranked = model.score(vectors[left], scores[left])
        if benchmark.routes:
            ranked = model.blend(ranked, scores[left], benchmark.percentile[left])
        picks: Rows = ranked.argmax(axis=1)
        return picks

    def _race(self, n: int) -> NDArray[np.float32]:
        """Labels for which so many answers are asked as n prompts take of all models."""
        n_models = self.labels.shape[1]
        most = max(int((1 - _RESERVED) * len(self.labels)), 1)
        given = np.full((most, n_models), np.float32("nan"))
        rows = slice(0, 0)
        for rows, active in race(given, self.prior, self.seed, n * n_models):
            given[rows, active] = self.labels[rows][:, active]
        return given[: rows.stop]


@dataclass(frozen=True)
class RoutedTraffic:
    """What fitted request estimates say of q prompts.

    Attributes
    ----------
    scores : ndarray of float64, shape (q, M)
    percentile : ndarray of float64, shape (q,)
        Of the distance, among the benchmark's own.
    far : ndarray of bool, shape (q,)
    average : ndarray of float64, shape (M,)
    best : int
        BMA.
    routes : bool
        Whether the gate is open.
    """

    scores: Floats
    percentile: Floats
    far: NDArray[np.bool_]
    average: Floats
    best: int
    routes: bool

    @property
    def picks(self) -> Rows:
        """What would be served, shape (q,)."""
        stays = self.far | (not self.routes)
        return np.where(stays, self.best, self.scores.argmax(axis=1)).astype(np.intp)
