"""Copies here of results behind a URL; what has not changed is not downloaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from litellm_benchrouter.config.base import copy_path, is_url
from litellm_benchrouter.errors import FetchError, SourceError
from litellm_benchrouter.progress import Progress, bars
from litellm_benchrouter.store.remote import Remote
from litellm_benchrouter.store.secrets import without_password

_STATE = ".copies.json"
_UNSTATED = 1 << 30  # bytes for which there is time where a server does not say how many come


def copy_here(url: str, options: Mapping[str, Any], path: Path, progress: Progress) -> None:
    """Copy what is behind a URL to a path, of a pattern to the folder of the path.

    Parameters
    ----------
    url : str
        A file's, a folder's or a pattern's; a web server's is one file.
    options : mapping of str to object
        Of fsspec's file system; a web server and the hub take none.
    path : Path
        What `copy_path` returns for the URL. Its folder is for these copies alone.
    progress : Progress or ProgressBars

    Raises
    ------
    ConfigError
        If a library is lacking or an option is wrong.
    StoreUnavailableError
        If the server does not answer.
    SourceError
        If nothing is there.
    FetchError
        If a copy cannot be written.
    """
    place, _, name = url.rstrip("/").rpartition("/")
    shown = without_password(url)
    if place.endswith(":/"):
        raise SourceError(f"{shown}: names no file, folder or pattern below it. Name one.")
    remote = Remote(place, {} if url.startswith(("http://", "https://", "hf://")) else options)
    there = remote.listing(name)
    targets = {each: _target(path, each if each != name else path.name) for each in there}
    if not targets:
        raise SourceError(f"{shown}: nothing is there. Name a file, a folder or a pattern.")
    folder, state = path.parent, path.parent / _STATE
    tags = _read(state)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # results hold prompts
        for file in {*folder.rglob("*")} - {state, *targets.values()}:
            if not file.is_dir():  # gone there, or left by a command that was killed
                file.unlink()
        with (
            _written(state, tags),
            progress.stage(f"copying {shown}", len(targets)) as advance,
        ):
            for each, target in targets.items():
                size, tag = there[each]
                local = str(target.relative_to(folder))
                if not tag or tags.get(local) != tag or not target.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    partial = target.with_name(f".{target.name}.part")
                    if not remote.download(each, partial, size or _UNSTATED):
                        raise SourceError(f"{shown}: {each} is gone. Run the command again.")
                    partial.replace(target)
                    tags[local] = tag
                advance(1)
    except OSError as error:
        raise FetchError(f"{folder}: cannot be written ({error.strerror}).") from error


@contextmanager
def here(place: str) -> Iterator[Path]:
    """Yield a path for a path, or for a URL that of a copy for the time being; as `copy_here`."""
    if not is_url(place):
        yield Path(place)
        return
    with TemporaryDirectory() as folder:
        path = copy_path(place, Path(folder))
        with bars() as progress:
            copy_here(place, {}, path, progress)
        yield path


def _target(path: Path, name: str) -> Path:
    """Return where an object goes; its name comes from a server, and must lead nowhere else."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\0" in name or parts == (_STATE,):
        raise SourceError(f"an object is named {name!r}, which is no place for a copy of it.")
    return path.parent.joinpath(*parts)


@contextmanager
def _written(state: Path, tags: Mapping[str, str]) -> Iterator[None]:
    """Write the tags of the copies that are there at the end, whatever ends it."""
    try:
        yield
    finally:
        state.write_text(json.dumps(tags))


def _read(state: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        stored = json.loads(state.read_bytes())
        return stored if isinstance(stored, dict) else {}
    return {}
