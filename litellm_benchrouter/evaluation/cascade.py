"""Protocol `cascade`: quality against cost where an answer may be checked and another one asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs.cascade import Evidence
from litellm_benchrouter.costs.evidence import area, combined
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.evaluation.cost import MeasuredRun, mean_of, mean_point, points
from litellm_benchrouter.evaluation.cost_metrics import cost_saved, non_decreasing_hull
from litellm_benchrouter.paper.benchmark import mean, ratio
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cascade import (
    Answered,
    Ran,
    correlation,
    fit_evidence,
    run_cascade,
    simulated_scores,
)
from litellm_benchrouter.validation.cost import Predictor, cost_runs
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import percentiles_with, resampled
from litellm_benchrouter.validation.saving import Outcomes, cheapest_of
from litellm_benchrouter.validation.splits import Array, Rows, describe_splits

AUCS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Areas under the curve of the verifiers that are simulated."""

STEPS = 3
TARGETS = {"equal_quality": 1.0, "quality_95": 0.95, "routing_quality": 1.0}
"""Shares of a quality to hold: twice that of BMA, and that of routing whatever it costs."""

_LOWEST = 10.0  # times the lowest lambda of protocol `cost`: below it cost hardly matters
_BEYOND = 2.0  # times the lambda from which on routing asks the same whatever lambda is
_PER_DECADE = 12


@dataclass(frozen=True)
class Swept:
    """What a rule pays and gives at each lambda, on the tuned and on the test samples."""

    tuned: list[Ran]
    test: list[Ran]
    auc: float  # as measured on the answers that the evidence was learned from
    tells: bool = True

    def curve(self) -> tuple[Array, Array, Array]:
        """Mean cost, quality and calls on the test samples, each of shape (L,)."""
        rows = [(mean(r.cost), mean(r.value), r.calls.mean()) for r in self.test]
        cost, quality, calls = np.array(rows, dtype=np.float64).T
        return cost, quality, calls


class CascadeRun(MeasuredRun):
    """A split on which cascades are tried."""

    def answered(self, p: Array, evidence: Array, *, tuned: bool) -> Answered:
        """Return the tuned or the test samples, the models in the order in which ties are taken."""
        part = slice(None, len(self.tuned)) if tuned else slice(len(self.tuned), None)
        rows, order = self.tuned if tuned else self.split.test, self.training.order

        def ordered(each: NDArray[np.floating]) -> Array:
            return each[:, order].astype(np.float64)

        return Answered(
            p=ordered(p[part]),
            expected=ordered(self.expected_cost[part]),
            value=ordered(self.values[rows]),
            cost=ordered(self.costs[rows]),
            evidence=ordered(evidence[rows]),
        )

    def sweep(self, p: Array, lambdas: Array, auc: float | None, seed: int) -> Swept:
        """Try each lambda with a verifier of this quality; None: without one."""
        nothing = np.zeros(self.values.shape)
        evidence, ahead, measured = nothing, Evidence.none(), float("nan")
        together = np.eye(p.shape[1])
        if auc is not None:
            scores = simulated_scores(self.values.astype(np.float64), auc, seed)
            training_answers = self.answered(p, nothing, tuned=True)
            drawn = {"simulated": scores[self.tuned][:, self.training.order]}
            evidence_of_one = fit_evidence(drawn, training_answers.value, training_answers.p)[
                "simulated"
            ]
            together = correlation(training_answers.p, training_answers.value)
            evidence, ahead = evidence_of_one.of_each(scores), combined([evidence_of_one])
            there = ~np.isnan(training_answers.value)
            right = (training_answers.value[there] >= 0.5).astype(np.float64)
            measured = area(drawn["simulated"][there], right)

        def tried(*, tuned: bool) -> list[Ran]:
            answered = self.answered(p, evidence, tuned=tuned)
            return [
                run_cascade(answered, ahead, together, price=float(price), steps=STEPS)
                for price in lambdas
            ]

        return Swept(tried(tuned=True), tried(tuned=False), measured, ahead.tells)


