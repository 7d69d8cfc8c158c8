"""The artifact directory: version folders, and the one file that says which of them serves.

::

    router_artifacts/
        CURRENT                 the id of the version that serves, one line
        versions/<id>/          complete, verified versions
        versions/.building-*    a build in progress, or what a killed one left behind
        cache/                  embeddings that the next build reuses
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.manifest import (
    MANIFEST,
    VERSION_ID,
    Manifest,
    read_manifest,
    verify_files,
)

_CURRENT = "CURRENT"
_BUILDING = ".building-"
_PUBLISHING = ".current-"


class Store:
    """Versions of one artifact directory.

    Parameters
    ----------
    root : Path
        The directory; made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def cache(self) -> Path:
        """Where builds keep embeddings for the next build."""
        return self.root / "cache"

    def folder(self, version: str) -> Path:
        """Return the folder of a version, whether it is there or not.

        Raises
        ------
        VersionError
            If `version` is not an id: 16 hex digits.
        """
        if not VERSION_ID.fullmatch(version):
            raise VersionError(f"{version!r} is not a version of {self.root}: 16 hex digits are.")
        return self.root / "versions" / version

    def current(self) -> str | None:
        """Return the id that CURRENT names, or None where nothing was published yet.

        Raises
        ------
        VersionError
            If CURRENT does not hold an id, or that version is not there.
        """
        try:
            version = (self.root / _CURRENT).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise VersionError(f"{self.root / _CURRENT} cannot be read ({error}).") from error
        if not (self.folder(version) / MANIFEST).is_file():
            raise VersionError(
                f"{self.root / _CURRENT} names version {version}, which is not in "
                f"{self.root / 'versions'}; publish one that is, or build again."
            )
        return version

    def versions(self) -> list[str]:
        """Return the ids of all complete versions, oldest first."""
        folders = (self.root / "versions").glob(f"*/{MANIFEST}")
        found = [path.parent for path in folders if VERSION_ID.fullmatch(path.parent.name)]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime)]

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
        try:
            versions.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock", timeout=0):
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
        except Timeout as error:
            raise ArtifactError(
                f"another build is writing to {self.root}; wait for it to end and try again."
            ) from error
        except OSError as error:
            raise ArtifactError(
                f"cannot write to {self.root} ({error}); the version that served still does."
            ) from error

    def add(self, folder: Path, manifest: Manifest) -> bool:
        """Move a finished build into its place.

        An equal version that is there already stays, unless its files no longer verify.

        Returns
        -------
        bool
            Whether it was moved.
        """
        target = self.folder(manifest.version)
        if _verifies(target):
            return False
        for path in (*folder.rglob("*"), folder):
            _sync(path)
        if target.exists():
            target.rename(tempfile.mkdtemp(prefix=_BUILDING, dir=target.parent))
        folder.rename(target)
        _sync(target.parent)
        self._clean()
        return True

    def publish(self, version: str) -> bool:
        """Make a version the one that serves, in one atomic step.

        Returns
        -------
        bool
            Whether another one served before, or none.

        Raises
        ------
        VersionError
            If the version is not there.
        """
        if not (self.folder(version) / MANIFEST).is_file():
            known = ", ".join(self.versions()) or "none"
            raise VersionError(f"{self.root} holds no version {version}; it holds {known}.")
        with suppress(VersionError):
            if self.current() == version:
                return False
        descriptor, name = tempfile.mkstemp(prefix=_PUBLISHING, dir=self.root)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(self.root / _CURRENT)
        _sync(self.root)
        return True

    def _clean(self) -> None:
        """Remove what killed builds left behind."""
        for folder in (self.root / "versions").glob(f"{_BUILDING}*"):
            shutil.rmtree(folder, ignore_errors=True)
        for file in self.root.glob(f"{_PUBLISHING}*"):
            file.unlink(missing_ok=True)


def _verifies(folder: Path) -> bool:
    try:
        verify_files(folder, read_manifest(folder))
    except ArtifactError:
        return False
    return True


def _sync(path: Path) -> None:
    """Flush a file or folder to disk, so that a crash after the rename finds it whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
