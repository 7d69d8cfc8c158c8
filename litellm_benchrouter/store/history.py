"""`HISTORY`: which version was published when, one line a publication, only ever appended to.

::

    2026-03-01T02:00:07.412+00:00 3f9a51c07be2d684 build

A line that cannot be read, as after a loss of power, is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from litellm_benchrouter.artifact.manifest import VERSION_ID


class How(StrEnum):
    """What made a version the one that serves."""

    BUILD = "build"
    PUBLISH = "publish"
    ROLLBACK = "rollback"
    FOUND = "found"
    """It served already, and no line said so."""


@dataclass(frozen=True)
class Publication:
    """One version became the one that serves."""

    at: datetime
    version: str
    how: How


def publication(version: str, how: How) -> Publication:
    """Return what happens now."""
    return Publication(datetime.now(UTC), version, how)


def to_record(
    history: Sequence[Publication], served: str | None, version: str, how: How
) -> list[Publication]:
    """Return what is to be appended when a version takes over from `served`."""
    known = not_undone(history)[-1:]
    found = [] if served is None or [served] == known else [publication(served, How.FOUND)]
    return [*found, publication(version, how)]


def parse_history(content: bytes) -> list[Publication]:
    """Return the publications that `HISTORY` holds, oldest first."""
    lines = content.decode("ascii", errors="replace").split("\n")
    return [found for line in lines if (found := _parsed(line)) is not None]


def as_lines(publications: Sequence[Publication]) -> bytes:
    """Return publications as `HISTORY` holds them."""
    return "".join(
        f"{each.at.isoformat(timespec='milliseconds')} {each.version} {each.how}\n"
        for each in publications
    ).encode("ascii")


def read_history(path: Path) -> list[Publication]:
    """Return all publications, oldest first; none where there is no file.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    try:
        return parse_history(path.read_bytes())
    except FileNotFoundError:
        return []


def append_history(path: Path, *publications: Publication) -> None:
    """Add lines, with one write, and flush them to disk.

    Raises
    ------
    OSError
        If they could not be written whole.
    """
    lines = as_lines(publications)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # the end of a line was lost
            lines = b"\n" + lines
        written = os.write(descriptor, lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if written != len(lines):
        raise OSError(f"{written} of {len(lines)} bytes of {path.name} could be written")


def not_undone(history: Sequence[Publication]) -> list[str]:
    """Return the versions that were published and not rolled back since, oldest first.

    A rollback undoes the last publication that was not undone yet: the last of the list serves,
    and the one before it is what the next rollback returns to.
    """
    kept: list[str] = []
    for each in history:
        if each.how is How.ROLLBACK and each.version in kept:
            while kept[-1] != each.version:
                kept.pop()
        elif not kept or kept[-1] != each.version:
            kept.append(each.version)
    return kept


def _parsed(line: str) -> Publication | None:
    try:
        at, version, how = line.split(" ")
        found = Publication(datetime.fromisoformat(at), version, How(how))
    except ValueError:
        return None
    return found if found.at.tzinfo and VERSION_ID.fullmatch(version) else None
