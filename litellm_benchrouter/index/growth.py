"""In which order a graph takes its rows, so that one which grew equals one built at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK = 10_000
"""Rows that are added together; faiss adds those of a higher level first."""

_LAST = 1 / 64  # of the rows are added last of all: recall is measured with them before
_LAST_CHUNK = 2**32 - 1  # their number, which no chunk reaches
_KEPT_EVERY = 10  # chunks: what a build that is killed loses at most
_HIGHEST = 15  # level, of more rows than there are anywhere
_HASHED_AT_ONCE = 100_000
_FILE, _NOTE = "graph.faiss", "graph.json"


@dataclass(frozen=True)
class Chunk:
    """Rows that are added together.

    Attributes
    ----------
    end : int
        The row behind the last one that it was chosen from.
    rows : ndarray of int, shape (c,)
    levels : ndarray of int32, shape (c,)
        How many levels of the graph each is on.
    is_full : bool
        Whether it stays as it is when rows are added behind.
    """

    number: int
    end: int
    rows: NDArray[np.intp]
    levels: NDArray[np.int32]
    is_full: bool

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)


@dataclass(frozen=True)
class Kept:
    """A graph that an earlier build kept, verified."""

    path: Path
    n_chunks: int
    n_rows: int


@dataclass(frozen=True)
class Growth:
    """The order of the rows of a benchmark.

    Attributes
    ----------
    chunks : list of Chunk
        In the order in which they are added.
    last : Chunk
        What is added behind them.
    """

    chunks: list[Chunk]
    last: Chunk

    @classmethod
    def of(cls, n: int, *, m: int, seed: int) -> Growth:
        """Order n rows; what is said of a full chunk does not depend on n."""
        chunks, late = [], []
        for number, start in enumerate(range(0, n, CHUNK)):
            draws = np.random.default_rng([seed, number])
            is_late = (draws.random(CHUNK) < _LAST)[: n - start]
            levels = _levels(draws, CHUNK, m)[: n - start]
            rows = np.arange(start, min(start + CHUNK, n))
            early = ~is_late
            is_full = len(rows) == CHUNK
            chunks.append(Chunk(number, start + len(rows), rows[early], levels[early], is_full))
            late.append(rows[is_late])
        rows = np.concatenate(late) if late else np.empty(0, dtype=np.intp)
        levels = _levels(np.random.default_rng([seed, _LAST_CHUNK]), len(rows), m)
        return cls(chunks, Chunk(_LAST_CHUNK, n, rows, levels, is_full=False))

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """The row of each node, shape (n,)."""
        order = [chunk.rows for chunk in [*self.chunks, self.last]]
        return np.concatenate(order).astype(np.int32)

    @cached_property
    def is_last(self) -> NDArray[np.bool_]:
        """Whether a row is among the last, shape (n,)."""
        mask = np.zeros(self.last.end, dtype=bool)
        mask[self.last.rows] = True
        return mask

    def is_kept(self, chunk: Chunk) -> bool:
        """Say whether a build keeps the graph that ends with a chunk."""
        is_newest = chunk.number + 1 == sum(each.is_full for each in self.chunks)
        return chunk.is_full and (is_newest or (chunk.number + 1) % _KEPT_EVERY == 0)

    def kept(self, cache: Path, embeddings: NDArray[np.floating], state: bytes) -> Kept | None:
        """Return the kept graph where it is one over the first of these rows, and whole."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads((cache / _NOTE).read_text(encoding="utf-8"))
            n_chunks = int(note["chunks"])
            end = n_chunks * CHUNK
            if 0 < end <= len(embeddings) and note["prefix"] == _prefix(embeddings, end, state):
                path = cache / _FILE
                if _digest(path) == note["sha256"]:
                    n_rows = sum(chunk.n_rows for chunk in self.chunks[:n_chunks])
                    return Kept(path, n_chunks, n_rows)
        return None

    def keep(
        self,
        cache: Path,
        embeddings: NDArray[np.floating],
        chunk: Chunk,
        state: bytes,
        write: Callable[[str], None],
    ) -> None:
        """Keep a graph for the next build; where that fails, the next one starts anew."""
        with suppress(OSError, RuntimeError):
            cache.mkdir(parents=True, exist_ok=True)
            new = cache / f".{_FILE}"
            write(str(new))
            note = {
                "chunks": chunk.number + 1,
                "prefix": _prefix(embeddings, chunk.end, state),
                "sha256": _digest(new),
            }
            new.replace(cache / _FILE)
            (cache / _NOTE).write_text(json.dumps(note), encoding="utf-8")


def _levels(draws: np.random.Generator, n: int, m: int) -> NDArray[np.int32]:
    """Draw on how many levels each row is: on one more with probability 1/M (HNSW)."""
    level = np.floor(-np.log(1.0 - draws.random(n)) / np.log(m))
    levels: NDArray[np.int32] = (1 + np.minimum(level, _HIGHEST - 1)).astype(np.int32)
    return levels


def _prefix(embeddings: NDArray[np.floating], end: int, state: bytes) -> str:
    digest = hashlib.sha256(state)
    for start in range(0, end, _HASHED_AT_ONCE):
        part = np.ascontiguousarray(embeddings[start : min(start + _HASHED_AT_ONCE, end)])
        digest.update(part.data)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
