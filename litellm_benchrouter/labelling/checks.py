"""Checks of answers that need no reference: a JSON schema, calls of tools, one's own command."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.verifiers.judge import json_in
from litellm_benchrouter.verifiers.schema import VALID, validity

_SECONDS = 60.0
"""For one answer, after which a command gives no score."""
_RIGHT, _WRONG = 0, 1  # exit codes


@dataclass(frozen=True)
class SchemaCheck:
    """Whether the answer is JSON that follows a schema; a code fence or prose is passed over."""

    schema: Mapping[str, Any]
    digest: str

    @classmethod
    def of(cls, file: str, folder: Path, where: str) -> SchemaCheck:
        """Read a schema; raise ConfigError, about `where`, of a file that holds none."""
        document, digest = _json_of(file, folder, where)
        try:
            Draft202012Validator.check_schema(document)
        except SchemaError as error:
            raise ConfigError(
                f"{where}: {file} is no JSON schema ({error.message}). Correct it."
            ) from error
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: {file} is no JSON schema but {document!r}. Correct it.")
        return cls(document, digest)

    def __call__(self, prompt: str, answer: str, reference: Any) -> float:
        try:
            value = json_in(answer)
        except ValueError:
            return 0.0
        return float(Draft202012Validator(self.schema).is_valid(value))


@dataclass(frozen=True)
class ToolCheck:
    """Whether the answer is JSON calls of tools that exist, with arguments as these describe them.

    A call is {"name": ..., "arguments": {...}}, bare, in a list, or as `tool_calls` have it.
    """

    tools: list[Any]
    digest: str

    @classmethod
    def of(cls, file: str, folder: Path, where: str) -> ToolCheck:
        """Read a list of tools; raise ConfigError, about `where`, of a file that holds none."""
        document, digest = _json_of(file, folder, where)
        tools = document.get("tools") if isinstance(document, dict) else document
        tools = tools if isinstance(tools, list) else []
        functions = [each.get("function") for each in tools if isinstance(each, dict)]
        if not functions or not all(isinstance(each, dict) for each in functions):
            raise ConfigError(
                f"{where}: {file} holds no list of tools as chat completions take it, with "
                '{"type": "function", "function": {...}} for each. Correct it.'
            )
        return cls(tools, digest)

    def __call__(self, prompt: str, answer: str, reference: Any) -> float:
        try:
            value = json_in(answer)
        except ValueError:
            return 0.0
        if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
            value = value["tool_calls"]
        calls = [
            each["function"] if isinstance(each, dict) and "function" in each else each
            for each in (value if isinstance(value, list) else [value])
        ]
        if not calls or not all(isinstance(call, dict) and "name" in call for call in calls):
            return 0.0
        message = {"tool_calls": [{"type": "function", "function": call} for call in calls]}
        return float(validity({"tools": self.tools}, {"choices": [{"message": message}]}) == VALID)


@dataclass(frozen=True)
class CommandCheck:
    """What a command of the operator's says, which gets prompt, answer and reference as JSON.

    Exit code 0 is right and 1 is wrong; a last line on standard output that is a number in [0, 1]
    is the score. Anything else, and more than a minute, gives no score.
    """

    command: tuple[str, ...]
    folder: Path

    @classmethod
    def of(cls, text: str, folder: Path, where: str) -> CommandCheck:
        """Split a command as a shell does; raise ConfigError, about `where`, where it is none."""
        try:
            command = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"{where}: the command {text!r} ({error}). Correct it.") from error
        if not command or _program(command[0], folder) is None:
            raise ConfigError(
                f"{where}: {text!r} is no command that can be run from {folder}. Name a program."
            )
        return cls((str(_program(command[0], folder)), *command[1:]), folder)

    def __call__(self, prompt: str, answer: str, reference: Any) -> float | None:
        given = json.dumps({"prompt": prompt, "answer": answer, "reference": reference})
        try:
            process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None
        with process:
            try:
                said, _ = process.communicate(given.encode(), timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError, PermissionError):  # and what it began
                    os.killpg(process.pid, signal.SIGKILL)
                return None
        if process.returncode not in (_RIGHT, _WRONG):
            return None
        lines = said.decode(errors="replace").strip().splitlines()
        with suppress(ValueError, IndexError):
            score = float(lines[-1])
            if math.isfinite(score):
                return score if 0 <= score <= 1 else None
        return float(process.returncode == _RIGHT)


def _program(name: str, folder: Path) -> str | None:
    path = folder / name
    if os.sep in name:
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None
    return shutil.which(name)


def _json_of(file: str, folder: Path, where: str) -> tuple[Any, str]:
    path = folder / file
    try:
        content = path.read_bytes()
        return json.loads(content), hashlib.sha256(content).hexdigest()[:8]
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {path} ({error.strerror}).") from error
    except ValueError as error:
        raise ConfigError(f"{where}: {path} is no JSON ({error}). Correct it.") from error
