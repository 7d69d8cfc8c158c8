"""hnswlib: the fastest to build, copied into every worker; for benchmarks of some thousand rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.graph import raise_ef
from litellm_benchrouter.index.hnsw_file import check_index_file
from litellm_benchrouter.paper.neighbors import Neighbors, nearest

_RECALL_QUERIES = 1_000
_BATCH = 1_000  # rows added between two steps of the progress bar


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
        self._n = int(graph.element_count)
        graph.set_num_threads(1)  # one query at a time; threads would only add their start

    def __len__(self) -> int:
        return self._n

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
            self._n += len(batch)
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
        wanted = min(n_neighbors, self._n)
        if self._ef < wanted:
            self.ef = wanted
        label, distance = self._graph.knn_query(queries, k=wanted, num_threads=1)
        # The ufuncs: on a few numbers numpy.clip and a copy take as long as the search.
        np.minimum(np.maximum(distance, 0.0, out=distance), 2.0, out=distance)
        return Neighbors(label.view(np.int64), distance)


def build_hnsw(
    embeddings: NDArray[np.float32],
    config: IndexConfig,
    *,
    k: int,
    most_ef: int,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[HnswIndex, float]:
    """Build a graph, raise its `ef` until it finds what exact search finds, and return its recall.

    Recall is measured with a tenth of the rows, at most 1,000, while the graph does not hold them
    yet: as a request, they are real prompts that it has not seen. Queries made from rows that it
    holds are easier to answer than any request. For the parameters see `build_index`.
    """
    n = len(embeddings)
    order = np.random.default_rng(seed).permutation(n)
    n_unseen = min(_RECALL_QUERIES, n // 10)
    unseen, first = order[:n_unseen], np.sort(order[n_unseen:])
    index = HnswIndex.empty(n, embeddings.shape[1], config, seed=seed)
    index.add(embeddings, first, progress)
    queries = embeddings[unseen]
    exact = nearest(queries, embeddings[first], min(k, len(first)))
    found = raise_ef(index, queries, exact, min_recall=config.min_recall, most=most_ef)
    index.add(embeddings, unseen, progress)
    return index, found
