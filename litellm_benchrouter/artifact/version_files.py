"""The files of a version beside what its manifest says of them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.artifact.digests import file_digests
from litellm_benchrouter.artifact.manifest import MANIFEST, FileRecord, Manifest
from litellm_benchrouter.errors import ArtifactError


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check size and SHA-256 of every file before anything else reads it.

    Raises
    ------
    ArtifactError
        Names the first file that is missing, differs, or is not in the manifest.
    """
    for problem in differences(folder, manifest):
        raise ArtifactError(f"{problem}; roll back or build again.")


def differences(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Say of each file in which it differs from the manifest; nothing where all is well.

    Sizes come first, as they cost nothing. Hidden files are passed over: network file systems make
    them, and nothing of ours reads them.
    """
    whole: dict[Path, FileRecord] = {}
    for name, record in sorted(manifest.files.items()):
        path = folder / name
        try:
            found = path.stat()
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})"
            continue
        if not stat.S_ISREG(found.st_mode):  # a pipe would be read for ever
            yield f"{path} is not a file"
        elif found.st_size != record.bytes:
            yield f"{path} has {found.st_size} bytes, the manifest says {record.bytes}"
        else:
            whole[path] = record
    for name in _files_under(folder):
        if name not in manifest.files and not any(part[0] == "." for part in name.split("/")):
            yield f"{folder / name} is not in the manifest, so nothing vouches for it"
    digests = file_digests(whole)
    for path, record in whole.items():
        digest = digests[path]
        if isinstance(digest, Exception):
            yield f"{path} cannot be read ({getattr(digest, 'strerror', None) or digest})"
        elif digest != record.sha256:
            yield f"{path} has SHA-256 {digest[:12]}..., the manifest says {record.sha256[:12]}..."


def describe_files(folder: Path) -> dict[str, FileRecord]:
    """Digest and size of every file under a folder but the manifest."""
    names = _files_under(folder)
    digests = file_digests([folder / name for name in names])
    described = {}
    for name in names:
        digest = digests[folder / name]
        if isinstance(digest, Exception):
            raise digest
        described[name] = FileRecord(sha256=digest, bytes=(folder / name).stat().st_size)
    return described


def _files_under(folder: Path) -> list[str]:
    """Names of all files of a version but its manifest, sorted."""
    return sorted(
        name
        for path in folder.rglob("*")
        if (name := path.relative_to(folder).as_posix()) != MANIFEST and not path.is_dir()
    )
