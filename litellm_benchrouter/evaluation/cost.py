"""Protocol `cost`: quality against cost, by picking argmax p(x) - lambda c(x) over many lambda."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.evaluation.cost_metrics import (
    aiq,
    arena_score,
    average_gap_recovered,
    call_curve,
    call_threshold,
    cost_saved,
    gap_recovered,
    non_decreasing_hull,
    performance_gain,
    relative_gain,
    relative_gap,
)
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cost import (
    CostRun,
    Curve,
    Curves,
    Predictor,
    cost_runs,
)
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import bootstrap_mean
from litellm_benchrouter.validation.saving import TARGETS, share_of, tuned_saving
from litellm_benchrouter.validation.splits import (
    Array,
    Rows,
    achieved,
    describe_splits,
)


def run_cost(
    prepared: TaskFolds,
    progress: Progress,
    *,
    test_share: float = 0.3,
    runs: int = 5,
    metric: str = "correctness",
    k: int | None = None,
    given: bool | None = None,
    predictors: Mapping[str, Predictor] | None = None,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Trade quality for cost, per request, on samples like those known.

    c(x) is the mean cost of the 50 nearest neighbours of x in the training part; p(x) is S1 over k
    neighbours (default: the routing's), S1 over 50 neighbours with a prior at the mean, or one of
    the further `predictors` by name. Splits and metric are as in `run_request`. docs/evaluation.md
    specifies the document. Raises ConfigError where fewer than two models have a cost, or there is
    no such metric or split.
    """
    done, costs, kind = cost_runs(
        MeasuredRun, prepared, test_share=test_share, runs=runs, metric=metric, k=k, given=given
    )
    prepared, splits = done[0].prepared, [run.split for run in done]

    def draw(i: int) -> dict[str, Curves]:
        return {
            name: done[i].curves(p) for name, p in done[i].predictions(predictors or {}).items()
        }

    curves: dict[str, list[Curves]] = {}
    with progress.stage("quality against cost", len(splits)) as advance:
        for of_split in engine.map(draw, range(len(done))):
            for name, curve in of_split.items():
                curves.setdefault(name, []).append(curve)
            advance(1)
    models = prepared.benchmark.models
    single_cost = mean(np.array([run.singles[0] for run in done]))
    single_quality = mean(np.array([run.singles[1] for run in done]))
    zero = np.array([run.aiq_of(*run.singles) for run in done])
    return {
        "protocol": {
            "name": "cost",
            **describe_splits(prepared, splits, kind, metric=metric, k=done[0].k),
        },
        "cost_basis": costs.describe(),
        "models": {
            model: {"cost": float(single_cost[m]), "quality": float(single_quality[m])}
            for m, model in enumerate(models)
        },
        "bma": mean_point([run.always(run.training.best, run.split.test) for run in done]),
        "oracle": mean_point([run.point(run.split.test, run.oracle) for run in done]),
        "zero_router": {
            "aiq": float(zero.mean()),
            "hull": points(*non_decreasing_hull(single_cost, single_quality)),
            "hindsight": {
                name: mean_of([_zero_saved(run, share) for run in done])
                for name, share in TARGETS.items()
            },
        },
        "methods": {name: _method(done, per_run, zero) for name, per_run in curves.items()},
        "by_run": [
            {"bma": models[run.training.best], "cheapest": models[run.cheapest]} for run in done
        ],
    }


SHARES = np.linspace(0.0, 1.0, 11)
"""Shares of strong calls at which the two-model curve is reported."""


