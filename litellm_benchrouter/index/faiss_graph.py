"""faiss: a graph over 8-bit vectors that is searched where it lies on disk.

Every worker maps the same pages, and opening takes a millisecond whatever the size, where hnswlib
copies its file and keeps the interpreter meanwhile. The candidates that the short vectors find are
put in order by the vectors of the artifact.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.faiss_file import check_faiss_file
from litellm_benchrouter.index.graph import raise_ef
from litellm_benchrouter.index.growth import CHUNK, Growth
from litellm_benchrouter.paper.neighbors import Neighbors, nearest, smallest

if TYPE_CHECKING:
    from collections.abc import Iterator

CODES = {"int8": faiss.ScalarQuantizer.QT_8bit, "float16": faiss.ScalarQuantizer.QT_fp16}
"""How faiss keeps the vectors that it searches by, the shortest first."""

_RECALL_QUERIES = 1_000
_MOST_TRAINED = 6  # chunks, the first, so that rows which are added behind change nothing
_MARGIN = 0.1  # of the range of a dimension in those rows, kept free on both sides
_PART = 16_384  # rows among which exact search looks at once
_BLOCK_ENTRIES = 4_000_000  # numbers gathered at once to put candidates in order


class FaissIndex:
    """A hierarchical navigable small world graph (faiss), searched approximately.

    Parameters
    ----------
    graph : faiss.IndexHNSWSQ
    rows : ndarray of int32, shape (n,)
        The row of each node: nodes are numbered in the order in which they were added.
    embeddings : ndarray of float32 or float16, shape (n, d)
        Unit-length rows, which put the candidates in order.
    ef : int
        Size of the candidate list in a search; the manifest says it.
    """

    def __init__(
        self,
        graph: Any,
        rows: NDArray[np.int32],
        embeddings: NDArray[np.floating],
        ef: int,
    ) -> None:
        self._graph = graph
        self.rows = rows
        # mapped still, without the cost of np.memmap's indexing
        self._rows, self._embeddings = np.asarray(rows), np.asarray(embeddings)
        self.ef = ef
        self._search = _Search(0)

    def __len__(self) -> int:
        return int(self._graph.ntotal)

    def save(self, path: Path) -> None:
        """Write the graph with its short vectors.

        Raises
        ------
        OSError
            If the disk is full.
        """
        try:
            faiss.write_index(self._graph, str(path))
        except RuntimeError as error:
            raise OSError(f"{path.name} could not be written ({_first_line(error)})") from error

    @classmethod
    def load(
        cls,
        path: Path,
        rows: NDArray[np.int32],
        embeddings: NDArray[np.floating],
        *,
        ef: int,
        mapped: bool = True,
    ) -> FaissIndex:
        """Open a graph whose SHA-256 has been verified, after a check of what it says.

        Raises
        ------
        ArtifactError
            If the file is not a graph over exactly these rows.
        """
        check_faiss_file(path, rows, embeddings)
        try:
            graph = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise ArtifactError(
                f"{path} is not an index that faiss reads ({_first_line(error)}); build again."
            ) from error
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


def build_faiss(
    embeddings: NDArray[np.float32],
    config: IndexConfig,
    codes: str,
    *,
    k: int,
    most_ef: int,
    seed: int,
    progress: Callable[[int], None],
    cache: Path | None,
) -> tuple[FaissIndex, float]:
    """Build a graph, raise its `ef` until it finds what exact search finds, and return its recall.

    Recall is measured as in `build_hnsw`, with rows that the graph does not hold yet. Which rows
    these are, and the order of all, depends on the rows before them only: a benchmark that grew at
    its end goes on with the graph that the last build kept in `cache`, and ends with the bytes
    that a build from nothing ends with. For the parameters see `build_index`.
    """
    n, dimension = embeddings.shape
    with _one_thread():
        graph = _empty(dimension, config, codes)
        n_trained = max(1, min(n // CHUNK, _MOST_TRAINED)) * CHUNK
        graph.train(np.ascontiguousarray(embeddings[:n_trained], dtype=np.float32))
        growth = Growth.of(n, m=config.m, seed=seed)
        kept = None if cache is None else growth.kept(cache, embeddings, _state(graph, config))
        if kept is not None:
            graph = faiss.read_index(str(kept.path))
            graph.hnsw.efConstruction = config.ef_construction
            progress(kept.n_rows)
        for chunk in growth.chunks[0 if kept is None else kept.n_chunks :]:
            _add(graph, embeddings[chunk.rows], chunk.levels)
            progress(chunk.n_rows)
            if cache is not None and growth.is_kept(chunk):
                state = _state(graph, config)
                growth.keep(cache, embeddings, chunk, state, lambda p: faiss.write_index(graph, p))
        rows = growth.rows
        index = FaissIndex(graph, rows, embeddings, config.ef)
        unseen = growth.last.rows
        asked = unseen if len(unseen) else np.arange(n)  # of a few rows, all may be in the graph
        queries = embeddings[_spread(asked, _RECALL_QUERIES)]
        exact = _exact(queries, embeddings, min(k, n - len(unseen)), growth.is_last)
        found = raise_ef(index, queries, exact, min_recall=config.min_recall, most=most_ef)
        _add(graph, embeddings[unseen], growth.last.levels)
    return index, found


def _empty(dimension: int, config: IndexConfig, codes: str) -> Any:
    graph = faiss.IndexHNSWSQ(dimension, CODES[codes], config.m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = config.ef_construction
    # The index owns its storage as a plain Index; its ranges are set before training.
    quantizer = faiss.downcast_index(graph.storage).sq
    quantizer.rangestat_arg = _MARGIN
    return graph


def _add(graph: Any, vectors: NDArray[np.floating], levels: NDArray[np.int32]) -> None:
    """Add rows on given levels: those that faiss would draw depend on what it drew before."""
    known = faiss.vector_to_array(graph.hnsw.levels)
    faiss.copy_array_to_vector(np.concatenate([known, levels]), graph.hnsw.levels)
    graph.add(np.ascontiguousarray(vectors, dtype=np.float32))


def _state(graph: Any, config: IndexConfig) -> bytes:
    """Return what decides, besides the vectors, how a graph goes on growing."""
    trained = faiss.vector_to_array(faiss.downcast_index(graph.storage).sq.trained)
    settings = f"{faiss.__version__} {config.m} {config.ef_construction} {CHUNK}"
    return settings.encode() + bytes(trained.tobytes())


def _exact(
    queries: NDArray[np.float32],
    embeddings: NDArray[np.floating],
    k: int,
    without: NDArray[np.bool_],
) -> Neighbors:
    """Search exactly, a part of the rows after the other: all are read once only."""
    index = np.full((len(queries), k), -1, dtype=np.int64)
    distance = np.full((len(queries), k), np.inf, dtype=np.float32)
    for start in range(0, len(embeddings), _PART):
        here = without[start : start + _PART]
        gone = np.broadcast_to(here, (len(queries), len(here)))
        found = nearest(queries, embeddings[start : start + _PART], k, excluded=gone.__getitem__)
        both = np.hstack([distance, found.distance])
        column, distance = smallest(both, k)
        index = np.take_along_axis(np.hstack([index, found.index + start]), column, axis=1)
    return Neighbors(index, distance)


def _spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.intp)
    return rows[np.unique(places)] if len(rows) else rows


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
