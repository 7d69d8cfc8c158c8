"""The journal of a task: every paid answer and every label, one line each, never rewritten.

A line is JSON with `prompt_sha256`, `model` and `score` (in [0, 1] or null), which is all that a
build reads; `event` says what else it tells:

    answer    what a model said, with tokens, cost and seconds; not scored yet
    failure   that it did not answer, and why
    score     the score of the answer by a metric, and what a judge was paid for it
    given     a label that was made elsewhere

The last line of a prompt and model counts. No prompt text is kept; answers are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import ConfigError, LabellingError, SourceError
from litellm_benchrouter.sources.json_files import json_object
from litellm_benchrouter.sources.tasks import JSON_LINES, parse_label

ANSWER, FAILURE, SCORE, GIVEN = "answer", "failure", "score", "given"
JUDGE = "judge:"
"""What the metric of a judge's score begins with."""

_TEXTS = ("metric", "error")
_NUMBERS = ("cost_usd", "prompt_tokens", "completion_tokens")
_MOST = 1e12  # tokens or dollars


@dataclass
class Cell:
    """The answer and score of one model on one prompt."""

    score: float | None = None
    metric: str | None = None  # what the score was made by; None for a label that was given
    answer: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None  # of the answer
    cost_usd: float | None = None  # of the answer
    error: str | None = None  # why there is no answer, or no score
    verdict: float | None = None  # a judge's last score, also where a label was given since

    @property
    def is_unscored(self) -> bool:
        """True where an answer was paid for and has no score."""
        return self.answer is not None and self.score is None


class Journal:
    """The lines of one file, and what they come to.

    `cells` are by the prompt's SHA-256 and the model's canonical name; `paid_usd` is by model over
    all lines, a judge's part with the model that was judged; `mended` counts the bytes of a line
    that a killed run left unfinished, which are cut off before the next one. `noted` has, by the
    prompt's SHA-256, a line's fields where it holds the prompt, as labels of own traffic do.
    """

    def __init__(self, path: Path, aliases: Mapping[str, str] | None = None) -> None:
        self.path, self._aliases = path, aliases or {}
        self.cells: dict[tuple[str, str], Cell] = {}
        self.paid_usd: dict[str, float] = {}
        self.noted: dict[str, Mapping[str, Any]] = {}
        self.mended = 0
        self._descriptor: int | None = None
        self._read()

    def append(self, *lines: Mapping[str, Any]) -> None:
        """Write lines to the disk before anything else happens, all or none."""
        if not lines:
            return
        if self._descriptor is None:
            raise ValueError("the journal is open for reading only")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stamped = [{**line, "at": now} for line in lines]
        content = "".join(json.dumps(line, allow_nan=False) + "\n" for line in stamped).encode()
        size = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise LabellingError(
                f"cannot write to {self.path} ({error.strerror}); nothing more is asked. Make room "
                f"and run it again."
            ) from error
        for line in stamped:
            self._take(line)

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"cannot read the labels {self.path} ({error.strerror}).") from error
        *whole, rest = content.split(b"\n")
        if json_object(rest) is not None:
            whole.append(rest)  # only its line feed is missing: somebody's editor
        else:
            self.mended = len(rest)
        for number, text in enumerate(whole, start=1):
            if text.strip():
                place = f"{self.path}, line {number}"
                self._take(_checked(text, place), place)

    def _take(self, line: Mapping[str, Any], place: str = "") -> None:
        scores = line.get("scores")
        if isinstance(scores, dict):  # made elsewhere, of several models
            for model, score in scores.items():
                each = {"scores": None, "model": model, "score": score}
                self._take({**line, **each}, place)
            return
        event = line.get("event", GIVEN)
        if prompt := prompt_of(line):
            line = {**line, "prompt": prompt}
        key, model, score = parse_label(line, place or str(self.path), self._aliases)
        cell = self.cells.setdefault((key, model), Cell())
        self.paid_usd[model] = self.paid_usd.get(model, 0.0) + (line.get("cost_usd") or 0.0)
        cell.score = score
        cell.metric, cell.error = line.get("metric"), line.get("error")
        if "prompt" in line:
            self.noted.setdefault(key, line)
        if event == SCORE and score is not None and (cell.metric or "").startswith(JUDGE):
            cell.verdict = score
        if event == ANSWER:
            cell.answer, cell.cost_usd = line["answer"], line.get("cost_usd")
            cell.prompt_tokens = line.get("prompt_tokens")
            cell.completion_tokens = line.get("completion_tokens")

    def open(self) -> None:
        """Open the file for writing, after cutting off what a killed run left unfinished."""
        # Answers may quote prompts: nobody else is to read them.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        if self.mended:
            os.ftruncate(descriptor, size - self.mended)
        elif size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")

    def close(self) -> None:
        """Close the file; what was appended is on the disk already."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def writing(path: Path, aliases: Mapping[str, str] | None = None) -> Iterator[Journal]:
    """Hold the journal's lock and open it for writing.

    Raises ConfigError where the file is of a kind that cannot be added to, LabellingError where
    another run writes to it or it cannot be written, SourceError where it holds a line that is no
    label.
    """
    require_lines(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"), mode=0o600)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.acquire(timeout=0))
            if not path.exists():
                stack.callback(_remove_empty, path)
            journal = Journal(path, aliases)
            stack.callback(journal.close)
            journal.open()
        except Timeout as error:
            raise LabellingError(
                f"another run is writing to {path}; wait for it to end and try again."
            ) from error
        except OSError as error:
            raise LabellingError(
                f"cannot write the labels {path} ({error.strerror}); make the folder writable."
            ) from error
        yield journal


def _remove_empty(path: Path) -> None:
    """Remove the file of a run that asked nobody: a build would take it for labels."""
    with suppress(OSError):
        if not path.stat().st_size:
            path.unlink()


def require_lines(path: Path) -> None:
    """Raise ConfigError where a file of labels is not of lines that are added and taken out."""
    if path.suffix.lower() not in JSON_LINES:
        raise ConfigError(
            f"the labels go to {path}, but only .jsonl can be added to line by line; name such a "
            f"file in `labels:`."
        )


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step, so that a run that is killed leaves the one that was there.

    Raises LabellingError where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise LabellingError(
            f"cannot write {path} ({error.strerror}); make the folder writable and run it again: "
            f"nothing is asked twice."
        ) from error


def prompt_of(line: Mapping[str, Any]) -> str:
    """Return the prompt that a line holds, of a conversation the last user turn, or no text."""
    prompt = line.get("prompt", line.get("input"))
    return prompt if isinstance(prompt, str) else last_user_turn(line.get("messages"), {})


def _checked(text: bytes, place: str) -> dict[str, Any]:
    line = json_object(text)
    if line is None:
        raise SourceError(f"{place} is not a JSON object. Correct or remove the line.")
    if line.get("event") == ANSWER and not isinstance(line.get("answer"), str):
        raise SourceError(f"{place} is an answer without a text. Correct or remove the line.")
    for name in _TEXTS:
        if not isinstance(line.get(name, ""), str | None):
            raise SourceError(f'{place}: "{name}" is {line[name]!r}. Give a text, or null.')
    for name in _NUMBERS:
        value = line.get(name)
        is_number = isinstance(value, int | float) and 0 <= value <= _MOST
        if value is not None and not is_number:
            raise SourceError(f'{place}: "{name}" is {value!r}. Give a number from 0 on, or null.')
    return line
