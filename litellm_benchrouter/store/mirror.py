"""Versions that are kept behind a URL, and copies of some of them in a local folder.

The local folder is an artifact directory like any other: builds are made in it, its `CURRENT` names
the version that served here last, and nothing is used of it that was not verified::

    artifacts_cache/bucket-prefix-1a2b3c4d/
        CURRENT, versions/<id>/     as `versions` describes them; a few versions only
        versions/.fetching-*        a download in progress, or what a killed one left behind
        cache/                      embeddings that the next build reuses

Behind the URL are `CURRENT`, `HISTORY` and `versions/<id>/`. The manifest of a version is written
after its files, so a version without one is not complete; `CURRENT` is written last of all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from litellm_benchrouter.artifact.files import file_digest, verify_files
from litellm_benchrouter.artifact.manifest import (
    MANIFEST,
    VERSION_ID,
    FileRecord,
    Manifest,
    parse_manifest,
)
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.store.directory import Store, read_verified, sync
from litellm_benchrouter.store.remote import ConflictError, Remote
from litellm_benchrouter.store.versions import (
    CURRENT,
    HISTORY,
    How,
    Publication,
    Versions,
    as_lines,
    parse_history,
    to_record,
)

_FETCHING = ".fetching-"
_FETCH_SECONDS = 1800.0  # while another process of this machine downloads
_KEPT_HERE = 3
_LEFT_BEHIND_SECONDS = 86400.0  # an upload that takes longer than a day was killed
_TRIES = 3


class Mirror(Store):
    """Versions behind a URL; what is used of them is copied here, verified, and used from here.

    Other processes of this machine may use the local folder as well.
    """

    def __init__(self, root: Path, remote: Remote) -> None:
        super().__init__(root)
        self.name = remote.name
        self._remote = remote
        self._here = Versions(root)
        self._fetcher = FileLock(root / ".fetching", timeout=_FETCH_SECONDS)
        self._at_start: list[bytes | None] = []  # what CURRENT held when a build began

    def holds(self, version: str) -> bool:
        """Say whether a complete version is behind the URL."""
        return self._remote.there(_of(version, MANIFEST))

    def history(self) -> list[Publication]:
        """Return what was published, oldest first."""
        return parse_history(self._remote.read(HISTORY) or b"")

    def manifest(self, version: str) -> Manifest:
        """Read the manifest behind the URL."""
        return self._manifest(version)[1]

    def state(self, version: str) -> str:
        """Return the version: when it was copied says nothing about it."""
        return version

    def cached(self) -> str | None:
        """Return the version that served here last."""
        return self._here.current()

    def fetch(self, version: str) -> Path:
        """Return the folder of a version here, each file verified, after downloading what is not.

        Raises `ArtifactError` if it is not what its manifest says, or cannot be written here.
        """
        target = self.folder(version)
        with self._writing(), self._fetcher:
            raw, manifest = self._manifest(version)
            is_whole = False
            with suppress(ArtifactError):
                is_whole = bool(read_verified(target))
            if not is_whole:
                self._copy(manifest, raw)
            elif (target / MANIFEST).read_bytes() != raw:
                with self._publisher:  # it was published by force meanwhile
                    self._replace(target / MANIFEST, raw)
            os.utime(target / MANIFEST)  # the last used stay
        return target

    def keep(self, version: str) -> None:
        """Note that a version serves here, and remove all but the last copies."""
        with suppress(ArtifactError), self._writing(), self._fetcher:
            if self._here.served() != version:
                with self._publisher:
                    self._replace(self.root / CURRENT, f"{version}\n".encode("ascii"))
            self._prune_copies(version)

    def differences(self, version: str, manifest: Manifest) -> Iterator[str]:
        """Say of each file behind the URL in which it differs; reads all of them."""
        for name, record in sorted(manifest.files.items()):
            if problem := self._difference(version, name, record):
                yield problem

    def verify(self, version: str) -> Manifest:
        """Check the manifest and every file behind the URL."""
        manifest = self.manifest(version)
        for problem in self.differences(version, manifest):
            raise ArtifactError(f"{problem}; roll back or build again.")
        return manifest

    @contextmanager
    def building(self) -> Iterator[Path]:
        """See `Store.building`; whether the store answers is found out before the long work."""
        self._at_start = [self._remote.read(CURRENT)]
        try:
            with super().building() as folder:
                yield folder
        finally:
            self._at_start = []

    def add(self, folder: Path, manifest: Manifest, progress: Progress | None = None) -> bool:
        """Move a finished build into its place here, upload it, and read back what was uploaded.

        What is there already and is what it should be is not uploaded again.
        """
        is_new = super().add(folder, manifest)
        version, uploaded = manifest.version, False
        with (progress or Progress()).stage("uploading", len(manifest.files)) as advance:
            for name, record in sorted(manifest.files.items()):
                if self._difference(version, name, record):
                    self._remote.upload(_of(version, name), self.folder(version) / name)
                    uploaded = True
                    if problem := self._difference(version, name, record):
                        raise ArtifactError(
                            f"{problem} after its upload; try again, nothing was published."
                        )
                advance(1)
        try:
            self.manifest(version)
        except ArtifactError:  # not there yet, or damaged
            self._remote.write(_of(version, MANIFEST), manifest.to_bytes())
            self.manifest(version)
            uploaded = True
        return is_new or uploaded

    def mark_forced(self, version: str) -> Manifest:
        """See `Store.mark_forced`."""
        manifest = self.manifest(version)
        forced = manifest.as_forced()
        if forced != manifest:
            self._remote.write(_of(version, MANIFEST), forced.to_bytes())
        return forced

    def publish(self, version: str, how: How = How.PUBLISH) -> bool:
        """Make a version the one that serves: HISTORY first, then CURRENT, each if unchanged.

        Raises `ConflictError` if somebody else published since the build began, or just now.
        """
        self._must_hold(version)
        current = self._remote.look(CURRENT)
        if self._at_start and current.content not in (*self._at_start, f"{version}\n".encode()):
            raise ConflictError(
                f"somebody else published in {self.name} since this build began, so version "
                f"{version} was uploaded and not published; `benchrouter publish {version}` does."
            )
        served = None
        with suppress(VersionError):
            served = self._id_in(current.content)
        if served == version:
            return False
        for tries_left in reversed(range(_TRIES)):
            history = self._remote.look(HISTORY)
            before = history.content or b""
            lines = as_lines(to_record(parse_history(before), served, version, how))
            try:
                self._remote.replace(history, before + lines)
                break
            except ConflictError:
                if not tries_left:
                    raise
        self._remote.replace(current, f"{version}\n".encode("ascii"))
        return True

    def prune(self, keep: int) -> list[str]:
        """Remove all but the last versions behind the URL, and uploads that were killed."""
        removed = self._to_remove(keep)
        for version in removed:
            self._remote.remove(_of(version, MANIFEST))  # from here on it is not there
            self._remote.remove(_of(version))
        for version, names in self._files_there().items():
            if MANIFEST not in names:
                age = time.time() - self._remote.written_at(_of(version, names[0]))
                if age > _LEFT_BEHIND_SECONDS:
                    self._remote.remove(_of(version))
        with self._writing(), self._fetcher:
            self._prune_copies(self._here.served())
        return removed

    def _built(self) -> dict[str, float]:
        return {
            version: self._remote.written_at(_of(version, MANIFEST))
            for version, names in self._files_there().items()
            if MANIFEST in names
        }

    def _files_there(self) -> dict[str, list[str]]:
        """Files of each version behind the URL, complete or not."""
        names_of: dict[str, list[str]] = {}
        for path in self._remote.names("versions"):
            version, _, name = path.partition("/")
            if VERSION_ID.fullmatch(version):
                names_of.setdefault(version, []).append(name)
        return names_of

    def _finds(self, version: str) -> bool:
        # A look at what is here already costs one GET, that of CURRENT.
        return self._here.holds(version) or self.holds(version)

    def _named(self) -> str | None:
        return self._id_in(self._remote.read(CURRENT))

    def _manifest(self, version: str) -> tuple[bytes, Manifest]:
        name = _of(version, MANIFEST)
        raw = self._remote.read(name)
        if raw is None:
            raise VersionError(f"{self.name} holds no version {version}: {name} is not there.")
        return raw, parse_manifest(raw, f"{self.name}/{name}", version)

    def _difference(self, version: str, name: str, record: FileRecord) -> str | None:
        actual = self._remote.digest(_of(version, name), record.bytes)
        return _difference(f"{self.name}/{_of(version, name)}", actual, record)

    # Below, the fetcher's lock is held.

    def _copy(self, manifest: Manifest, raw: bytes) -> None:
        """Copy a version into a folder of its own, which takes its place once it is verified.

        What another copy has is not downloaded: versions have many files in common.
        """
        target = self.folder(manifest.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(_FETCHING)
        here: dict[str, Path] = {}
        for version in self._here.versions():
            with suppress(ArtifactError):
                files = self._here.manifest(version).files
                here |= {each.sha256: self.folder(version) / name for name, each in files.items()}
        folder = Path(tempfile.mkdtemp(prefix=_FETCHING, dir=target.parent))
        folder.chmod(0o755)  # mkdtemp makes it private; another user may read it
        try:
            for name, record in sorted(manifest.files.items()):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not _linked(here.get(record.sha256), path, record):
                    self._download(_of(manifest.version, name), path, record)
            (folder / MANIFEST).write_bytes(raw)
            verify_files(folder, manifest)
            for path in (*folder.rglob("*"), folder):
                sync(path)
            if target.exists():
                self._set_aside(target, _FETCHING)
            folder.rename(target)
            sync(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, name: str, target: Path, record: FileRecord) -> None:
        there = self._remote.download(name, target, record.bytes)
        actual = (target.stat().st_size, file_digest(target)) if there else None
        if problem := _difference(f"{self.name}/{name}", actual, record):
            raise ArtifactError(f"{problem}; roll back or build again.")

    def _prune_copies(self, serves: str | None) -> None:
        """Remove all but the last used, and what killed downloads left."""
        for version in self._here.versions()[:-_KEPT_HERE]:
            if version != serves:
                self._set_aside(self.folder(version), _FETCHING)
        self._sweep(_FETCHING)


def _of(version: str, name: str = "") -> str:
    return f"versions/{version}/{name}".rstrip("/")


def _difference(where: str, actual: tuple[int, str] | None, record: FileRecord) -> str | None:
    if actual is None:
        return f"{where} is not there"
    size, sha256 = actual
    if size != record.bytes:
        return f"{where} has {size} bytes, the manifest says {record.bytes}"
    if sha256 != record.sha256:
        return f"{where} has SHA-256 {sha256[:12]}..., the manifest says {record.sha256[:12]}..."
    return None


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
