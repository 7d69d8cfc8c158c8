"""What the readers' tests share: means of a table, and copies of real output to damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from litellm_benchrouter.sources.record import SourceTable


def means(table: SourceTable, column: str = "score") -> dict[tuple[str, str], float]:
    """Mean of a column over the samples that have it, by task and model; no entry where none."""
    rows = table.scores.join(table.samples, on="sample_id").drop_nulls(column)
    grouped = rows.group_by("task", "model").agg(pl.col(column).mean())
    return {(task, model): mean for task, model, mean in grouped.iter_rows()}


def by_sample(table: SourceTable, model: str, column: str = "score") -> dict[str, Any]:
    """The values of a model by sample id."""
    rows = table.scores.filter(model=model)
    return dict(zip(rows["sample_id"], rows[column], strict=True))


def prompts(table: SourceTable) -> dict[str, str]:
    """The prompts by sample id."""
    return dict(zip(table.samples["sample_id"], table.samples["prompt"], strict=True))


def copied(source: Path, target: Path, keep: Callable[[Path], bool] = lambda _: True) -> Path:
    """Copy the contents of files, not their modes: the originals may be read-only."""
    for file in sorted(source.rglob("*")):
        if file.is_file() and keep(file):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return target
