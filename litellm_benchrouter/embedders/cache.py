"""Vectors kept on disk, so that the next build embeds only the texts it has not seen."""

from __future__ import annotations

import hashlib
import logging
import math
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.conversation.ask import prompt_text
from litellm_benchrouter.embedders.base import Embedder, Progress
from litellm_benchrouter.embedders.hosted import HostedEmbedder
from litellm_benchrouter.errors import EmbedderError

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_IN_MEMORY = 256_000_000  # bytes
_BATCH = 256  # texts between commits: what a killed build loses at most
_UNKEPT_BATCH = 2_048  # texts embedded elsewhere at a time where nothing is kept
_CODES_OF_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (text_sha256 BLOB PRIMARY KEY, vector BLOB NOT NULL)"


EmbedBatches = Callable[
    [Embedder, Sequence[Sequence[str]]], Iterable[tuple[int, NDArray[np.float32]]]
]
"""Embeds batches of texts; gives the number and the vectors of each, in any order."""


def allocate_vectors(n: int, dimension: int, folder: Path | None) -> NDArray[np.float32]:
    """Return zeros; above 256 MB in a file of the folder without a name, gone with the process."""
    shape = (n, dimension)
    if folder is None or 4 * n * dimension <= _IN_MEMORY:
        return np.zeros(shape, dtype=np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def in_order(
    embedder: Embedder, batches: Sequence[Sequence[str]]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Embed batch by batch, here."""
    for number, batch in enumerate(batches):
        yield number, embedder.embed(batch)


def embed_with_cache(
    embedder: Embedder,
    texts: Sequence[str],
    cache: Path | None,
    progress: Progress | None = None,
    embed: EmbedBatches | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Embed n texts, taking from a cache on disk what it holds and adding what it does not.

    One SQLite file per embedder, named by the fingerprint's first 16 digits, holds the SHA-256 of
    each text and its vector as little-endian float32, and no text. Batches are committed as they
    are embedded, so a build that is killed goes on where it stopped. A damaged file is set aside
    under another name with a warning, and a new one begun. Without a folder, or of an embedder that
    is not `cacheable`, nothing is kept.

    Of a prompt that is embedded which would be of a request. `embed` embeds batches in this
    process's stead; the cache is written by this one alone. Returns the vectors, as
    `Embedder.embed` does, and how many texts had to be embedded; equal texts count once where there
    is a cache. Raises EmbedderError.
    """
    texts = [prompt_text(text) for text in texts]
    advance = progress or (lambda _: None)
    if cache is None or not embedder.cacheable:
        if embed is None:
            return embedder.embed(texts, progress=progress), len(texts)
        return _unkept(embedder, texts, advance, embed), len(texts)
    rows: dict[bytes, list[int]] = {}
    for row, text in enumerate(texts):
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        rows.setdefault(key, []).append(row)

    vectors = allocate_vectors(len(texts), embedder.dimension, cache)
    file = _CacheFile(cache / f"{str(embedder.identity()['fingerprint'])[:16]}.sqlite")
    cached = file.read(rows, embedder.dimension)
    for key, vector in cached.items():
        vectors[rows[key]] = vector
    advance(sum(len(rows[key]) for key in cached))

    missing = [key for key in rows if key not in cached]
    # What was paid for is kept at once.
    size = embedder.batch_size if isinstance(embedder, HostedEmbedder) else _BATCH
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    to_embed = [[texts[rows[key][0]] for key in batch] for batch in batches]
    for number, embedded in (embed or in_order)(embedder, to_embed):
        batch = batches[number]
        file.write(batch, embedded)
        for key, vector in zip(batch, embedded, strict=True):
            vectors[rows[key]] = vector
        advance(sum(len(rows[key]) for key in batch))
    return vectors, len(missing)


def _unkept(
    embedder: Embedder, texts: Sequence[str], advance: Progress, embed: EmbedBatches
) -> NDArray[np.float32]:
    vectors = np.zeros((len(texts), embedder.dimension), dtype=np.float32)
    starts = range(0, len(texts), _UNKEPT_BATCH)
    for number, embedded in embed(
        embedder, [texts[start : start + _UNKEPT_BATCH] for start in starts]
    ):
        vectors[starts[number] : starts[number] + len(embedded)] = embedded
        advance(len(embedded))
    return vectors


class _CacheFile:
    """One file of vectors; a new one takes its place as soon as it proves damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, keys: Iterable[bytes], dimension: int) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of the keys that are there."""

        def select(connection: sqlite3.Connection) -> dict[bytes, NDArray[np.float32]]:
            vectors = {}
            for key in keys:
                row = connection.execute(
                    "SELECT vector FROM vectors WHERE text_sha256 = ?", (key,)
                ).fetchone()
                vector = None if row is None else _sound_vector(row[0], dimension)
                if vector is not None:
                    vectors[key] = vector
            return vectors

        return self._run(select)

    def write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Add vectors in one transaction."""
        rows = [
            (key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True)
        ]

        def insert(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

        self._run(insert)

    def _run(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            try:
                return self._connected(action)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _CODES_OF_DAMAGE:
                    raise
                aside = self._set_aside()
                _log.warning(
                    "the embedding cache %s is damaged (%s): it is now %s, and a new one begins",
                    self.path,
                    error,
                    aside.name,
                )
                return self._connected(action)
        except (OSError, sqlite3.Error) as error:
            raise EmbedderError(
                f"the embedding cache {self.path} cannot be used ({error}); make its folder "
                f"writable with space left, or set benchrouter.embedder.cache to false."
            ) from error

    def _connected(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Seconds to wait for another process's transaction.
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            connection.execute(_SCHEMA)
            return action(connection)

    def _set_aside(self) -> Path:
        number = 1
        while (aside := self.path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        # A journal left by the damaged file must not be played into its successor.
        self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
        return self.path.rename(aside)


def _sound_vector(blob: object, dimension: int) -> NDArray[np.float32] | None:
    """Return a stored vector if its length is 1 or 0: SQLite does not notice damage in a value."""
    if not isinstance(blob, bytes) or len(blob) != 4 * dimension:
        return None
    vector: NDArray[np.float32] = np.frombuffer(blob, dtype="<f4")
    with np.errstate(all="ignore"):
        length = float(np.linalg.norm(vector))
    return vector if length == 0 or math.isclose(length, 1, abs_tol=1e-3) else None
