"""Nearest neighbours of a prompt: the graphs that are searched, one library a module.

May import `config`, `paper` and `errors`; hnswlib and faiss are imported where a graph is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.paper.neighbors import Index, Neighbors, nearest, recall, smallest

ROWS_FILE = "index_rows.npy"

_LARGEST_COPIED = 8_000_000  # bytes: hnswlib keeps the interpreter 1 to 1.5 ms a megabyte
_LARGEST_EF = 4_096
_RECALL_QUERIES = 1_000
_PART = 16_384  # rows among which exact search looks at once


class Graph(Index, Protocol):
    """An index whose search can be made more exact, and its files."""

    vectors: ClassVar[type]
    """Type of the vectors that an artifact keeps beside it."""

    ef: int
    """Size of the candidate list: more is slower and closer to exact."""

    def add(
        self,
        embeddings: NDArray[np.floating],
        rows: NDArray[np.intp],
        progress: Callable[[int], None],
    ) -> None:
        """Add some rows of the embeddings, one after the other: the same rows, the same bytes."""
        ...

    def save(self, folder: Path) -> None:
        """Write its files into a version's folder; raises `OSError` if the disk is full."""
        ...


def engine_of(n: int, dimension: int, config: IndexConfig) -> str:
    """Return `hnswlib` where its file opens unnoticed beside requests, else `faiss`."""
    if config.engine != "auto":
        return config.engine
    size = n * (4 * dimension + 4 * (2 * config.m + 1) + 8)
    return "hnswlib" if size <= _LARGEST_COPIED else "faiss"


def build_index(
    embeddings: NDArray[np.float32],
    config: IndexConfig,
    *,
    k: int,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[Graph, dict[str, float | str]]:
    """Build a graph for searches of k, and raise its `ef` until it finds what exact search finds.

    Recall is measured with a tenth of the rows, at most 1,000, while the graph does not hold them
    yet: like requests, they are real prompts that it has not seen. Queries made from rows that it
    holds are easier to answer than any request. Where no `ef` reaches `min_recall`, ArtifactError.

    Returns the graph with its `engine`, `recall`, `recall_at` (k) and `ef`; with faiss also how the
    graph keeps vectors (`codes`), and what puts its candidates in order (`vectors`). `progress`
    takes the number of rows added since its last call.
    """
    n = len(embeddings)
    order = np.random.default_rng(seed).permutation(n)
    n_unseen = min(_RECALL_QUERIES, n // 10)
    unseen, first = order[:n_unseen], np.sort(order[n_unseen:])
    queries = embeddings[unseen]
    exact = _exact(queries, embeddings, min(k, len(first)), unseen)
    most_ef = max(min(_LARGEST_EF, 2 * n), config.ef)
    for index, measured in _empty_graphs(embeddings, first, config, seed):
        index.add(embeddings, first, progress)
        while (share := recall(index, queries, exact)) < config.min_recall and index.ef < most_ef:
            index.ef *= 2
        if share >= config.min_recall:
            ef = float(index.ef)
            index.add(embeddings, unseen, progress)
            return index, measured | {"recall": round(share, 6), "recall_at": float(k), "ef": ef}
        progress(-len(first))
    raise ArtifactError(
        f"the index finds {share:.3f} of the exact neighbours at ef={index.ef}, less than "
        f"benchrouter.index.min_recall={config.min_recall:g}; raise benchrouter.index.m or "
        f"benchrouter.index.ef_construction."
    )


def open_index(
    folder: Path,
    ef: int,
    embeddings: NDArray[np.floating],
    rows: NDArray[np.int32] | None,
) -> Index:
    """Open the index of a version whose files have been verified.

    `rows` is what `index_rows.npy` holds, shape (n,), or None for one of hnswlib. Raises
    ArtifactError where the files are not an index of as many rows of the same dimension.
    """
    if rows is None:
        from litellm_benchrouter.index.hnsw import HnswIndex

        return HnswIndex.load(folder, embeddings.astype(np.float32, copy=False), ef=ef)
    from litellm_benchrouter.index.faiss import FaissIndex

    n = len(embeddings)
    seen = np.zeros(n, dtype=bool)
    seen[rows[(rows >= 0) & (rows < n)]] = True
    if not seen.all():
        raise ArtifactError(f"{folder / ROWS_FILE} does not hold each of {n} rows once.")
    return FaissIndex.load(folder, rows, embeddings, ef=ef)


def _empty_graphs(
    embeddings: NDArray[np.floating], first: NDArray[np.intp], config: IndexConfig, seed: int
) -> Iterator[tuple[Graph, dict[str, float | str]]]:
    """Yield the graphs to try, and what the manifest says of each."""
    n, dimension = embeddings.shape
    if engine_of(n, dimension, config) == "hnswlib":
        from litellm_benchrouter.index.hnsw import HnswIndex

        yield HnswIndex.empty(n, dimension, config, seed=seed), {"engine": "hnswlib"}
        return
    from litellm_benchrouter.index.faiss import CODES, FaissIndex

    for codes in CODES:
        said = {"engine": "faiss", "codes": codes, "vectors": "float16"}
        yield FaissIndex.empty(embeddings, first, config, codes), dict(said)


def _exact(
    queries: NDArray[np.float32],
    embeddings: NDArray[np.floating],
    k: int,
    without: NDArray[np.intp],
) -> Neighbors:
    """Search all rows but some exactly, a part after the other: each is read once only."""
    is_out = np.zeros(len(embeddings), dtype=bool)
    is_out[without] = True
    index = np.full((len(queries), k), -1, dtype=np.int64)
    distance = np.full((len(queries), k), np.inf, dtype=np.float32)
    for start in range(0, len(embeddings), _PART):
        here = is_out[start : start + _PART]
        gone = np.broadcast_to(here, (len(queries), len(here)))
        nearer = nearest(queries, embeddings[start : start + _PART], k, excluded=gone.__getitem__)
        column, distance = smallest(np.hstack([distance, nearer.distance]), k)
        index = np.take_along_axis(np.hstack([index, nearer.index + start]), column, axis=1)
    return Neighbors(index, distance)
