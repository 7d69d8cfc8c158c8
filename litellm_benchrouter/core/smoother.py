"""How far to trust g on a new task: dataset distance, the (u, p) table and its kernel smoother.

Eqs. 8, 9 and 10 and appendix B of Shnitzer et al. (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import MISSING
from litellm_benchrouter.core.masked import ratio
from litellm_benchrouter.core.neighbors import Neighbors, smallest, task_rows, without_tasks

Array = NDArray[np.float64]

_WITHIN_SAMPLES = 5_000  # of a task, up to which all its distances are held at once (100 MB)

ALPHAS = tuple(round(0.01 * step, 2) for step in range(15))
"""The 15 mixing parameters. The paper gives their number and figure 2 their range (0 to 0.14)."""


def task_distance(neighbors: Neighbors, kappa: int = 19) -> float:
    """u(d): mean distance of the inputs to their kappa nearest neighbours (eqs. 8 and 9).

    Parameters
    ----------
    neighbors : Neighbors
        Of the task's inputs in D_{-d}, of shape (n_d, >= kappa). A benchmark with fewer than kappa
        other samples gives the mean over those that there are.
    kappa : int

    Returns
    -------
    float
        Cosine distance in [0, 2]; NaN without inputs or neighbours.
    """
    distance = neighbors.distance[:, :kappa]
    distance = distance[np.isfinite(distance)]
    return float(distance.mean(dtype=np.float64)) if len(distance) else math.nan


def kernel_smoother(u: float, table_u: Array, table_p: Array, sigma: float = 0.09) -> Array:
    """p(d', m) by Gaussian kernel smoothing over the table's pairs (eq. 10).

    Parameters
    ----------
    u : float
        u(d').
    table_u : ndarray of float64, shape (Z,)
    table_p : ndarray of float64, shape (Z, M)
        NaN pairs are left out, per model.
    sigma : float
        Bandwidth, in units of cosine distance.

    Returns
    -------
    ndarray of float64, shape (M,)
        Within the table's smallest and largest p of the model; NaN for a model without pairs.
    """
    exponent = -((u - table_u) ** 2) / (2.0 * sigma**2)
    known = ~np.isnan(table_p)
    # Far from every pair all kernels underflow; scaled by the largest they give the nearest pair.
    largest = np.max(np.where(known, exponent[:, None], -np.inf), axis=0, initial=-np.inf)
    defined = np.isfinite(largest)
    shift = np.where(defined, largest, 0.0)
    weight = np.where(known, np.exp(np.minimum(exponent[:, None] - shift, 0.0)), 0.0)
    total = np.where(known, weight * np.where(known, table_p, 0.0), 0.0).sum(axis=0)
    norm = weight.sum(axis=0)
    return ratio(total, norm)


def n_moved(alpha: float, n_samples: int, max_moved: int = 50) -> int:
    """min(alpha n_d, 50), a part of a sample counting as one and one sample always staying.

    The paper counts "2-40 samples" for alpha = 0.04 on tasks of 40 to 1,000, so it rounds up.
    """
    return max(0, min(math.ceil(alpha * n_samples - 1e-9), max_moved, n_samples - 1))


@dataclass(frozen=True)
class SmootherTable:
    """The pairs {u_z, p_z(m)} of appendix B, one a task, mixing parameter and repeat.

    Attributes
    ----------
    u : ndarray of float64, shape (D, A * R)
    p : ndarray of float64, shape (D, A * R, M)
    """

    u: Array
    p: Array

    def pairs(self, tasks: NDArray[np.intp] | None = None) -> tuple[Array, Array]:
        """Return u of shape (Z,) and p of shape (Z, M) of some tasks or all, without NaN u."""
        u = self.u if tasks is None else self.u[tasks]
        p = self.p if tasks is None else self.p[tasks]
        kept = ~np.isnan(u)
        return u[kept], p[kept]


def smoother_table(
    embeddings: NDArray[np.float32],
    task: NDArray[np.int32],
    correctness: NDArray[np.uint8],
    outside: Neighbors,
    *,
    n_tasks: int,
    k: int = 5,
    kappa: int = 19,
    t: float = 0.5,
    alphas: Sequence[float] = ALPHAS,
    repeats: int = 10,
    max_moved: int = 50,
    seed: int = 0,
    left_out: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[SmootherTable]:
    """Collect (u(d), p(d, m)) with min(alpha n_d, 50) samples of d moved into the training data.

    The neighbours outside the task are the same in every draw, so they come in once and each draw
    only merges in the samples that it moved. Leaving a further task out changes only the lists
    that named it, and only those are drawn again.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, d)
        Rows of unit length.
    task : ndarray of int32, shape (n,)
    correctness : ndarray of uint8, shape (n, M)
        255 is missing.
    outside : Neighbors
        `nearest_outside_task` with at least max(k, kappa) neighbours; with `left_out`, longer lists
        save searches.
    n_tasks : int
    k, kappa, t, alphas, repeats, max_moved
        The paper's constants.
    seed : int
        Draws depend on it and on the task's place in the list alone.
    left_out : sequence of int, optional
        Tasks each of which is left out of the benchmark in turn, as the experiments of section 4 do
        with the new task. Without it there is one table, of the whole benchmark.
    progress : callable, optional
        Called with the number of tasks done since the last call.

    Returns
    -------
    list of SmootherTable
        One for each entry of `left_out` (its own row is NaN), or the one table.
    """
    variants = [-1] if left_out is None else [-1, *left_out]
    n_draws = len(alphas) * repeats
    n_models = correctness.shape[1]
    u = np.full((len(variants), n_tasks, n_draws), np.nan)
    p = np.full((len(variants), n_tasks, n_draws, n_models), np.nan)
    positive = (correctness == 1).astype(np.uint8)
    known = (correctness != MISSING).astype(np.uint8)
    listed = max(k, kappa)
    for d, rows in enumerate(task_rows(task, n_tasks)):
        if not len(rows):
            continue
        lists, of_row, of_variant = _lists(outside, embeddings, task, rows, variants, listed)
        member = (of_variant == np.arange(len(variants))[:, None]).astype(np.float64)
        replaced = np.zeros((len(variants), len(rows)))
        replaced[of_variant, of_row] = 1.0
        replaced[0] = 0.0  # the first variant replaces nothing: it is what the others start from
        within = _Within(np.asarray(embeddings[rows]))
        generator = np.random.default_rng([seed, d])
        for a, alpha in enumerate(alphas):
            moving = n_moved(alpha, len(rows), max_moved)
            for repeat in range(repeats if moving else 1):
                moved = generator.choice(len(rows), size=moving, replace=False)
                stays = np.ones(len(rows), dtype=bool)
                stays[moved] = False
                merged = _merge(lists, within.to(moved)[of_row], rows[moved], listed)
                mean_distance = _mean_distance(merged.first(kappa))
                hit, counted = _hits(merged.first(k), rows[of_row], positive, known, t)
                inside = np.isfinite(mean_distance)
                columns = np.column_stack(
                    [np.where(inside, mean_distance, 0.0), inside, hit, counted]
                ).astype(np.float64)
                columns *= stays[of_row, None]
                base = columns[: len(rows)]
                total = member @ columns
                total[1:] += base.sum(axis=0) - replaced[1:] @ base
                draw = a * repeats + repeat
                draws = slice(draw, draw + 1) if moving else slice(draw, draw + repeats)
                u[:, d, draws] = ratio(total[:, 0], total[:, 1])[:, None]
                p[:, d, draws] = ratio(total[:, 2 : 2 + n_models], total[:, 2 + n_models :])[
                    :, None
                ]
        for v, variant in enumerate(variants):
            if variant == d:
                u[v, d], p[v, d] = np.nan, np.nan
        if progress is not None:
            progress(1)
    tables = [SmootherTable(u[v], p[v]) for v in range(len(variants))]
    return tables if left_out is None else tables[1:]


def _lists(
    outside: Neighbors,
    embeddings: NDArray[np.float32],
    task: NDArray[np.int32],
    rows: NDArray[np.intp],
    variants: Sequence[int],
    listed: int,
) -> tuple[Neighbors, NDArray[np.intp], NDArray[np.intp]]:
    """Neighbour lists of a task's rows, then those of each variant that differ from them.

    Returns the lists, and for each of them its row (a position in `rows`) and its variant.
    """
    base = outside.rows(rows).first(listed)
    listed_task = np.where(base.index >= 0, task[base.index], -1)
    of_row = [np.arange(len(rows))]
    of_variant = [np.zeros(len(rows), dtype=np.intp)]
    for v, variant in enumerate(variants[1:], start=1):
        touched = np.flatnonzero((listed_task == variant).any(axis=1))
        of_row.append(touched)
        of_variant.append(np.full(len(touched), v, dtype=np.intp))
    all_rows, all_variants = np.concatenate(of_row), np.concatenate(of_variant)
    later = slice(len(rows), None)
    again = without_tasks(
        outside,
        embeddings,
        task,
        rows[all_rows[later]],
        np.asarray(variants, dtype=np.int32)[all_variants[later]],
        listed,
    )
    lists = Neighbors(
        np.concatenate([base.index, again.index]), np.concatenate([base.distance, again.distance])
    )
    return lists, all_rows, all_variants


class _Within:
    """Distances from a task's samples to those of them that a draw moves."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        # Every draw asks for some columns of the same matrix; one that is too large is not kept.
        self._all = _distances(vectors, vectors) if len(vectors) <= _WITHIN_SAMPLES else None

    def to(self, moved: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return distances of shape (n_d, len(moved))."""
        if self._all is None:
            return _distances(self._vectors, self._vectors[moved])
        return self._all[moved].T  # symmetric, and rows are contiguous


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    distance: NDArray[np.float32] = np.clip(np.float32(1.0) - a @ b.T, 0.0, 2.0)
    return distance


def _merge(
    lists: Neighbors, near: NDArray[np.float32], moved: NDArray[np.intp], listed: int
) -> Neighbors:
    """Merge the moved samples, at distances `near`, into lists of neighbours outside the task."""
    if not len(moved):
        return lists
    index = np.broadcast_to(moved, near.shape)
    distance = np.concatenate([lists.distance, near], axis=1)
    column, distance = smallest(distance, listed)
    return Neighbors(
        np.take_along_axis(np.concatenate([lists.index, index], axis=1), column, axis=1), distance
    )


def _mean_distance(neighbors: Neighbors) -> Array:
    """Eq. 9 for each query; NaN where it has no neighbour."""
    finite = np.isfinite(neighbors.distance)
    if finite.all():
        return np.asarray(neighbors.distance.mean(axis=1, dtype=np.float64))
    total = np.where(finite, neighbors.distance, 0.0).sum(axis=1, dtype=np.float64)
    return ratio(total, finite.sum(axis=1))


def _hits(
    neighbors: Neighbors,
    sample: NDArray[np.intp],
    positive: NDArray[np.uint8],
    known: NDArray[np.uint8],
    t: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether I(g > t) is right on each sample and model, and whether that can be said."""
    there = (neighbors.index >= 0)[:, :, None]
    votes = (positive[neighbors.index] * there).sum(axis=1, dtype=np.int32)
    voters = (known[neighbors.index] * there).sum(axis=1, dtype=np.int32)
    counted = (voters > 0) & (known[sample] == 1)
    return ((votes > t * voters) == (positive[sample] == 1)) & counted, counted
