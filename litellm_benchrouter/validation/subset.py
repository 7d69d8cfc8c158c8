"""The samples of a benchmark that an estimate learns from, where there are more than it can use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.neighbors import Index, Neighbors

_BLOCK = 1_000  # queries asked at once


def fitting_rows(
    task: NDArray[np.int32], n_tasks: int, most: int, *, seed: int
) -> NDArray[np.intp] | None:
    """Draw at most so many samples, of each task the same number where it has so many.

    Parameters
    ----------
    task : ndarray of int32, shape (n,)

    Returns
    -------
    ndarray of int, shape (f,), or None
        Rows in their order; None where the benchmark is no larger.
    """
    if len(task) <= most:
        return None
    size = np.sort(np.bincount(task, minlength=n_tasks))
    # The largest c for which the sum of min(size, c) is not above `most`.
    left, a_task = most, most // n_tasks
    for position, of_task in enumerate(size):
        a_task = left // (n_tasks - position)
        if of_task > a_task:
            break
        left -= int(of_task)
    draws = np.random.default_rng(seed).random(len(task))
    order = np.lexsort((draws, task))
    start = np.searchsorted(task[order], np.arange(n_tasks))
    place = np.arange(len(task)) - start[task[order]]
    return np.sort(order[place < a_task])


@dataclass(frozen=True)
class TrainingSubset:
    """The part of a benchmark that is learned from, beside the whole.

    Attributes
    ----------
    vectors : ndarray of float32, shape (f, d)
    rows : ndarray of int, shape (f,), or None
        Where they are in the whole; None where they are all of it.
    """

    benchmark: Benchmark
    vectors: NDArray[np.float32]
    rows: NDArray[np.intp] | None
    whole: Benchmark

    @classmethod
    def of(
        cls, benchmark: Benchmark, vectors: NDArray[np.float32], most: int, *, seed: int
    ) -> TrainingSubset:
        """Choose them; see `fitting_rows`."""
        rows = fitting_rows(benchmark.task, len(benchmark.tasks), most, seed=seed)
        if rows is None:
            return cls(benchmark, vectors, None, benchmark)
        return cls(benchmark.rows(rows), np.asarray(vectors[rows]), rows, benchmark)

    def neighbors(self, index: Index, k: int) -> Neighbors:
        """Return the nearest other samples of the whole, as a request of that text finds them."""
        assert self.rows is not None, "where all rows are fitted, they find each other exactly"
        lists = Neighbors(
            np.empty((len(self.rows), k), dtype=np.int64),
            np.empty((len(self.rows), k), dtype=np.float32),
        )
        for start in range(0, len(self.rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            listed = index.search(self.vectors[part], k + 1)
            own = listed.index == self.rows[part, None]
            own[~own.any(axis=1), -1] = True  # it is beyond equal ones: the last makes room
            lists.index[part] = listed.index[~own].reshape(-1, k)
            lists.distance[part] = listed.distance[~own].reshape(-1, k)
        return lists
