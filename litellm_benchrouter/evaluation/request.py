"""Protocol `request` (table 4, figure 7): a model for each request, on samples like those known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.paper.benchmark import labels, mean
from litellm_benchrouter.paper.scores import expected_calibration_error, reliability
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import (
    bootstrap_mean,
    bootstrap_samples,
    brier,
    half_split_oracle,
)
from litellm_benchrouter.validation.splits import (
    NO_PICK,
    Array,
    Rows,
    Split,
    TrainSplit,
    achieved,
    best_per_task,
    choose_splits,
    describe_splits,
    metric_values,
    metrics_of,
    training,
)

PerRequestMethod = Callable[[TrainSplit, Rows], Rows]
"""Picks a model for each test sample: (training part, rows of the test samples) -> positions."""

ProbabilityMethod = Callable[[TrainSplit, Rows], Array]
"""P(correct) of every model on each test sample, shape (q, M)."""

_Found = Mapping[str, Array]
"""Value of each method on each test sample of a run, shape (n_test,)."""

_CALLS = 2  # one embedding and one generation, as table 4 counts ours


@dataclass(frozen=True)
class _Run:
    """One split: what each method picked, and what the predictors said."""

    split: Split
    best: int
    picks: Mapping[str, Rows]
    g: Array
    distance: Array
    probabilities: Mapping[str, Array]


def run_request(
    prepared: TaskFolds,
    progress: Progress,
    *,
    test_share: float = 0.3,
    runs: int = 5,
    metric: str = "correctness",
    k: int | None = None,
    given: bool | None = None,
    extra: Mapping[str, PerRequestMethod] | None = None,
    probabilities: Mapping[str, ProbabilityMethod] | None = None,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Route each test sample on its own by S1, which is g of that one input (appendix D).

    `runs` random splits are drawn, or the source's own is used (`given`, see `choose_splits`).
    `metric` is what g averages and what a pick is worth: `correctness`, `score` or `metric:NAME`. g
    asks k neighbours (default: the routing's), all of the training part. `extra` are further
    methods by name, and `probabilities` what methods of that name say of each model.

    docs/evaluation.md specifies the document. Raises ConfigError for an unknown metric or split.
    """
    values = metric_values(prepared, metric)
    k = prepared.routing.k if k is None else k
    splits, kind = choose_splits(prepared, test_share=test_share, runs=runs, given=given)

    def route(split: Split) -> _Run:
        return _run(prepared, split, values, k, extra or {}, probabilities or {})

    done = []
    with progress.stage("requests", len(splits)) as advance:
        for run in engine.map(route, splits):
            done.append(run)
            advance(1)
    values_of = {
        name: [_achieved(prepared, run, array) for run in done]
        for name, array in metrics_of(prepared).items()
    }
    g = np.concatenate([run.g.ravel() for run in done])
    seen = np.concatenate([prepared.labels[run.split.test].ravel() for run in done]).astype(float)
    return {
        "protocol": {"name": "request"}
        | describe_splits(prepared, splits, kind, metric=metric, k=k),
        "methods": _methods(prepared, done, values_of, metric),
        "models": _models(prepared, done),
        "baselines": _baselines(prepared, done, values),
        "curve": curve_over_distance(np.concatenate([run.distance for run in done]), values_of),
        "brier": brier(g, seen),
        "ece": expected_calibration_error(g, seen),
        "reliability": reliability(g, seen),
        "by_run": [
            {"bma": prepared.benchmark.models[run.best], "mean_score": _means(one)}
            for run, one in zip(done, values_of[metric], strict=True)
        ],
    }


