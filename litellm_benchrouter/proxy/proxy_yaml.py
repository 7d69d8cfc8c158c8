"""The proxy's own part of its YAML, as LiteLLM reads it. Nothing of LiteLLM is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from litellm_benchrouter.errors import ConfigError


def read_proxy_yaml(path: Path) -> dict[str, Any]:
    """Read the proxy's YAML with the files that its `include:` names, and those that they name.

    Lists of an included file are appended, all else replaces what was there.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    document = _document(path)
    pending, read = _included(document, path), {path.resolve()}
    while pending:
        file = pending.pop(0)
        if file.resolve() in read:
            continue
        read.add(file.resolve())
        included = _document(file)
        pending += _included(included, file)
        for key, value in included.items():
            before = document.get(key)
            if isinstance(before, list) and isinstance(value, list):
                document[key] = before + value
            else:
                document[key] = value
    return document


def _included(document: dict[str, Any], path: Path) -> list[Path]:
    names = document.pop("include", None) or []
    return [path.parent / str(name) for name in names] if isinstance(names, list) else []


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path} ({error.strerror}), which `include:` names."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML; mend the syntax there.") from error
    return document if isinstance(document, dict) else {}
