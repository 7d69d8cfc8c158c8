"""What a report is made of: sections of figures, each with the table behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.evaluation.report.chart import Chart, Key

Document = Mapping[str, Any]
"""What a protocol returned, with None where a number is not known."""


@dataclass(frozen=True)
class Table:
    """Numbers as text, ready to be shown on the page and on the terminal.

    Attributes
    ----------
    title : str
    columns : sequence of str
        The first `n_text` hold words, the others numbers.
    rows : sequence of sequence of str
    n_text : int
    marked : int or None
        The row of the router that the verdict is about.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text: int = 1
    marked: int | None = None


@dataclass(frozen=True)
class Cell:
    """One model on one task: `shade` is 0 at the task's worst model and 1 at its best."""

    text: str
    shade: float | None
    picked: bool
    best: bool


@dataclass(frozen=True)
class Heatmap:
    """Tasks beneath one another, models beside one another.

    Attributes
    ----------
    title : str
    models : sequence of str
    rows : sequence of (task, gain, whether it is a loss, cells)
    """

    title: str
    models: Sequence[str]
    rows: Sequence[tuple[str, str, bool, Sequence[Cell]]]


@dataclass(frozen=True)
class Figure:
    """A picture, what it says in words, and the numbers behind it."""

    id: str
    title: str
    words: Sequence[str]
    tables: Sequence[Table]
    chart: Chart | None = None
    heatmap: Heatmap | None = None
    legend: Sequence[Key] = ()


@dataclass(frozen=True)
class Section:
    """What one protocol found."""

    id: str
    title: str
    words: Sequence[str]
    figures: Sequence[Figure]


def ours(document: Document, otherwise: str) -> str | None:
    """Return the method that a verdict is about: what the proxy does, or the paper's best."""
    methods = document["methods"]
    return next((name for name in ("default", otherwise) if name in methods), None)


def without_nan(document: Any) -> Any:
    """Return a document with None for every number that is not known."""
    if isinstance(document, dict):
        return {key: without_nan(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
