"""Which prompts of a benchmark embedders are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sample_rows(prompts: Sequence[str], most: int, seed: int) -> tuple[NDArray[np.intp], bytes]:
    """Draw prompts by their hash: a benchmark that grows keeps most of its sample.

    The smaller of two samples is a part of the larger.

    Returns
    -------
    ndarray of int, shape (min(most, n),)
        Ascending.
    bytes
        The hashes of what was drawn, 32 bytes each.
    """
    keys = [
        hashlib.sha256(f"{seed}\n{prompt}".encode("utf-8", "surrogatepass")).digest()
        for prompt in prompts
    ]
    rows = sorted(sorted(range(len(keys)), key=keys.__getitem__)[:most])
    return np.array(rows, dtype=np.intp), b"".join(keys[row] for row in rows)
