"""What the router asks of an index, exact search behind it, and how much of that an index finds."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.neighbors import Neighbors, nearest


class Index(Protocol):
    """What the router asks of an index."""

    def __len__(self) -> int: ...

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """Return the neighbours of unit-length queries of shape (n_queries, d), nearest first.

        Raises
        ------
        RuntimeError
            If the graph does not connect so many rows.
        """
        ...


class Graph(Index, Protocol):
    """An index whose search can be made more exact."""

    ef: int
    """Size of the candidate list: more is slower and closer to exact."""


class ExactIndex:
    """Every distance, computed: the reference that the others are measured against."""

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        return nearest(queries, self._embeddings, n_neighbors)


def recall(index: Index, queries: NDArray[np.float32], exact: Neighbors) -> float:
    """Share of the exact neighbours that an index finds.

    Neighbours at the distance of the last exact one count as found: which of several equal ones
    is listed says nothing about the search.

    Parameters
    ----------
    index : Index
    queries : ndarray of float32, shape (n_queries, d)
    exact : Neighbors
        Of the same queries.
    """
    k = exact.index.shape[1]
    try:
        found = index.search(queries, k)
    except RuntimeError:  # fewer than k rows could be reached from somewhere
        return 0.0
    # float32 dot products in another order differ in the last digits
    hits = found.distance <= exact.distance[:, -1:] + 1e-5
    return float(hits.sum() / exact.distance.size) if exact.distance.size else 1.0


def raise_ef(
    graph: Graph,
    queries: NDArray[np.float32],
    exact: Neighbors,
    *,
    min_recall: float,
    most: int,
) -> float:
    """Double a graph's `ef` until it finds enough, or `ef` is `most`; return the recall then."""
    while (found := recall(graph, queries, exact)) < min_recall and graph.ef < most:
        graph.ef *= 2
    return found
