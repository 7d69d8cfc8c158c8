"""A task of which some samples have moved into the training data: figure 2 and appendix B.

The neighbours outside the task are the same in every draw. Their lists therefore come in once and
are kept as running sums, of distances and of votes; a draw finds out how many of the nearest are
samples that it moved, and adds two running sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING, ratio
from litellm_benchrouter.paper.neighbors import Neighbors

Array = NDArray[np.float64]

_WITHIN_SAMPLES = 5_000  # of a task, up to which all its distances are held at once (100 MB)


@dataclass(frozen=True)
class Mixed:
    """What a draw made of L neighbour lists."""

    # mean distance to the kappa nearest (eq. 9), shape (L,), in [0, 2]; NaN without any
    distance: Array
    # how many of the k nearest say that the model is right: k g of eq. 7, shape (L, M)
    votes: NDArray[Any]
    # how many of them have a label, shape (L, M); or (L, 1) where no label is missing
    voters: NDArray[Any]


class MixedLists:
    """Neighbour lists of a task's samples, ready for samples of the task to be merged in.

    A moved sample is its own nearest neighbour: the caller leaves out the lists of those that
    moved.

    `lists` are outside the task, shape (L, >= max(k, kappa)); `of_row`, shape (L,), is the sample
    of each as a position in `rows`, shape (n_d,), the task's samples, one of which may have several
    lists. The embeddings, shape (n, d), have unit length; `positive` and `labelled` are those of
    `votes_of`.
    """

    def __init__(
        self,
        lists: Neighbors,
        of_row: NDArray[np.intp],
        rows: NDArray[np.intp],
        embeddings: NDArray[np.float32],
        positive: NDArray[np.uint8],
        labelled: NDArray[np.uint8],
        *,
        k: int,
        kappa: int,
    ) -> None:
        if lists.index.shape[1] < max(k, kappa):
            raise ValueError(
                f"lists hold {lists.index.shape[1]} neighbours, expected at least {max(k, kappa)}"
            )
        self._of_row, self._k, self._kappa = of_row, k, kappa
        self._within = _Within(np.asarray(embeddings[rows]))
        self._positive, self._labelled = positive[rows], labelled[rows]
        # Columns are lists, farthest neighbour first: what `_taken` compares is then contiguous.
        self._far_k = np.ascontiguousarray(lists.distance[:, :k].T[::-1])
        self._far_kappa = np.ascontiguousarray(lists.distance[:, :kappa].T[::-1])
        there = lists.index >= 0
        self._outside = np.minimum(there.sum(axis=1), kappa)
        self._sums = _running(np.where(there, lists.distance, 0.0)[:, :kappa], np.float64)
        nearest, there = lists.index[:, :k], there[:, :k, None]
        narrow = np.min_scalar_type(k)
        self._votes = _running(positive[nearest] * there, narrow)
        self._voters = _running(labelled[nearest] * there, narrow)

    def draw(self, moved: NDArray[np.intp]) -> Mixed:
        """Merge some samples of the task, positions in `rows`, into every list."""
        order, near = _sorted(self._within.to(moved))
        from_moved = self._taken(near, self._far_kappa)
        sums = _running(near[:, : self._kappa], np.float64)
        total = self._merge(self._sums, sums, from_moved, self._kappa)
        count = np.minimum(self._outside + len(moved), self._kappa)
        closest = moved[order[:, : self._k]]
        from_moved = self._taken(near, self._far_k)
        votes, voters = (
            self._merge(outside, _running(label[closest], outside.dtype), from_moved, self._k)
            for outside, label in (
                (self._votes, self._positive),
                (self._voters, self._labelled),
            )
        )
        return Mixed(ratio(total, count), votes, voters)

    def _taken(
        self, near: NDArray[np.float32], farthest_first: NDArray[np.float32]
    ) -> NDArray[np.intp]:
        """How many of a list's nearest are moved samples, shape (L,).

        The j-th nearest moved sample is among the first n of the union exactly if the (n - j)-th
        of the list is farther away; at equal distance the list goes first.
        """
        columns = near[:, : len(farthest_first)].T.take(self._of_row, axis=1)
        nearer = columns < farthest_first[: len(columns)]
        return np.asarray(nearer.view(np.uint8).sum(axis=0, dtype=np.intp))

    def _merge(
        self,
        outside: NDArray[Any],
        inside: NDArray[Any],
        from_moved: NDArray[np.intp],
        n_neighbors: int,
    ) -> NDArray[Any]:
        """Add the running sum over the moved samples to that over the rest of each list."""
        lists = np.arange(len(outside))
        total = _at(outside, lists, n_neighbors - from_moved)
        total += _at(inside, self._of_row, from_moved)
        return total


def votes_of(correctness: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split labels, shape (n, M), into what is right and what is known.

    What is known has the shape (n, 1), all ones, where no label is missing, which spares counting
    them.
    """
    positive, labelled = correctness == 1, correctness != MISSING
    if labelled.all():
        labelled = np.ones((len(labelled), 1), dtype=bool)
    return positive.astype(np.uint8), labelled.astype(np.uint8)


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


def _sorted(
    distance: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Sort each row: columns and values.

    Floats that are not negative are ordered as their bits are, so distance and column fit into one
    integer and one plain sort orders both, eight times as fast as argsort.
    """
    bits = np.ascontiguousarray(distance).view(np.uint32).astype(np.uint64) << np.uint64(32)
    key = np.sort(bits | np.arange(distance.shape[1], dtype=np.uint64), axis=1)
    value = (key >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return (key & np.uint64(0xFFFFFFFF)).astype(np.intp), value


def _running(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Sums over the first 0, 1, 2, ... entries of axis 1."""
    shape = (values.shape[0], values.shape[1] + 1, *values.shape[2:])
    out = np.zeros(shape, dtype=dtype)
    for i in range(values.shape[1]):  # over whole slices: several times as fast as cumsum
        np.add(out[:, i], values[:, i], out=out[:, i + 1], dtype=dtype)
    return out


def _at(running: NDArray[Any], first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[Any]:
    """running[first, second]; whole rows are taken, which is faster than indexing twice."""
    flat = running.reshape(running.shape[0] * running.shape[1], *running.shape[2:])
    return np.asarray(flat.take(first * running.shape[1] + second, axis=0))