def _run(
    prepared: TaskFolds,
    split: Split,
    values: NDArray[np.float32],
    k: int,
    extra: Mapping[str, PerRequestMethod],
    probabilities: Mapping[str, ProbabilityMethod],
) -> _Run:
    learned = training(prepared, split, values)
    near = learned.near(split.test, k)
    picks = {
        "s1": learned.argmax(learned.averaged_over(near)),
        "bma": np.full(len(split.test), learned.best, dtype=np.intp),
        "best_per_task": best_per_task(prepared, learned.values, split.train, split.test),
    }
    picks |= {name: method(learned, split.test) for name, method in extra.items()}
    for column, array in prepared.benchmark.columns.items():
        if column == "log_likelihood" or column.startswith("ranker:"):
            said = array[split.test].astype(np.float64)
            name = "ll" if column == "log_likelihood" else column
            unsaid = np.isnan(said).all(axis=1)
            picks[name] = np.where(unsaid, NO_PICK, learned.argmax(said))
    correct = labels(learned.prepared.benchmark.correctness)
    return _Run(
        split,
        learned.best,
        picks,
        g=learned.averaged_over(near, correct),
        distance=mean(np.where(near.index < 0, np.nan, near.distance), axis=1),
        probabilities={name: say(learned, split.test) for name, say in probabilities.items()},
    )


def _achieved(prepared: TaskFolds, run: _Run, values: NDArray[np.float32]) -> _Found:
    """Value of each method on each test sample, NaN where its pick has none."""
    rows = run.split.test
    asked = values[rows].astype(np.float64)
    best = np.where(np.isnan(asked), -np.inf, asked).max(axis=1)
    return {
        **{name: achieved(values, rows, picks) for name, picks in run.picks.items()},
        "random": mean(asked, axis=1),
        "oracle": np.where(np.isinf(best), np.nan, best),
        "task_oracle": achieved(values, rows, best_per_task(prepared, values, rows, rows)),
    }


def _methods(
    prepared: TaskFolds,
    runs: Sequence[_Run],
    values_of: Mapping[str, Sequence[_Found]],
    metric: str,
) -> dict[str, dict[str, Any]]:
    """Describe each method: means over the runs, gains paired sample by sample."""
    means = {
        name: _mean_of([_means(one) for one in per_run]) for name, per_run in values_of.items()
    }
    gains = {
        name: [one[name] - one["bma"] for one in values_of[metric]] for name in values_of[metric][0]
    }
    whole = float(mean(np.array([mean(gain) for gain in gains["task_oracle"]])))
    asked = [run.split.test for run in runs]
    document = {}
    for name, differences in gains.items():
        per_run = np.array([mean(difference) for difference in differences])
        gain, *over_runs = bootstrap_mean(per_run, seed=prepared.seed)
        picks = [run.picks[name] for run in runs] if name in runs[0].picks else None
        document[name] = {
            "mean_score": means[metric][name],
            "gain": gain,
            "gain_over_samples_95": bootstrap_samples(asked, differences, seed=prepared.seed),
            "gain_over_runs_95": over_runs if len(runs) > 1 else [float("nan")] * 2,
            "task_oracle_share": gain / whole if whole > 1e-12 else float("nan"),
            "bma_share": _bma_share(runs, picks),
            "params_b": _mean_params(prepared, picks),
            "calls_per_request": _calls(name, len(prepared.benchmark.models)),
            "missing": sum(int(np.isnan(one[name]).sum()) for one in values_of[metric]),
            "metrics": {other: mean_of[name] for other, mean_of in means.items()},
        }
        if name in runs[0].probabilities:
            document[name] |= _calibration(prepared, runs, name)
    return document


def _calibration(prepared: TaskFolds, runs: Sequence[_Run], name: str) -> dict[str, Any]:
    """How far a method's probabilities are from what happened, for all models and for its picks."""
    said = np.concatenate([run.probabilities[name] for run in runs])
    happened = np.concatenate([prepared.labels[run.split.test] for run in runs]).astype(float)
    picks = np.concatenate([run.picks[name] for run in runs])
    rows = np.arange(len(picks))
    return {
        "brier": brier(said.ravel(), happened.ravel()),
        "ece": expected_calibration_error(said.ravel(), happened.ravel()),
        "ece_of_picks": expected_calibration_error(said[rows, picks], happened[rows, picks]),
        "reliability": reliability(said.ravel(), happened.ravel()),
    }


