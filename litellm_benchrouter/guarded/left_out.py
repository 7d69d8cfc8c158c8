"""Predictions without the own group of tasks: by neighbours and ridge, and by S3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import N_COMPONENTS
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
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]


def knn_means(
    neighbors: Ints, left: NDArray[np.bool_], filled: Labels, fallback: Floats, k: int = 200
) -> Floats:
    """g of eq. 7 over the first k neighbours that are left, shape (n, M).

    Parameters
    ----------
    neighbors : ndarray of int, shape (n, K)
        Nearest samples, best first.
    left : ndarray of bool, shape (n, K)
        Which of them may be asked.
    filled : ndarray of float32, shape (n, M)
        Labels without gaps.
    fallback : ndarray of float64, shape (n, M)
        Where no neighbour is left.
    """
    from scipy.sparse import csr_array  # build side only

    take = left & (np.cumsum(left, axis=1, dtype=np.int32) <= k)
    pointer = np.concatenate([[0], np.cumsum(take.sum(axis=1))])
    ones = np.ones(int(pointer[-1]), np.float32)
    graph = csr_array((ones, neighbors[take], pointer), shape=(len(neighbors), len(filled)))
    count = np.diff(pointer)[:, None]
    return np.where(count > 0, (graph @ filled) / np.maximum(count, 1), fallback).astype(np.float64)


def leave_out_ridge(
    embeddings: NDArray[np.float32],
    filled: Labels,
    task: Ints,
    group: Ints,
    used: NDArray[np.bool_],
    lambdas: tuple[float, ...],
) -> list[Floats]:
    """Ridge on 96 principal components, every sample predicted without its own group.

    Samples weigh 1/n_task, the intercept is free, and the labels are without gaps
    (`impute_labels`). The normal equations are sums over groups, so leaving one out subtracts its
    part instead of refitting. Returns one array of shape (n, M) for each lambda.
    """
    n_tasks = len(group)
    weight = np.where(used, 1.0 / np.maximum(np.bincount(task, minlength=n_tasks), 1), 0.0)[task]
    centre = weight @ embeddings / weight.sum()
    centred = embeddings - centre
    learn = weight > 0
    scatter = (centred[learn] * weight[learn, None]).T @ centred[learn]
    components = np.linalg.eigh(scatter)[1][:, ::-1][:, :N_COMPONENTS]
    features = np.hstack([centred @ components, np.ones((len(task), 1))])
    penalty = np.eye(features.shape[1])
    penalty[-1, -1] = 0.0
    rows = [np.flatnonzero(group[task] == g) for g in range(int(group.max()) + 1)]
    gram = [(features[r] * weight[r, None]).T @ features[r] for r in rows]
    moment = [(features[r] * weight[r, None]).T @ filled[r] for r in rows]
    all_gram, all_moment = sum(gram), sum(moment)
    out = [np.empty(filled.shape) for _ in lambdas]
    for r, own_gram, own_moment in zip(rows, gram, moment, strict=True):
        for values, strength in zip(out, lambdas, strict=True):
            system = all_gram - own_gram + strength * penalty
            values[r] = features[r] @ np.linalg.solve(system, all_moment - own_moment)
    return out


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
    near = outside if excluded is None else outside.without(group[task], excluded, kappa)
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