def run_cascades(
    prepared: TaskFolds,
    progress: Progress,
    *,
    predictor: Predictor,
    test_share: float = 0.3,
    runs: int = 5,
    given: bool | None = None,
    aucs: Sequence[float] = AUCS,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Compare cascades with routing alone and with single models, on samples like those known.

    A verifier of each quality is simulated: the scores of right and of wrong answers are drawn from
    two normals, for each answer by itself. `predictor` gives p(x); splits and costs are those of
    protocol `cost`. docs/evaluation.md specifies the document. Raises ConfigError as `run_cost`.
    """
    done, costs, kind = cost_runs(
        CascadeRun, prepared, test_share=test_share, runs=runs, given=given
    )
    prepared, models = done[0].prepared, done[0].prepared.benchmark.models
    names = ["routing", *(f"cascade_{auc:g}" for auc in aucs)]
    p = [run.predictions({"default": predictor})["default"] for run in done]
    lambdas = _useful(done, p)

    def sweep(task: tuple[int, float | None]) -> Swept:
        i, auc = task
        return done[i].sweep(p[i], lambdas, auc, prepared.seed + i)

    tasks = [(i, auc) for auc in (None, *aucs) for i in range(len(done))]
    swept: dict[str, list[Swept]] = {name: [] for name in names}
    with progress.stage("cascades", len(tasks)) as advance:
        for j, one_sweep in enumerate(engine.map(sweep, tasks)):
            swept[names[j // len(done)]].append(one_sweep)
            advance(1)
    for name in names[1:]:  # a verifier that tells nothing: it does not cascade
        swept[name] = [
            one if one.tells else Swept(routed.tuned, routed.test, one.auc, tells=False)
            for one, routed in zip(swept[name], swept["routing"], strict=True)
        ]
    single = np.array([run.singles for run in done]).mean(axis=0)
    tuned = {target: _tuned(done, swept, lambdas, target) for target in TARGETS}
    return {
        "protocol": {
            "name": "cascade",
            **describe_splits(
                prepared, [r.split for r in done], kind, metric="correctness", k=done[0].k
            ),
            "steps": STEPS,
            "aucs": list(aucs),
            "verifier": "simulated",
        },
        "cost_basis": costs.describe(),
        "models": {
            model: {"cost": float(single[0, m]), "quality": float(single[1, m])}
            for m, model in enumerate(models)
        },
        "bma": mean_point([run.always(run.training.best, run.split.test) for run in done]),
        "oracle": mean_point([run.point(run.split.test, run.oracle) for run in done]),
        "zero_router": {"hull": points(*non_decreasing_hull(*single))},
        "methods": {
            name: _method(done, one_sweep, lambdas, swept["routing"])
            | {"tuned": {target: tuned[target][name] for target in TARGETS}}
            for name, one_sweep in swept.items()
        },
        "break_even": {target: break_even(tuned[target], aucs) for target in TARGETS},
        "by_run": [{"bma": models[run.training.best]} for run in done],
    }


def _useful(runs: Sequence[CascadeRun], p: Sequence[Array]) -> Array:
    """Return 0 and lambdas up to where routing no longer changes, finer than protocol `cost`."""
    grid, last = runs[0].lambdas, 2
    for run, of in zip(runs, p, strict=True):
        picks = run.curve(of, tuned=True).picks
        moved = np.flatnonzero((picks != picks[-1]).any(axis=1))
        last = max(last, int(moved[-1]) + 1 if len(moved) else 0)
    low, high = _LOWEST * grid[1], max(grid[last] * _BEYOND, 2 * _LOWEST * grid[1])
    n = 1 + math.ceil(_PER_DECADE * math.log10(high / low))
    return np.concatenate(([0.0], np.geomspace(low, high, n)))


def _method(
    runs: Sequence[CascadeRun], swept: Sequence[Swept], lambdas: Array, routed: Sequence[Swept]
) -> dict[str, Any]:
    curves = [one.curve() for one in swept]
    cost, quality, calls = np.array(curves).mean(axis=0)
    hindsight = {}
    for target, share in TARGETS.items():
        saved = []
        for run, one, other in zip(runs, curves, routed, strict=True):
            routing = other.curve()
            _, bma = run.always(run.training.best, run.split.test)
            wanted = routing[1][0] if target == "routing_quality" else share * bma
            spent, plain = (1.0 - cost_saved(*of[:2], wanted, 1.0) for of in (one, routing))
            saved.append(1.0 - spent / plain if plain > 0 else np.nan)
        hindsight[target] = {
            "saved_beside_routing": mean_of(saved),
            "runs_reached": int((~np.isnan(saved)).sum()),
        }
    return {
        "auc_measured": mean_of([one.auc for one in swept]),
        "runs_cascading": sum(one.tells for one in swept if not np.isnan(one.auc)),
        "curve": [
            {"lambda": float(price), **point, "calls": float(n)}
            for price, point, n in zip(lambdas, points(cost, quality), calls, strict=True)
        ],
        "hindsight": hindsight,
    }


def _outcomes(
    run: CascadeRun, swept: Swept, routed: Swept, target: str, *, tuned: bool
) -> Outcomes:
    """Look up each lambda's outcomes, the last column what has to be held."""
    rows = run.tuned if tuned else run.split.test
    ran, routing = (of.tuned if tuned else of.test for of in (swept, routed))
    cost, worth = ([getattr(one, name) for one in ran] for name in ("cost", "value"))
    if target == "routing_quality":
        last = (routing[0].cost, routing[0].value)
    else:
        last = (run.costs[rows, run.training.best], run.values[rows, run.training.best])
    return Outcomes.beside_last(
        rows,
        np.stack([*cost, last[0]], axis=1),
        np.stack([*worth, last[1].astype(np.float64)], axis=1),
    )


def _tuned(
    runs: Sequence[CascadeRun],
    swept: Mapping[str, Sequence[Swept]],
    lambdas: Array,
    target: str,
) -> dict[str, dict[str, Any]]:
    """Choose lambda on the training part and measure on the test part, each rule for itself."""
    share, prepared = TARGETS[target], runs[0].prepared
    outcomes = {
        name: [
            tuple(_outcomes(run, one, routed, target, tuned=tuned) for tuned in (True, False))
            for run, one, routed in zip(runs, sweeps, swept["routing"], strict=True)
        ]
        for name, sweeps in swept.items()
    }

    def totals(name: str, weights: Array) -> tuple[list[Rows], Array]:
        chosen = [cheapest_of(tuned.sums(weights), share) for tuned, _ in outcomes[name]]
        each, total = np.arange(len(weights)), np.zeros((5, len(weights)))
        for (_, test), column in zip(outcomes[name], chosen, strict=True):
            sums = test.sums(weights)
            total += np.concatenate([sums[:, each, column], sums[:1, :, -1]])
        return chosen, total

    def figures(total: Array, routing: Array) -> Array:
        spent, worth, best, paired, paid = total
        gain = ratio(worth - best, paired)
        beside = ratio(worth, paired) - ratio(routing[1], routing[3])
        return np.stack([1 - ratio(spent, paid), 1 - ratio(spent, routing[0]), gain, beside])

    ones = np.ones((1, len(prepared.benchmark)))
    chosen = {name: totals(name, ones) for name in swept}
    drawn: dict[str, list[Array]] = {name: [] for name in swept}
    for weights in resampled(prepared.sample_group, seed=prepared.seed):
        routing = totals("routing", weights)[1]
        for name in swept:
            of = routing if name == "routing" else totals(name, weights)[1]
            drawn[name].append(figures(of, routing))
    result = {}
    keys = ("saved", "saved_beside_routing", "quality_gain", "quality_gain_beside_routing")
    for name, (columns, total) in chosen.items():
        point = figures(total, chosen["routing"][1])[:, 0]
        many = np.concatenate(drawn[name], axis=1)
        result[name] = {
            key: value
            for key, at, of in zip(keys, point.tolist(), many, strict=True)
            for key, value in (
                (key, at),
                (f"{key}_over_samples_95", percentiles_with(at, of, [2.5, 97.5])),
            )
        } | _at(swept[name], columns, lambdas)
    return result


def _at(swept: Sequence[Swept], columns: Sequence[Rows], lambdas: Array) -> dict[str, Any]:
    """Describe the lambdas that were chosen, on the test part; a single model keeps nothing."""
    at = [(one, int(c[0])) for one, c in zip(swept, columns, strict=True)]
    ran = [one.test[c] for one, c in at if c < len(one.test)]
    return {
        "lambda": [float(lambdas[c]) if c < len(lambdas) else None for _, c in at],
        "calls": mean_of([float(one.calls.mean()) for one in ran]),
        "kept": mean_of([float(one.kept.mean()) for one in ran]),
        "kept_and_wrong": mean_of([float(one.kept_wrong.mean()) for one in ran]),
    }


def break_even(tuned: Mapping[str, Mapping[str, Any]], aucs: Sequence[float]) -> dict[str, Any]:
    """Return the AUC from which on cascades save more than routing, and surely so.

    The least tested AUC from which on all save; where the next lower one loses, the place between
    the two on a straight line. None where the highest does not save.
    """

    def crossed(saved: Callable[[Mapping[str, Any]], float]) -> float | None:
        crossing, above = None, 0.0
        for auc in sorted(aucs, reverse=True):
            value = saved(tuned[f"cascade_{auc:g}"])
            if not value > 0:
                if crossing is None or value == 0:
                    return crossing
                return auc + (crossing - auc) * value / (value - above)
            crossing, above = auc, value
        return crossing

    return {
        "auc": crossed(lambda row: float(row["saved_beside_routing"])),
        "surely": crossed(lambda row: float(row["saved_beside_routing_over_samples_95"][0])),
    }
