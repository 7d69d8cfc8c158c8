"""Rows of what tools export: JSON, JSONL, CSV and Parquet alike, and what they say."""

from __future__ import annotations

import ast
import hashlib
import mmap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import BATCH, listed, model_names, refusing, scan
from litellm_benchrouter.sources.json_files import (
    Fault,
    Faults,
    each_object,
    files_in,
    json_object,
    json_objects,
    lookup,
    parse_json,
    pick,
    read_json,
)
from litellm_benchrouter.sources.record import number, question

Row = dict[str, Any]

_TABLES = (".csv", ".tsv", ".csv.gz", ".parquet")
_WORDS = {"true": 1.0, "false": 0.0, "pass": 1.0, "fail": 0.0, "yes": 1.0, "no": 0.0}
_ASKS = (
    *("question", "query", "prompt", "user_input", "instruction", "problem", "input", "text"),
    *("messages", "content"),
)
"""Names of what a person asks, inside an input of several fields."""
_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
"""The roles of messages whose `type` says it, as LangChain and ragas have them."""
_LITERAL = ("{'", '{"', "[{'", '[{"')
_NESTED = ("input", "inputs", "outputs", "reference", "feedback", "scores", "metadata", "metrics")


class UndecidedError(SourceError):
    """The format is known, and an option has to say what the files leave open."""


def marked_files(
    path: Path,
    endings: Sequence[str],
    marks: Sequence[str],
    tool: str,
    faults: Faults,
    *,
    beside: Sequence[str] = (),
) -> list[Path]:
    """Return the files of a tool: those that hold one of its marks; others are noted as faults,
    but for files and folders that the tool keeps beside its results, by name.
    """
    files = []
    for file in files_in(path, *endings):
        if file.name in beside or file.parent.name in beside:
            continue
        with faults.noted(file), file.open("rb") as opened:
            if not file.stat().st_size:
                raise Fault("is empty")
            packed = file.name.lower().endswith(".gz")
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if not packed and all(content.find(mark.encode()) < 0 for mark in marks):
                    raise Fault(f"is no file of {tool} (it has no {' or '.join(marks)})")
            files.append(file)
    return files


def question_files(path: Path, given: str | None, *patterns: str) -> list[Path]:
    """Return files with questions: the one that is given, from the path's folder; else those whose
    names match, below a folder or beside a file, and else in up to three folders above.
    """
    folder = path if path.is_dir() else path.parent
    if given is not None:
        return files_in(folder / given, ".json", ".jsonl", ".parquet", ".csv")
    search = folder.rglob if path.is_dir() else folder.glob
    below = [file for pattern in patterns for file in sorted(search(pattern))]
    above = (p.glob(pattern) for p in folder.resolve().parents[:3] for pattern in patterns)
    return below or sorted(file for files in above for file in files)


def rows_in(file: Path, faults: Faults, *lists: str) -> Iterator[tuple[str, Row, Row]]:
    """Yield each row with its place, and the document around the rows (empty where there is none).

    `lists` are the keys under which a JSON document may hold the rows; one that has none is a row
    itself. In tables, and in rows of JSON, "inputs.question" is a field inside another.
    """
    if file.name.lower().endswith(_TABLES):
        for place, row in _table_rows(file, faults):
            yield place, row, {}
        return
    with faults.noted(file):
        if not _is_document(file):
            for place, row in json_objects(file, faults):
                yield place, _nested(row), {}
            return
        document = pick(read_json(file), "", dict)
        key = next((key for key in lists if isinstance(lookup(document, key), list)), None)
        if key is None:
            yield "", document, {}
            return
        for place, row in each_object(document, key, file, faults):
            yield place, row, document


def _is_document(file: Path) -> bool:
    """Say whether a file is one JSON object, and not a list or one object a line."""
    with file.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
        rest = lines.read(1 << 16).strip()
    is_object = first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    return is_object and not (json_object(first) is not None and rest)


def _table_rows(file: Path, faults: Faults) -> Iterator[tuple[str, Row]]:
    n = 0
    try:
        with refusing(file):
            table = scan(file, faults)
            for batch in table.frame.collect_batches(chunk_size=BATCH >> 3, maintain_order=True):
                for row in batch.iter_rows(named=True):
                    n += 1
                    yield f"row {n}", _nested(row)
    except SourceError as error:
        faults.add(file, str(error).removeprefix(f"{file} "))


def _nested(row: Mapping[str, Any]) -> Row:
    nested: Row = {}
    for name, value in row.items():
        outer, dot, inner = name.partition(".")
        if dot and outer in _NESTED and isinstance(nested.get(outer, {}), dict):
            if value is not None:
                nested.setdefault(outer, {})[inner] = value
        else:
            nested[name] = value
    return nested


