"""Which graph a benchmark gets, how it is built, and how a version opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.faiss_graph import CODES, FaissIndex, build_faiss
from litellm_benchrouter.index.graph import Index
from litellm_benchrouter.index.hnsw import HnswIndex, build_hnsw

HNSW_FILE, FAISS_FILE, ROWS_FILE = "index.hnsw", "index.faiss", "index_rows.npy"

_LARGEST_COPIED = 8_000_000  # bytes: hnswlib keeps the interpreter 1 to 1.5 ms a megabyte
_LARGEST_EF = 4_096


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
    cache: Path | None = None,
) -> tuple[HnswIndex | FaissIndex, dict[str, float | str]]:
    """Build a graph, and raise its `ef` until it finds what exact search finds.

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
    cache : Path, optional
        Folder in which a graph is kept, so that the next build goes on with it.

    Returns
    -------
    HnswIndex or FaissIndex
    dict of str to float or str
        `engine`, `recall`, `recall_at` (k) and `ef`; with faiss also how the graph keeps vectors
        (`codes`), and what puts its candidates in order (`vectors`).

    Raises
    ------
    ArtifactError
        If no `ef` reaches `config.min_recall`.
    """
    n, dimension = embeddings.shape
    measured: dict[str, float | str] = {"engine": engine_of(n, dimension, config)}
    most_ef = max(min(_LARGEST_EF, 2 * n), config.ef)
    index: HnswIndex | FaissIndex
    if measured["engine"] == "hnswlib":
        index, found = build_hnsw(
            embeddings, config, k=k, most_ef=most_ef, seed=seed, progress=progress
        )
    else:
        for codes in CODES:
            index, found = build_faiss(
                embeddings,
                config,
                codes,
                k=k,
                most_ef=most_ef,
                seed=seed,
                progress=progress,
                cache=cache,
            )
            measured |= {"codes": codes, "vectors": "float16"}
            if found >= config.min_recall:
                break
            progress(-n)
    if found < config.min_recall:
        raise ArtifactError(
            f"the index finds {found:.3f} of the exact neighbours at ef={index.ef}, less than "
            f"benchrouter.index.min_recall={config.min_recall:g}; raise benchrouter.index.m or "
            f"benchrouter.index.ef_construction."
        )
    return index, measured | {
        "recall": round(found, 6),
        "recall_at": float(k),
        "ef": float(index.ef),
    }


def save_index(folder: Path, index: HnswIndex | FaissIndex) -> None:
    """Write the files of an index into a version's folder."""
    if isinstance(index, HnswIndex):
        index.save(folder / HNSW_FILE)
    else:
        index.save(folder / FAISS_FILE)
        np.save(folder / ROWS_FILE, index.rows, allow_pickle=False)


def open_index(
    folder: Path,
    ef: int,
    embeddings: NDArray[np.floating],
    rows: NDArray[np.int32] | None,
) -> Index:
    """Open the index of a version whose files have been verified.

    Parameters
    ----------
    folder : Path
    ef : int
    embeddings : ndarray of float32 or float16, shape (n, d)
    rows : ndarray of int32, shape (n,), or None
        What `index_rows.npy` holds.

    Raises
    ------
    ArtifactError
        If its files are not an index over exactly these rows.
    """
    if rows is None:
        return HnswIndex.load(folder / HNSW_FILE, embeddings.astype(np.float32, copy=False), ef=ef)
    n = len(embeddings)
    seen = np.zeros(n, dtype=bool)
    seen[rows[(rows >= 0) & (rows < n)]] = True
    if not seen.all():
        raise ArtifactError(f"{folder / ROWS_FILE} does not hold each of {n} rows once.")
    return FaissIndex.load(folder / FAISS_FILE, rows, embeddings, ef=ef)
