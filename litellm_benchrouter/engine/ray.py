"""Pieces worked on by the workers of a Ray cluster: the user's, or one for this command alone.

Ray's tasks are tried again where a worker dies, and their results do not depend on who works on
them, so that changes nothing. Only this process writes caches and artifacts.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.embedders.cache import in_order
from litellm_benchrouter.embedders.hosted import HostedEmbedder
from litellm_benchrouter.embedders.protocol import Embedder
from litellm_benchrouter.engine.cluster import (
    check_workers,
    connect,
    cpus,
    node_of_this_process,
)
from litellm_benchrouter.engine.local import LocalEngine
from litellm_benchrouter.errors import BenchRouterError, EngineError

P = TypeVar("P")
R = TypeVar("R")

_RETRIES = 10  # of a piece whose worker died
_AHEAD = 4  # pieces a processor that are handed out before the first result is taken


@dataclass(frozen=True)
class _Failed:
    """What a function raised on purpose; Ray would wrap it in a traceback."""

    error: BenchRouterError


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
            self._here = node_of_this_process()
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

    def map(
        self, function: Callable[[P], R], pieces: Sequence[P], /, *, reads_files: bool = False
    ) -> Iterator[R]:
        """See `Engine.map`; a single piece is worked on here."""
        if len(pieces) < 2:
            yield from self._local.map(function, pieces)
            return
        # Another machine may have other files under the same names.
        where = self._here if reads_files else "DEFAULT"
        work = ray.remote(_work).options(
            num_cpus=1, max_retries=_RETRIES, scheduling_strategy=where
        )
        waiting: deque[Any] = deque()
        with _failures():
            shared = ray.put(function)  # once, with the arrays that it holds
            ahead = max(2, int(_AHEAD * cpus()))
        try:
            for piece in pieces:
                waiting.append(work.remote(shared, piece))
                if len(waiting) >= ahead:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for left in waiting:
                with contextlib.suppress(Exception):  # of what nobody waits for any more
                    ray.cancel(left)

    def embed(
        self, embedder: Embedder, batches: Sequence[Sequence[str]], /
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See `Engine.embed`; hosted embedders are asked from here, within their rate limits."""
        if isinstance(embedder, HostedEmbedder) or len(batches) < 2:
            yield from in_order(embedder, batches)
            return
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # importing it has set another
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # ours is shown
        with _failures():
            stored = ray.put(_as_files(embedder))
            # Bytes, as Arrow's text has no lone surrogates.
            rows = [
                {
                    "number": number,
                    "texts": [text.encode("utf-8", "surrogatepass") for text in texts],
                }
                for number, texts in enumerate(batches)
            ]
            data = ray.data.from_items(rows, override_num_blocks=min(len(rows), 1_000))
            embedded = data.map(partial(_embedded, [stored]), num_cpus=1)
            for row in embedded.iter_rows():
                if row["error"]:
                    raise EngineError(row["error"])
                vectors = np.frombuffer(row["vectors"], dtype="<f4")
                yield int(row["number"]), vectors.reshape(-1, embedder.dimension)


def _work(function: Callable[[P], R], piece: P) -> R | _Failed:
    try:
        with threadpool_limits(limits=1):  # as `LocalEngine` does
            return function(piece)
    except BenchRouterError as error:
        return _Failed(error)


def _result(waited_for: Any) -> Any:
    with _failures():
        result = ray.get(waited_for)
    if isinstance(result, _Failed):
        raise result.error
    return result


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Say in a sentence what the cluster did not manage; a bug of ours keeps its traceback."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from error
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"the Ray cluster gave up ({_first_line(error)}); see its logs, or run the command "
            f"again with --engine local."
        ) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line), type(error).__name__)


@dataclass(frozen=True)
class _EmbedderFiles:
    """An embedder as an artifact holds it, which every one of them can be loaded from."""

    identity: dict[str, object]
    files: dict[str, bytes]


def _as_files(embedder: Embedder) -> _EmbedderFiles:
    with TemporaryDirectory(prefix="benchrouter-") as name:
        folder = Path(name)
        embedder.save(folder)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return _EmbedderFiles(embedder.identity(), files)


_loaded: dict[str, Embedder] = {}  # in a worker: by fingerprint


def _embedded(stored: list[Any], row: dict[str, Any]) -> dict[str, Any]:
    texts = [bytes(text).decode("utf-8", "surrogatepass") for text in row["texts"]]
    try:
        embedder = _embedder(ray.get(stored[0]))
        with threadpool_limits(limits=1):
            vectors = embedder.embed(texts)
    except BenchRouterError as error:
        return {"number": row["number"], "vectors": b"", "error": str(error)}
    return {
        "number": row["number"],
        "vectors": vectors.astype("<f4", copy=False).tobytes(),
        "error": "",
    }


def _embedder(stored: _EmbedderFiles) -> Embedder:
    from litellm_benchrouter.embedders import load_embedder

    fingerprint = str(stored.identity["fingerprint"])
    if fingerprint not in _loaded:
        _loaded.clear()
        with TemporaryDirectory(prefix="benchrouter-") as name:
            folder = Path(name)
            for file, content in stored.files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(content)
            _loaded[fingerprint] = load_embedder(stored.identity, folder)
    return _loaded[fingerprint]
