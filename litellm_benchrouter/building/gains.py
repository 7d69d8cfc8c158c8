"""What the picks of a build gain on samples, tasks and families that they were made without.

The parts of the proof (docs/proof.md): requests, tasks of the benchmark, new tasks, and cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from litellm_benchrouter.building.fit import FEWEST_SAMPLES, GuardedFit
from litellm_benchrouter.engine import Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.gain import N_FOLDS, Gain, draw_folds, gain_of
from litellm_benchrouter.guarded.named import NamedTaskModel, fit_named_tasks
from litellm_benchrouter.guarded.unseen import family_means
from litellm_benchrouter.paper.benchmark import average_accuracy, task_accuracy
from litellm_benchrouter.paper.smoother import SmootherTable
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cost import CostRun, Predictor, cost_runs
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import DEFAULT, paper_choices, unseen_choices
from litellm_benchrouter.validation.request_methods import request_scores
from litellm_benchrouter.validation.saving import TARGETS, tuned_saving
from litellm_benchrouter.validation.splits import Rows, Split, metric_values, training

TEST_SHARE = 0.3

_DIGITS = 6  # of what is kept: more would tell one machine from another

Floats = NDArray[np.float64]
ProofPart = dict[str, Any] | None
Tables = Mapping[int, SmootherTable]


def too_small(prepared: TaskFolds) -> str | None:
    """Why nothing can be proved; None where something can."""
    n_samples, n_models = len(prepared.benchmark), len(prepared.benchmark.models)
    if n_models < 2:
        return f"2 models are needed, there is {n_models}"
    if n_samples < FEWEST_SAMPLES:
        return f"{FEWEST_SAMPLES} samples are needed, there are {n_samples}"
    return None


def requests_gain(prepared: TaskFolds, fitted: GuardedFit | None, *, paper: bool) -> Gain | None:
    """Gain of the picks for samples that were scored without their fold."""
    if not paper:
        return None if fitted is None else fitted.requests.gate
    on_scores = prepared.routing.s1_on == "score"
    values = metric_values(prepared, "score" if on_scores else "correctness")
    task, group = prepared.benchmark.task, prepared.sample_group
    best = _best_of_paper(prepared)[0]
    fold = draw_folds(group, task, prepared.seed)[group]
    picks = np.full(len(task), best, dtype=np.intp)
    for f in range(N_FOLDS):
        asked, rest = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
        if len(asked) and len(rest):
            picks[asked] = paper_picks(prepared, Split(rest, asked), values)
    return gain_of(picks, best, values, task, group)


def _best_of_paper(prepared: TaskFolds) -> tuple[int, Floats]:
    """BMA as the method paper serves it, and the means over the tasks that each model has."""
    average = average_accuracy(prepared.accuracy)
    return int(prepared.order(average, average)[0]), average


def paper_picks(prepared: TaskFolds, split: Split, values: Any) -> Rows:
    """S1 of each sample on its own (eqs. 1 and 7)."""
    learned = training(prepared, split, values)
    return learned.argmax(learned.averaged_over(learned.near(split.test, prepared.routing.k)))


def _named(prepared: TaskFolds) -> NamedTaskModel:
    return fit_named_tasks(
        prepared.labels,
        prepared.benchmark.task,
        prepared.sample_group,
        prepared.n_tasks,
        prepared.average,
        prepared.best,
    )


def named_gain(prepared: TaskFolds, *, paper: bool) -> Gain:
    """Gain of the picks for tasks of the benchmark on samples that the pick was made without."""
    labels, task, group = prepared.labels, prepared.benchmark.task, prepared.sample_group
    if not paper:
        return _named(prepared).gate
    best, average = _best_of_paper(prepared)
    fold = draw_folds(group, task, prepared.seed)[group]
    picks = np.full(len(task), best, dtype=np.intp)
    for f in range(N_FOLDS):
        measured = task_accuracy(labels[fold != f], task[fold != f], prepared.n_tasks)
        values = np.where(np.isnan(measured), average, measured)
        of_task = np.array([prepared.order(row, average)[0] for row in values])
        picks[fold == f] = of_task[task[fold == f]]
    return gain_of(picks, best, labels, task, group)


def part_of(gain: Gain | None) -> ProofPart:
    """Describe a gain with its interval and lower bound; None where there is none."""
    if gain is None or not math.isfinite(gain.lower):
        return None
    reach = 1.96 * gain.standard_error
    return {
        "gain": gain.gain,
        "gain_95": [gain.gain - reach, gain.gain + reach],
        "lower": gain.lower,
        "standard_error": gain.standard_error,
        "moved_share": gain.moved_share,
        "n_samples": gain.n_samples,
    }


def unseen_part(prepared: TaskFolds, tables: Tables, engine: Engine, *, paper: bool) -> ProofPart:
    """Gain of the picks for held-out families of tasks; None where it is of fewer than two."""
    tasks = [d for d, group in enumerate(prepared.group_of_task) if int(group) in tables]
    if not tasks:
        return None
    if paper:
        choices = paper_choices(prepared, tables)
    else:
        choices = unseen_choices(prepared, tables, Progress(), engine)[0]
    picks = [int(choices[d].pick) for d in tasks]
    averages = [prepared.average_without(d) for d in tasks]
    best = [int(prepared.order(average, average)[0]) for average in averages]
    gains = np.array(
        [_paired(prepared, d, a, b) for d, a, b in zip(tasks, picks, best, strict=True)]
    )
    of_family = family_means(gains, prepared.group_of_task[tasks])
    of_family = of_family[~np.isnan(of_family)]
    n = len(of_family)
    if n < 2:
        return None
    gain, error = float(of_family.mean()), float(of_family.std(ddof=1) / np.sqrt(n))
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    worst = int(np.nanargmin(gains))
    return {
        "gain": gain,
        "gain_95": [gain - reach, gain + reach],
        "lower": gain - reach,
        "standard_error": error,
        "n_tasks": int((~np.isnan(gains)).sum()),
        "n_families": n,
        "of_tasks": prepared.n_tasks,
        "tasks_worse": int((gains < -1e-12).sum()),
        "worst_task": {
            "name": prepared.benchmark.tasks[tasks[worst]],
            "gain": float(gains[worst]),
            "pick": prepared.benchmark.models[picks[worst]],
            "best_on_average": prepared.benchmark.models[best[worst]],
        },
    }


def _paired(prepared: TaskFolds, d: int, pick: int, best: int) -> float:
    """Difference of two models' accuracies over the samples of a task that both answered."""
    labels = prepared.labels[prepared.rows[d]]
    difference = labels[:, pick].astype(np.float64) - labels[:, best]
    present = ~np.isnan(difference)
    return float(difference[present].mean()) if present.any() else float("nan")


def cost_part(prepared: TaskFolds, *, paper: bool) -> ProofPart:
    """What a price of quality, chosen in training to keep BMA's, saves; None without costs."""
    try:
        runs, costs, _ = cost_runs(CostRun, prepared, test_share=TEST_SHARE, runs=1, given=False)
    except ConfigError:
        return None
    run = runs[0]
    predictors: dict[str, Predictor] = {} if paper else {DEFAULT: request_scores}
    p = run.predictions(predictors)["s1" if paper else DEFAULT]
    tuned = tuned_saving(runs, [run.curves(p)], TARGETS["equal_quality"])
    return {
        "unit": costs.unit,
        "saved": tuned["saved"],
        "lower": tuned["lower"],
        "saved_95": tuned["saved_over_samples_95"],
        "quality_gain": tuned["quality_gain"],
        "quality_gain_95": tuned["quality_gain_over_samples_95"],
        "best_single": run.prepared.benchmark.models[run.training.best],
        "n_models": len(run.prepared.benchmark.models),
        "of_models": len(prepared.benchmark.models),
        "n_samples": len(run.split.test),
    }


def rounded(value: Any) -> Any:
    """Round the numbers of a part; what is not known is None, as JSON has no NaN."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value
