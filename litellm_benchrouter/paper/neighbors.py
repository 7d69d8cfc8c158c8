"""NN(phi(x), k, D): exact nearest neighbours under cosine distance, with hold-out masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

P = TypeVar("P")
R = TypeVar("R")


class MapFunction(Protocol):
    """Applies a function to pieces of work, and gives the results in their order.

    The function and what it holds may be copied to another process: it changes nothing outside of
    itself, and does not see what other pieces do.
    """

    def __call__(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterable[R]: ...


def one_by_one(function: Callable[[P], R], pieces: Sequence[P]) -> Iterable[R]:
    """Apply it here, when the next result is asked for."""
    return map(function, pieces)


_BLOCK_ENTRIES = 16_000_000  # similarities held at once: 64 MB of float32
_CONVERTED = 65_536  # rows of float16 that are float32 at once


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbours of queries, nearest first, shape (n_queries, n_neighbors)."""

    index: NDArray[np.int64]  # rows of the searched set; -1 where it holds fewer
    distance: NDArray[np.float32]  # cosine distance in [0, 2]; infinite where `index` is -1

    def first(self, n_neighbors: int) -> Neighbors:
        """Return the nearest `n_neighbors` of the lists."""
        return Neighbors(self.index[:, :n_neighbors], self.distance[:, :n_neighbors])

    def rows(self, rows: NDArray[np.intp]) -> Neighbors:
        """Return the lists of some queries."""
        return Neighbors(self.index[rows], self.distance[rows])

    def without(self, group: NDArray[np.integer], excluded: int, n_neighbors: int) -> Neighbors:
        """Return the nearest `n_neighbors` of each list that are not of a group.

        Lists that run short are padded with -1: where a group fills a whole list, what is left of
        it says enough. `group` is that of each row of the searched set.
        """
        first = self.first(n_neighbors)
        index, distance = first.index.copy(), first.distance.copy()
        touched = np.flatnonzero(((group[first.index] == excluded) | (first.index < 0)).any(axis=1))
        whole = self.rows(touched)
        gone = (whole.index < 0) | (group[whole.index] == excluded)
        order = np.argsort(gone, axis=1, kind="stable")[:, :n_neighbors]
        index[touched] = np.take_along_axis(np.where(gone, -1, whole.index), order, axis=1)
        distance[touched] = np.take_along_axis(whole.distance, order, axis=1)
        return Neighbors(index, np.where(index < 0, np.float32("inf"), distance))


