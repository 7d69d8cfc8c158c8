"""Nearest neighbours of one prompt: hnswlib, and exact search behind the same two methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.core.neighbors import Neighbors, nearest
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.hnswlib_file import check_index_file

_RECALL_QUERIES = 1_000
_LARGEST_EF = 4_096
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
    def empty(cls, n: int, dimension: int, config: IndexConfig, *, seed: int) -> HnswIndex:
        """Return a graph with room for n rows."""
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=dimension)
        graph.init_index(
            max_elements=n,
            M=config.m,
            ef_construction=config.ef_construction,
            random_seed=seed,
        )
        return cls(graph, config.ef)

    def add(
        self,
        embeddings: NDArray[np.float32],
        rows: NDArray[np.intp],
        progress: Callable[[int], None],
    ) -> None:
        """Add some rows of the embeddings, one after the other: the same rows, the same bytes."""
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            self._graph.add_items(embeddings[batch], batch, num_threads=1)
            progress(len(batch))

    def save(self, path: Path) -> None:
        """Write the graph with its vectors.

        Raises
        ------
        OSError
            If the disk is full, which hnswlib passes over.
        """
        self._graph.save_index(str(path))
        written, wanted = path.stat().st_size, self._graph.index_file_size()
        if written != wanted:
            raise OSError(f"{written} of the {wanted} bytes of {path.name} could be written")

    @classmethod
    def load(cls, path: Path, embeddings: NDArray[np.float32], *, ef: int) -> HnswIndex:
        """Load a graph whose SHA-256 has been verified.

        hnswlib trusts what it reads, so the whole file is checked before it sees any of it.

        Raises
        ------
        ArtifactError
            If the file is not a graph over exactly these rows.
        """
        import hnswlib

        check_index_file(path, embeddings)
        graph = hnswlib.Index(space="ip", dim=embeddings.shape[1])
        try:
            graph.load_index(str(path))
        except RuntimeError as error:
            raise ArtifactError(
                f"{path} is not an index that hnswlib reads ({error}); build again."
            ) from error
        return cls(graph, ef)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        wanted = min(n_neighbors, len(self))
        if self._ef < wanted:
            self.ef = wanted
        label, distance = self._graph.knn_query(queries, k=wanted, num_threads=1)
        return Neighbors(label.astype(np.int64), np.clip(distance, 0.0, 2.0))


def build_index(
    embeddings: NDArray[np.float32],
    config: IndexConfig,
    *,
    k: int,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[HnswIndex, dict[str, float]]:
    """Build a graph, and raise its `ef` until it finds what exact search finds.

    Recall is measured with a tenth of the rows, at most 1,000, while the graph does not hold them
    yet: as a request, they are real prompts that it has not seen. Queries made from rows that it
    holds are easier to answer than any request.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, d)
        Rows of unit length.
    config : IndexConfig
    k : int
        How many neighbours a search is for.
    seed : int
    progress : callable
        Called with the number of rows added since the last call.

    Returns
    -------
    HnswIndex
    dict of str to float
        `recall`, `recall_at` (k) and `ef`.

    Raises
    ------
    ArtifactError
        If no `ef` reaches `config.min_recall`.
    """
    n = len(embeddings)
    order = np.random.default_rng(seed).permutation(n)
    n_unseen = min(_RECALL_QUERIES, n // 10)
    unseen, first = order[:n_unseen], np.sort(order[n_unseen:])
    index = HnswIndex.empty(n, embeddings.shape[1], config, seed=seed)
    index.add(embeddings, first, progress)
    queries = embeddings[unseen]
    exact = nearest(queries, embeddings[first], min(k, len(first)))
    while (found := recall(index, queries, exact)) < config.min_recall:
        if index.ef >= min(_LARGEST_EF, 2 * n):
            raise ArtifactError(
                f"the index finds {found:.3f} of the exact neighbours at ef={index.ef}, less than "
                f"benchrouter.index.min_recall={config.min_recall:g}; raise benchrouter.index.m or "
                f"benchrouter.index.ef_construction."
            )
        index.ef *= 2
    index.add(embeddings, unseen, progress)
    return index, {"recall": round(found, 6), "recall_at": float(k), "ef": float(index.ef)}


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
    except RuntimeError:  # hnswlib reached fewer than k rows from somewhere
        return 0.0
    # float32 dot products in another order differ in the last digits
    hits = found.distance <= exact.distance[:, -1:] + 1e-5
    return float(hits.sum() / exact.distance.size) if exact.distance.size else 1.0
