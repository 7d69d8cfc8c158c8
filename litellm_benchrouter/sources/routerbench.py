"""`kind: routerbench`: RouterBench's wide table, with a column a model, as CSV."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.json_files import Fault, files_in
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import as_number

_COST, _RESPONSE = "|total_cost", "|model_response"
_NEEDED = ("sample_id", "prompt", "eval_name")


def read(path: Path) -> SourceTable:
    """Read RouterBench, row by row; the models' responses are passed over.

    Parameters
    ----------
    path : Path
        A CSV file with the columns `sample_id`, `prompt`, `eval_name` (the task), `MODEL` (the
        score) and `MODEL|total_cost` (USD); or a folder with such files. A prompt that is written
        as a Python list is the turns of a conversation and is joined by line feeds.

    Returns
    -------
    SourceTable
        `cost_usd` is the cost of the answer, as the source states it.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise SourceError(
            f"{path} is a pickle, which may run code when it is read; where you trust it, convert "
            "it to CSV with pandas."
        )
    collector = Collector(path)
    seen: set[str] = set()
    for file in files_in(path, ".csv"):
        with collector.faults.noted(file):
            _add(file, seen, collector)
    return collector.table("RouterBench")


def _add(file: Path, seen: set[str], collector: Collector) -> None:
    rows = _rows(file, collector)
    header = next(rows, [])
    models = [
        name for name in header if f"{name}{_COST}" in header or f"{name}{_RESPONSE}" in header
    ]
    for name in _NEEDED:
        if name not in header:
            raise Fault(f"has no column {name}")
    if not models:
        raise Fault(f"has no column MODEL{_COST}; a plain table is read with kind: table")
    for fields in rows:
        row = dict(zip(header, fields, strict=True))
        sample_id = row["sample_id"]
        if sample_id in seen:
            collector.dropped["rows whose sample_id was there before"] += 1
            continue
        seen.add(sample_id)
        sample = Sample(sample_id, row["eval_name"], _joined(row["prompt"]))
        for model in models:
            score = as_number(row[model])
            if score is None:
                empty = not row[model].strip()
                collector.dropped["empty scores" if empty else "scores that are not numbers"] += 1
            collector.add(
                sample, model, score, {"cost_usd": as_number(row.get(f"{model}{_COST}", ""))}
            )


def _rows(file: Path, collector: Collector) -> Iterator[list[str]]:
    """Yield the rows, the header first; one of another length is noted and passed over."""
    width = None
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            for fields in reader:
                width = width or len(fields)
                if len(fields) == width:
                    yield fields
                elif fields:
                    line = f"line {reader.line_num}"
                    collector.faults.add(file, f"has not the {width} fields of the header", line)
    except csv.Error as error:
        raise Fault(f"line {reader.line_num} is not CSV ({error})") from error
    except UnicodeDecodeError as error:
        raise Fault("is not UTF-8 text") from error


def _joined(prompt: str) -> str:
    """Return a prompt that may be written as a Python list of texts."""
    if not prompt.lstrip().startswith("["):
        return prompt
    try:
        turns = ast.literal_eval(prompt.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return prompt  # a question that starts with a bracket
    if isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
        return "\n".join(turns)
    return prompt
