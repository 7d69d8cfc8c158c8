"""JSON files of an artifact: one form each, and nothing in them that JSON does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from litellm_benchrouter.errors import ArtifactError


def write_json(path: Path, document: object) -> None:
    """Write a document in its one form."""
    path.write_text(
        json.dumps(document, indent=0, sort_keys=True, allow_nan=False) + "\n", encoding="ascii"
    )


def read_json(path: Path) -> Any:
    """Read a document.

    Raises
    ------
    ArtifactError
        If the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_bytes(), parse_constant=_not_a_number)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build again.") from error


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
