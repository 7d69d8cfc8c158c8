"""SHA-256 of files, two at once: the largest file of a version is about half of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from pathlib import Path

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
    """SHA-256 of files, in hex, or why one could not be read.

    Parameters
    ----------
    paths : collection of Path
        Each once.
    """
    by_size = sorted(paths, key=_size)
    found: dict[Path, str | Exception] = {}

    def work() -> None:
        while True:
            try:
                path = by_size.pop()  # the largest of those that are left
            except IndexError:
                return
            try:
                found[path] = file_digest(path)
            except Exception as error:
                found[path] = error

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
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
