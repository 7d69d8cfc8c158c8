"""Predictions without the own group of tasks: by neighbours and ridge, and by S3 of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import N_COMPONENTS
from litellm_benchrouter.paper.benchmark import ratio, task_accuracy
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    decide_by_eq6,
    predict,
    s3,
)
from litellm_benchrouter.paper.smoother import SmootherTable, kernel_smoother

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

MOST_FOLDS = 100
"""Folds of the used tasks: each is a family or, where there are more of these, several."""
_FAINT = 1e-200  # sum of weights below which a model's pairs are too far from the nearest of all
_BLOCK = 2_000_000  # weights held at once


def folds_of(group: Ints, used: NDArray[np.bool_]) -> Ints:
    """Return the fold of each task, shape (D,): whole groups, and at most `MOST_FOLDS` of them.

    The tasks that are not used, which all others predict, are a fold of their own.
    """
    return np.where(used, group % MOST_FOLDS, MOST_FOLDS)


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
    fold: Ints,
    used: NDArray[np.bool_],
    lambdas: tuple[float, ...],
) -> list[Floats]:
    """Ridge on 96 principal components, every sample predicted without its own fold.

    Samples weigh 1/n_task, the intercept is free, and the labels are without gaps
    (`impute_labels`). The normal equations are sums over folds, so leaving one out subtracts its
    part instead of refitting. Returns one array of shape (n, M) for each lambda.
    """
    n_tasks = len(fold)
    weight = np.where(used, 1.0 / np.maximum(np.bincount(task, minlength=n_tasks), 1), 0.0)[task]
    centre = weight @ embeddings / weight.sum()
    centred = embeddings - centre
    learn = weight > 0
    scatter = (centred[learn] * weight[learn, None]).T @ centred[learn]
    components = np.linalg.eigh(scatter)[1][:, ::-1][:, :N_COMPONENTS]
    features = np.hstack([centred @ components, np.ones((len(task), 1))])
    penalty = np.eye(features.shape[1])
    penalty[-1, -1] = 0.0
    rows = [np.flatnonzero(fold[task] == f) for f in range(int(fold.max()) + 1)]
    gram = [(features[r] * weight[r, None]).T @ features[r] for r in rows]
    moment = [(features[r] * weight[r, None]).T @ filled[r] for r in rows]
    all_gram, all_moment = sum(gram), sum(moment)
    out = [np.empty(filled.shape) for _ in lambdas]
    for r, own_gram, own_moment in zip(rows, gram, moment, strict=True):
        for values, strength in zip(out, lambdas, strict=True):
            system = all_gram - own_gram + strength * penalty
            values[r] = features[r] @ np.linalg.solve(system, all_moment - own_moment)
    return out


def smoothed_without(u: Floats, group: Ints, table: SmootherTable, sigma: float = 0.09) -> Floats:
    """p(d, m) of tasks of the table, each without the pairs of its own group (eq. 10).

    Of a table with more groups than `MOST_FOLDS`, draws at even distances are taken, so that there
    are no more pairs than that many groups have.

    Parameters
    ----------
    u : ndarray of float64, shape (D,)
    group : ndarray of int, shape (D,)
        The row of the table that each task leaves out.

    Returns
    -------
    ndarray of float64, shape (D, M)
        As `kernel_smoother` returns it.
    """
    step = max(1, math.ceil(len(table.u) / MOST_FOLDS))
    thinned = SmootherTable(table.u[:, ::step], table.p[:, ::step])
    table_u, table_p = thinned.pairs()
    stop = np.cumsum((~np.isnan(thinned.u)).sum(axis=1))
    start = np.concatenate([[0], stop[:-1]])
    present = ~np.isnan(table_p)
    filled, ones = np.where(present, table_p, 0.0), present.astype(np.float64)
    out = np.empty((len(u), table_p.shape[1]))
    for rows in np.array_split(np.arange(len(u)), len(u) * len(table_u) // _BLOCK + 1):
        exponent = -((u[rows, None] - table_u) ** 2) / (2.0 * sigma**2)
        for own, g in zip(exponent, group[rows], strict=True):
            own[start[g] : stop[g]] = -np.inf
        largest = exponent.max(axis=1, keepdims=True, initial=-np.inf)
        weight = np.exp(exponent - np.where(np.isfinite(largest), largest, 0.0))
        norm = weight @ ones
        out[rows] = ratio(weight @ filled, norm)
        for d in rows[((norm < _FAINT) & present.any(axis=0)).any(axis=1)]:
            others = np.delete(np.arange(len(thinned.u)), group[d])
            out[d] = kernel_smoother(float(u[d]), *thinned.pairs(others), sigma)
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
    of_task, n_tasks = np.asarray(task, dtype=np.int32), len(group)
    size = np.bincount(of_task, minlength=n_tasks)
    distance = near.distance[:, :kappa]
    inside = np.isfinite(distance)
    total = np.where(inside, distance, 0.0).sum(axis=1, dtype=np.float64)
    u = ratio(
        np.bincount(of_task, total, n_tasks), np.bincount(of_task, inside.sum(axis=1), n_tasks)
    )
    p = smoothed_without(u, group, table, sigma)
    g = correctness_predictor(correctness, near.first(k))
    first, second = (task_accuracy(values, of_task, n_tasks) for values in (g, predict(g, t)))
    third = s3(second, p)
    return {
        d: TaskScores(int(size[d]), float(u[d]), first[d], second[d], third[d], p[d])
        for d in np.flatnonzero(size).tolist()
    }


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
