"""CSV, JSONL, Parquet and Excel files as lazy frames, and one sentence where that fails."""

from __future__ import annotations

import csv
import glob
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.excel import read_sheet
from litellm_benchrouter.sources.json_files import BYTE_ORDER_MARKS, Faults, json_objects

FORMATS = {
    **{".parquet": "Parquet", ".csv": "CSV", ".tsv": "CSV"},
    **{".jsonl": "JSONL", ".ndjson": "JSONL", ".json": "JSONL"},
    ".xlsx": "Excel",
}
"""Ending of a file's name -> what is in it."""

BATCH = 1 << 17
"""Rows that are in memory at once as text."""

_POLARS_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_HEAD_BYTES = _TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class LazyTable:
    """A file whose rows have not been read."""

    path: Path
    frame: pl.LazyFrame  # every column of a CSV or JSONL is text
    schema: pl.Schema
    # "0,5" may be a number: the fields are separated by something else than commas
    decimal_comma: bool = False

    def collect(self, *columns: pl.Expr) -> pl.DataFrame:
        """Read columns (default: all), of which only a batch is in memory before they are made."""
        names = list(dict.fromkeys(name for c in columns for name in c.meta.root_names()))
        with refusing(self.path):
            # Not in the query: polars would read far ahead of what has become categories.
            batches = self.frame.select(names or pl.all()).collect_batches(
                chunk_size=BATCH, maintain_order=True
            )
            parts = [batch.select(*columns) if columns else batch for batch in batches]
            n_rows = self.frame.select(pl.len()).collect().item()
        n_read = sum(part.height for part in parts)
        if n_read != n_rows:  # as may be after a panic of polars
            raise SourceError(
                f"{self.path} cannot be read as {format_of(self.path)}: only {n_read} of {n_rows} "
                "rows came; see that it is complete."
            )
        if not n_rows:
            raise SourceError(f"{self.path} holds no rows; give a file with results.")
        return pl.concat(parts)


def read_frame(path: Path) -> pl.DataFrame:
    """Read a whole file; raises SourceError as `scan`, and where a line of JSONL is broken."""
    faults = Faults(path)
    table = scan(path, faults)
    frame = table.collect()
    if str(faults):
        raise SourceError(f"{faults}; see that the file is complete and has one object a line.")
    return frame


