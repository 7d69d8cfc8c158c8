"""Protocol `proof`: the build's decisions in simulated worlds like the benchmark (`worlds`).

A proof can be fooled by chance, and the benchmark alone does not tell how often. In a world the
truth is known, and the build decides as it would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.verdict import BMA, Part
from litellm_benchrouter.building.fit import GuardedFit
from litellm_benchrouter.building.gains import too_small
from litellm_benchrouter.building.learn import fit_prepared
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.task import describe
from litellm_benchrouter.evaluation.worlds import KINDS, ROUNDING, Likeness, World, draw_world
from litellm_benchrouter.guarded.formulas import pick_for_task
from litellm_benchrouter.guarded.gain import gain_of, gate_picks
from litellm_benchrouter.guarded.named import fit_named_tasks
from litellm_benchrouter.guarded.unseen import candidate_scores, family_means
from litellm_benchrouter.paper.benchmark import task_accuracy
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds, prepare
from litellm_benchrouter.validation.groups import Groups
from litellm_benchrouter.validation.subset import TrainingSubset

PARTS: tuple[Part, ...] = ("requests", "named", "unseen")
RUNS = 20
MOST_SAMPLES = 2_000
WRONG = 0.005
"""A true loss above this is served wrongly."""


def run_proof(
    prepared: TaskFolds,
    publish: PublishConfig,
    progress: Progress,
    *,
    runs: int = RUNS,
    most: int = MOST_SAMPLES,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Decide as a build does in worlds whose truth is known, and count what goes wrong.

    Parameters
    ----------
    publish : PublishConfig
        Its tolerance says which new tasks are routed.
    runs : int
        Worlds of each kind.
    most : int
        Samples of a world.

    Returns
    -------
    dict
        The document that `evaluate --json` writes; docs/evaluation.md specifies it.

    Raises
    ------
    ConfigError
        If the benchmark is too small for a build to prove anything on it.
    """
    why = too_small(prepared)
    if why is not None:
        raise ConfigError(
            f"protocol proof: {why}. Add some, or leave the protocol out: a build would answer "
            f"everything with the best model on average."
        )
    prepared = _at_most(prepared, most, progress, engine)
    likeness = Likeness.of(prepared)
    outcomes: dict[str, dict[Part, list[Outcome]]] = {}
    with (
        progress.stage("simulated worlds", len(KINDS) * runs) as advance,
        threadpool_limits(limits=1),  # or the last bits depend on the number of cores
    ):
        for i, kind in enumerate(KINDS):
            outcomes[kind] = {part: [] for part in PARTS}
            for run in range(runs):
                generator = np.random.default_rng([prepared.seed, i, run])
                world = draw_world(likeness, prepared, kind, generator)
                for part, outcome in decide(world, publish, engine).items():
                    outcomes[kind][part].append(outcome)
                advance(1)
    return {
        "protocol": {
            "name": "proof",
            **describe(prepared),
            "runs": runs,
            "wrong_below": -WRONG,
            "task_effect": likeness.task_effect,
            "learnable_effect": likeness.learnable_effect,
        },
        "worlds": {
            kind: {part: _summary(drawn) for part, drawn in parts.items()}
            for kind, parts in outcomes.items()
        },
    }


class Outcome(NamedTuple):
    """What a build did with a part of a world, and the truth of it.

    `lower` is claimed of what is served. `bound` is the lower bound of the method's picks, served
    or not, NaN where there is none; `gain` is their true gain over BMA, `possible` the best picks'.
    """

    served: bool
    lower: float
    bound: float
    gain: float
    possible: float


