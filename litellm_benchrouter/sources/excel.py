"""Sheets of Excel's .xlsx files, as frames."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from litellm_benchrouter.errors import SourceError


def read_sheet(path: Path, sheet: str | None) -> pl.DataFrame:
    """Read a sheet whose first row names the columns; all of it is text, and errors are missing.

    Raises SourceError where fastexcel is not installed, the file is damaged, two columns have one
    name, or several sheets hold rows and none is named.
    """
    try:
        import fastexcel
    except ImportError as error:
        raise SourceError(
            f'{path} needs a library that is not installed: pip install "litellm-benchrouter'
            '[excel]". Or save the sheet as CSV.'
        ) from error
    try:
        book = fastexcel.read_excel(path)
        names = book.sheet_names if sheet is None else [sheet]
        if not {*names} <= {*book.sheet_names}:
            raise SourceError(f"{path} has no sheet {sheet!r}; it has {_listed(book.sheet_names)}.")
        # As text: where numbers and words are mixed, it would keep the numbers alone.
        heads = {
            name: book.load_sheet(name, header_row=None, n_rows=2, dtypes="string")
            for name in names
        }
        names = [name for name, head in heads.items() if head.height > 1] or names[:1]
        if len(names) > 1:
            raise SourceError(
                f"{path} has rows in the sheets {_listed(names)}. Name one with options: "
                f"{{sheet: {names[0]}}}."
            )
        header = next(heads[names[0]].to_polars().iter_rows(), ())
        for text, n in Counter(filter(None, header)).items():
            if n > 1:
                raise SourceError(f'{path} has the column "{text}" twice; rename or drop one.')
        frame: pl.DataFrame = book.load_sheet(names[0], dtypes="string").to_polars()
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise SourceError(
            f"{path} cannot be read as Excel: {reason}; see that it is complete and really is an "
            ".xlsx file."
        ) from error
    frame = frame.rename(lambda name: name.replace("__UNNAMED__", "Unnamed: "))
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
