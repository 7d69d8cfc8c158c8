"""What the rest of the package asks of an embedder: text in, unit vectors out, and who it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int], None]
"""Called with the number of texts finished since the last call."""


class Embedder(Protocol):
    """Turns texts into vectors; cosine similarity between them is what routing works with.

    An embedder is ready when it exists: whatever must be trained or downloaded is done by the
    constructor or by a class method that returns it. Embedders keep no state between calls, and
    `embed` may be called from several threads at once.

    Attributes
    ----------
    kind : str
        The name in the configuration and in the manifest.
    cacheable : bool
        Whether a text's vector depends on the text and the fingerprint alone over many builds, so
        that keeping it on disk pays. False for an embedder that is fitted anew by each build.
    dimension : int
    """

    @property
    def kind(self) -> str: ...

    @property
    def cacheable(self) -> bool: ...

    @property
    def dimension(self) -> int: ...

    def embed(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed texts of any length and content; lone surrogates and NULs are not an error.

        Parameters
        ----------
        texts : sequence of str, length n
        progress : callable, optional
            Called with the number of texts finished since its last call.

        Returns
        -------
        ndarray of float32, shape (n, dimension)
            Each row has unit length, or is all zeros where the text holds nothing that the
            embedder knows. A zero row means "no text": it has no direction and thus no neighbours,
            and callers answer with what they do for an empty prompt.

        Raises
        ------
        EmbedderError
            If the embedder fails.
        """
        ...

    def identity(self) -> dict[str, object]:
        """Say who this is, in values that JSON can hold, for the manifest.

        Returns
        -------
        dict
            `kind`, `dimension`, the parameters, and `fingerprint`: 64 hexadecimal digits that
            change whenever the vectors would.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_embedder` needs besides the identity; same embedder, same bytes."""
        ...