def decide(world: World, publish: PublishConfig, engine: Engine = LOCAL) -> dict[Part, Outcome]:
    """Fit and prove as a build does, and compare with the truth; parts that it cannot prove lack.

    Requests are measured by their scores without their fold, named tasks by the picks of all data,
    and new tasks by the candidate that is served, fitted without each family in turn.
    """
    prepared = world.prepared
    labels, task, group = prepared.labels, prepared.benchmark.task, prepared.sample_group
    _, fitted, verdict = fit_prepared(prepared, publish, Progress(), engine, method="guarded")
    assert fitted is not None, "only benchmarks that are too small are not fitted"
    outcomes: dict[Part, Outcome] = {}

    def add(part: Part, bound: float | None, gain: float, possible: float) -> None:
        served, measured = verdict.served[part] != BMA, getattr(verdict, part)
        bound = np.nan if bound is None else bound
        outcomes[part] = Outcome(served, measured["lower"], bound, gain, possible)

    if verdict.requests is not None:
        request = fitted.guarded.request
        picks, best = gate_picks(fitted.guarded.loo_scores, labels, task, request.average)
        ideal = world.p.argmax(axis=1)
        gain, possible = (gain_of(each, best, world.p, task).gain for each in (picks, ideal))
        add("requests", fitted.requests.gate.lower, gain, possible)
    if verdict.named is not None:
        best = prepared.best
        model = fit_named_tasks(labels, task, group, prepared.n_tasks, prepared.average, best)
        ideal = np.nan_to_num(task_accuracy(world.p, task, prepared.n_tasks)).argmax(axis=1)
        gain, possible = (
            gain_of(each[task], best, world.p, task).gain
            for each in (model.advantages.picks(best), ideal)
        )
        add("named", model.gate.lower, gain, possible)
    if verdict.unseen is not None:
        add("unseen", verdict.unseen["gain_95"][0], *_gain_on_new_tasks(world, fitted))
    return outcomes


def _gain_on_new_tasks(world: World, fitted: GuardedFit) -> tuple[float, float]:
    """Return the true gain of the candidate, and that of the best picks, over families."""
    prepared, evidence = world.prepared, fitted.evidence
    assert evidence is not None, "new tasks are not proved without it"
    cells = np.nan_to_num(task_accuracy(world.p_new, prepared.benchmark.task, prepared.n_tasks))
    scores = candidate_scores(evidence, fitted.unseen.candidate)
    picks = pick_for_task(scores, evidence.average, fitted.unseen.margin)
    rows, best = np.arange(len(cells)), evidence.average.argmax(axis=1)
    gain, possible = (
        float(family_means(cells[rows, each] - cells[rows, best], prepared.group_of_task).mean())
        for each in (picks, cells.argmax(axis=1))
    )
    return gain, possible


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return shares of the worlds and means over them; None where nothing was proved."""
    keys = ("served", "served_wrongly", "overclaimed", "gain", "lower", "possible", "coverage")
    if not outcomes:
        return {"runs": 0, **dict.fromkeys(keys)}
    served, lower, bound, gain, possible = (
        np.array(column) for column in zip(*outcomes, strict=True)
    )
    stated = np.isfinite(bound)
    values = (
        served.mean(),
        (served & (gain < -WRONG)).mean(),
        (served & (lower > gain + ROUNDING)).mean(),
        np.where(served, gain, 0.0).mean(),
        np.where(served, lower, 0.0).mean(),
        possible.mean(),
        (bound <= gain + ROUNDING)[stated].mean() if stated.any() else np.nan,
    )
    return {"runs": len(outcomes), **dict(zip(keys, map(float, values), strict=True))}


def _at_most(prepared: TaskFolds, most: int, progress: Progress, engine: Engine) -> TaskFolds:
    """Take so many samples, of each task alike, with the groups and families of all."""
    taken = TrainingSubset.of(prepared.benchmark, prepared.embeddings, most, seed=prepared.seed)
    if taken.rows is None:
        return prepared
    groups = Groups(prepared.sample_group[taken.rows], prepared.group_of_task.astype(np.intp))
    of_all: dict[str, Any] = {"seed": prepared.seed, "progress": progress, "engine": engine}
    return prepare(taken.benchmark, taken.vectors, prepared.routing, groups=groups, **of_all)
