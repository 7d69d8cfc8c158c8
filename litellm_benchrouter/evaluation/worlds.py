"""Worlds like a benchmark whose truth is known, for the protocol `proof`.

The true P(x, m) of a right answer is drawn like the benchmark (same vectors, tasks, groups, missing
cells), without and with something to gain, and answers are drawn by it. With o(x) a sample's level,
L_m the served mean of a model, e_dm what a task adds to a model, and v(x) the centred vector::

    null    P = o(x) + L_m - mean L            nothing to gain beyond BMA
    equal   P = o(x)                           nothing to lose either
    tasks   P = null + e_dm                    gains on known tasks, none on new ones
    gains   P = null + e_dm + v(x) b_m         gains on known and on new tasks
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.named import paired_differences
from litellm_benchrouter.paper.benchmark import MISSING, mean, task_accuracy
from litellm_benchrouter.validation.folds import TaskFolds

KINDS = ("null", "equal", "tasks", "gains")
LEAST_EFFECT = 0.05
"""Standard deviation of what can be learned in `gains` where tasks differ by less than that."""
ROUNDING = 1e-6  # of means of float32

_LOW, _HIGH = 0.02, 0.98

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]


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
    return along * (size / spread) if spread > ROUNDING else np.zeros_like(along)


def _of_groups(values: Floats, group: NDArray[np.intp]) -> Floats:
    """Mean of each row's group over known values, shape (n, C)."""
    return task_accuracy(values.astype(np.float32), group.astype(np.int32), int(group.max()) + 1)[
        group
    ]
