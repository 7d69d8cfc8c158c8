"""Places that are written: who writes, and whether it works, with nothing left there."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from tempfile import TemporaryFile

_ONE_BLOCK = bytes(4096)


def nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    # Path.exists raises where this user may not look
    return next(f for f in (path, *path.absolute().parents) if os.path.exists(f))  # noqa: PTH110


def user_name() -> str:
    """Return who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container a user may have a number alone
        return f"user {os.getuid()}"


def try_to_write(folder: Path) -> None:
    """Write into a folder, or where it would be made, and leave nothing; raise OSError."""
    with TemporaryFile(dir=nearest(folder)) as file:
        file.write(_ONE_BLOCK)
