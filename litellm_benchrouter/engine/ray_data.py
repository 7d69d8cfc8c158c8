"""Reading and embedding by Ray Data: a row a piece goes to the workers, and comes back worked on.

Ray Data works ahead as far as its part of the object store holds the results. What a worker had
that died it does again, without end, so that we count how often each row was begun.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray

from litellm_benchrouter.embedders.base import Embedder
from litellm_benchrouter.engine.failures import RETRIES, Failed, failures, gave_up, result, work

P = TypeVar("P")
R = TypeVar("R")

_MOST_BLOCKS = 1_000
_SHARE = 0.001  # of a resource that a machine has one of


def read(function: Callable[[P], R], pieces: Sequence[P], here: str) -> Iterator[R]:
    """See `Engine.read`.

    Parameters
    ----------
    function : callable
    pieces : sequence
    here : str
        The resource that this machine alone has.
    """
    for _, of_piece in _mapped(partial(_read, function), pieces, resources={here: _SHARE}):
        yield of_piece


def embed(
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
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # importing it has set another
    with failures():
        counting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        begun = ray.remote(_Begun).options(**counting).remote(RETRIES + 1)
        rows = [{"number": n, "piece": _Whole(piece)} for n, piece in enumerate(pieces)]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        mapped = data.map(partial(function, begun), num_cpus=1, **options)
        mapped.context.execution_options.preserve_order = True
        mapped.context.enable_progress_bars = False  # ours is shown
        with contextlib.closing(iter(mapped.iter_rows())) as found:  # or it goes on after an error
            for row in found:
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
        found = work(function, row["piece"].value)
    else:
        found = Failed(gave_up("one worker after the other died over the same piece of work"))
    return {"number": row["number"], "result": _Whole(found)}


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
