"""CSV, JSONL and Parquet files whose tables are read in parts, under our names of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from polars import selectors

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import (
    format_of,
    read_frame,
    refuse_a_short_last_row,
    refuse_names_of_two,
    refusing,
)
from litellm_benchrouter.sources.results import BATCH


class FrameFile:
    """A file whose rows come in batches, or whose columns come a few at a time.

    Of Parquet and CSV a batch is in memory at once, of Parquet also a few columns; any other
    reading needs the whole file.

    Parameters
    ----------
    path : Path
        As in `read_frame`.

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

    def __init__(self, path: Path) -> None:
        self.path = path
        self.task: str | None = None
        self._format = format_of(path)
        self._whole: pl.DataFrame | None = None
        names = [] if self._format == "JSONL" else self._begun()
        if not names:  # read as a whole, or refused there
            self._whole = read_frame(path)
            names = self._whole.columns
        self._columns = names
        self.names = dict(zip(names, names, strict=True))

    @property
    def columns(self) -> list[str]:
        """Our names of the columns."""
        return [*self.names, *(["task"] if self.task is not None else [])]

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Return whole columns, each of which is asked for once."""
        theirs = {name: self.names[name] for name in names if name in self.names}
        if self._format == "Parquet":
            with refusing(self.path, self._format):
                wanted = selectors.by_name(set(theirs.values()))
                frame = self._scan().select(wanted).collect()
        else:
            if self._whole is None:
                self._whole = read_frame(self.path)
            frame = self._whole.select(selectors.by_name(set(theirs.values())))
            others = (their for name, their in self.names.items() if name not in theirs)
            gone = {*theirs.values()}.difference(others)  # what was taken need not stay in memory
            self._whole = self._whole.drop(selectors.by_name(gone))
        return self._ours(frame, theirs, with_task="task" in names)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, some after the other, with all columns."""
        if self._whole is not None:
            parts: Iterator[pl.DataFrame] = self._whole.iter_slices(BATCH)
        else:
            parts = iter(self._scan().collect_batches(chunk_size=BATCH, maintain_order=True))
        n_read = 0
        while True:
            with refusing(self.path, self._format):
                part = next(parts, None)
                if part is None:
                    break
                ours = self._ours(part, self.names, with_task=True)
            n_read += ours.height
            yield ours
        self._refuse_fewer_rows(n_read)
        if self._format == "CSV":
            refuse_a_short_last_row(self.path, len(self._columns))

    def _refuse_fewer_rows(self, n_read: int) -> None:
        """Refuse a file of which polars gave less than there is, as it may after a panic."""
        if self._whole is not None:
            return
        with refusing(self.path, self._format):
            n_rows = self._scan().select(pl.len()).collect().item()
        if n_read != n_rows and n_read != (n_rows := read_frame(self.path).height):
            raise SourceError(
                f"{self.path} cannot be read as {self._format}: only {n_read} of "
                f"{n_rows} rows came; see that it is complete."
            )

    def _ours(self, frame: pl.DataFrame, names: dict[str, str], with_task: bool) -> pl.DataFrame:
        ours = pl.DataFrame({name: frame[their] for name, their in names.items()})
        if self.task is None or not with_task:
            return ours
        return ours.with_columns(task=pl.lit(self.task))

    def _begun(self) -> list[str]:
        """Return the names of the columns; none where there is no row."""
        with refusing(self.path, self._format):
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
        return pl.scan_parquet(self.path, glob=False, hive_partitioning=False)
