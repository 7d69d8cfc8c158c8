"""Pieces worked on by the workers of a Ray cluster: the user's, or one for this command alone.

Reading and embedding go through Ray Data, everything else is Ray's tasks. Both are tried again
where a worker dies, and results do not depend on who works on them, so that changes nothing. Only
this process writes caches and artifacts.

Ray Data works ahead as far as its part of the object store holds the results. What a worker had
that died it does again, without end, so that we count how often each row was begun.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque
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

from litellm_benchrouter.embedders.base import Embedder
from litellm_benchrouter.embedders.cache import in_order
from litellm_benchrouter.embedders.hosted import HostedEmbedder
from litellm_benchrouter.engine import LocalEngine
from litellm_benchrouter.engine.cluster import (
    check_workers,
    connect,
    cpus,
    resource_of_this_machine,
)
from litellm_benchrouter.errors import BenchRouterError, EngineError

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 10
"""Of a piece whose worker died."""

_AHEAD = 4  # pieces a processor that are handed out before the first result is taken
_MOST_BLOCKS = 1_000
_SHARE = 0.001  # of a resource that a machine has one of


@dataclass(frozen=True)
class Failed:
    """What a function raised on purpose; Ray would wrap it in a traceback."""

    error: BenchRouterError


def work(function: Callable[[P], R], piece: P) -> R | Failed:
    """Work on a piece, in a worker, as `LocalEngine` does: on one thread."""
    try:
        with threadpool_limits(limits=1):
            return function(piece)
    except BenchRouterError as error:
        return Failed(error)


def result(worked: Any) -> Any:
    """Return what `work` returned, or raise what the function raised."""
    if isinstance(worked, Failed):
        raise worked.error
    return worked


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Say in a sentence what the cluster did not manage; a bug of ours keeps its traceback."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from error
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line]
        raise gave_up(lines[0] if lines else type(error).__name__) from error


def gave_up(why: str) -> EngineError:
    """Return the error for what a cluster did not manage."""
    return EngineError(
        f"the Ray cluster gave up ({why}); see its logs, or run the command again with "
        f"--engine local."
    )


def _read_there(function: Callable[[P], R], pieces: Sequence[P], here: str) -> Iterator[R]:
    """Read by workers of the machine that alone has the resource `here`."""
    for _, of_piece in _mapped(partial(_read, function), pieces, resources={here: _SHARE}):
        yield of_piece


def _embed_there(
    embedder: Embedder, batches: Sequence[Sequence[str]]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """See `Engine.embed`."""
    with failures():
        stored = ray.put(_as_files(embedder))
    # In a list, as Ray would fetch it for each row.
    yield from _mapped(partial(_embed, [stored]), batches)


@dataclass(frozen=True)
class _Whole:
    """A value that Ray Data carries as it is; of others it makes columns with types of its own."""

    value: Any


def _mapped(
    function: Callable[[Any, dict[str, Any]], dict[str, Any]], pieces: Sequence[Any], **options: Any
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each piece and what became of it, in the order of the pieces."""
    import ray.data  # heavy, and most commands have nothing for it

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # importing it has set another
    with failures():
        counting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        begun = ray.remote(_Begun).options(**counting).remote(RETRIES + 1)
        rows = [{"number": n, "piece": _Whole(piece)} for n, piece in enumerate(pieces)]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        mapped = data.map(partial(function, begun), num_cpus=1, **options)
        mapped.context.execution_options.preserve_order = True
        mapped.context.enable_progress_bars = False  # ours is shown
        with contextlib.closing(
            iter(mapped.iter_rows())
        ) as results:  # or it goes on after an error
            for row in results:
                yield int(row["number"]), result(row["result"].value)


class _Begun:
    """Counts how often workers began each row; lives in the cluster while rows are worked on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: Counter[int] = Counter()

    def once_more(self, number: int) -> bool:
        """Note a beginning; return whether there may be so many."""
        self._times[number] += 1
        return self._times[number] <= self._most


def _worked(begun: Any, function: Callable[[P], R], row: dict[str, Any]) -> dict[str, Any]:
    if ray.get(begun.once_more.remote(row["number"])):
        result = work(function, row["piece"].value)
    else:
        result = Failed(gave_up("one worker after the other died over the same piece of work"))
    return {"number": row["number"], "result": _Whole(result)}


# Two names, as Ray's dashboard and its logs call the work by them.


def _read(function: Callable[[Any], Any], begun: Any, row: dict[str, Any]) -> dict[str, Any]:
    return _worked(begun, function, row)


def _embed(stored: list[Any], begun: Any, row: dict[str, Any]) -> dict[str, Any]:
    return _worked(begun, partial(_vectors, stored), row)


def _vectors(stored: list[Any], texts: Sequence[str]) -> NDArray[np.float32]:
    return _embedder(ray.get(stored[0])).embed(texts)


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


class RayEngine:
    """Hands pieces to a cluster's workers; see `Engine`. A context: it ends what it started."""

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
        return _read_there(function, pieces, self._here)

    def embed(
        self, embedder: Embedder, batches: Sequence[Sequence[str]], /
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """See `Engine.embed`; hosted embedders are asked from here, within their rate limits."""
        if isinstance(embedder, HostedEmbedder) or len(batches) < 2:
            return in_order(embedder, batches)
        return _embed_there(embedder, batches)


def _result(waited_for: Any) -> Any:
    with failures():
        value = ray.get(waited_for)
    return result(value)
