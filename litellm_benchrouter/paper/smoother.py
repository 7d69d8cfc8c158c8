"""How far to trust g on a new task: dataset distance, the (u, p) table and its kernel smoother.

Eqs. 8, 9 and 10 and appendix B of Shnitzer et al. (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import ratio
from litellm_benchrouter.paper.mixing import MixedLists, votes_of
from litellm_benchrouter.paper.neighbors import (
    MapFunction,
    Neighbors,
    one_by_one,
    task_rows,
    without_tasks,
)

Array = NDArray[np.float64]

ALPHAS = tuple(round(0.01 * step, 2) for step in range(15))
"""The 15 mixing parameters. The paper gives their number and figure 2 their range (0 to 0.14)."""


def task_distance(neighbors: Neighbors, kappa: int = 19) -> float:
    """u(d): mean distance of the inputs to their kappa nearest neighbours (eqs. 8 and 9).

    The neighbours are those of the task's inputs in D_{-d}, of shape (n_d, >= kappa). A benchmark
    with fewer than kappa other samples gives the mean over those that there are. A cosine distance
    in [0, 2]; NaN without inputs or neighbours.
    """
    distance = neighbors.distance[:, :kappa]
    distance = distance[np.isfinite(distance)]
    return float(distance.mean(dtype=np.float64)) if len(distance) else math.nan


def kernel_smoother(u: float, table_u: Array, table_p: Array, sigma: float = 0.09) -> Array:
    """p(d', m), shape (M,), by Gaussian kernel smoothing over the table's pairs (eq. 10).

    The table has Z pairs: `table_u`, shape (Z,), and `table_p`, shape (Z, M), of which NaN is left
    out per model. The bandwidth sigma is in units of cosine distance. The result is within the
    table's smallest and largest p of the model, and NaN for a model without pairs.
    """
    exponent = -((u - table_u) ** 2) / (2.0 * sigma**2)
    present = ~np.isnan(table_p)
    if present.all():
        present = present[:, :1]  # the models share their weights: one column does for all
    # Far from every pair all kernels underflow; scaled by the largest they give the nearest pair.
    largest = np.max(np.where(present, exponent[:, None], -np.inf), axis=0, initial=-np.inf)
    defined = np.isfinite(largest)
    shift = np.where(defined, largest, 0.0)
    weight = np.where(present, np.exp(np.minimum(exponent[:, None] - shift, 0.0)), 0.0)
    total = (weight * np.where(present, table_p, 0.0)).sum(axis=0)
    norm = weight.sum(axis=0)
    return ratio(total, norm)


def n_moved(alpha: float, n_samples: int, max_moved: int = 50) -> int:
    """min(alpha n_d, 50), a part of a sample counting as one and one sample always staying.

    The paper counts "2-40 samples" for alpha = 0.04 on tasks of 40 to 1,000, so it rounds up.
    """
    return max(0, min(math.ceil(alpha * n_samples - 1e-9), max_moved, n_samples - 1))


def draws(
    n_samples: int,
    seed: Sequence[int],
    alphas: Sequence[float] = ALPHAS,
    *,
    repeats: int = 10,
    max_moved: int = 50,
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Draw the samples of a task that move, for each alpha and repeat.

    Yields the places, of A * R, that the draw fills (alpha by alpha, and in it repeat by repeat;
    one draw fills all repeats where nothing moves), and the positions in the task that move.
    """
    generator = np.random.default_rng(seed)
    for a, alpha in enumerate(alphas):
        size = n_moved(alpha, n_samples, max_moved)
        for repeat in range(repeats if size else 1):
            start = a * repeats + repeat
            stop = start + (1 if size else repeats)
            yield slice(start, stop), generator.choice(n_samples, size=size, replace=False)


@dataclass(frozen=True)
class SmootherTable:
    """The pairs {u_z, p_z(m)} of appendix B, one a task, mixing parameter and repeat."""

    u: Array  # shape (D, A * R)
    p: Array  # shape (D, A * R, M)

    def pairs(self, tasks: NDArray[np.intp] | None = None) -> tuple[Array, Array]:
        """Return u of shape (Z,) and p of shape (Z, M) of some tasks or all, without NaN u."""
        u = self.u if tasks is None else self.u[tasks]
        p = self.p if tasks is None else self.p[tasks]
        defined = ~np.isnan(u)
        return u[defined], p[defined]


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
    left_out: Sequence[int] = (),
    progress: Callable[[int], None] | None = None,
    each: MapFunction = one_by_one,
) -> list[SmootherTable]:
    """Collect (u(d), p(d, m)) with min(alpha n_d, 50) samples of d moved into the training data.

    The neighbours outside the task are the same in every draw, so they come in once and each draw
    only merges in the samples that it moved. Leaving a further task out changes only the lists that
    named it, and only those are drawn again.

    `outside` is `nearest_outside_task` with at least max(k, kappa) neighbours; with `left_out`,
    longer lists save searches. Draws depend on the seed and on the task's place in the list alone.
    `left_out` are tasks each of which is left out of the benchmark in turn, as the experiments of
    section 4 do with the new task. `progress` takes the number of tasks done since its last call;
    `each` draws the pairs of the tasks.

    Returns the table of the whole benchmark, and one for each entry of `left_out` (its own row is
    NaN).
    """
    variants = [-1, *left_out]
    n_draws = len(alphas) * repeats
    u = np.full((len(variants), n_tasks, n_draws), np.nan)
    p = np.full((len(variants), n_tasks, n_draws, correctness.shape[1]), np.nan)
    positive, labelled_votes = votes_of(correctness)
    right_above = np.floor(t * np.arange(k + 1)).astype(np.min_scalar_type(k))

    def pairs(piece: tuple[int, NDArray[np.intp]]) -> tuple[Array, Array]:
        d, rows = piece
        u = np.full((len(variants), n_draws), np.nan)
        p = np.full((len(variants), n_draws, correctness.shape[1]), np.nan)
        lists, of_row, of_variant = _lists(outside, embeddings, task, rows, variants, max(k, kappa))
        mixing = MixedLists(
            lists, of_row, rows, embeddings, positive, labelled_votes, k=k, kappa=kappa
        )
        sums = _Sums(of_row, of_variant, len(variants), len(rows))
        answer, labelled = positive[rows[of_row]] == 1, labelled_votes[rows[of_row]] == 1
        moving = draws(len(rows), (seed, d), alphas, repeats=repeats, max_moved=max_moved)
        drawn: dict[bytes, int] = {}
        for at, moved in moving:
            before = drawn.setdefault(moved.tobytes(), at.start)
            if before != at.start:  # small tasks draw the same samples again and again
                u[:, at], p[:, at] = u[:, [before]], p[:, [before]]
                continue
            stays = np.ones(len(rows), dtype=bool)
            stays[moved] = False
            stays = stays[of_row, None]
            mixed = mixing.draw(moved)
            counted = (mixed.voters > 0) & labelled & stays
            hit = ((mixed.votes > right_above[mixed.voters]) == answer) & counted
            inside = np.isfinite(mixed.distance)[:, None] & stays
            distance = np.where(inside, mixed.distance[:, None], 0.0)
            u[:, at] = ratio(sums.of(distance), sums.of(inside))
            p[:, at] = ratio(sums.of(hit), sums.of(counted))[:, None]
        own = [v for v, variant in enumerate(variants) if variant == d]
        u[own], p[own] = np.nan, np.nan
        return u, p

    pieces = [(d, rows) for d, rows in enumerate(task_rows(task, n_tasks)) if len(rows)]
    for (d, _), drawn in zip(pieces, each(pairs, pieces), strict=True):
        u[:, d], p[:, d] = drawn
        if progress is not None:
            progress(1)
    return [SmootherTable(u[v], p[v]) for v in range(len(variants))]


class _Sums:
    """Sums over the lists of each variant, from lists as `_lists` returns them."""

    def __init__(
        self,
        of_row: NDArray[np.intp],
        of_variant: NDArray[np.intp],
        n_variants: int,
        n_rows: int,
    ) -> None:
        self._instead_of, self._n_variants = of_row[n_rows:], n_variants
        self._variants, self._starts = np.unique(of_variant[n_rows:], return_index=True)

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum values of shape (L, C), float64 or bool, to shape (n_variants, C)."""
        kind = np.float64 if values.dtype == np.float64 else np.int64
        small = values.view(np.int8) if values.dtype == bool else values
        n_rows = len(values) - len(self._instead_of)
        out = np.tile(small[:n_rows].sum(axis=0, dtype=kind), (self._n_variants, 1))
        if len(self._starts):
            # A variant is the base but for the lists that it has instead of the base's.
            change = small[n_rows:] - small[self._instead_of]
            out[self._variants] += np.add.reduceat(change, self._starts, axis=0, dtype=kind)
        return out


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
