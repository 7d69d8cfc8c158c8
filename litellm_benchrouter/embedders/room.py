"""Room for the vectors of a benchmark: on disk where they are many, so that memory stays free."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_IN_MEMORY = 256_000_000  # bytes


def room_for(n: int, dimension: int, folder: Path | None) -> NDArray[np.float32]:
    """Return zeros; above 256 MB in a file without a name, which ends with the process.

    Parameters
    ----------
    n, dimension : int
    folder : Path or None
        Where the file would be; None for memory.

    Returns
    -------
    ndarray of float32, shape (n, dimension)
    """
    shape = (n, dimension)
    if folder is None or 4 * n * dimension <= _IN_MEMORY:
        return np.zeros(shape, dtype=np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
