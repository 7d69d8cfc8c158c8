"""CSV, JSONL and Parquet files whose tables are read in parts, under our names of their columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import (
    POLARS_FAULTS,
    format_of,
    jsonl_as_text,
    jsonl_names,
    jsonl_schema,
    read_frame,
    refuse_a_short_last_row,
    refuse_names_of_two,
    refusing,
    scan_jsonl,
)
from litellm_benchrouter.sources.results import BATCH


class MixedTypesError(Exception):
    """A JSONL file holds values that the type of their column does not take.

    Attributes
    ----------
    path : Path
        The file, which can still be read as text.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class FrameFile:
    """A file whose rows come in batches, of which one is in memory at once.

    Parameters
    ----------
    path : Path
        As in `read_frame`.
    as_text : bool
        Read JSONL as text, whatever its values are.

    Attributes
    ----------
    path : Path
    names : dict of str to str
        Our name of each column -> the file's.
    task : str or None
        What a column `task` holds that the file does not have.

    Raises
    ------
    SourceError
        As of `read_frame`; what is damaged further on is found when it is read.
    """

    def __init__(self, path: Path, *, as_text: bool = False) -> None:
        self.path = path
        self.task: str | None = None
        self._format = format_of(path)
        self._schema: pl.Schema | None = None  # of JSONL that polars reads
        self._columns = self._begun(as_text)
        if not self._columns:
            read_frame(path)  # which says so where there are no rows
        self.names = {name: name for name in self._columns}

    @property
    def columns(self) -> list[str]:
        """Our names of the columns."""
        return [*self.names, *(["task"] if self.task is not None else [])]

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, some after the other, with all columns.

        Raises
        ------
        SourceError
            If the file is damaged.
        MixedTypesError
            Of JSONL that has to be read again, as text.
        """
        parts = self._parts()
        n_read = 0
        while True:
            with refusing(self.path, self._format):
                part = next(parts, None)
                if part is None:
                    break
                ours = self._ours(part)
            n_read += ours.height
            yield ours
        self._refuse_fewer_rows(n_read)
        if self._format == "CSV":
            refuse_a_short_last_row(self.path, len(self._columns))

    def _parts(self) -> Iterator[pl.DataFrame]:
        if self._is_text:
            yield from jsonl_as_text(self.path, dict.fromkeys(self._columns, pl.String), BATCH)
            return
        try:
            yield from self._scan().collect_batches(chunk_size=BATCH, maintain_order=True)
        except POLARS_FAULTS as error:
            if self._format == "JSONL":
                raise MixedTypesError(self.path) from error
            raise

    def _refuse_fewer_rows(self, n_read: int) -> None:
        """Refuse a file of which polars gave less than there is, as it may after a panic."""
        if self._is_text:
            return
        with refusing(self.path, self._format):
            n_rows = self._scan().select(pl.len()).collect().item()
        if n_read != n_rows and n_read != (n_rows := read_frame(self.path).height):
            raise SourceError(
                f"{self.path} cannot be read as {self._format}: only {n_read} of "
                f"{n_rows} rows came; see that it is complete."
            )

    @property
    def _is_text(self) -> bool:
        return self._format == "JSONL" and self._schema is None

    def _ours(self, frame: pl.DataFrame) -> pl.DataFrame:
        ours = pl.DataFrame({name: frame[their] for name, their in self.names.items()})
        return ours if self.task is None else ours.with_columns(task=pl.lit(self.task))

    def _begun(self, as_text: bool) -> list[str]:
        """Return the names of the columns; none where there is no row."""
        with refusing(self.path, self._format):
            if self._format == "JSONL":
                self._schema = None if as_text else jsonl_schema(self.path)
                return list(jsonl_names(self.path) if self._schema is None else self._schema)
            scan = self._scan()
            try:
                names = scan.collect_schema().names()
            except pl.exceptions.NoDataError:  # an empty CSV
                return []
            if self._format == "Parquet":
                return names if names and scan.select(pl.len()).collect().item() else []
            has_rows = not scan.head(1).collect().is_empty()
        refuse_names_of_two(self.path, names)
        return names if has_rows else []

    def _scan(self) -> pl.LazyFrame:
        if self._format == "CSV":
            return pl.scan_csv(self.path, infer_schema=False, glob=False)
        if self._format == "JSONL":
            return scan_jsonl(self.path, self._schema)
        return pl.scan_parquet(self.path, glob=False, hive_partitioning=False)