def unpacked(value: object) -> Any:
    """Return the object or the list that a text holds as JSON, or as pandas writes it into CSV;
    another value as it is.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return parse_json(value.encode("utf-8", "replace"))
        except Fault:
            return _literal(value) if value.startswith(_LITERAL) else value
    return value


def _literal(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it says where a text is not meant for it
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def look(row: object, *keys: str) -> Any:
    """Return what lies under the first key that holds something ("a.b": b inside a), else None.

    A text on the way that is JSON is looked into.
    """
    for key in keys:
        value = row
        for part in key.split("."):
            value = unpacked(value)
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and value not in ("", [], {}):
            return value
    return None


def look_text(row: object, *keys: str) -> str | None:
    """Return the first text under the keys that is not blank, without the white space around it."""
    for key in keys:
        value = look(row, key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def look_number(row: object, *keys: str) -> float | None:
    """Return the first number under the keys, also one that is written as text."""
    return next((n for key in keys if (n := as_number(look(row, key))) is not None), None)


def as_number(value: object) -> float | None:
    """Return a finite number, also of a text ("0.5", "true", "pass"); None where it is none."""
    if value is None or isinstance(value, bool | int | float):
        return number(value)
    text = str(value).strip().lower()
    try:
        return number(float(text))
    except ValueError:
        return _WORDS.get(text)


def asked(value: object) -> str | None:
    """Return what a person asks in an input: a text, a chat, or one field of several by its name.

    None where that cannot be told.
    """
    held = unpacked(value)
    if isinstance(held, dict):
        fields = [held[name] for name in _ASKS if held.get(name)]
        others = [each for each in held.values() if each and isinstance(each, str | list | dict)]
        fields = fields[:1] or (others if len(others) == 1 else [])
        return asked(fields[0]) if fields else (value if isinstance(value, str) else None)
    if isinstance(held, list):
        chat = [_message(each) for each in held if isinstance(each, dict)]
        return question(chat) if chat else (value if isinstance(value, str) else None)
    return question(held)


def _message(held: Row) -> Row:
    role = _ROLES.get(str(held.get("type")))
    if role is None or "role" in held:
        return {"role": "user"} | held
    return {name: value for name, value in held.items() if name != "type"} | {"role": role}


def answer_text(value: object) -> str | None:
    """Return a reference as text: the text itself, or the one field or item that there is."""
    held = unpacked(value)
    if isinstance(held, dict | list) and len(held) == 1:
        return answer_text(next(iter(held.values() if isinstance(held, dict) else held)))
    return (
        held if isinstance(held, str) else None if isinstance(held, dict | list) else _shown(held)
    )


def _shown(value: object) -> str | None:
    return None if value is None else str(value)


def sample_key(task: str, *texts: str | None) -> str:
    """Return a sample id that is the same wherever the texts are."""
    digest = hashlib.sha256("\0".join(text or "" for text in texts).encode("utf-8", "replace"))
    return f"{task}/{digest.hexdigest()[:16]}"


def models_of_files(path: Path, files: Sequence[Path], model: str | None) -> dict[Path, str]:
    """Return the model of each file that names none: the option, or its name of several files.

    Raises UndecidedError where a single file is not said to be of a model, or names are equal.
    """
    if model is not None:
        return dict.fromkeys(files, model)
    if len(files) == 1:
        raise UndecidedError(
            f"{path} does not say which model answered. Set options: {{model: NAME}}, or give a "
            "folder of files that are named after their models."
        )
    try:
        return dict(zip(files, model_names(files), strict=True))
    except SourceError as error:
        raise UndecidedError(str(error)) from error


def chosen_metric(
    path: Path, names: Sequence[str], asked_for: str | None, usual: Sequence[str]
) -> str | None:
    """Return the metric to take for the score: the one asked for, the only one, or a usual one.

    A name may lack what follows it in brackets ("Correctness [GEval]"). Raises UndecidedError where
    there are several and none is usual.
    """
    short = {name.partition(" [")[0].lower(): name for name in reversed(names)}
    if asked_for is not None:
        return asked_for if asked_for in names else short.get(asked_for.lower())
    usual_one = next((short[name] for name in usual if name in short), None)
    if usual_one is not None or len(names) <= 1:
        return usual_one or next(iter(names), None)
    raise UndecidedError(
        f"{path} has several metrics ({listed(names)}). Choose one with metric: NAME."
    )
