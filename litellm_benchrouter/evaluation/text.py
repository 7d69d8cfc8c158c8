"""What `evaluate` prints: the verdict in words, then a table for each protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from litellm_benchrouter.evaluation.report.parts import Table, without_nan
from litellm_benchrouter.evaluation.report.sections import TABLES
from litellm_benchrouter.evaluation.report.verdict import GAIN, LEVEL, LOSS, UNCLEAR, verdict

_STYLES = {GAIN: "bold green", UNCLEAR: "bold yellow", LEVEL: "bold", LOSS: "bold red"}
_LONGEST = 40  # characters of a name before it folds
_BORDERS = 3  # characters that a column needs around its cells


def show(documents: dict[str, dict[str, Any]], out: Console) -> None:
    """Print what the protocols found.

    Parameters
    ----------
    documents : dict of str to dict
        By protocol; NaN or None where a number is not known.
    out : Console
        A table that is wider is printed in parts, each with the names.
    """
    documents = without_nan(documents)
    found = verdict(documents)
    out.print(Text(f"{found.sign} {found.headline}", style=_STYLES[found.tone]))
    for finding in found.findings:
        out.print(Text(f"  {finding.sign} {finding.sentence}"))
    for name, make in TABLES.items():
        if name in documents:
            table = make(documents[name])
            out.print()
            out.print(Text(table.title, style="bold"))
            for columns in _parts(table, out.width):
                out.print(_rich(table, columns))


def _parts(table: Table, width: int) -> Iterator[list[int]]:
    """Split the columns so that no number has to be broken over lines."""
    names = list(range(table.n_text))
    columns = list(names)
    for i in range(table.n_text, len(table.columns)):
        wanted = sum(_width(table, j) + _BORDERS for j in [*columns, i]) + 1
        if wanted > width and len(columns) > len(names):
            yield columns
            columns = list(names)
        columns.append(i)
    yield columns


def _width(table: Table, column: int) -> int:
    """Characters of the longest cell, or of the longest word of the heading."""
    cells = [len(row[column]) for row in table.rows]
    longest = max(map(len, table.columns[column].split()))
    widest = max([longest, *cells])
    return min(widest, _LONGEST) if column < table.n_text else widest


def _rich(table: Table, columns: list[int]) -> RichTable:
    made = RichTable(header_style="bold")
    for i in columns:
        made.add_column(
            table.columns[i],
            justify="left" if i < table.n_text else "right",
            overflow="fold",
            width=_width(table, i),
        )
    for number, row in enumerate(table.rows):
        # Text and not str: a name may look like rich's markup.
        made.add_row(
            *(Text(row[i]) for i in columns), style="bold" if number == table.marked else None
        )
    return made