class MeasuredRun(CostRun):
    """A split with the numbers that the field reports of it."""

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
        return int(self.training.order[cost[self.training.order].argmin()])

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

    def metrics(self, p: Array, tuned: Curve, test: Curve) -> dict[str, float]:
        """Return the numbers of one predictor, by flat name; NaN where one is not defined."""
        cost, quality = self.always(self.training.best, self.split.test)
        numbers = {"aiq": self.aiq_of(test.cost, test.quality)}
        for name, share in TARGETS.items():
            wanted = share_of(quality, share)
            numbers[f"hindsight.{name}"] = cost_saved(test.cost, test.quality, wanted, cost)
        return (
            numbers | self._route_llm(p) | self._arena(tuned, test) | self._llm_router_bench(test)
        )

    def _route_llm(self, p: Array) -> dict[str, float]:
        strong, weak = self.training.best, self.cheapest
        asked = self.values[self.split.test].astype(np.float64)
        said = p[len(self.tuned) :]
        share, quality = call_curve(
            said[:, strong] - said[:, weak], asked[:, weak], asked[:, strong]
        )
        recovered = gap_recovered(quality, float(quality[0]), float(quality[-1]))
        numbers = {f"cpt_{t}": call_threshold(share, recovered, t / 100) for t in (20, 50, 80)}
        numbers |= {
            f"pgr_{s:.1f}": float(at)
            for s, at in zip(SHARES, np.interp(SHARES, share, recovered), strict=True)
        }
        return numbers | {"apgr": average_gap_recovered(share, recovered)}

    def _arena(self, tuned: Curve, test: Curve) -> dict[str, float]:
        names = ("arena", "arena_cost_per_1k", "arena_quality", "arena_best_single")
        if not self.in_usd or np.nanmin(self.values) < 0 or np.nanmax(self.values) > 1:
            return dict.fromkeys(names, math.nan)
        score = np.array([_arena(*point) for point in zip(tuned.cost, tuned.quality, strict=True)])
        i = int(np.where(np.isnan(score), -1.0, score).argmax())
        single = [_arena(*point) for point in zip(*self.singles, strict=True)]
        cost, quality = float(test.cost[i]), float(test.quality[i])
        numbers = (_arena(cost, quality), 1_000 * cost, quality, float(np.nanmax(single)))
        return dict(zip(names, numbers, strict=True))

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


def _method(runs: Sequence[MeasuredRun], curves: Sequence[Curves], zero: Array) -> dict[str, Any]:
    """Describe one predictor: means over the runs of what each run measures."""
    seed = runs[0].prepared.seed
    measured = [run.metrics(*one) for run, one in zip(runs, curves, strict=True)]
    means = {name: mean_of([one[name] for one in measured]) for name in measured[0]}
    gain, *interval = bootstrap_mean(np.array([one["aiq"] for one in measured]) - zero, seed=seed)
    cost = np.mean([test.cost for _, _, test in curves], axis=0)
    quality = np.mean([test.quality for _, _, test in curves], axis=0)
    return {
        "aiq": means["aiq"],
        "aiq_gain": gain,
        "aiq_gain_over_runs_95": interval if len(runs) > 1 else [float("nan")] * 2,
        "curve": [
            {"lambda": float(price), **point}
            for price, point in zip(runs[0].lambdas, points(cost, quality), strict=True)
        ],
        "hull": points(*non_decreasing_hull(cost, quality)),
        "tuned": {name: tuned_saving(runs, curves, share) for name, share in TARGETS.items()},
        "hindsight": {
            name: {
                "saved": means[f"hindsight.{name}"],
                "runs_reached": _known([one[f"hindsight.{name}"] for one in measured]),
            }
            for name in TARGETS
        },
        "route_llm": {
            "apgr": means["apgr"],
            **{f"cpt_{target}": means[f"cpt_{target}"] for target in (20, 50, 80)},
            "pgr": [{"share": float(s), "pgr": means[f"pgr_{s:.1f}"]} for s in SHARES],
        },
        "router_arena": {
            "score": means["arena"],
            "cost_per_1k": means["arena_cost_per_1k"],
            "quality": means["arena_quality"],
            "best_single": means["arena_best_single"],
        },
        "llm_router_bench": {
            name: means[name]
            for name in ("gain_at_random", "gain_at_best_single", "gap_at_oracle", "perf_gain")
        }
        | {
            "cost_save": means["cost_save"],
            "cost_save_runs": _known([one["cost_save"] for one in measured]),
        },
    }


def _zero_saved(run: MeasuredRun, share: float) -> float:
    """Saved by tossing coins between the single models, at a share of the best one's quality."""
    cost, quality = run.always(run.training.best, run.split.test)
    hull_cost, hull_quality = non_decreasing_hull(*run.singles)
    wanted = share_of(quality, share)  # the best single model is on or below the hull
    needed = float(np.interp(wanted, hull_quality, hull_cost))
    return 1.0 - needed / cost if cost > 0 else float("nan")


def points(cost: Array, quality: Array) -> list[dict[str, float]]:
    return [{"cost": float(c), "quality": float(q)} for c, q in zip(cost, quality, strict=True)]


def mean_point(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    cost, quality = mean(np.array(points))
    return {"cost": float(cost), "quality": float(quality)}


def mean_of(values: Sequence[float]) -> float:
    return float(mean(np.array(values, dtype=np.float64)))


def _known(values: Sequence[float]) -> int:
    return int((~np.isnan(values)).sum())


def _arena(cost: float, quality: float) -> float:
    return math.nan if math.isnan(quality) else arena_score(quality, 1_000 * cost)
