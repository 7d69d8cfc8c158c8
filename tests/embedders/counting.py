"""An embedder that remembers what it was asked to embed, and may kill its process meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders import LexicalEmbedder

FITTED_ON = [f"{word} {other}" for word in "abcdefghij" for other in "klmnopqrst"]
TEXTS = [f"{text} {third}" for text in FITTED_ON for third in "uvwxyzklmn"]  # 1,000 of them


class CountingEmbedder:
    """Lexical vectors; `seen` holds every text that was embedded, in order.

    Parameters
    ----------
    dimensions : int
    calls_to_live : int, optional
        The call after so many kills the process, as the machine's owner might.
    """

    kind = "counting"
    cacheable = True

    def __init__(self, dimensions: int = 16, calls_to_live: int | None = None) -> None:
        self._lexical = LexicalEmbedder.fit(FITTED_ON, dimensions=dimensions)
        self._calls_left = calls_to_live
        self.seen: list[str] = []

    @property
    def dimension(self) -> int:
        return self._lexical.dimension

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        if self._calls_left is not None:
            if self._calls_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._calls_left -= 1
        self.seen.extend(texts)
        return self._lexical.embed(texts, progress=progress)

    def identity(self) -> dict[str, object]:
        return self._lexical.identity() | {"kind": self.kind}

    def save(self, folder: Path) -> None:
        self._lexical.save(folder)
