"""Protocol `cost`: quality against cost, by picking argmax p(x) - lambda c(x) over many lambda."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.evaluation.cost_metrics import non_decreasing_hull
from litellm_benchrouter.paper.masked import mean
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.cost import (
    SHARES,
    TARGETS,
    CostRun,
    Curve,
    Predictor,
    share_of,
)
from litellm_benchrouter.validation.costs import costs_of
from litellm_benchrouter.validation.folds import Prepared
from litellm_benchrouter.validation.metrics import bootstrap_mean
from litellm_benchrouter.validation.resample import bootstrap_samples
from litellm_benchrouter.validation.splits import (
    Array,
    Rows,
    Split,
    achieved,
    choose_splits,
    describe_splits,
    metric_values,
)

_SMALLEST, _LARGEST, _PER_DECADE = -3, 4, 8  # of lambda, in powers of ten over the cost range

_Curves = tuple[Array, Curve, Curve]
"""p(x), the curve on the tuned samples, the curve on the test samples."""


def run_cost(
    prepared: Prepared,
    stages: Silent,
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
    neighbours, S1 over 50 neighbours with a prior at the mean, or one of `predictors`.

    Parameters
    ----------
    prepared : Prepared
    stages : Silent or Bars
    test_share, runs, metric, given
        As in `run_request`.
    k : int, optional
        Neighbours of S1; default: the routing's.
    predictors : mapping of str to Predictor, optional
        Further predictors by name.
    engine : Engine
        Routes the test parts.

    Returns
    -------
    dict
        The document that `evaluate --json` writes; docs/evaluation.md specifies it.

    Raises
    ------
    ConfigError
        If fewer than two models have a cost, or the metric or the split does not exist.
    """
    costs = costs_of(prepared.benchmark)
    if costs.left_out:
        prepared = prepared.pool(list(costs.basis))
    values = metric_values(prepared, metric)
    k = prepared.routing.k if k is None else k
    lambdas = prices_of_quality(costs.values.mean(axis=0))
    splits, kind = choose_splits(prepared, test_share=test_share, runs=runs, given=given)

    def run_of(split: Split) -> CostRun:
        in_usd = costs.unit == "usd"
        return CostRun(prepared, split, values, costs.values, lambdas, k, in_usd=in_usd)

    def draw(split: Split) -> dict[str, _Curves]:
        run = run_of(split)
        return {
            name: (p, run.curve(p, tuned=True), run.curve(p, tuned=False))
            for name, p in run.predictions(predictors or {}).items()
        }

    done = [run_of(split) for split in splits]
    curves: dict[str, list[_Curves]] = {}
    with stages.stage("quality against cost", len(splits)) as advance:
        for of_split in engine.map(draw, splits):
            for name, found in of_split.items():
                curves.setdefault(name, []).append(found)
            advance(1)
    models = prepared.benchmark.models
    single_cost = mean(np.array([run.singles[0] for run in done]))
    single_quality = mean(np.array([run.singles[1] for run in done]))
    zero = np.array([run.aiq_of(*run.singles) for run in done])
    return {
        "protocol": {
            "name": "cost",
            **describe_splits(prepared, splits, kind, metric=metric, k=k),
        },
        "cost_basis": costs.describe(),
        "models": {
            model: {"cost": float(single_cost[m]), "quality": float(single_quality[m])}
            for m, model in enumerate(models)
        },
        "bma": _mean_point([run.always(run.known.best, run.split.test) for run in done]),
        "oracle": _mean_point([run.point(run.split.test, run.oracle) for run in done]),
        "zero_router": {
            "aiq": float(zero.mean()),
            "hull": _points(*non_decreasing_hull(single_cost, single_quality)),
            "hindsight": {
                name: _mean([_zero_saved(run, share) for run in done])
                for name, share in TARGETS.items()
            },
        },
        "methods": {name: _method(done, per_run, zero) for name, per_run in curves.items()},
        "by_run": [
            {"bma": models[run.known.best], "cheapest": models[run.cheapest]} for run in done
        ],
    }


def prices_of_quality(mean_cost: Array) -> Array:
    """Return the grid of lambda: 0, then geometric from 0.001 to 10,000 over the cost range.

    At 1 over the range, the whole range of costs is worth as much as a right answer; the steps far
    above it are for models that are all cheap beside the dearest.

    Parameters
    ----------
    mean_cost : ndarray of float64, shape (M,)

    Returns
    -------
    ndarray of float64, shape (L,)
        Quality per unit of cost.
    """
    span = float(np.ptp(mean_cost)) or float(mean_cost.max()) or 1.0
    steps = (_LARGEST - _SMALLEST) * _PER_DECADE + 1
    return np.concatenate(([0.0], np.logspace(_SMALLEST, _LARGEST, steps) / span))


def _method(runs: Sequence[CostRun], curves: Sequence[_Curves], zero: Array) -> dict[str, Any]:
    """Describe one predictor: means over the runs of what each run measures."""
    seed = runs[0].prepared.seed
    found = [run.metrics(*one) for run, one in zip(runs, curves, strict=True)]
    means = {name: _mean([one[name] for one in found]) for name in found[0]}
    gain, *interval = bootstrap_mean(np.array([one["aiq"] for one in found]) - zero, seed=seed)
    cost = np.mean([test.cost for _, _, test in curves], axis=0)
    quality = np.mean([test.quality for _, _, test in curves], axis=0)
    return {
        "aiq": means["aiq"],
        "aiq_gain": gain,
        "aiq_gain_over_runs_95": interval if len(runs) > 1 else [float("nan")] * 2,
        "curve": [
            {"lambda": float(price), **point}
            for price, point in zip(runs[0].lambdas, _points(cost, quality), strict=True)
        ],
        "hull": _points(*non_decreasing_hull(cost, quality)),
        "tuned": {name: _tuned(runs, curves, share) for name, share in TARGETS.items()},
        "hindsight": {
            name: {
                "saved": means[f"hindsight.{name}"],
                "runs_reached": _known([one[f"hindsight.{name}"] for one in found]),
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
            "cost_save_runs": _known([one["cost_save"] for one in found]),
        },
    }


def _tuned(runs: Sequence[CostRun], curves: Sequence[_Curves], share: float) -> dict[str, Any]:
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


def _zero_saved(run: CostRun, share: float) -> float:
    """Saved by tossing coins between the single models, at a share of the best one's quality."""
    cost, quality = run.always(run.known.best, run.split.test)
    hull_cost, hull_quality = non_decreasing_hull(*run.singles)
    wanted = share_of(quality, share)  # the best single model is on or below the hull
    needed = float(np.interp(wanted, hull_quality, hull_cost))
    return 1.0 - needed / cost if cost > 0 else float("nan")


def _points(cost: Array, quality: Array) -> list[dict[str, float]]:
    return [{"cost": float(c), "quality": float(q)} for c, q in zip(cost, quality, strict=True)]


def _mean_point(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    cost, quality = mean(np.array(points))
    return {"cost": float(cost), "quality": float(quality)}


def _mean(values: Sequence[float]) -> float:
    return float(mean(np.array(values, dtype=np.float64)))


def _known(values: Sequence[float]) -> int:
    return int((~np.isnan(values)).sum())
