"""Example inputs of named tasks, as the user wrote them down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import TaskConfig
from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import ConfigError

JSON_LINES = (".jsonl", ".ndjson")
"""Endings of files with one JSON value a line."""


def read_task_inputs(tasks: Mapping[str, TaskConfig]) -> dict[str, list[str]]:
    """Read the example inputs of all named tasks; see `read_inputs`."""
    return {
        name: read_inputs(task.inputs, f"benchrouter.tasks.{name}.inputs")
        for name, task in sorted(tasks.items())
    }


def read_inputs(path: Path, where: str) -> list[str]:
    """Read example inputs: JSONL with `prompt` (or strings), or text with one input a line.

    Of a line with `messages` the last user turn counts, as in a request.

    Raises
    ------
    ConfigError
        If the file is missing or holds no input.
    """
    try:
        # Not splitlines, which would also end a line at a U+2028 within an input.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {path} ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: {path} is not UTF-8 text; save it as such.") from error
    inputs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        inputs.append(_prompt(path, number, line) if path.suffix.lower() in JSON_LINES else line)
    if not any(text.strip() for text in inputs):
        raise ConfigError(f"{where}: {path} holds no inputs; give one a line.")
    return [text for text in inputs if text.strip()]


def _prompt(path: Path, number: int, line: str) -> str:
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}, line {number} is not JSON ({error}).") from error
    found = entry.get("prompt", entry.get("input")) if isinstance(entry, dict) else entry
    if found is None and isinstance(entry, dict):
        found = last_user_turn(entry.get("messages"), {}) or None
    if not isinstance(found, str):
        raise ConfigError(
            f'{path}, line {number} has no text; give {{"prompt": "..."}} on every line.'
        )
    return found
