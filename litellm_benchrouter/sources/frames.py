"""CSV, JSONL and Parquet files as data frames, and one sentence where that fails."""

from __future__ import annotations

import csv
import glob
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from litellm_benchrouter.errors import SourceError

FORMATS = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSONL", ".ndjson": "JSONL"}
"""What `read_frame` reads, by the ending of the file's name."""

POLARS_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises where it cannot read a file."""

_TAIL_BYTES = 1 << 16
_ROWS = 1 << 14


def read_frame(path: Path) -> pl.DataFrame:
    """Read a table from a CSV, JSONL or Parquet file, told apart by the ending of its name.

    Parameters
    ----------
    path : Path
        A `.parquet`, `.csv` (comma, one header line, UTF-8), `.jsonl` or `.ndjson` file.

    Returns
    -------
    polars.DataFrame
        Every column of a CSV is text; so is every column of a JSONL file whose values have mixed
        types or that holds a bare NaN or Infinity.

    Raises
    ------
    SourceError
        If the file is missing, of another kind, damaged, cut off, or without rows.
    """
    known = format_of(path)
    with refusing(path, known):
        frame = _READERS[known](path)
    if frame.is_empty():
        raise SourceError(f"{path} holds no rows; give a file with results.")
    return frame


def format_of(path: Path) -> str:
    """Return which of `FORMATS` a file has.

    Raises
    ------
    SourceError
        If it is missing or has none of them.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a file or folder with results.")
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise SourceError(
            f"{path} is none of {', '.join(FORMATS)}; convert it, or name the kind that reads it."
        )
    return known


@contextmanager
def refusing(path: Path, known: str) -> Iterator[None]:
    """Turn what polars says of a file of a known format into one sentence."""
    try:
        yield
    except (*POLARS_FAULTS, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if known == "CSV" and not isinstance(error, OSError):
            reason = _csv_fault(path) or reason
        raise SourceError(
            f"{path} cannot be read as {known}: {reason}; see that it is complete and really is "
            f"{known}."
        ) from error


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names for a sentence: the first few, and how many more."""
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _read_parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False, hive_partitioning=False)


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_csv(path, infer_schema=False, glob=False)
    except pl.exceptions.NoDataError:
        return pl.DataFrame()
    refuse_names_of_two(path, frame.columns)
    refuse_a_short_last_row(path, frame.width)
    return frame


def refuse_names_of_two(path: Path, names: Sequence[str]) -> None:
    """Refuse a CSV file where two columns have one name, of which polars renames one."""
    for name in names:
        twice = re.fullmatch(r"(.*)_duplicated_\d+", name, re.DOTALL)
        if twice and twice[1] in names:
            raise SourceError(f'{path} has the column "{twice[1]}" twice; rename or drop one.')


def refuse_a_short_last_row(path: Path, width: int) -> None:
    """Refuse the commonest sign of a file that was cut off, which polars fills up with nulls."""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - _TAIL_BYTES)
        file.seek(start)
        lines = file.read().rstrip(b"\r\n").splitlines()
    # An odd number of quotes: the line starts within a text of several lines, or may do.
    if not lines or (start > 0 and len(lines) == 1) or lines[-1].count(b'"') % 2:
        return
    fields = len(next(csv.reader([lines[-1].decode("utf-8", "replace")]), []))
    if 0 < fields < width:
        raise SourceError(
            f"{path} ends within a row: its last line has {fields} of {width} fields; see that the "
            "file is complete."
        )


def _csv_fault(path: Path) -> str:
    """Say in which line a CSV file is broken, or nothing where Python sees no fault."""
    line = 0
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            width = len(next(reader, []))
            for row in reader:
                line = reader.line_num
                if len(row) > width:
                    return f"line {line} has {len(row)} fields, the header {width}"
    except csv.Error as error:
        return f"line {reader.line_num}: {error}"
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return ""


def _read_jsonl(path: Path) -> pl.DataFrame:
    schema = jsonl_schema(path)
    if schema is not None:
        with suppress(*POLARS_FAULTS):
            return scan_jsonl(path, schema).collect()
    names = jsonl_names(path)
    return pl.concat([pl.DataFrame(schema=names), *jsonl_as_text(path, names, _ROWS)])


def scan_jsonl(path: Path, schema: pl.Schema | None = None) -> pl.LazyFrame:
    """Return the rows of a JSONL file, of these types, or of those that all its rows show."""
    pattern = glob.escape(str(path))
    return pl.scan_ndjson(pattern, schema=schema, infer_schema_length=None)


def jsonl_schema(path: Path) -> pl.Schema | None:
    """Return what polars takes the columns for; None where only `jsonl_as_text` may read them."""
    with suppress(*POLARS_FAULTS):
        return scan_jsonl(path).collect_schema()
    return None


def jsonl_names(path: Path) -> dict[str, type[pl.String]]:
    """Return the columns of `jsonl_as_text`; raises a SourceError that names the line at fault."""
    return dict.fromkeys((name for row in _objects(path) for name in row), pl.String)


def jsonl_as_text(
    path: Path, names: dict[str, type[pl.String]], n_rows: int
) -> Iterator[pl.DataFrame]:
    """Yield so many rows after the other, all of it text.

    Slower than polars, but it knows NaN and mixed types.
    """
    rows = _objects(path)
    while part := list(islice(rows, n_rows)):
        columns = {name: [_text(row.get(name)) for row in part] for name in names}
        yield pl.DataFrame(columns, schema=names)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError) as error:
                raise SourceError(
                    f"{path}, line {number}, is not valid JSON ({error}); see that the file is "
                    "complete and has one object a line."
                ) from error
            if not isinstance(row, dict):
                raise SourceError(
                    f"{path}, line {number}, holds a {type(row).__name__}, not an object; write "
                    "one JSON object a line."
                )
            yield row


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is not UTF-8


_READERS = {"Parquet": _read_parquet, "CSV": _read_csv, "JSONL": _read_jsonl}
