"""Predictions of every sample without its own group of tasks: by neighbours, and by ridge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

N_COMPONENTS = 96


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
    k : int
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
    (`filled_labels`). The normal equations are sums over groups, so leaving one out subtracts its
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
