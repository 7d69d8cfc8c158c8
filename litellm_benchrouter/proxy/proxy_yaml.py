"""The proxy's own part of its YAML, as LiteLLM reads it. Nothing of LiteLLM is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litellm_benchrouter.config.document import read_document

_WAY_OUT = "mend the `include:` or `proxy_config:` that names it"


def read_proxy_yaml(path: Path) -> dict[str, Any]:
    """Read the proxy's YAML with the files that its `include:` names, and those that they name.

    Lists of an included file are appended, all else replaces what was there.

    Raises
    ------
    ConfigError
        If a file cannot be read, or is not valid YAML.
    """
    document = read_document(path, _WAY_OUT)
    pending, read = _included(document, path), {path.resolve()}
    while pending:
        file = pending.pop(0)
        if file.resolve() in read:
            continue
        read.add(file.resolve())
        included = read_document(file, _WAY_OUT)
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
