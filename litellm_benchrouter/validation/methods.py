"""What the protocols choose for tasks: `guarded` (key `default`) and the paper's methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.guarded.formulas import TaskEstimator, pick_for_task
from litellm_benchrouter.guarded.left_out import confident_s3, left_out_s3
from litellm_benchrouter.guarded.unseen import Evidence, leave_out_evidence, select
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    decide_by_eq6,
    s1,
    s2,
    s3,
)
from litellm_benchrouter.paper.smoother import SmootherTable, kernel_smoother, task_distance
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.splits import Array

DEFAULT = "default"


@dataclass(frozen=True)
class Choice:
    """What a method chose for one held-out task.

    Attributes
    ----------
    pick : int or ndarray of int, shape (n_d,)
        The model, or the model of each sample where the method routes per request.
    scores : ndarray of float64, shape (M,), or None
        What it ranked the models by, for the correlations.
    """

    pick: int | NDArray[np.intp]
    scores: NDArray[np.float64] | None = None


def knn(prepared: TaskFolds, d: int) -> Array:
    """g on the inputs of a task from the tasks that remain when it is the new one (eq. 7)."""
    near = prepared.neighbors_other_tasks.rows(prepared.rows[d]).first(prepared.routing.k)
    return correctness_predictor(prepared.benchmark.correctness, near)


def smoothed(prepared: TaskFolds, d: int, tables: Mapping[int, SmootherTable]) -> Array:
    """p(d', m) of a new task by the kernel smoother (eq. 10); tables by the group left out."""
    table_u, table_p = tables[int(prepared.group_of_task[d])].pairs()
    return kernel_smoother(distance_of(prepared, d), table_u, table_p, prepared.routing.sigma)


def paper_choices(prepared: TaskFolds, tables: Mapping[int, SmootherTable]) -> dict[int, Choice]:
    """S3 with eq. 6 for each task of the groups that are left out."""
    choices = {}
    for d in range(prepared.n_tasks):
        if int(prepared.group_of_task[d]) in tables:
            g = knn(prepared, d)
            p = smoothed(prepared, d, tables)
            choices[d] = choices_for(prepared, d, g, {"s3": p}, p)["s3"]
    return choices


def distance_of(prepared: TaskFolds, d: int) -> float:
    """u(d) from the tasks that remain when d is the new one (eq. 8)."""
    return task_distance(
        prepared.neighbors_other_tasks.rows(prepared.rows[d]), prepared.routing.kappa
    )


def choices_for(
    prepared: TaskFolds, d: int, g: Array, estimated: dict[str, Array], true_p: Array
) -> dict[str, Choice]:
    average = prepared.average_without(d)
    first, second = s1(g), s2(g, prepared.routing.t)
    chosen = {
        "s1": _best(prepared, first, average),
        "s2": _best(prepared, second, average),
    }
    for name, p in {**estimated, "s3_true_p": true_p}.items():
        third = s3(second, p)
        scores = TaskScores(len(g), 0.0, first, second, third, p)
        chosen[name] = Choice(_by_eq_6(prepared, scores, average), third)
    likelihood = prepared.benchmark.columns.get("log_likelihood")
    if likelihood is not None:
        # A task without log-likelihoods leaves nothing to choose by: all tie, and the best on
        # average is taken.
        values = likelihood[prepared.rows[d]].astype(np.float64)
        chosen["ll"] = _best(prepared, s1(values), average)
    chosen["bma"] = _best(prepared, average, average, correlate=False)
    chosen["oracle"] = _best(prepared, prepared.accuracy[d], average, correlate=False)
    return chosen


def _best(prepared: TaskFolds, scores: Array, average: Array, *, correlate: bool = True) -> Choice:
    pick = int(prepared.order(scores, average)[0])
    return Choice(pick, scores if correlate else None)


def _by_eq_6(prepared: TaskFolds, scores: TaskScores, average: Array) -> int:
    benchmark = prepared.benchmark
    choice = decide_by_eq6(
        scores, average, benchmark.cost_ranks, benchmark.models, eta=prepared.routing.eta
    )
    return int(choice.order[0])


def unseen_choices(
    prepared: TaskFolds,
    tables: Mapping[int, SmootherTable],
    progress: Progress,
    engine: Engine = LOCAL,
) -> tuple[dict[int, Choice], dict[int, str]]:
    """Choose a model for each held-out task as the builder would have, had it not known the task.

    Parameters
    ----------
    tables : mapping of int to SmootherTable
        By group: the table without it. Only tasks of these groups are chosen for.

    Returns
    -------
    dict of int to Choice
        By task.
    dict of int to str
        The candidate that was kept for each task.
    """

    def choose_for(group: int) -> tuple[str, dict[int, Choice]]:
        evidence = evidence_without(prepared, tables[group], group)
        choice = select(evidence, prepared.seed)
        chosen = {}
        for d in np.flatnonzero(prepared.group_of_task == group).tolist():
            average = evidence.average[d]
            predicted = {name: values[d] for name, values in evidence.predicted.items()}
            scores = choice.predict(average, predicted)
            pick = int(pick_for_task(scores[None], average[None], choice.margin)[0])
            chosen[d] = Choice(pick, scores)
        return choice.candidate or "bma", chosen

    choices: dict[int, Choice] = {}
    candidates: dict[int, str] = {}
    with progress.stage("default method", len(tables)) as advance:
        for candidate, chosen in engine.map(choose_for, list(tables)):
            choices |= chosen
            candidates |= dict.fromkeys(chosen, candidate)
            advance(1)
    return choices, candidates


def evidence_without(prepared: TaskFolds, table: SmootherTable, excluded: int | None) -> Evidence:
    """Evidence of every task, without its own group and without one more."""
    benchmark, routing = prepared.benchmark, prepared.routing
    scores = left_out_s3(
        benchmark.correctness,
        benchmark.task,
        prepared.group_of_task,
        prepared.neighbors_other_tasks,
        table,
        k=routing.k,
        kappa=routing.kappa,
        t=routing.t,
        sigma=routing.sigma,
        excluded=excluded,
    )

    names, cost_ranks = benchmark.models, benchmark.cost_ranks

    def s3(d: int, average: NDArray[np.float64]) -> NDArray[np.float64]:
        if d not in scores:
            return average
        return confident_s3(scores[d], average, cost_ranks, names, routing.eta)

    near = prepared.neighbors_other_tasks
    similarity = np.where(near.index < 0, -2.0, 1.0 - near.distance).astype(np.float32)
    return leave_out_evidence(
        prepared.embeddings,
        prepared.labels,
        benchmark.task,
        prepared.group_of_task,
        np.maximum(near.index, 0),
        similarity,
        excluded,
        s3,
    )


def unseen_choice(prepared: TaskFolds, table: SmootherTable) -> tuple[TaskEstimator, Evidence]:
    """What the builder keeps for tasks that it has never seen."""
    evidence = evidence_without(prepared, table, None)
    return select(evidence, prepared.seed), evidence
