"""Pieces worked on by the workers of a Ray cluster: the user's, or one for this command alone.

Reading and embedding go through Ray Data, everything else is Ray's tasks. Both are tried again
where a worker dies, and results do not depend on who works on them, so that changes nothing. Only
this process writes caches and artifacts.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray

from litellm_benchrouter.embedders.base import Embedder
from litellm_benchrouter.embedders.cache import in_order
from litellm_benchrouter.embedders.hosted import HostedEmbedder
from litellm_benchrouter.engine.cluster import (
    check_workers,
    connect,
    cpus,
    resource_of_this_machine,
)
from litellm_benchrouter.engine.failures import RETRIES, failures, result, work
from litellm_benchrouter.engine.local import LocalEngine

P = TypeVar("P")
R = TypeVar("R")

_AHEAD = 4  # pieces a processor that are handed out before the first result is taken


class RayEngine:
    """Hands pieces to the workers of a cluster; see `Engine`. A context: it ends what it started.

    Parameters
    ----------
    address : str, optional
        See `open_engine`.

    Raises
    ------
    ConfigError, EngineError
        See `open_engine`.
    """

    def __init__(self, address: str | None = None) -> None:
        self._local = LocalEngine()
        self._owned = connect(address)
        try:
            check_workers()
            self._here = resource_of_this_machine()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the cluster, and end it where it was started here."""
        self.close()

    def close(self) -> None:
        """Leave the cluster, and end it where it was started here."""
        if self._owned:
            ray.shutdown()

    def map(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """See `Engine.map`; a single piece is worked on here."""
        if len(pieces) < 2:
            yield from self._local.map(function, pieces)
            return
        with_retries = ray.remote(work).options(num_cpus=1, max_retries=RETRIES)
        waiting: deque[Any] = deque()
        with failures():
            shared = ray.put(function)  # once, with the arrays that it holds
            ahead = max(2, int(_AHEAD * cpus()))
        try:
            for piece in pieces:
                waiting.append(with_retries.remote(shared, piece))
                if len(waiting) >= ahead:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for left in waiting:
                with contextlib.suppress(Exception):  # of what nobody waits for any more
                    ray.cancel(left)

    def read(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """See `Engine.read`; here, too, where the cluster has no processors on this machine."""
        if self._here is None or len(pieces) < 2:
            return self._local.read(function, pieces)
        from litellm_benchrouter.engine import ray_data

        return ray_data.read(function, pieces, self._here)

    def embed(
        self, embedder: Embedder, batches: Sequence[Sequence[str]], /
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See `Engine.embed`; hosted embedders are asked from here, within their rate limits."""
        if isinstance(embedder, HostedEmbedder) or len(batches) < 2:
            return in_order(embedder, batches)
        from litellm_benchrouter.engine import ray_data

        return ray_data.embed(embedder, batches)


def _result(waited_for: Any) -> Any:
    with failures():
        found = ray.get(waited_for)
    return result(found)
