"""One piece after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from litellm_benchrouter.embedders.base import Embedder
from litellm_benchrouter.embedders.cache import in_order

P = TypeVar("P")
R = TypeVar("R")


class LocalEngine:
    """Works on pieces in the order in which their results are asked for; see `Engine`."""

    def map(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """See `Engine.map`."""
        libraries = ThreadpoolController()
        for piece in pieces:
            with libraries.limit(limits=1):  # or the last bits depend on the number of cores
                result = function(piece)
            yield result

    def read(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """See `Engine.read`."""
        return self.map(function, pieces)

    def embed(
        self, embedder: Embedder, batches: Sequence[Sequence[str]], /
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See `Engine.embed`."""
        return in_order(embedder, batches)
