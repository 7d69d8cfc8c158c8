"""A file of faiss, checked before faiss is given it.

faiss reads what a file says and follows its links without asking; the manifest's SHA-256 keeps a
crafted one away as long as the manifest is honest, and these checks do not depend on that. The
graph of n rows on levels of m links (2 m on the lowest), then the vectors it is searched by::

    "IHNs"   header
             f8 probability of each level, i4 links up to each level
             i4 levels[n], u8 first_link[n + 1], i4 links[...], where -1 is no link
             i4 start, highest level, ef_construction, ef, one
    "IxSQ"   header
             i4 kind, i4, f4, u8 d, u8 bytes of a code
             f4 ranges[...], u1 codes[n, bytes of a code]

A list is its length in 8 bytes and its values. A header is d, n, two fillers, whether it is
trained, and the metric.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError

_HEADER = struct.Struct("<i3q?i")
_SEARCH = struct.Struct("<5i")
_CODES = struct.Struct("<iifQQ")
_INNER_PRODUCT = 0
_MOST_LEVELS = 64
_BYTES = {0: 1, 3: 2}  # of a number, by kind of code: 8 bits, float16
_RANGES = {0: 2, 3: 0}  # numbers for each dimension
_BLOCK = 65_536  # nodes checked at once
_COMPARED = 1_000  # rows, evenly spread, whose codes are held against the vectors
_TOLERANCE = 0.05  # of a unit vector's length, far above what 8 bits cost


@dataclass
class _Reader:
    path: Path
    content: NDArray[np.uint8]
    at: int = 0

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        if self.at + form.size > len(self.content):
            _refuse(self.path, "it is cut off")
        values = form.unpack(self.content[self.at : self.at + form.size].tobytes())
        self.at += form.size
        return values

    def word(self, wanted: bytes) -> None:
        if self.content[self.at : self.at + 4].tobytes() != wanted:
            _refuse(self.path, f"it does not say {wanted.decode()} where it must")
        self.at += 4

    def values(self, dtype: str, wanted: int | None = None) -> NDArray[Any]:
        (length,) = self.take(struct.Struct("<Q"))
        size = np.dtype(dtype).itemsize
        if length > (len(self.content) - self.at) // size:
            _refuse(self.path, "it is cut off")
        if wanted is not None and length != wanted:
            _refuse(self.path, f"a list has {length} values, not {wanted}")
        found: NDArray[Any] = np.ndarray((length,), dtype, self.content, self.at)
        self.at += length * size
        return found


def check_faiss_file(path: Path, rows: NDArray[np.int32], embeddings: NDArray[np.floating]) -> None:
    """See that a file holds a whole graph over exactly these rows.

    Parameters
    ----------
    path : Path
    rows : ndarray of int32, shape (n,)
        The row of each node.
    embeddings : ndarray of float32 or float16, shape (n, d)
        The artifact's vectors.

    Raises
    ------
    ArtifactError
        If anything in the file would lead faiss astray, or its rows are others.
    """
    n, dimension = embeddings.shape
    try:
        reader = _Reader(path, np.memmap(path, dtype=np.uint8, mode="r"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build again.") from error
    reader.word(b"IHNs")
    _check_header(path, reader.take(_HEADER), n, dimension)
    n_levels = len(reader.values("<f8"))
    upto = reader.values("<i4")
    levels, first = reader.values("<i4", n), reader.values("<u8", n + 1)
    if not 1 <= n_levels <= _MOST_LEVELS or len(upto) <= n_levels or upto[0] != 0:
        _refuse(path, "it has no levels")
    if (np.diff(upto[: n_levels + 1].astype(np.int64)) <= 0).any() or upto[n_levels] > 2**20:
        _refuse(path, "its levels have no links")
    if n and (levels.min() < 1 or levels.max() > n_levels):
        _refuse(path, "a row is on a level that is not there")
    links = reader.values("<i4")
    if first[0] != 0 or first[-1] != len(links):
        _refuse(path, "its links are not those of its rows")
    start, top_level, _, _, _ = reader.take(_SEARCH)
    if not 0 <= start < n or top_level != levels.max() - 1 or levels[start] != levels.max():
        _refuse(path, "its search would start at a row that is not on the highest level")
    _check_links(path, links, first, levels, upto)
    reader.word(b"IxSQ")
    _check_header(path, reader.take(_HEADER), n, dimension)
    kind, _, _, codes_dimension, code_bytes = reader.take(_CODES)
    if kind not in _BYTES or codes_dimension != dimension or code_bytes != dimension * _BYTES[kind]:
        _refuse(path, "its vectors are not of the kind that was built")
    ranges = reader.values("<f4", dimension * _RANGES[kind])
    codes = reader.values("u1", n * code_bytes)
    if reader.at != len(reader.content):
        _refuse(path, "it has bytes to spare")
    _check_codes(path, kind, ranges, codes.reshape(n, code_bytes), rows, embeddings)


def _check_header(path: Path, header: tuple[Any, ...], n: int, dimension: int) -> None:
    d, n_rows, _, _, trained, metric = header
    if (n_rows, d) != (n, dimension):
        raise ArtifactError(
            f"{path} holds {n_rows} rows of dimension {d}, the manifest says {n} of dimension "
            f"{dimension}; build again."
        )
    if not trained or metric != _INNER_PRODUCT:
        _refuse(path, "its header does not fit")


def _check_links(
    path: Path,
    links: NDArray[np.int32],
    first: NDArray[np.uint64],
    levels: NDArray[np.int32],
    upto: NDArray[np.int32],
) -> None:
    """See that each row has its links, and that these lead to rows of that level."""
    n = len(levels)
    for start in range(0, n, _BLOCK):
        end = min(start + _BLOCK, n)
        counts = upto[levels[start:end]].astype(np.uint64)
        if not np.array_equal(np.diff(first[start : end + 1]), counts):
            _refuse(path, "its links are not those of its rows")
        part = links[int(first[start]) : int(first[end])]
        if len(part) and (part.min() < -1 or part.max() >= n):
            _refuse(path, "a link leads to a row that is not there")
    # Few rows are on a higher level, so that one after the other is quick enough.
    for level in range(1, int(levels.max())):
        on_it = np.flatnonzero(levels > level)
        places = first[on_it].astype(np.int64)[:, None] + np.arange(upto[level], upto[level + 1])
        used = links[places]
        if (levels[used[used >= 0]] <= level).any():
            _refuse(path, "a link leads to a row that is not on its level")


def _check_codes(
    path: Path,
    kind: int,
    ranges: NDArray[np.float32],
    codes: NDArray[np.uint8],
    rows: NDArray[np.int32],
    embeddings: NDArray[np.floating],
) -> None:
    if not np.isfinite(ranges).all():
        _refuse(path, "the ranges of its vectors are not finite")
    nodes = np.unique(np.linspace(0, len(rows) - 1, _COMPARED).round().astype(np.int64))
    wanted = embeddings[rows[nodes]].astype(np.float32)
    if kind == 0:
        low, width = ranges.reshape(2, -1)
        vectors = low + width * (codes[nodes] + np.float32(0.5)) / np.float32(255)
    else:
        vectors = codes[nodes].view("<f2").astype(np.float32)
    with np.errstate(all="ignore"):
        far = np.linalg.norm(vectors - wanted, axis=1)
    if not (far < _TOLERANCE).all():
        _refuse(path, "its vectors are not those of the artifact's embeddings")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ArtifactError(f"{path} is not an index that faiss reads ({reason}); build again.")
