"""Local copies of versions that are kept elsewhere: taken whole and verified, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from litellm_benchrouter.artifact.files import file_digest, verify_files
from litellm_benchrouter.artifact.manifest import (
    MANIFEST,
    VERSION_ID,
    FileRecord,
    Manifest,
    read_manifest,
)
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.store.directory import sync

_FETCHING = ".fetching-"

Bring = Callable[[str, Path, FileRecord], None]
"""Writes the file of a name to a path, as the record says; raises `ArtifactError`."""


class Copies:
    """The version folders of a local directory; whoever changes them holds a lock.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self._versions = root / "versions"

    def ids(self) -> list[str]:
        """Return the versions that are here, the last used first."""
        at = {
            path.parent.name: path.parent.stat().st_mtime
            for path in self._versions.glob(f"*/{MANIFEST}")
            if VERSION_ID.fullmatch(path.parent.name)
        }
        return sorted(at, key=lambda version: at[version], reverse=True)

    def take(self, manifest: Manifest, raw: bytes, bring: Bring) -> None:
        """Make a copy in a folder of its own, which takes its place once it is verified.

        Parameters
        ----------
        manifest : Manifest
        raw : bytes
            The manifest as it was written.
        bring : callable
            Called for each file that no other copy has.
        """
        self._versions.mkdir(parents=True, exist_ok=True)
        self.clear()
        here = self._files()
        folder = Path(tempfile.mkdtemp(prefix=_FETCHING, dir=self._versions))
        folder.chmod(0o755)  # mkdtemp makes it private; another user may read it
        try:
            for name, record in sorted(manifest.files.items()):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if not _linked(here.get(record.sha256), target, record):
                    bring(name, target, record)
            (folder / MANIFEST).write_bytes(raw)
            verify_files(folder, manifest)
            for path in (*folder.rglob("*"), folder):
                sync(path)
            target = self._versions / manifest.version
            if target.exists():
                self._set_aside(target)
            folder.rename(target)
            sync(self._versions)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def touch(self, version: str) -> None:
        """Note that a version is in use."""
        os.utime(self._versions / version)

    def prune(self, keep: int, serves: str | None) -> None:
        """Remove all but the last used, and what killed downloads left."""
        for version in self.ids()[keep:]:
            if version != serves:
                self._set_aside(self._versions / version)
        self.clear()

    def clear(self) -> None:
        """Remove what killed downloads left."""
        for folder in self._versions.glob(f"{_FETCHING}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _set_aside(self, folder: Path) -> None:
        """Take a copy away in one step; `clear` removes it."""
        folder.rename(tempfile.mkdtemp(prefix=_FETCHING, dir=self._versions))

    def _files(self) -> dict[str, Path]:
        """Files of the copies, by their SHA-256: versions have many in common."""
        found: dict[str, Path] = {}
        for version in self.ids():
            folder = self._versions / version
            with suppress(ArtifactError):
                files = read_manifest(folder).files
                found |= {record.sha256: folder / name for name, record in files.items()}
        return found


def _linked(source: Path | None, target: Path, record: FileRecord) -> bool:
    """Take a file of another copy, if it still is what it was."""
    if source is None:
        return False
    try:
        if file_digest(source) != record.sha256:
            return False
        os.link(source, target)
    except OSError:  # or the file system has no links
        return False
    return True