def scan(
    path: Path,
    faults: Faults,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> LazyTable:
    """Open a CSV, JSONL, Parquet or Excel file, told apart by its ending; .json holds a list.

    `faults` takes the lines of a JSONL file that are not objects. By default a CSV's header shows
    what separates its fields, and it is UTF-8, or UTF-16 where it begins so. Of an Excel file the
    one sheet that holds rows is read, and at once. Raises SourceError
    where the file is missing, of another kind, damaged, cut off, or without rows.
    """
    form = format_of(path)
    with refusing(path):
        if form == "CSV":
            return _scan_csv(path, separator, encoding)
        if form == "JSONL":
            frame = _scan_jsonl(path, faults)
        elif form == "Excel":
            frame = read_sheet(path, sheet).lazy()
        else:
            frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        table = LazyTable(path, frame, frame.collect_schema())
    if not table.schema:
        problem = str(faults) or f"{path} holds no rows"
        raise SourceError(f"{problem}; give a file with results.")
    return table


def matching(path: Path) -> list[Path]:
    """Return the files that a pattern names, or the path itself where it has no pattern."""
    if path.exists() or not {"*", "?"} & {*str(path)}:
        return [path]
    files = files_like(path)
    if not files:
        raise SourceError(f"{path} matches no file; give a file, a folder or another pattern.")
    return files


def files_like(pattern: Path) -> list[Path]:
    """Return the files that a pattern names, sorted; as a shell does, no hidden ones."""
    # Path.glob's "**" means folders before Python 3.13, and has to be a whole name.
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207
    return sorted(path for path in {*map(Path, names)} if path.is_file())


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return models' names from those of their files, or of their folders where these tell more."""
    for names in (
        [path.name.removesuffix(".gz").rpartition(".")[0] for path in paths],
        [path.parent.name for path in paths],
    ):
        if len(set(names)) == len(names):
            return names
    raise SourceError(
        f"{paths[0]} and other files have the same name; name each file after its model."
    )


def file_in(folder: Path, stem: str) -> Path:
    """Return the one file of that name in the folder, whatever its format."""
    names = [f"{stem}{ending}" for ending in FORMATS]
    present = [name for name in names if (folder / name).is_file()]
    if len(present) != 1:
        raise SourceError(
            f"{folder} holds {' and '.join(present) or f'no {stem} file'}; a table's folder has "
            f"one of {', '.join(names)}."
        )
    return folder / present[0]


def format_of(path: Path) -> str:
    """Return which of `FORMATS` a file has; raise SourceError where it is missing or has none."""
    if not path.exists():
        raise SourceError(
            f"{path} does not exist; give a file or folder with results, "
            "or make one with benchrouter label --starter or benchrouter fetch."
        )
    form = FORMATS.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if form is None or (path.suffix.lower() == ".gz" and form != "CSV"):
        way_out = (
            "save it as .xlsx or CSV" if path.suffix.lower() in (".xls", ".ods") else "convert"
        )
        raise SourceError(
            f"{path} is none of {', '.join(FORMATS)}, .csv.gz; {way_out}, or name the kind that "
            "reads it."
        )
    return form


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what polars says of a file into one sentence."""
    try:
        yield
    except (*_POLARS_FAULTS, OSError, UnicodeError, LookupError, EOFError) as error:
        form = format_of(path)
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if form == "CSV" and isinstance(error, _POLARS_FAULTS):
            reason = _csv_fault(path) or reason
        raise SourceError(
            f"{path} cannot be read as {form}: {reason}; see that it is complete and really is "
            f"{form}."
        ) from error


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names for a sentence: the first few, and how many more."""
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _scan_csv(path: Path, separator: str | None, encoding: str | None) -> LazyTable:
    if separator is not None and len(separator.encode()) != 1:
        raise SourceError(
            f"{path}: the option separator is {separator!r}, not one character; correct it."
        )
    source: Path | bytes = path
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if path.suffix.lower() == ".gz":
        source = gzip.decompress(path.read_bytes())
        head = source[:_HEAD_BYTES]
    marked = encoding or BYTE_ORDER_MARKS.get(head[:2])
    if not marked and b"\0" in head[:4]:
        raise SourceError(
            f"{path} is not UTF-8; set options: {{encoding: utf-16-le}}, or save it as UTF-8."
        )
    only_returns = b"\r" in head and b"\n" not in head
    if marked or only_returns:
        content = path.read_bytes() if source is path else source
        assert isinstance(content, bytes)
        content = content.decode(marked or "utf-8").removeprefix("\ufeff").encode()
        source = content.replace(b"\r", b"\n") if b"\n" not in content else content
        head = source[:_HEAD_BYTES]
    lines = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").splitlines()
    states = re.fullmatch(r'"?sep=(.)"?', lines[0]) if lines else None  # Excel's first line
    header = next(iter(lines[1:] if states else lines), "")
    usual = "\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","
    separator = separator or (states and states[1]) or _separator(header, usual)
    try:
        frame = pl.scan_csv(
            source if source is path else BytesIO(source),  # type: ignore[arg-type]
            infer_schema=False,
            glob=False,
            separator=separator,
            skip_rows=1 if states else 0,
        )
        schema = frame.collect_schema()
    except pl.exceptions.NoDataError:
        raise SourceError(f"{path} holds no rows; give a file with results.") from None
    for name in schema:
        twice = re.fullmatch(r"(.*)_duplicated_\d+", name, re.DOTALL)  # polars renames the second
        if twice and twice[1] in schema:
            raise SourceError(f'{path} has the column "{twice[1]}" twice; rename or drop one.')
    _refuse_a_short_last_row(path, source, len(schema), separator)
    return LazyTable(path, frame, schema, decimal_comma=separator != ",")


def _separator(header: str, usual: str) -> str:
    """Return what separates a header's fields: the usual, or the first of others that it has.

    What is between quotes separates nothing.
    """
    header = re.sub(r'"[^"]*"', "", header)
    return next((s for s in (usual, ",", ";", "\t", "|") if s in header), usual)


def _refuse_a_short_last_row(path: Path, source: Path | bytes, width: int, separator: str) -> None:
    """Refuse the commonest sign of a file that was cut off, which polars fills up with nulls."""
    if isinstance(source, bytes):
        is_whole, tail = len(source) <= _TAIL_BYTES, source[-_TAIL_BYTES:]
    else:
        with source.open("rb") as file:
            start = max(0, source.stat().st_size - _TAIL_BYTES)
            file.seek(start)
            is_whole, tail = start == 0, file.read()
    lines = tail.rstrip(b"\r\n").splitlines()
    # An odd number of quotes: the line starts within a text of several lines, or may do.
    if not lines or (not is_whole and len(lines) == 1) or lines[-1].count(b'"') % 2:
        return
    last = lines[-1].decode("utf-8", "replace")
    fields = len(next(csv.reader([last], delimiter=separator), []))
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
        return "it is not UTF-8; save it so, or set options: {encoding: ...}"
    return ""


def _scan_jsonl(path: Path, faults: Faults) -> pl.LazyFrame:
    """Return rows of text; polars reads them, or Python where polars cannot.

    Python knows a JSON list, NaN and half surrogate pairs, and reads on after a broken line.
    """
    pattern = glob.escape(str(path))
    try:
        names = pl.scan_ndjson(pattern, infer_schema_length=None).collect_schema().names()
        return pl.scan_ndjson(pattern, schema=dict.fromkeys(names, pl.String))
    except _POLARS_FAULTS:
        rows = (row for _, row in json_objects(path, faults))
    parts: list[pl.DataFrame] = []
    while batch := list(islice(rows, BATCH >> 3)):
        names = list(dict.fromkeys(name for row in batch for name in row))
        columns = {name: [_text(row.get(name)) for row in batch] for name in names}
        # As categories, each different text takes its room once, however many rows there are.
        parts.append(pl.DataFrame(columns, dict.fromkeys(names, pl.String)).cast(pl.Categorical))
    return pl.concat(parts, how="diagonal").lazy() if parts else pl.LazyFrame()


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is not UTF-8
