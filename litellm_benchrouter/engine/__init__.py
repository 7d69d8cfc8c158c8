"""Where independent pieces of a build or an evaluation are worked on: here, or on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from litellm_benchrouter.embedders.base import Embedder
from litellm_benchrouter.embedders.cache import in_order
from litellm_benchrouter.engine.cluster import settle_environment
from litellm_benchrouter.errors import ConfigError, EngineError

__all__ = ["LOCAL", "Engine", "EngineName", "LocalEngine", "open_engine"]

EngineName = Literal["local", "ray"]

P = TypeVar("P")
R = TypeVar("R")


class Engine(Protocol):
    """Works on pieces that do not depend on each other; the results are the same bytes in each."""

    def map(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """Apply a function to pieces, each on one thread; the results come in their order.

        The function may be copied to another process, once, with what it holds; arrays are
        read-only there. Raises what it raises, or `EngineError` where the pieces cannot be worked
        on.
        """
        ...

    def read(self, function: Callable[[P], R], pieces: Sequence[P], /) -> Iterator[R]:
        """Apply a function that reads files, as `map` does, on the machine of the command.

        Another machine may have other files under the same names, or none.
        """
        ...

    def embed(
        self, embedder: Embedder, batches: Sequence[Sequence[str]], /
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Embed batches of texts; yields the number and the vectors of each, in any order."""
        ...


class LocalEngine:
    """Works on pieces in this process, in the order in which results are asked for."""

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


LOCAL = LocalEngine()


@contextmanager
def open_engine(name: EngineName, ray_address: str | None = None) -> Iterator[Engine]:
    """Open an engine; what it started is ended with the context.

    The address is that of a cluster that runs: `HOST:PORT`, or `auto` for the one of this machine;
    default: what the variable RAY_ADDRESS says, or a cluster of its own here. Raises ConfigError
    for an address that the engine cannot use, and EngineError where Ray is not installed or the
    cluster does not answer.
    """
    if name == "local":
        if ray_address is not None:
            raise ConfigError(
                f"the Ray address {ray_address} is given, and the engine is local; add "
                f"`--engine ray`, or leave the address out."
            )
        yield LOCAL
        return
    settle_environment(ray_address)
    try:
        from litellm_benchrouter.engine.ray import RayEngine
    except ModuleNotFoundError as error:
        raise EngineError(
            f"the engine ray needs {error.name}, which is not installed; run "
            f'pip install "litellm-benchrouter[ray]", or take the engine local.'
        ) from error
    # Ray tells of workers that die on standard output, where programs read our JSON.
    with redirect_stdout(sys.stderr), RayEngine(ray_address) as engine:
        yield engine
