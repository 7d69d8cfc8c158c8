"""Named tasks: their example inputs, and the labels of some of them.

Labels have one line a model and input: `prompt_sha256` (hex, of the prompt as UTF-8) or `prompt`,
`model`, and `score` in [0, 1] or null; other fields are ignored. JSONL, or CSV and Parquet with
these columns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import TaskConfig
from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.sources.frames import listed, read_frame
from litellm_benchrouter.sources.json_files import json_object

JSON_LINES = (".jsonl", ".ndjson")
"""Endings of files with one JSON value a line."""

_TABLES = (".csv", ".parquet")
_COLUMNS = ("prompt_sha256", "prompt", "model", "score")


def prompt_key(prompt: str) -> str:
    """Return the hex SHA-256 of a prompt, by which labels name it: no text is stored."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def labels_path(artifacts: Path, task: str) -> Path:
    """Return where the labels of a task are kept unless the configuration says otherwise."""
    return artifacts / "labels" / f"{task.replace('/', '%2F')}.jsonl"


def read_labels(
    path: Path,
    inputs: Sequence[str],
    models: Sequence[str],
    *,
    aliases: Mapping[str, str] | None = None,
    warnings: list[str] | None = None,
) -> NDArray[np.float32]:
    """Read the scores of M models on a task's q inputs, shape (q, M); NaN where there is none.

    The last line of an input and model counts, also where it takes a score back (null). A last line
    that was cut off is passed over: a process that writes labels may be killed at any time.
    Sentences about what was passed over are added to `warnings`. Equal inputs share their labels.

    Raises SourceError where the file (.jsonl, .ndjson, .csv or .parquet) cannot be read, lacks a
    column, or holds a score that is not in [0, 1].
    """
    warnings = [] if warnings is None else warnings
    rows: dict[str, list[int]] = {}
    for row, prompt in enumerate(inputs):
        rows.setdefault(prompt_key(prompt), []).append(row)
    column = {model: m for m, model in enumerate(models)}
    out = np.full((len(inputs), len(models)), np.nan, dtype=np.float32)
    strangers: Counter[str] = Counter()
    unknown_inputs = 0
    for place, line in _lines(path, warnings):
        key, model, score = parse_label(line, f"{path}, {place}", aliases or {})
        if model not in column:
            strangers[model] += 1
        elif key not in rows:
            unknown_inputs += 1
        else:
            out[rows[key], column[model]] = np.nan if score is None else score
    if strangers:
        warnings.append(
            f"{path}: {strangers.total()} labels are of models that the benchmark does not know "
            f"({listed(sorted(strangers))}); give them an alias, or scores in a source."
        )
    if unknown_inputs:
        warnings.append(
            f"{path}: {unknown_inputs} labels are of prompts that are not among the task's inputs. "
            f"A prompt has to be the same to the letter."
        )
    return out


def _lines(path: Path, warnings: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each label with its place in words."""
    if path.suffix.lower() in _TABLES:
        frame = read_frame(path)
        columns = [name for name in _COLUMNS if name in frame.columns]
        for number, row in enumerate(frame.select(columns).iter_rows(named=True), start=1):
            yield f"row {number}", row
        return
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); give a file.") from error
    broken = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        line = json_object(text)
        if line is not None:
            yield f"line {number}", line
        elif number < len(lines):
            broken.append(number)
    if broken:
        warnings.append(
            f"{path}: {len(broken)} lines are not JSON objects (line {broken[0]} first) and were "
            f"passed over."
        )


class Label(NamedTuple):
    """A line of labels; `score` is None where there is none or it is taken back."""

    key: str
    model: str
    score: float | None


def parse_label(line: Mapping[str, Any], place: str, aliases: Mapping[str, str]) -> Label:
    """Read a label, the one way for builds, journals and labels made elsewhere.

    A line has `prompt_sha256` (in hex, of either case) or `prompt`, `model`, and `score`: a number,
    a text that is one, true or false, or null. Raises SourceError where it is no label.
    """
    key, prompt, model = line.get("prompt_sha256"), line.get("prompt"), line.get("model")
    key = key.strip().lower() if isinstance(key, str) else ""
    if isinstance(prompt, str) and prompt:
        if key and key != prompt_key(prompt):
            raise SourceError(f"{place}: prompt_sha256 is not the SHA-256 of its prompt. Drop it.")
        key = prompt_key(prompt)
    if not key:
        raise SourceError(f'{place} names no prompt. Give "prompt", or "prompt_sha256" in hex.')
    if not isinstance(model, str) or not model.strip():
        raise SourceError(f'{place} names no model. Give "model" on every line.')
    if "score" not in line:
        raise SourceError(f'{place} has no score. Give "score", or null for none.')
    value, model = line["score"], model.strip()
    text = "" if value is None else str(value).strip().lower()
    try:
        score = {"true": 1.0, "false": 0.0}.get(text)
        score = float(text) if score is None and text not in ("", "nan") else score
    except (ValueError, OverflowError):
        score = math.inf
    if score is not None and not 0.0 <= score <= 1.0:
        raise SourceError(f"{place}: the score is {value!r}. Give a number from 0 to 1, or null.")
    return Label(key, aliases.get(model, model), score)


def read_task_inputs(tasks: Mapping[str, TaskConfig]) -> dict[str, list[str]]:
    """Read the example inputs of all named tasks; see `read_inputs`."""
    return {
        name: read_inputs(task.inputs, f"benchrouter.tasks.{name}.inputs")
        for name, task in sorted(tasks.items())
    }


def read_inputs(path: Path, where: str) -> list[str]:
    """Read example inputs; see `read_entries`."""
    return [entry.prompt for entry in read_entries(path, where)]


class Entry(NamedTuple):
    """An example input: its place in words, the text to route on, and the fields of its line."""

    place: str
    prompt: str
    fields: Mapping[str, Any]


def read_entries(path: Path, where: str, *, is_journal: bool = False) -> list[Entry]:
    """Read example inputs: JSONL with `prompt` (or strings), or text with one input a line.

    Of a line with `messages` the last user turn counts, as in a request. `where` is the option or
    key that names the file. Raises ConfigError where it is missing or holds no input; a journal may
    be empty, and what a killed run left unfinished at its end is passed over.
    """
    try:
        # Not splitlines, which would also end a line at a U+2028 within an input.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {path} ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: {path} is not UTF-8 text. Save it as UTF-8.") from error
    is_json = path.suffix.lower() in JSON_LINES
    if is_journal and json_object(lines[-1].encode()) is None:
        lines.pop()
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number}"
            entries.append(_entry(place, line) if is_json else Entry(place, line, {"prompt": line}))
    entries = [entry for entry in entries if entry.prompt.strip()]
    if not entries and not is_journal:
        raise ConfigError(f"{where}: {path} holds no inputs. Give one a line.")
    return entries


def _entry(place: str, line: str) -> Entry:
    try:
        value: Any = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{place} is not JSON ({error}).") from error
    fields = value if isinstance(value, dict) else {"prompt": value}
    prompt = fields.get("prompt", fields.get("input"))
    if prompt is None:
        prompt = last_user_turn(fields.get("messages"), {}) or None
    if not isinstance(prompt, str):
        raise ConfigError(f'{place} has no text. Give {{"prompt": "..."}} on every line.')
    return Entry(place, prompt, fields)
