"""A file of hnswlib, checked in every part before hnswlib is given it.

hnswlib follows what it reads: a number of rows, a link or a level that is wrong makes it read and
write outside its memory (nmslib/hnswlib#673). The manifest's SHA-256 keeps such a file away as long
as the manifest is honest; these checks do not depend on that.

::

    header      96 bytes, see `_HEADER`
    rows        capacity x (n_links u4, links u4[max_links_0], vector f4[d], label u8)
    upper       for each row: bytes u4, then for each level above 0: n_links u4, links u4[max_links]
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError

# Where level 0 starts, capacity, rows, bytes a row, where in a row its label and its vector are;
# highest level, the row where a search starts; most links of a level, of level 0, M; the scale
# of the levels and ef_construction, which only adding rows asks for.
_HEADER = struct.Struct("=6Q2I3QdQ")
_WORD = np.dtype("<u4")
_MOST_LINKS = 65_535  # hnswlib counts them in 16 bits
_BLOCK = 8_192  # rows compared at once


def check_index_file(path: Path, embeddings: NDArray[np.float32]) -> None:
    """See that a file holds a whole graph over exactly these rows.

    Parameters
    ----------
    path : Path
    embeddings : ndarray of float32, shape (n, d)
        The artifact's vectors; row i must be the vector labelled i.

    Raises
    ------
    ArtifactError
        If anything in the file would lead hnswlib astray, or its rows are others.
    """
    n, dimension = embeddings.shape
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
        size = path.stat().st_size
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); build again.") from error
    if len(header) < _HEADER.size:
        raise ArtifactError(f"{path} is not an index, it has {len(header)} bytes; build again.")
    start, capacity, n_rows, row_bytes, label_at, vector_at, *rest = _HEADER.unpack(header)
    top_level, entry, max_links, max_links_0, m, _, _ = rest
    found = (n_rows, (label_at - vector_at) // np.dtype(np.float32).itemsize)
    if found != (n, dimension):
        raise ArtifactError(
            f"{path} holds {found[0]} rows of dimension {found[1]}, the manifest says {n} of "
            f"dimension {dimension}; build again."
        )
    row = _row_type(max_links_0, dimension) if max_links_0 <= _MOST_LINKS else None
    if (
        row is None
        or (start, capacity, max_links, max_links_0) != (0, n, m, 2 * m)
        or (row_bytes, label_at) != (row.itemsize, row.itemsize - 8)
        or (size - _HEADER.size - n * row.itemsize) % _WORD.itemsize
        or size < _HEADER.size + n * (row.itemsize + _WORD.itemsize)
    ):
        _refuse(path, "its header does not fit its size")
    rows = np.memmap(path, dtype=row, mode="r", offset=_HEADER.size, shape=(n,))
    labels = np.asarray(rows["label"])
    if not np.array_equal(np.sort(labels), np.arange(n, dtype=np.uint64)):
        raise ArtifactError(f"{path} does not hold each of the {n} rows once; build again.")
    _check_vectors(path, rows, labels, embeddings)
    _check_links(path, rows["n_links"], rows["links"], np.ones(n, dtype=bool))
    upper = np.fromfile(path, dtype=_WORD, offset=_HEADER.size + n * row.itemsize)
    levels = _check_upper(path, upper, n, max_links)
    if entry >= n or not levels[entry] == top_level == levels.max():
        _refuse(path, "its search would start at a row that is not on the highest level")


def _row_type(max_links_0: int, dimension: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("n_links", _WORD),
            ("links", _WORD, (max_links_0,)),
            ("vector", "<f4", (dimension,)),
            ("label", "<u8"),
        ]
    )


def _check_vectors(
    path: Path,
    rows: NDArray[Any],
    labels: NDArray[np.uint64],
    embeddings: NDArray[np.float32],
) -> None:
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        if not np.array_equal(rows["vector"][block], embeddings[labels[block]]):
            _refuse(path, "its vectors are not those of the artifact's embeddings")


def _check_upper(path: Path, words: NDArray[Any], n: int, max_links: int) -> NDArray[np.int64]:
    """Check the levels above 0 and return the highest level of each row."""
    width = 1 + max_links  # words of one level of one row
    levels = np.zeros(n, dtype=np.int64)
    listed = words.tolist()
    places: list[int] = []
    at = 0
    for row in range(n):
        n_bytes = listed[at] if at < len(listed) else -1
        levels[row], left = divmod(n_bytes, width * _WORD.itemsize)
        if n_bytes < 0 or left or at + 1 + n_bytes // _WORD.itemsize > len(listed):
            _refuse(path, "it is cut off or has bytes to spare")
        places += [at + 1 + level * width for level in range(levels[row])]
        at += 1 + n_bytes // _WORD.itemsize
    if at != len(listed):
        _refuse(path, "it is cut off or has bytes to spare")
    if places:
        level = np.concatenate([np.arange(1, top + 1) for top in levels[levels > 0]])
        blocks = words[np.array(places)[:, None] + np.arange(width)]
        for this in range(1, int(levels.max()) + 1):
            on_it = blocks[level == this]
            _check_links(path, on_it[:, 0], on_it[:, 1:], levels >= this)
    return levels


def _check_links(
    path: Path, n_links: NDArray[Any], links: NDArray[Any], reachable: NDArray[np.bool_]
) -> None:
    """See that every link leads to a row that is there, and on that level."""
    if (n_links > links.shape[1]).any():
        _refuse(path, "a row has more links than there is room for")
    used = links[np.arange(links.shape[1]) < n_links[:, None]]
    if (used >= len(reachable)).any() or not reachable[used].all():
        _refuse(path, "a link leads to a row that is not there")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ArtifactError(f"{path} is not an index that hnswlib reads ({reason}); build again.")
