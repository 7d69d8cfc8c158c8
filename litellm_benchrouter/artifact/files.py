"""Files of a version: digests beside the manifest, JSON in one form, arrays that are mapped."""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.manifest import MANIFEST, FileRecord, Manifest
from litellm_benchrouter.errors import ArtifactError

_THREADS = 2  # with more the largest file alone decides how long it takes
_PART = 1 << 20  # bytes; for less the interpreter would be asked for more often beside requests


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest, part = hashlib.sha256(), memoryview(bytearray(_PART))
    with path.open("rb", buffering=0) as file:
        while n_read := file.readinto(part):
            digest.update(part[:n_read])
    return digest.hexdigest()


def file_digests(paths: Collection[Path]) -> dict[Path, str | Exception]:
    """Return the SHA-256 of files, each named once, in hex, or why one could not be read."""
    by_size = sorted(paths, key=_size)
    digests: dict[Path, str | Exception] = {}

    def work() -> None:
        while True:
            try:
                path = by_size.pop()  # the largest of those that are left
            except IndexError:
                return
            try:
                digests[path] = file_digest(path)
            except Exception as error:
                digests[path] = error

    # Daemons: a process that ends waits for no disk.
    helpers = [
        threading.Thread(target=work, name="benchrouter-hash", daemon=True)
        for _ in range(min(_THREADS, len(paths)) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    return digests


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def write_json(path: Path, document: object) -> None:
    """Write a document in its one form."""
    path.write_text(
        json.dumps(document, indent=0, sort_keys=True, allow_nan=False) + "\n", encoding="ascii"
    )


def read_json(path: Path) -> Any:
    """Read a document; raise ArtifactError where it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes(), parse_constant=_not_a_number)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build again.") from error


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


_BLOCK = 1_024  # rows checked at once: the interpreter may be kept meanwhile


def open_array(folder: Path, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array; raise ArtifactError, with both values, where its type or shape is another."""
    path = folder / name
    try:
        # Not np.load, which would also open archives and pickles.
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a .npy file ({error}); build again.") from error
    if array.dtype != dtype or array.shape != shape:
        raise ArtifactError(
            f"{path} holds {array.dtype} of shape {array.shape}, the manifest says "
            f"{np.dtype(dtype)} of shape {shape}; build again."
        )
    return array


def open_numbers(folder: Path, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Open an array in which a number may be unknown (NaN), but not infinite."""
    array = open_array(folder, name, dtype, shape)
    if np.isinf(array).any():
        raise ArtifactError(f"{folder / name} holds infinite numbers; build again.")
    return array


def write_array(path: Path, array: NDArray[Any], dtype: type) -> None:
    """Write an array as another type, a block after the other; the bytes are those of `np.save`."""
    written = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=array.shape)
    for start in range(0, len(array), _BLOCK):
        written[start : start + _BLOCK] = array[start : start + _BLOCK]
    written.flush()


def first_not_unit(vectors: NDArray[np.floating], tolerance: float) -> int | None:
    """Return the first row whose squared length is further than `tolerance` from 1, if any."""
    for start in range(0, len(vectors), _BLOCK):
        block = _magnitudes(vectors[start : start + _BLOCK])
        with np.errstate(over="ignore", invalid="ignore"):
            unit = np.abs(np.einsum("nd,nd->n", block, block) - 1.0) < tolerance
        if not unit.all():
            return start + int(unit.argmin())
    return None


def _magnitudes(block: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a block as float32; of float16 without the signs, and what is infinite or NaN is huge.

    numpy converts float16 number by number; moving the bits of all at once takes a quarter of that.
    """
    if block.dtype != np.float16:
        return block.astype(np.float32, copy=False)
    bits = (block.view(np.uint16) << 1).astype(np.uint32)
    bits <<= 12
    magnitudes = bits.view(np.float32)
    magnitudes *= np.float32(2.0**112)  # the exponents of the two are counted from 15 and from 127
    return magnitudes


def holds_only(array: NDArray[np.uint8], values: tuple[int, ...]) -> bool:
    """Say whether an array holds nothing but some values."""
    return all(
        np.logical_or.reduce([block == value for value in values]).all()
        for start in range(0, len(array), _BLOCK)
        for block in [array[start : start + _BLOCK]]
    )


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check size and SHA-256 of every file before anything else reads it.

    ArtifactError names the first that is missing, differs, or is not in the manifest.
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
            status = path.stat()
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})"
            continue
        if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
            yield f"{path} is not a file"
        elif status.st_size != record.bytes:
            yield f"{path} has {status.st_size} bytes, the manifest says {record.bytes}"
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
