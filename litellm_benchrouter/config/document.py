"""A file of the proxy's configuration, as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from litellm_benchrouter.errors import ConfigError


def read_document(path: Path, way_out: str) -> dict[str, Any]:
    """Read a YAML file; one that is no block of keys is as good as empty.

    Parameters
    ----------
    path : Path
    way_out : str
        What to do where it cannot be read.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not valid YAML.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}; {way_out}."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{where} is not valid YAML; mend the syntax there.") from error
    return document if isinstance(document, dict) else {}
