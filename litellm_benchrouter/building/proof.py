"""Does what a build would serve do no worse than the best model on average, on its own benchmark?

The builder asks before it publishes: tasks are held out in turn and chosen for as if they were new,
and a part of the samples is held out and routed one by one, by the functions that `evaluate` runs.
docs/proof.md tells how the verdict is made and how to read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from litellm_benchrouter.artifact.verdict import BMA, Part, Verdict
from litellm_benchrouter.building.fit import FEWEST_SAMPLES, FEWEST_TASKS, GuardedFit
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.fit import RequestFit
from litellm_benchrouter.guarded.unseen import Z, group_mean
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.smoother import SmootherTable
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.cost import (
    CostRun,
    Predictor,
    cost_runs,
)
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import (
    DEFAULT,
    paper_choices,
    request_picks,
    request_scores,
    unseen_choices,
)
from litellm_benchrouter.validation.metrics import bootstrap_mean, bootstrap_samples
from litellm_benchrouter.validation.saving import TARGETS, tuned_saving
from litellm_benchrouter.validation.splits import (
    Array,
    Rows,
    Split,
    TrainSplit,
    achieved,
    choose_splits,
    metric_values,
    training,
)

MOST_HELD_OUT = 20
"""Tasks that are held out in turn; of more, so many at even distances in the list."""

TEST_SHARE = 0.3

_ASKED, _MOST_RUNS = 3_000, 5  # samples routed at least, in at most so many random splits
_DIGITS = 6  # of what is kept: more would tell one machine from another

_Part = dict[str, Any] | None
_Tables = Mapping[int, SmootherTable]


def held_out_groups(prepared: TaskFolds) -> list[int]:
    """Return the groups of tasks that `prove` holds out in turn; none where they prove nothing."""
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
    stages: Silent,
    *,
    method: str,
    embeds_prompts: bool = True,
    engine: Engine = LOCAL,
) -> Verdict:
    """Hold out tasks and samples, decide for them, and compare with the best model on average.

    Parameters
    ----------
    prepared : TaskFolds
    fitted : GuardedFit or None
        What the method `guarded` would serve by.
    tables : mapping of int to SmootherTable
        The table without each of `held_out_groups`.
    publish : PublishConfig
    stages : Silent or Bars
    method : str
        `guarded` or `paper`.
    embeds_prompts : bool
        Whether requests can be routed by their text at all.
    engine : Engine
        Holds out the tasks and the samples.

    Returns
    -------
    Verdict
    """
    paper = method == "paper"
    small = too_small(prepared)
    parts: dict[str, _Part] = dict.fromkeys(UNPROVEN)
    if not small:
        with stages.stage("proof", len(parts)) as advance:
            parts["unseen"] = _unseen(prepared, tables, engine, paper=paper)
            advance(1)
            parts["requests"] = requests_gain(prepared, engine, paper=paper)
            advance(1)
            parts["cost"] = _cost(prepared, paper=paper)
            advance(1)
    reasons = {part: small or why for part, why in UNPROVEN.items() if parts[part] is None}
    if not small and prepared.n_groups < FEWEST_TASKS:
        reasons["unseen"] = f"{FEWEST_TASKS} tasks are needed, there are {prepared.n_groups}"
    served: dict[Part, str] = {"unseen": "s3", "requests": "s1"}
    held_back: dict[Part, str | None] = {"unseen": None, "requests": None}
    if not paper:
        served = {"unseen": method, "requests": method}
        held_back = _held_back(fitted, parts["unseen"])
        if held_back["requests"] is None and loses(parts["requests"], publish):
            held_back["requests"] = LOSES
    if fitted is not None and parts["unseen"] is not None:
        parts["unseen"]["candidate"] = fitted.unseen.candidate
    if not embeds_prompts:
        held_back["requests"] = "vectors were given without what embeds prompts"
    for part, why in held_back.items():
        served[part] = served[part] if why is None else BMA
        found = parts[part]
        if found is not None:
            found |= {"bma_because": why, "expected_gain": found["gain"] if why is None else 0.0}
    return Verdict(
        method=method,
        served=served,
        unseen=kept(parts["unseen"]),
        requests=kept(parts["requests"]),
        cost=kept(parts["cost"]),
        unproven=reasons,
        required=publish.require,
        tolerance=publish.tolerance,
    )


def loses(requests: Mapping[str, Any] | None, publish: PublishConfig) -> bool:
    """Say whether routing held-out samples loses more than is tolerated."""
    return requests is not None and requests["gain"] < -publish.tolerance


def _held_back(fitted: GuardedFit | None, unseen: _Part) -> dict[Part, str | None]:
    """Why the method guarded answers with the best on average; None where it does not."""
    if fitted is None:
        return {"unseen": "nothing could be fitted", "requests": "nothing could be fitted"}
    candidate, by_task = fitted.unseen.candidate, None
    if candidate is None:
        by_task = "no candidate gains on the benchmark's own tasks"
    elif unseen is None or not unseen["gain"] - Z * unseen["standard_error"] > 0:
        by_task = f"{candidate} shows no gain on held-out tasks"
    return {"unseen": by_task, "requests": behind_gate(fitted.requests)}


def behind_gate(fitted: RequestFit) -> str | None:
    """Why no request is routed; None where the gate is open."""
    return None if fitted.gate.routes else "the leave-one-out gain is not significant"


LOSES = "held-out samples lose by it"
UNPROVEN = {
    "unseen": "no held-out task has labels of the models that were compared",
    "requests": "no held-out sample has labels of the models that were compared",
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


def _unseen(prepared: TaskFolds, tables: _Tables, engine: Engine, *, paper: bool) -> _Part:
    """Gain of the picks for held-out tasks; None where no gain is known."""
    tasks = [d for d, group in enumerate(prepared.group_of_task) if int(group) in tables]
    if not tasks:
        return None
    if paper:
        choices = paper_choices(prepared, tables)
    else:
        choices = unseen_choices(prepared, tables, Silent(), engine)[0]
    picks = [int(choices[d].pick) for d in tasks]
    averages = [prepared.average_without(d) for d in tasks]
    best = [int(prepared.order(average, average)[0]) for average in averages]
    accuracy = prepared.accuracy[tasks]
    rows = np.arange(len(tasks))
    gains = accuracy[rows, picks] - accuracy[rows, best]
    if np.isnan(gains).all():
        return None
    gain, *interval = bootstrap_mean(gains, seed=prepared.seed)
    worst = int(np.nanargmin(gains))
    return {
        "gain": gain,
        "gain_95": interval,
        "standard_error": group_mean(gains, prepared.group_of_task[tasks])[1],
        "n_tasks": int((~np.isnan(gains)).sum()),
        "of_tasks": prepared.n_tasks,
        "tasks_worse": int((gains < -1e-12).sum()),
        "worst_task": {
            "name": prepared.benchmark.tasks[tasks[worst]],
            "gain": float(gains[worst]),
            "pick": prepared.benchmark.models[picks[worst]],
            "best_on_average": prepared.benchmark.models[best[worst]],
        },
    }


def requests_gain(prepared: TaskFolds, engine: Engine, *, paper: bool) -> _Part:
    """Gain of the picks for held-out samples, as `run_request`; None where no gain is known."""
    runs = min(_MOST_RUNS, math.ceil(_ASKED / (TEST_SHARE * len(prepared.benchmark))))
    on_scores = paper and prepared.routing.s1_on == "score"
    values = metric_values(prepared, "score" if on_scores else "correctness")
    pick = paper_picks if paper else request_picks
    splits, _ = choose_splits(prepared, test_share=TEST_SHARE, runs=runs, given=False)

    def route(split: Split) -> tuple[Array, float]:
        known = training(prepared, split, values)
        picks, best = pick(known, split.test), np.full_like(split.test, known.best)
        gained = achieved(values, split.test, picks) - achieved(values, split.test, best)
        return gained, float((picks != best).mean())

    asked, gains, moved = [split.test for split in splits], [], []
    for gained, share in engine.map(route, splits):
        gains.append(gained)
        moved.append(share)
    gain = float(mean(np.array([mean(gain) for gain in gains])))
    if math.isnan(gain):
        return None
    return {
        "gain": gain,
        "gain_95": bootstrap_samples(asked, gains, seed=prepared.seed),
        "moved_share": float(np.mean(moved)),
        "n_samples": len(asked[0]),
        "runs": runs,
    }


def paper_picks(known: TrainSplit, rows: Rows) -> Rows:
    """S1 of each sample on its own (eqs. 1 and 7)."""
    return known.argmax(known.averaged_over(known.near(rows, known.prepared.routing.k)))


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
        "best_single": run.prepared.benchmark.models[run.known.best],
        "n_models": len(run.prepared.benchmark.models),
        "of_models": len(prepared.benchmark.models),
        "n_samples": len(run.split.test),
    }


def kept(value: Any) -> Any:
    """Round what is kept; what is not known is None, as JSON has no NaN."""
    if isinstance(value, dict):
        return {key: kept(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [kept(inner) for inner in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value
