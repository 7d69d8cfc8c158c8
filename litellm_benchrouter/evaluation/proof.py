"""Protocol `proof`: the build's decisions in simulated worlds like the benchmark.

A proof can be fooled by chance, and the benchmark alone does not tell how often. Here the true
P(x, m) of a right answer is known: it is drawn like the benchmark (same vectors, tasks, groups,
missing cells), without and with something to gain, answers are drawn by it, and the build decides
as it would. With o(x) a sample's level, L_m the served mean of a model, e_dm what a task adds to a
model, and v(x) the centred vector::

    null    P = o(x) + L_m - mean L            nothing to gain beyond BMA
    equal   P = o(x)                           nothing to lose either
    tasks   P = null + e_dm                    gains on known tasks, none on new ones
    gains   P = null + e_dm + v(x) b_m         gains on known and on new tasks
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.verdict import BMA, Part
from litellm_benchrouter.building.fit import GuardedFit
from litellm_benchrouter.building.gains import too_small
from litellm_benchrouter.building.learn import fit_prepared
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.task import describe
from litellm_benchrouter.guarded.formulas import pick_for_task
from litellm_benchrouter.guarded.gain import gain_of, gate_picks
from litellm_benchrouter.guarded.named import fit_named_tasks, paired_differences
from litellm_benchrouter.guarded.unseen import candidate_scores, family_means
from litellm_benchrouter.paper.benchmark import MISSING, mean, task_accuracy
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds, prepare
from litellm_benchrouter.validation.groups import Groups
from litellm_benchrouter.validation.subset import TrainingSubset

KINDS = ("null", "equal", "tasks", "gains")
PARTS: tuple[Part, ...] = ("requests", "named", "unseen")
RUNS = 20
MOST_SAMPLES = 2_000
WRONG = 0.005
"""A true loss above this is served wrongly."""
LEAST_EFFECT = 0.05
"""Standard deviation of what can be learned in `gains` where tasks differ by less than that."""

_ROUNDING = 1e-6  # of means of float32
_LOW, _HIGH = 0.02, 0.98

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]


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


@dataclass(frozen=True)
class Likeness:
    """What worlds share with the benchmark.

    `level` is o(x), the share of the models that are right, shrunk to the task's; `strength` is
    L_m - mean L; `effects` are e_dm, shrunk by their sampling variance, of shape (D, M), and
    `task_effect` is their standard deviation without the noise of sampling.
    """

    level: Floats
    strength: Floats
    effects: Floats
    task_effect: float

    @property
    def learnable_effect(self) -> float:
        """Standard deviation over tasks and models of what `gains` adds."""
        return max(self.task_effect, LEAST_EFFECT)

    @classmethod
    def of(cls, prepared: TaskFolds) -> Likeness:
        """Estimate it."""
        labels, task, group = prepared.labels, prepared.benchmark.task, prepared.sample_group
        n_tasks, n_models = prepared.n_tasks, labels.shape[1]
        strength = prepared.average - prepared.average.mean()
        level = _of_groups(mean(labels - strength, axis=1)[:, None], group)
        of_task = task_accuracy(level.astype(np.float32), task, n_tasks)[:, 0]
        of_task = np.where(np.isnan(of_task), np.nanmean(of_task), of_task)[task]
        within = np.nan_to_num(level[:, 0] - of_task)
        asked = max(float((~np.isnan(labels)).sum(axis=1).mean()), 1.0 + 1e-9)
        noise = float((of_task * (1 - of_task)).mean()) / asked
        spread = max(float(within.var()), 1e-12)
        shrink = min(max((spread - noise) / (1 - 1 / asked) / spread, 0.0), 1.0)

        beside = np.column_stack([labels, level]).astype(np.float32)
        above = paired_differences(beside, task, group, n_tasks, n_models)
        measured, sampling = above.count[:, :n_models] > 0, above.variance[:, :n_models]
        effects = np.where(measured, above.mean[:, :n_models] - strength, 0.0)
        excess = effects**2 * (n_tasks / max(n_tasks - 1, 1)) - sampling
        variance = max(0.0, float(excess[measured].mean()))
        effects *= variance / np.maximum(variance + sampling, 1e-12)
        effects -= effects.mean(axis=1, keepdims=True)
        effects -= effects.mean(axis=0)
        return cls(of_task + shrink * within, strength, effects, float(np.sqrt(variance)))


@dataclass(frozen=True)
class World:
    """A benchmark whose truth is known: P(x, m), shape (n, M).

    `p_new` is `p` without e_dm: what is expected of a new task with such inputs.
    """

    prepared: TaskFolds
    p: Labels
    p_new: Labels


def draw_world(
    likeness: Likeness, prepared: TaskFolds, kind: str, generator: np.random.Generator
) -> World:
    """Draw the truth of a kind of world, and one answer of each model for each group.

    The rows of e_dm go to tasks at random, so that no vector tells them.
    """
    benchmark = prepared.benchmark
    task, group = benchmark.task, prepared.sample_group
    p = np.repeat(likeness.level[:, None], len(benchmark.models), axis=1)
    if kind != "equal":
        p += likeness.strength
    if kind == "gains":
        p += _learnable(prepared, likeness.learnable_effect, generator)
    p_new = p
    if kind in ("tasks", "gains"):
        p = p + likeness.effects[generator.permutation(prepared.n_tasks)][task]
    p, p_new = np.clip(p, _LOW, _HIGH), np.clip(p_new, _LOW, _HIGH)
    right = generator.random((int(group.max()) + 1, p.shape[1]))[group] < p
    missing = benchmark.correctness == MISSING
    drawn = replace(
        benchmark,
        correctness=np.where(missing, MISSING, right).astype(np.uint8),
        scores=np.where(missing, np.nan, right).astype(np.float32),
        facts={},  # nothing is said of costs
        columns={},
    )
    of_world = replace(prepared, benchmark=drawn)
    return World(of_world, p.astype(np.float32), p_new.astype(np.float32))


def _learnable(prepared: TaskFolds, size: float, generator: np.random.Generator) -> Floats:
    """Each model's random direction times the centred vectors, shape (n, M).

    The standard deviation of its task means is `size`, and that of its values at most twice that.
    """
    vectors, n_models = prepared.embeddings, len(prepared.benchmark.models)
    along = vectors @ generator.normal(size=(vectors.shape[1], n_models))
    along = _of_groups(along - along.mean(axis=1, keepdims=True), prepared.sample_group)
    task, n_tasks = prepared.benchmark.task, prepared.n_tasks
    cells = task_accuracy(along.astype(np.float32), task, n_tasks)
    along = along - np.nanmean(cells, axis=0)
    spread = max(float(np.nanstd(cells - np.nanmean(cells, axis=0))), float(along.std()) / 2)
    return along * (size / spread) if spread > _ROUNDING else np.zeros_like(along)


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
        (served & (lower > gain + _ROUNDING)).mean(),
        np.where(served, gain, 0.0).mean(),
        np.where(served, lower, 0.0).mean(),
        possible.mean(),
        (bound <= gain + _ROUNDING)[stated].mean() if stated.any() else np.nan,
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


def _of_groups(values: Floats, group: NDArray[np.intp]) -> Floats:
    """Mean of each row's group over known values, shape (n, C)."""
    return task_accuracy(values.astype(np.float32), group.astype(np.int32), int(group.max()) + 1)[
        group
    ]