def normalize(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale each row to unit length, so that cosine distance is one minus a dot product.

    A row of zeros stays zero: it is at distance 1 from everything.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.zeros_like(vectors)
    np.divide(vectors, length, out=unit, where=length > 0)
    return unit


def nearest(
    queries: NDArray[np.float32],
    base: NDArray[np.floating],
    n_neighbors: int,
    *,
    excluded: Callable[[NDArray[np.intp]], NDArray[np.bool_]] | None = None,
    progress: Callable[[int], None] | None = None,
    each: MapFunction = one_by_one,
) -> Neighbors:
    """Search exactly, in blocks of bounded memory, among unit-length rows phi(x) for x in D.

    `excluded` is given the numbers of the queries in a block and returns a mask of shape (block, n)
    that is True where a row of `base` must not be a neighbour: the hold-out D_{-d} of eqs. 8 and 9.
    `progress` takes the number of queries done since its last call. `each` searches the blocks;
    their size does not depend on it, for it decides about last bits.
    """
    n_queries, n = len(queries), len(base)
    index = np.full((n_queries, n_neighbors), -1, dtype=np.int64)
    distance = np.full((n_queries, n_neighbors), np.inf, dtype=np.float32)
    n_listed = min(n_neighbors, n)
    block = max(1, _BLOCK_ENTRIES // max(n, 1))
    starts = range(0, n_queries if n else 0, block)

    def search(start: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.arange(start, min(start + block, n_queries))
        far = 1.0 - _products(queries[rows], base)
        np.clip(far, 0.0, 2.0, out=far)
        if excluded is not None:
            far[excluded(rows)] = np.inf
        return smallest(far, n_listed)

    for start, (columns, values) in zip(starts, each(search, starts), strict=True):
        rows = slice(start, start + len(columns))
        index[rows, :n_listed], distance[rows, :n_listed] = columns, values
        if progress is not None:
            progress(len(columns))
    index[np.isinf(distance)] = -1
    return Neighbors(index, distance)


def nearest_outside_task(
    embeddings: NDArray[np.float32],
    task: NDArray[np.int32],
    n_neighbors: int,
    *,
    progress: Callable[[int], None] | None = None,
    each: MapFunction = one_by_one,
) -> Neighbors:
    """Neighbours of every sample among the samples of all other tasks: NN(phi(x), k, D_{-d}).

    The embeddings, shape (n, d), have unit length; `each` is as in `nearest`.
    """
    return nearest(
        embeddings,
        embeddings,
        n_neighbors,
        excluded=lambda rows: task[rows, None] == task[None, :],
        progress=progress,
        each=each,
    )


def _products(queries: NDArray[np.float32], base: NDArray[np.floating]) -> NDArray[np.float32]:
    if base.dtype == np.float32:
        return queries @ base.T.astype(np.float32, copy=False)
    products = np.empty((len(queries), len(base)), dtype=np.float32)
    for start in range(0, len(base), _CONVERTED):
        part = slice(start, start + _CONVERTED)
        products[:, part] = queries @ base[part].astype(np.float32).T
    return products


def smallest(
    distance: NDArray[np.float32], n_neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return columns and values of the `n_neighbors` smallest entries of each row, in order."""
    if n_neighbors < distance.shape[1]:
        column = np.argpartition(distance, n_neighbors - 1, axis=1)[:, :n_neighbors]
        column.sort(axis=1)  # equal distances then keep the order of the rows
    else:
        column = np.broadcast_to(np.arange(distance.shape[1]), distance.shape)
    value = np.take_along_axis(distance, column, axis=1)
    order = np.argsort(value, axis=1, kind="stable")
    return np.take_along_axis(column, order, axis=1), np.take_along_axis(value, order, axis=1)


def without_tasks(
    neighbors: Neighbors,
    embeddings: NDArray[np.float32],
    task: NDArray[np.int32],
    rows: NDArray[np.intp],
    left_out: NDArray[np.int32],
    n_neighbors: int,
) -> Neighbors:
    """Leave one more task out of lists that `nearest_outside_task` made.

    The longer lists at hand answer almost every query; those that come out too short are searched
    again, so the answer is exact. `rows`, shape (q,), are the samples whose lists are wanted,
    `left_out` the further task that each of them leaves out.
    """
    index, distance = neighbors.index[rows], neighbors.distance[rows].copy()
    gone = (task[index] == left_out[:, None]) | (index < 0)
    distance[gone] = np.inf
    column, distance = smallest(distance, min(n_neighbors, distance.shape[1]))
    index = np.take_along_axis(index, column, axis=1)
    searched_all = neighbors.index[rows, -1] < 0  # the list already holds everything there is
    short = np.flatnonzero(np.isinf(distance).any(axis=1) & ~searched_all)
    if distance.shape[1] < n_neighbors:
        short = np.arange(len(rows))
        index = np.full((len(rows), n_neighbors), -1, dtype=np.int64)
        distance = np.full((len(rows), n_neighbors), np.inf, dtype=np.float32)
    if len(short):
        query, out = rows[short], left_out[short]
        again = nearest(
            embeddings[query],
            embeddings,
            n_neighbors,
            excluded=lambda block: (
                (task[query[block], None] == task[None, :]) | (out[block, None] == task[None, :])
            ),
        )
        index[short], distance[short] = again.index, again.distance
    index = np.where(np.isinf(distance), -1, index)
    return Neighbors(index, distance)


def task_rows(task: NDArray[np.int32], n_tasks: int) -> Sequence[NDArray[np.intp]]:
    """Return the rows of each task."""
    order = np.argsort(task, kind="stable")
    return np.split(order, np.searchsorted(task[order], np.arange(1, n_tasks)))


class Index(Protocol):
    """A set of rows that can be searched, exactly or approximately."""

    def __len__(self) -> int: ...

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """Return the neighbours of unit-length queries of shape (n_queries, d), nearest first.

        Raises RuntimeError where a graph does not connect so many rows.
        """
        ...


class ExactIndex:
    """Exact search: the reference that the graphs are measured against."""

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        return nearest(queries, self._embeddings, n_neighbors)


def recall(index: Index, queries: NDArray[np.float32], exact: Neighbors) -> float:
    """Return the share of the exact neighbours of some queries that an index finds.

    Neighbours at the distance of the last exact one count as found: which of several equal ones
    is listed says nothing about the search.
    """
    if not exact.distance.size:
        return 1.0
    try:
        approximate = index.search(queries, exact.index.shape[1])
    except RuntimeError:  # fewer than k rows could be reached from somewhere
        return 0.0
    # float32 dot products in another order differ in the last digits
    hits = approximate.distance <= exact.distance[:, -1:] + 1e-5
    return float(hits.sum() / exact.distance.size)
