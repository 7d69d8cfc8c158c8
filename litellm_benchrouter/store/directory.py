"""Changing the artifact directory: builds, publishing, rolling back, pruning."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from litellm_benchrouter.artifact.files import verify_files
from litellm_benchrouter.artifact.manifest import MANIFEST, Manifest, read_manifest
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.versions import (
    CURRENT,
    HISTORY,
    How,
    Versions,
    append_history,
    to_record,
)

if TYPE_CHECKING:  # the proxy shows no progress
    from litellm_benchrouter.progress import Progress

_BUILDING = ".building-"
_PUBLISHING = ".current-"
_PUBLISH_SECONDS = 10.0  # publishing takes milliseconds, after hashing the version's files


class Store(Versions):
    """Versions of one artifact directory, and all that changes them.

    Parameters
    ----------
    root : Path
        The directory; made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        # Locks that a process may take again where it holds them: a build publishes and prunes.
        self._builder = FileLock(root / ".lock", timeout=0)
        self._publisher = FileLock(root / ".publishing", timeout=_PUBLISH_SECONDS)

    @contextmanager
    def building(self) -> Iterator[Path]:
        """Hold the builder's lock and yield an empty folder to build in; it is removed after.

        A directory that did not exist before is not there after a failure either.

        Raises
        ------
        ArtifactError
            If another build is running, or the directory cannot be written.
        """
        versions = self.root / "versions"
        with self._writing():
            versions.mkdir(parents=True, exist_ok=True)
            with self._builder:
                self._clean()
                folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=versions))
                folder.chmod(0o755)  # mkdtemp makes it private; the proxy may be another user
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                    with suppress(OSError):  # what holds anything stays
                        versions.rmdir()
                        (self.root / ".lock").unlink(missing_ok=True)
                        self.root.rmdir()

    def add(self, folder: Path, manifest: Manifest, progress: Progress | None = None) -> bool:
        """Move a finished build into its place.

        An equal version that is there already stays, unless its files no longer verify. `progress`
        shows how far it is where that takes long.

        Returns
        -------
        bool
            Whether it was moved.
        """
        target = self.folder(manifest.version)
        with suppress(ArtifactError):
            read_verified(target)
            return False
        for path in (*folder.rglob("*"), folder):
            sync(path)
        if target.exists():
            self._set_aside(target)
        folder.rename(target)
        sync(target.parent)
        self._clean()
        return True

    def mark_forced(self, version: str) -> Manifest:
        """Write into the manifest of a version whose verdict fails that it is published by force.

        Returns
        -------
        Manifest
            As it now is.

        Raises
        ------
        ArtifactError
            If the manifest cannot be read, or the directory cannot be written.
        """
        folder = self.folder(version)
        manifest = read_manifest(folder)
        forced = manifest.as_forced()
        if forced != manifest:
            with self._writing(), self._publisher:
                self._replace(folder / MANIFEST, forced.to_bytes())
        return forced

    def publish(self, version: str, how: How = How.PUBLISH) -> bool:
        """Make a version the one that serves, in one atomic step.

        Returns
        -------
        bool
            Whether another one served before, or none.

        Raises
        ------
        VersionError
            If the version is not there.
        ArtifactError
            If the directory cannot be written, or another command is publishing.
        """
        self._must_hold(version)
        with self._writing(), self._publisher:
            with suppress(VersionError):
                if self.current() == version:
                    return False
            # First, so that a full disk is found out before anything has changed; a line about
            # what did not come to pass does no harm, for `previous` starts from CURRENT.
            lines = to_record(self.history(), self.served(), version, how)
            append_history(self.root / HISTORY, *lines)
            self._replace(self.root / CURRENT, f"{version}\n".encode("ascii"))
        return True

    def rollback(self) -> tuple[str | None, str]:
        """Undo the last publication that was not undone yet.

        Returns
        -------
        str or None
            The version that served.
        str
            The one that serves now.

        Raises
        ------
        VersionError
            If there is none to return to.
        ArtifactError
            If its files do not verify, or the directory cannot be written.
        """
        served, version = self.served(), self.previous()
        if version is None:
            raise VersionError(
                f"{self.name} holds no version that served before {served or 'anything'} and was "
                f"not rolled back; `benchrouter publish VERSION` takes any that it holds: "
                f"{', '.join(self.versions()) or 'none'}."
            )
        self.verify(version)
        self.publish(version, How.ROLLBACK)
        return served, version

    def verify(self, version: str) -> Manifest:
        """Check the manifest and every file of a version.

        Raises
        ------
        ArtifactError
            Names the first file that differs.
        """
        return read_verified(self.folder(version))

    def prune(self, keep: int) -> list[str]:
        """Remove all but the last versions, and what killed builds left behind.

        The current version and the one that a rollback returns to are never removed. A process that
        has a removed version open goes on with it: its files are mapped.

        Parameters
        ----------
        keep : int
            How many of the versions that were built or published last stay.

        Returns
        -------
        list of str
            The versions removed.

        Raises
        ------
        ArtifactError
            If a build is running, or it is not known which version serves.
        """
        if not self.root.is_dir():
            return []
        with self._writing(), self._builder, self._publisher:
            self._clean()
            removed = self._to_remove(keep)
            for version in removed:
                self._set_aside(self.folder(version))
            self._clean()
            return removed

    def keep(self, version: str) -> None:
        """Note that a version serves, for a start at which the store does not answer."""

    def _to_remove(self, keep: int) -> list[str]:
        needed = {self.current(), self.previous(), *self.last_used()[:keep]}
        return [version for version in self.versions() if version not in needed]

    def _must_hold(self, version: str) -> None:
        if not self.holds(version):
            there = ", ".join(self.versions()) or "none"
            raise VersionError(f"{self.name} holds no version {version}; it holds {there}.")

    def _replace(self, path: Path, content: bytes) -> None:
        """Replace a file in one step that survives a crash; the publisher's lock is held."""
        descriptor, name = tempfile.mkstemp(prefix=_PUBLISHING, dir=self.root)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
        sync(path.parent)

    def _set_aside(self, folder: Path, prefix: str = _BUILDING) -> None:
        """Take a version away in one step; `_sweep` removes it."""
        folder.rename(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))

    def _sweep(self, prefix: str) -> None:
        for folder in (self.root / "versions").glob(f"{prefix}*"):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Tell in one sentence why the directory cannot be written."""
        try:
            yield
        except Timeout as error:
            busy = "build" if error.lock_file == self._builder.lock_file else "command"
            raise ArtifactError(
                f"another {busy} is writing to {self.root}; wait for it to end and try again."
            ) from error
        except OSError as error:
            raise ArtifactError(
                f"cannot write to {self.root} ({error}); the version that served still does."
            ) from error

    def _clean(self) -> None:
        """Remove what killed builds left behind; the builder's lock is held."""
        self._sweep(_BUILDING)
        if any(self.root.glob(f"{_PUBLISHING}*")):
            with self._publisher:  # or it could be of a command that is publishing now
                for file in self.root.glob(f"{_PUBLISHING}*"):
                    file.unlink(missing_ok=True)


def read_verified(folder: Path) -> Manifest:
    """Read the manifest of a version and check every file; raises `ArtifactError`."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that a crash after the rename finds it whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
