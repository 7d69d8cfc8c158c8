"""S3 of every benchmark task, each predicted without itself: how the paper's score would do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    decide_by_eq6,
    s1,
    s2,
    s3,
)
from litellm_benchrouter.paper.smoother import SmootherTable, kernel_smoother, task_distance

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


def left_out_s3(
    correctness: NDArray[np.uint8],
    task: Ints,
    group: Ints,
    outside: Neighbors,
    table: SmootherTable,
    *,
    k: int,
    kappa: int,
    t: float,
    sigma: float,
    excluded: int | None = None,
) -> dict[int, TaskScores]:
    """S1, S2, p and S3 of each task without its own group, and without one more (eqs. 1 to 10).

    Parameters
    ----------
    correctness : ndarray of uint8, shape (n, M)
    task : ndarray of int, shape (n,)
    group : ndarray of int, shape (D,)
        Group of each task.
    outside : Neighbors
        Neighbours of each sample outside its group, more than kappa of them.
    table : SmootherTable
        Its rows are groups; built without the excluded one.
    k, kappa, t, sigma
        The paper's constants.
    excluded : int, optional
        A further group that is left out everywhere.

    Returns
    -------
    dict of int to TaskScores
        By task; a task without samples has none.
    """
    near = outside if excluded is None else without_group(outside, group[task], excluded, kappa)
    scores = {}
    for d in range(len(group)):
        own = near.rows(np.flatnonzero(task == d))
        if not len(own.index):
            continue
        others = np.flatnonzero(np.arange(len(table.u)) != group[d])
        table_u, table_p = table.pairs(others)
        u = task_distance(own, kappa)
        p = kernel_smoother(u, table_u, table_p, sigma)
        g = correctness_predictor(correctness, own.first(k))
        second = s2(g, t)
        scores[d] = TaskScores(len(own.index), u, s1(g), second, s3(second, p), p)
    return scores


def confident_s3(
    task: TaskScores,
    average: Floats,
    cost_ranks: Sequence[tuple[int, float]],
    names: Sequence[str],
    eta: float,
) -> Floats:
    """S3 where eq. 6 leaves the best on average for it, else the average itself.

    Parameters
    ----------
    task : TaskScores
    average : ndarray of float64, shape (M,)
    cost_ranks, names, eta
        As in `decide_by_eq6`.

    Returns
    -------
    ndarray of float64, shape (M,)
    """
    choice = decide_by_eq6(task, average, cost_ranks, names, eta=eta)
    leaves = choice.order[0] != choice.best_on_average
    return np.where(np.isnan(task.s3), average, task.s3) if leaves else average


def without_group(
    neighbors: Neighbors, sample_group: Ints, excluded: int, n_neighbors: int
) -> Neighbors:
    """Return the first `n_neighbors` of each list that are not of a group.

    Lists that run short are padded with -1: where a group fills a whole list of hundreds, what is
    left of it says enough.
    """
    first = neighbors.first(n_neighbors)
    index, distance = first.index.copy(), first.distance.copy()
    touched = np.flatnonzero((sample_group[first.index] == excluded).any(axis=1))
    whole = neighbors.rows(touched)
    gone = (whole.index < 0) | (sample_group[whole.index] == excluded)
    order = np.argsort(gone, axis=1, kind="stable")[:, :n_neighbors]
    index[touched] = np.take_along_axis(np.where(gone, -1, whole.index), order, axis=1)
    distance[touched] = np.take_along_axis(whole.distance, order, axis=1)
    return Neighbors(index, np.where(index < 0, np.float32("inf"), distance))
