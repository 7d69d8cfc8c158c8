"""Folds of tasks that are held out together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import RoutingConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.fit import neighbors_of_each
from litellm_benchrouter.guarded.impute import TaskAccuracies, served_average
from litellm_benchrouter.guarded.left_out import MOST_FOLDS
from litellm_benchrouter.paper.benchmark import (
    Benchmark,
    ModelFacts,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.paper.neighbors import Neighbors, nearest_outside_task, task_rows
from litellm_benchrouter.paper.scores import rank
from litellm_benchrouter.paper.smoother import SmootherTable, smoother_table
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.groups import Groups, find_groups

HoldOut = Literal["family", "task", "name"]

_LISTED = 500  # long enough that leaving a second task out rarely searches again


@dataclass(frozen=True)
class TaskFolds:
    """A benchmark ready for experiments.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n, d)
        Rows of unit length.
    neighbors : Neighbors
        Of each sample among all others, `LISTED` of them, nearest first.
    neighbors_other_tasks : Neighbors
        Of each sample among the samples of other groups, nearest first.
    group : ndarray of int32, shape (n,)
        What is left out together: the task, or its family.
    group_of_task : ndarray of int32, shape (D,)
    sample_group : ndarray of int, shape (n,)
        Near-duplicates, which stay on one side of every split (docs/proof.md).
    merged : bool
        Whether a group is a fold of several tasks or families; see `in_folds`.
    """

    benchmark: Benchmark
    embeddings: NDArray[np.float32]
    neighbors: Neighbors
    neighbors_other_tasks: Neighbors
    group: NDArray[np.int32]
    group_of_task: NDArray[np.int32]
    sample_group: NDArray[np.intp]
    routing: RoutingConfig
    seed: int
    merged: bool = False

    @property
    def n_tasks(self) -> int:
        """D."""
        return len(self.benchmark.tasks)

    @property
    def n_groups(self) -> int:
        """Number of what is left out in turn."""
        return int(self.group_of_task.max()) + 1

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """y(x, m) as floats, NaN for missing, shape (n, M)."""
        return labels(self.benchmark.correctness)

    @cached_property
    def accuracy(self) -> NDArray[np.float64]:
        """S~(m, d), shape (D, M)."""
        return task_accuracy(self.labels, self.benchmark.task, self.n_tasks)

    @cached_property
    def rows(self) -> list[NDArray[np.intp]]:
        """Samples of each task."""
        return list(task_rows(self.benchmark.task, self.n_tasks))

    @cached_property
    def params(self) -> NDArray[np.float64]:
        """Billions of parameters of each model, NaN where not known."""
        facts = (self.benchmark.facts.get(m, ModelFacts()) for m in self.benchmark.models)
        stated = [fact.params_b for fact in facts]
        return np.array([np.nan if value is None else value for value in stated])

    def training_tasks(self, d: int) -> NDArray[np.intp]:
        """Tasks that remain when task d is the new one."""
        return np.flatnonzero(self.group_of_task != self.group_of_task[d])

    @cached_property
    def average(self) -> NDArray[np.float64]:
        """Mean over tasks that is served, shape (M,); see `served_average`."""
        return served_average(self.labels, self.benchmark.task, self.n_tasks)

    @cached_property
    def best(self) -> int:
        """The best model on average (BMA), as it is served."""
        return int(self.order(self.average, self.average)[0])

    def average_without(self, d: int) -> NDArray[np.float64]:
        """Mean over the tasks that remain when task d is the new one, shape (M,)."""
        cells, others = self._cells, self.group_of_task != self.group_of_task[d]
        return average_accuracy(
            self.accuracy[others]
            if cells is None or not others.any()
            else cells.tasks(others).imputed()
        )

    @cached_property
    def _cells(self) -> TaskAccuracies | None:
        """What missing labels are predicted from; None where none is missing."""
        if not np.isnan(self.labels).any():
            return None
        return TaskAccuracies.of(self.labels, self.benchmark.task, self.n_tasks)

    def order(self, scores: NDArray[np.float64], average: NDArray[np.float64]) -> NDArray[np.intp]:
        """Rank models; see `rank`."""
        return rank(scores, average, self.benchmark.cost_ranks, self.benchmark.models)

    def smoother_tables(self, progress: Progress, engine: Engine = LOCAL) -> list[SmootherTable]:
        """Return the (u, p) table without each of the groups in turn."""
        with progress.stage("smoother tables", self.n_groups) as advance:
            return self._tables(range(self.n_groups), advance, engine)[1:]

    def smoother_table_and_without(
        self, progress: Progress, groups: Sequence[int], engine: Engine = LOCAL
    ) -> tuple[SmootherTable, dict[int, SmootherTable]]:
        """Return the (u, p) table of the whole benchmark, and by group those without it."""
        with progress.stage("smoother table", self.n_groups) as advance:
            whole, *without = self._tables(groups, advance, engine)
        return whole, dict(zip(groups, without, strict=True))

    def _tables(
        self, left_out: Sequence[int], advance: Callable[[int], None], engine: Engine
    ) -> list[SmootherTable]:
        routing = self.routing
        return smoother_table(
            self.embeddings,
            self.group,
            self.benchmark.correctness,
            self.neighbors_other_tasks,
            n_tasks=self.n_groups,
            k=routing.k,
            kappa=routing.kappa,
            t=routing.t,
            alphas=routing.alphas,
            repeats=routing.repeats,
            max_moved=routing.max_moved,
            seed=self.seed,
            left_out=left_out,
            progress=advance,
            each=engine.map,
        )

    def in_folds(self) -> TaskFolds:
        """Return the same with at most `MOST_FOLDS` groups: of more, several are left out together.

        What learns anew for each group then costs no more with more of them.
        """
        if self.n_groups <= MOST_FOLDS:
            return self
        group_of_task = self.group_of_task % MOST_FOLDS
        group, listed = (
            group_of_task[self.benchmark.task],
            self.neighbors_other_tasks.index.shape[1],
        )
        return replace(
            self,
            neighbors_other_tasks=nearest_outside_task(self.embeddings, group, listed),
            group=group,
            group_of_task=group_of_task,
            merged=True,
        )

    def pool(self, models: list[str]) -> TaskFolds:
        """Return the same with some of the models; vectors and neighbours stay."""
        return replace(self, benchmark=self.benchmark.pool(models))


def prepare(
    benchmark: Benchmark,
    embeddings: NDArray[np.float32],
    routing: RoutingConfig,
    *,
    seed: int,
    progress: Progress,
    hold_out: HoldOut = "family",
    families: Mapping[int, str] | None = None,
    groups: Groups | None = None,
    engine: Engine = LOCAL,
) -> TaskFolds:
    """Search the neighbours that all protocols use, and find what is held out together.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, d)
        Rows of unit length.
    hold_out : {"family", "task", "name"}
        Leave out together the tasks that share questions or are declared a family, each task
        alone, or the tasks whose names agree up to the first "/".
    families : mapping of int to str, optional
        Declared ones, by task.
    groups : Groups, optional
        Where they were found in a larger benchmark.
    engine : Engine
        Searches the neighbours.
    """
    names = [name.partition("/")[0] for name in benchmark.tasks]
    listed = max(_LISTED, 2 * routing.kappa, 2 * routing.k)
    n_tasks = len(benchmark.tasks)
    with progress.stage("neighbours", 2 * len(benchmark)) as advance:
        # A plain view of what is mapped from a file: workers share it without a copy each.
        embeddings = np.asarray(embeddings)
        neighbors = neighbors_of_each(embeddings, progress=advance, each=engine.map)
        if groups is None:
            groups = find_groups(
                benchmark.prompts,
                benchmark.task,
                n_tasks,
                neighbors,
                labels=labels(benchmark.correctness),
                declared=benchmark.group,
                families=families,
            )
        of_task = {"family": groups.family, "task": np.arange(n_tasks), "name": _codes(names)}
        group_of_task = of_task[hold_out].astype(np.int32)
        group = group_of_task[benchmark.task]
        outside = nearest_outside_task(embeddings, group, listed, progress=advance, each=engine.map)
    return TaskFolds(
        benchmark,
        embeddings,
        neighbors,
        outside,
        group,
        group_of_task,
        groups.group,
        routing,
        seed,
    )


def _codes(names: Sequence[str]) -> NDArray[np.intp]:
    """Number names in their sorted order."""
    return np.unique(names, return_inverse=True)[1].astype(np.intp)


def choose_pool(
    prepared: TaskFolds,
    *,
    models: list[str] | None = None,
    max_params: float | None = None,
    without_top: int = 0,
) -> TaskFolds:
    """Restrict the models that compete.

    Parameters
    ----------
    models : list of str, optional
        Only these.
    max_params : float, optional
        Only models that are known to have at most so many billion parameters.
    without_top : int
        Leave out so many of the best on average among those that remain.

    Raises
    ------
    ConfigError
        If a model is not in the benchmark, or fewer than two remain.
    """
    every = prepared.benchmark.models
    pool = list(every) if models is None else models
    unknown = [model for model in pool if model not in every]
    if unknown:
        raise ConfigError(
            f"--models names {', '.join(unknown)}, which the benchmark does not know; "
            f"it knows {', '.join(every)}."
        )
    if max_params is not None:
        size = dict(zip(every, prepared.params, strict=True))
        pool = [model for model in pool if size[model] <= max_params]
    if without_top:
        average = dict(zip(every, prepared.average, strict=True))
        best = sorted(pool, key=lambda model: -np.nan_to_num(average[model], nan=-1.0))
        pool = [model for model in pool if model not in best[:without_top]]
    if len(pool) < 2:
        raise ConfigError(
            f"the pool holds {len(pool)} of {len(every)} models, routing needs two; widen "
            f"--models, --max-params or --without-top."
        )
    return prepared if pool == list(every) else prepared.pool(pool)
