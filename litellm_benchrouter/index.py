"""Nearest neighbours of one prompt: hnswlib, and exact search behind the same two methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.neighbors import Neighbors, nearest
from litellm_benchrouter.errors import ArtifactError

_BATCH = 1_000  # rows added between two steps of the progress bar


class Index(Protocol):
    """What the router asks of an index."""

    def __len__(self) -> int: ...

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """Return the neighbours of unit-length queries of shape (n_queries, d), nearest first."""
        ...


class ExactIndex:
    """Every distance, computed: the reference that the other is measured against."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        return nearest(queries, self._embeddings, n_neighbors)


class HnswIndex:
    """A hierarchical navigable small world graph (hnswlib), searched approximately.

    Parameters
    ----------
    graph : hnswlib.Index
    ef : int
        Size of the candidate list in a search: more is slower and closer to exact. hnswlib does
        not store it with the graph; the manifest does.
    """

    def __init__(self, graph: Any, ef: int) -> None:
        self._graph = graph
        self.ef = ef
        graph.set_num_threads(1)  # one query at a time; threads would only add their start

    def __len__(self) -> int:
        return int(self._graph.element_count)

    @property
    def ef(self) -> int:
        """Size of the candidate list."""
        return self._ef

    @ef.setter
    def ef(self, ef: int) -> None:
        self._ef = ef
        self._graph.set_ef(ef)

    @classmethod
    def build(
        cls,
        embeddings: NDArray[np.float32],
        *,
        m: int,
        ef_construction: int,
        ef: int,
        seed: int,
        progress: Callable[[int], None] | None = None,
    ) -> HnswIndex:
        """Build the graph, one row after the other so that the same rows give the same bytes."""
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=embeddings.shape[1])
        graph.init_index(
            max_elements=len(embeddings), M=m, ef_construction=ef_construction, random_seed=seed
        )
        for start in range(0, len(embeddings), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(embeddings)))
            graph.add_items(embeddings[rows], rows, num_threads=1)
            if progress is not None:
                progress(len(rows))
        return cls(graph, ef)

    def save(self, path: Path) -> None:
        """Write the graph with its vectors."""
        self._graph.save_index(str(path))

    @classmethod
    def load(cls, path: Path, *, n: int, dimension: int, ef: int) -> HnswIndex:
        """Load a graph whose SHA-256 has been verified.

        hnswlib trusts what it reads: a crafted file can overrun memory. Only bytes that the
        manifest vouches for may come here.

        Raises
        ------
        ArtifactError
            If the graph does not hold n rows, or a row that is not in [0, n).
        """
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=dimension)
        try:
            graph.load_index(str(path))
        except RuntimeError as error:
            raise ArtifactError(
                f"{path.name} is not an index that hnswlib reads ({error}); build again."
            ) from error
        labels = np.asarray(graph.get_ids_list())
        if len(labels) != n or (n and (labels.min() < 0 or labels.max() >= n)):
            raise ArtifactError(
                f"{path.name} holds {len(labels)} rows, the manifest says {n}; build again."
            )
        return cls(graph, ef)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        wanted = min(n_neighbors, len(self))
        if self._ef < wanted:
            self.ef = wanted
        label, distance = self._graph.knn_query(queries, k=wanted, num_threads=1)
        return Neighbors(label.astype(np.int64), np.clip(distance, 0.0, 2.0))


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
    found = index.search(queries, k)
    # float32 dot products in another order differ in the last digits
    hits = found.distance <= exact.distance[:, -1:] + 1e-5
    return float(hits.sum() / exact.distance.size) if exact.distance.size else 1.0
