"""The artifact directory, read: version folders, which of them serves, and which served before.

::

    router_artifacts/
        CURRENT                 the id of the version that serves, one line
        HISTORY                 one line a publication, only ever appended to
        versions/<id>/          complete, verified versions
        versions/.building-*    a build in progress, or what a killed one left behind
        cache/                  embeddings that the next build reuses

A line of HISTORY is `2026-03-01T02:00:07.412+00:00 3f9a51c07be2d684 build`; one that cannot be
read, as after a loss of power, is passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from litellm_benchrouter.artifact.files import differences
from litellm_benchrouter.artifact.manifest import MANIFEST, VERSION_ID, Manifest, read_manifest
from litellm_benchrouter.errors import ArtifactError, VersionError


class How(StrEnum):
    """The command that made a version the one that serves."""

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
    last = not_undone(history)[-1:]
    unrecorded = [] if served is None or [served] == last else [publication(served, How.FOUND)]
    return [*unrecorded, publication(version, how)]


def parse_history(content: bytes) -> list[Publication]:
    """Return the publications that `HISTORY` holds, oldest first."""
    lines = content.decode("ascii", errors="replace").split("\n")
    return [publication for line in lines if (publication := _parsed(line)) is not None]


def as_lines(publications: Sequence[Publication]) -> bytes:
    """Return publications as `HISTORY` holds them."""
    return "".join(
        f"{each.at.isoformat(timespec='milliseconds')} {each.version} {each.how}\n"
        for each in publications
    ).encode("ascii")


def read_history(path: Path) -> list[Publication]:
    """Return all publications, oldest first; none where there is no file."""
    try:
        return parse_history(path.read_bytes())
    except FileNotFoundError:
        return []


def append_history(path: Path, *publications: Publication) -> None:
    """Add lines, with one write, and flush them to disk; raise OSError unless all are there."""
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
    serving: list[str] = []
    for each in history:
        if each.how is How.ROLLBACK and each.version in serving:
            while serving[-1] != each.version:
                serving.pop()
        elif not serving or serving[-1] != each.version:
            serving.append(each.version)
    return serving


def _parsed(line: str) -> Publication | None:
    try:
        at, version, how = line.split(" ")
        line_read = Publication(datetime.fromisoformat(at), version, How(how))
    except ValueError:
        return None
    return line_read if line_read.at.tzinfo and VERSION_ID.fullmatch(version) else None


CURRENT = "CURRENT"
HISTORY = "HISTORY"
_BEGINNING = re.compile(r"[0-9a-f]{1,16}")


class Versions:
    """The versions of an artifact directory, and which of them serves; nothing here writes.

    `name` says where they are kept, for people.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    @property
    def cache(self) -> Path:
        """Where builds keep embeddings for the next build."""
        return self.root / "cache"

    def folder(self, version: str) -> Path:
        """Return the folder of a version, there or not; raise VersionError if it is no id."""
        if not VERSION_ID.fullmatch(version):
            raise VersionError(
                f"{self.name}: {version!r} is not a version id. Give its 16 hexadecimal digits."
            )
        return self.root / "versions" / version

    def fetch(self, version: str) -> Path:
        """Return the folder of a version, after bringing its files here where they are not."""
        return self.folder(version)

    def manifest(self, version: str) -> Manifest:
        """Read the manifest of a version; raises as `read_manifest` does."""
        return read_manifest(self.folder(version))

    def differences(self, version: str, manifest: Manifest) -> Iterator[str]:
        """Say of each file of a version in which it differs from the manifest."""
        return differences(self.folder(version), manifest)

    def state(self, version: str) -> str:
        """Return a version and when it was written: a damaged one may be built again as it was."""
        try:
            return f"{version}@{(self.folder(version) / MANIFEST).stat().st_mtime_ns}"
        except OSError:
            return version

    def holds(self, version: str) -> bool:
        """Say whether a complete version is there."""
        return (self.folder(version) / MANIFEST).is_file()

    def cached(self) -> str | None:
        """Return the version to fall back on where the store does not answer."""
        return None

    def find(self, given: str) -> str:
        """Return the version whose id begins as given; VersionError if none does, or several do."""
        if not _BEGINNING.fullmatch(given):
            raise VersionError(
                f"{self.name}: {given!r} is not a version id. Give its 16 hexadecimal digits, or "
                f"the first few."
            )
        ids = self.versions()
        matching = [version for version in ids if version.startswith(given)]
        if not matching:
            raise VersionError(
                f"{self.name} holds no version {given}; it holds {', '.join(ids) or 'none'}."
            )
        if len(matching) > 1:
            raise VersionError(f"{given} begins {' and '.join(matching)}; give more of its digits.")
        return matching[0]

    def current(self) -> str | None:
        """Return the id that CURRENT names, or None where nothing was published yet.

        Raises VersionError where CURRENT does not hold an id, or that version is not there.
        """
        version = self._named()
        if version is not None and not self._finds(version):
            raise VersionError(
                f"{self.name}/{CURRENT} names version {version}, which is not in "
                f"{self.name}/versions; publish one that is, or build again."
            )
        return version

    def served(self) -> str | None:
        """Return the id that CURRENT names, whether the version is there or not; None for no id."""
        with suppress(VersionError):
            return self._named()
        return None

    def previous(self) -> str | None:
        """Return the version that served before the current one and is still there.

        What was rolled back is passed over: it is not what an operator wants to return to. Where
        nothing tells who served, it is the one built before, if its evaluation let it serve.
        """
        named, there = self.served(), self.versions()
        before = not_undone(self.history()) or [v for v in there if self._may_serve(v)]
        if named in before:
            before = before[: len(before) - 1 - before[::-1].index(named)]
        candidates = [version for version in before if version in there and version != named]
        return candidates[-1] if candidates else None

    def history(self) -> list[Publication]:
        """Return what was published, oldest first."""
        path = self.root / HISTORY
        try:
            return read_history(path)
        except OSError as error:
            raise VersionError(f"{path} cannot be read ({error.strerror}).") from error

    def versions(self) -> list[str]:
        """Return the ids of all complete versions, oldest first."""
        built = self._built()
        return sorted(built, key=lambda version: built[version])

    def last_used(self) -> list[str]:
        """Return the ids of all complete versions, that which was built or published last first."""
        published = {each.version: each.at.timestamp() for each in self.history()}
        used = {v: max(at, published.get(v, 0.0)) for v, at in self._built().items()}
        return sorted(used, key=lambda version: used[version], reverse=True)

    def _built(self) -> dict[str, float]:
        """When each complete version was written, in seconds since 1970."""
        built = {}
        for path in (self.root / "versions").glob(f"*/{MANIFEST}"):
            with suppress(OSError):  # pruned meanwhile
                if VERSION_ID.fullmatch(path.parent.name):
                    built[path.parent.name] = path.stat().st_mtime
        return built

    def _may_serve(self, version: str) -> bool:
        try:
            return self.manifest(version).may_serve
        except ArtifactError:
            return False

    def _finds(self, version: str) -> bool:
        """Say whether what CURRENT names can be had."""
        return self.holds(version)

    def _named(self) -> str | None:
        """Return the id that CURRENT names, whether the version is there or not."""
        path, content = self.root / CURRENT, None
        try:
            with suppress(FileNotFoundError):
                content = path.read_bytes()
        except OSError as error:
            raise VersionError(f"{path} cannot be read ({error}).") from error
        return self._id_in(content)

    def _id_in(self, content: bytes | None) -> str | None:
        """Return the id that is the content of CURRENT, None where there is no such file."""
        if content is None:
            return None
        try:
            version = content.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise VersionError(f"{self.name}/{CURRENT} cannot be read ({error}).") from error
        self.folder(version)
        return version
