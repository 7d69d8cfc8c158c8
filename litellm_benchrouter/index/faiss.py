"""faiss: a graph over 8-bit vectors that is searched where it lies on disk.

Every worker maps the same pages, and opening takes a millisecond whatever the size, where hnswlib
copies its file and keeps the interpreter meanwhile. The candidates that the short vectors find are
put in order by the vectors of the artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index import ROWS_FILE
from litellm_benchrouter.paper.neighbors import Neighbors

FILE = "index.faiss"
CODES = {"int8": faiss.ScalarQuantizer.QT_8bit, "float16": faiss.ScalarQuantizer.QT_fp16}
"""How faiss keeps the vectors that it searches by, the shortest first."""

_BATCH = 10_000  # rows added at once; faiss begins with those of a higher level
_MOST_TRAINED = 60_000
_MARGIN = 0.1  # of the range of a dimension in those rows, kept free on both sides
_BLOCK_ENTRIES = 4_000_000  # numbers gathered at once to put candidates in order


class FaissIndex:
    """A hierarchical navigable small world graph (faiss), searched approximately.

    Nodes are numbered in the order in which they were added: `rows`, shape (n,), has the row of
    each. The embeddings, shape (n, d), of unit length, put the candidates in order; `ef` is how
    many there are, and the manifest keeps it.
    """

    vectors: ClassVar[type] = np.float16

    def __init__(
        self,
        graph: Any,
        rows: NDArray[np.int32],
        embeddings: NDArray[np.floating],
        ef: int,
    ) -> None:
        self._graph = graph
        # mapped still, without the cost of np.memmap's indexing
        self._rows, self._embeddings = np.asarray(rows), np.asarray(embeddings)
        self.ef = ef
        self._search = _Search(0)

    def __len__(self) -> int:
        return int(self._graph.ntotal)

    @classmethod
    def empty(
        cls,
        embeddings: NDArray[np.floating],
        rows: NDArray[np.intp],
        config: IndexConfig,
        codes: str,
    ) -> FaissIndex:
        """Return a graph without rows; its codes have the ranges of those that may be seen."""
        dimension = embeddings.shape[1]
        graph = faiss.IndexHNSWSQ(dimension, CODES[codes], config.m, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = config.ef_construction
        # The index owns its storage as a plain Index; its ranges are set before training.
        quantizer = faiss.downcast_index(graph.storage).sq
        quantizer.rangestat_arg = _MARGIN
        places = np.linspace(0, len(rows) - 1, min(len(rows), _MOST_TRAINED)).astype(np.intp)
        with _one_thread():
            graph.train(np.ascontiguousarray(embeddings[rows[places]], dtype=np.float32))
        return cls(graph, np.empty(0, dtype=np.int32), embeddings, config.ef)

    def add(
        self,
        embeddings: NDArray[np.floating],
        rows: NDArray[np.intp],
        progress: Callable[[int], None],
    ) -> None:
        """See `Graph.add`; the embeddings are those that the graph was made for."""
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            with _one_thread():
                self._graph.add(np.ascontiguousarray(embeddings[batch], dtype=np.float32))
            progress(len(batch))
        self._rows = np.concatenate([self._rows, rows.astype(np.int32)])

    def save(self, folder: Path) -> None:
        """See `Graph.save`."""
        try:
            faiss.write_index(self._graph, str(folder / FILE))
        except RuntimeError as error:
            raise OSError(f"{FILE} could not be written ({_first_line(error)})") from error
        np.save(folder / ROWS_FILE, self._rows, allow_pickle=False)

    @classmethod
    def load(
        cls,
        folder: Path,
        rows: NDArray[np.int32],
        embeddings: NDArray[np.floating],
        *,
        ef: int,
    ) -> FaissIndex:
        """Map a graph whose SHA-256 has been verified: faiss trusts what it reads."""
        path = folder / FILE
        try:
            graph = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise ArtifactError(
                f"{path} is not an index that faiss reads ({_first_line(error)}). Rebuild the "
                f"artifact."
            ) from error
        if (graph.ntotal, graph.d) != embeddings.shape:
            raise ArtifactError(
                f"{path} holds {graph.ntotal} rows of dimension {graph.d}, the manifest says "
                f"{len(embeddings)} of dimension {embeddings.shape[1]}. Rebuild the artifact."
            )
        return cls(graph, rows, embeddings, ef)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        wanted = min(n_neighbors, len(self))
        # Short vectors confuse what is almost equally near, so that some more are looked at.
        listed = min(len(self), wanted + max(wanted // 2, 16))
        search = self._search  # one reference: another thread may put another there
        if search.ef != (ef := max(self.ef, listed)):
            self._search = search = _Search(ef)
        _, nodes = self._graph.search(queries, listed, params=search.parameters)
        block = max(1, _BLOCK_ENTRIES // (listed * queries.shape[1]))
        parts = [
            self._in_order(queries[start : start + block], nodes[start : start + block], wanted)
            for start in range(0, len(queries), block)
        ]
        if len(parts) == 1:
            return Neighbors(*parts[0])
        index, distance = zip(*parts, strict=True)
        return Neighbors(np.concatenate(index), np.concatenate(distance))

    def _in_order(
        self, queries: NDArray[np.float32], nodes: NDArray[np.int64], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        near = self._embeddings[self._rows[nodes]].astype(np.float32, copy=False)
        distance = 1.0 - np.matmul(near, queries[:, :, None])[:, :, 0]
        np.minimum(np.maximum(distance, 0.0, out=distance), 2.0, out=distance)
        if nodes.min() < 0:
            distance[nodes < 0] = np.inf
            if np.isfinite(distance).sum(axis=1).min() < wanted:
                raise RuntimeError(f"the graph connects fewer than {wanted} rows")
        order = distance.argsort(axis=1, kind="stable")[:, :wanted]
        query = np.arange(len(queries))[:, None]
        return self._rows[nodes[query, order]].astype(np.int64), distance[query, order]


class _Search:
    """How a graph is searched: made once, as faiss takes as long for it as for some hops."""

    def __init__(self, ef: int) -> None:
        self.ef = ef
        self.parameters = faiss.SearchParametersHNSW(efSearch=ef)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Add rows one after the other: with more threads, no two builds end alike."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _first_line(error: Exception) -> str:
    """Return what faiss says without where in its source it says it."""
    return str(error).rpartition("Error: ")[2].splitlines()[0] if str(error) else "no reason"
