"""Vectors that the user brought, without the encoder that made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class PrecomputedEmbedder:
    """Knows no text: every row is zero, so requests go to the best model on average.

    Named tasks are decided all the same, from vectors of their inputs.

    Parameters
    ----------
    dimension : int
        Of the vectors that were given.
    """

    kind = "precomputed"
    cacheable = False

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return zeros of shape (len(texts), dimension)."""
        if progress is not None:
            progress(len(texts))
        return np.zeros((len(texts), self.dimension), dtype=np.float32)

    def identity(self) -> dict[str, object]:
        """Return kind and dimension; there is nothing else to know."""
        return {"kind": self.kind, "dimension": self.dimension, "fingerprint": ""}

    def save(self, folder: Path) -> None:
        """Write nothing."""
