"""Does what a build would serve gain over the best model on average, on its own benchmark?

The builder asks before it publishes (docs/proof.md). Requests and named tasks are scored by fits
without their fold, which holds near-duplicates together; families of tasks are held out in turn and
chosen for as if they were new. What is claimed of a part is its lower bound, and a part without a
lower bound that passes is answered by the best model on average (BMA).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from litellm_benchrouter.artifact.verdict import BMA, Part, Verdict, claim
from litellm_benchrouter.building.fit import FEWEST_SAMPLES, FEWEST_TASKS, GuardedFit
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.gain import N_FOLDS, Gain, draw_folds, gain_of
from litellm_benchrouter.guarded.named import NamedTaskModel, fit_named_tasks
from litellm_benchrouter.guarded.unseen import family_means
from litellm_benchrouter.paper.benchmark import average_accuracy, task_accuracy
from litellm_benchrouter.paper.smoother import SmootherTable
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cost import (
    CostRun,
    Predictor,
    cost_runs,
)
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import (
    DEFAULT,
    paper_choices,
    request_scores,
    unseen_choices,
)
from litellm_benchrouter.validation.saving import TARGETS, tuned_saving
from litellm_benchrouter.validation.splits import Rows, Split, metric_values, training

MOST_HELD_OUT = 20
"""Families that are held out in turn; of more, so many at even distances in the list."""
FEWEST_FAMILIES = 8
"""Families of tasks below which nothing is claimed of new ones."""

TEST_SHARE = 0.3

_DIGITS = 6  # of what is kept: more would tell one machine from another

Floats = NDArray[np.float64]
_Part = dict[str, Any] | None
_Tables = Mapping[int, SmootherTable]


def held_out_groups(prepared: TaskFolds) -> list[int]:
    """Return the families of tasks that `prove` holds out in turn; none where it proves nothing."""
    if too_small(prepared) or prepared.n_groups < FEWEST_TASKS:
        return []
    groups = np.unique(prepared.group)
    places = np.linspace(0, len(groups) - 1, min(len(groups), MOST_HELD_OUT)).round().astype(int)
    return [int(group) for group in groups[places]]


def prove(
    prepared: TaskFolds,
    fitted: GuardedFit | None,
    tables: _Tables,
    publish: PublishConfig,
    progress: Progress,
    *,
    method: str,
    embeds_prompts: bool = True,
    engine: Engine = LOCAL,
) -> Verdict:
    """Hold out samples and families of tasks, decide for them, and compare with BMA.

    Parameters
    ----------
    prepared : TaskFolds
    fitted : GuardedFit or None
        What the method `guarded` would serve by.
    tables : mapping of int to SmootherTable
        The table without each of `held_out_groups`.
    publish : PublishConfig
    progress : Progress or ProgressBars
    method : str
        `guarded` or `paper`.
    embeds_prompts : bool
        Whether requests can be routed by their text at all.
    engine : Engine
        Holds out the tasks.

    Returns
    -------
    Verdict
    """
    paper = method == "paper"
    small = too_small(prepared)
    parts: dict[str, _Part] = dict.fromkeys(UNPROVEN)
    if not small:
        with progress.stage("proof", len(parts)) as advance:
            parts["requests"] = _part(requests_gain(prepared, fitted, paper=paper))
            advance(1)
            parts["named"] = _part(named_gain(prepared, paper=paper))
            advance(1)
            parts["unseen"] = _unseen(prepared, tables, engine, paper=paper)
            advance(1)
            parts["cost"] = _cost(prepared, paper=paper)
            advance(1)
    reasons = {part: small or why for part, why in UNPROVEN.items() if parts[part] is None}
    if not small and prepared.n_groups < FEWEST_TASKS:
        reasons["unseen"] = (
            f"{FEWEST_TASKS} tasks that are no variants of one another are needed, there "
            f"{'is' if prepared.n_groups == 1 else 'are'} {prepared.n_groups}"
        )
    served: dict[Part, str] = {"requests": "s1", "named": "measured", "unseen": "s3"}
    held_back: dict[Part, str | None] = dict.fromkeys(served)
    if not paper:
        served = {"requests": method, "named": "posterior", "unseen": method}
        held_back = _held_back(fitted, parts, publish.tolerance)
    if not embeds_prompts:
        held_back["requests"] = "vectors were given without what embeds prompts"
    for part, why in held_back.items():
        served[part] = served[part] if why is None else BMA
        measured = parts[part]
        if measured is None:
            continue
        if part == "unseen" and fitted is not None:
            measured["candidate"] = fitted.unseen.candidate
        measured |= {
            "served": served[part],
            "bma_because": why,
            "expected_gain": measured["gain"] if why is None else 0.0,
            "lower": measured["lower"] if why is None else 0.0,
        }
        few = part == "unseen" and measured["n_families"] < FEWEST_FAMILIES
        measured["claim"] = claim(measured, publish.tolerance, too_few=few)
    return Verdict(
        method=method,
        served=served,
        unseen=rounded(parts["unseen"]),
        requests=rounded(parts["requests"]),
        named=rounded(parts["named"]),
        cost=rounded(parts["cost"]),
        unproven=reasons,
        required=publish.require,
        tolerance=publish.tolerance,
    )


def _held_back(
    fitted: GuardedFit | None, parts: Mapping[str, _Part], tolerance: float
) -> dict[Part, str | None]:
    """Why the method guarded answers with BMA; None where it does not."""
    if fitted is None:
        return dict.fromkeys(("requests", "named", "unseen"), "nothing could be fitted")
    named, unseen = parts["named"], parts["unseen"]
    candidate, of_new = fitted.unseen.candidate, None
    if candidate is None:
        of_new = "no candidate gains on the benchmark's own tasks; labels of the task change that"
    elif unseen is None or not unseen["lower"] > -tolerance:
        of_new = f"{candidate} is not shown to be no worse on held-out tasks; label some inputs"
    return {
        "requests": None if fitted.requests.gate.routes else NOT_SHOWN,
        "named": None if named is not None and _no_worse(named, tolerance) else NO_GAIN,
        "unseen": of_new,
    }


def _no_worse(part: Mapping[str, Any], tolerance: float) -> bool:
    return bool(part["gain"] > 0 and part["lower"] > -tolerance)


NOT_SHOWN = "its lower bound is not above 0"
NO_GAIN = "it does not gain, or is not shown to be no worse"
UNPROVEN = {
    "unseen": "fewer than two held-out tasks have labels of the models that were compared",
    "requests": "no held-out sample has labels of the models that were compared",
    "named": "no held-out sample has labels of the models that were compared",
    "cost": "fewer than two models have a known cost or size; benchrouter.models can state prices",
}


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


def _part(gain: Gain | None) -> _Part:
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


def _unseen(prepared: TaskFolds, tables: _Tables, engine: Engine, *, paper: bool) -> _Part:
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


def _cost(prepared: TaskFolds, *, paper: bool) -> _Part:
    """What a price of quality chosen in training saves at equal quality; None without costs."""
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