def _means(one: _Found) -> dict[str, float]:
    return {name: float(mean(values)) for name, values in one.items()}


def _mean_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(mean(np.array([one[name] for one in runs]))) for name in runs[0]}


def _bma_share(runs: Sequence[_Run], picks: Sequence[Rows] | None) -> float | None:
    if picks is None:
        return None
    return float(np.mean([(p == run.best).mean() for p, run in zip(picks, runs, strict=True)]))


def _mean_params(prepared: TaskFolds, picks: Sequence[Rows] | None) -> float | None:
    if picks is None:
        return None
    picked = np.concatenate(picks)
    sizes = prepared.params[picked[picked != NO_PICK]]
    return float(sizes.mean()) if len(sizes) else float("nan")  # NaN, too, where one is not known


def _calls(name: str, n_models: int) -> int | None:
    """Model calls per instance (MCPI in table 4); None for a fixed model, which needs one."""
    if name in ("bma", "best_per_task", "random", "task_oracle"):
        return None
    return n_models if name in ("ll", "oracle") or name.startswith("ranker:") else _CALLS


def _models(prepared: TaskFolds, runs: Sequence[_Run]) -> dict[str, dict[str, float]]:
    """Mean of every single model on the test parts, by metric."""
    means = {
        metric: mean(np.array([mean(values[run.split.test]) for run in runs]))
        for metric, values in metrics_of(prepared).items()
    }
    return {
        model: {metric: float(value[m]) for metric, value in means.items()}
        for m, model in enumerate(prepared.benchmark.models)
    }


def _baselines(
    prepared: TaskFolds, runs: Sequence[_Run], values: NDArray[np.float32]
) -> dict[str, Any]:
    """Say how much of an oracle is noise; see `summary.baselines`."""
    fixed = mean(np.array([mean(values[run.split.test]) for run in runs]))
    best = int(prepared.order(fixed, fixed)[0])
    halves = []
    for run in runs:
        task = prepared.benchmark.task[run.split.test]
        per_task = [
            (half_split_oracle(asked.astype(np.float64), seed=prepared.seed), len(asked))
            for d in np.unique(task)
            for asked in [values[run.split.test[task == d]]]
        ]
        measured = [(value, n) for value, n in per_task if not np.isnan(value)]
        if measured:
            halves.append(np.average([v for v, _ in measured], weights=[n for _, n in measured]))
    return {
        "fixed_best_in_hindsight": {
            "model": prepared.benchmark.models[best],
            "mean_score": float(fixed[best]),
        },
        "half_split_task_oracle": {
            "mean_score": float(np.mean(halves)) if halves else float("nan")
        },
    }


_STEPS = 20  # points of the curve


def curve_over_distance(
    distance: NDArray[np.float64],
    values_of: Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]],
) -> list[dict[str, Any]]:
    """Means over the test samples whose mean distance to their neighbours is at most C (fig. 7).

    The distances, shape (q,), are cosine distances in [0, 2] of the test samples of all runs, NaN
    where one has no neighbour; `values_of` has by metric and run the value of each method on each
    of them. Returns `max_distance`, `share` of the samples, and the mean of each method by metric.
    """
    finite = distance[~np.isnan(distance)]
    if not len(finite):
        return []
    pooled = {
        metric: {name: np.concatenate([one[name] for one in per_run]) for name in per_run[0]}
        for metric, per_run in values_of.items()
    }
    shares = np.linspace(1 / _STEPS, 1.0, _STEPS)
    limits = np.unique(np.quantile(finite, shares, method="inverted_cdf"))
    return [
        {
            "max_distance": float(limit),
            "share": float((distance <= limit).mean()),
            "metrics": {
                metric: {
                    name: float(mean(values[distance <= limit])) for name, values in one.items()
                }
                for metric, one in pooled.items()
            },
        }
        for limit in limits
    ]
