"""Tables that are read in batches of a few rows hold what a plain loop over their rows finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources import frames, grid
from litellm_benchrouter.sources.merge import SourceJudgement, merge
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.table import read

MODELS = ["a", "b", "b2"]
WRITERS = {
    "csv": pl.DataFrame.write_csv,
    "jsonl": pl.DataFrame.write_ndjson,
    "parquet": pl.DataFrame.write_parquet,
}

ids = st.sampled_from(["0", "1", "2", "3", "4"])
tasks = st.sampled_from(["t", "t", "t", "u", " ", None])
prompts = st.sampled_from(["p", "p", "q", "", None])
scores = st.sampled_from(["1", "0", " 0.25 ", "true", "0.1", "1e40", "n/a", "nan", "", None])
long_rows = st.lists(
    st.tuples(ids, tasks, prompts, st.sampled_from([*MODELS, None]), scores, scores), max_size=12
)
wide_rows = st.lists(st.tuples(ids, tasks, prompts, scores, scores, scores), min_size=3, max_size=8)
drawn_tables = st.lists(
    st.tuples(st.sampled_from(sorted(WRITERS)), st.just(False), long_rows)
    | st.tuples(st.sampled_from(sorted(WRITERS)), st.just(True), wide_rows),
    min_size=1,
    max_size=3,
)
Row = tuple[str | None, ...]
Cell = tuple[str, str, str, str]
"""task, sample_id in the source, prompt, model"""


@pytest.fixture(params=[1, 3])
def small_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(frames, "BATCH", request.param << 3)
    monkeypatch.setattr(grid, "_SLICE", request.param)
    return int(request.param)


def text(value: str | None) -> str | None:
    return value if value is not None and value.strip() else None


def finite(value: str | None) -> float | None:
    """The number that a float32 can hold, if it is one."""
    try:
        found = {"true": 1.0}.get(value or "") or float(value or "")
    except ValueError:
        return None
    return found if abs(found) < 3e38 else None  # not so of NaN


class Plain:
    """A table read row by row, by the rules that the manual states."""

    def __init__(self, rows: list[dict[str, Any]], wide: bool) -> None:
        self.wide = wide
        self.dropped: Counter[str] = Counter()
        self.prompt: dict[tuple[str, str], str | None] = {}
        """sample_id and task -> prompt"""
        self.cells: dict[tuple[str, str], list[float | None]] = {}
        self.order: dict[tuple[str, str], int] = {}
        """Which of two scores goes before the other, where both names are one model's."""
        if wide:  # a score counts wherever it is
            for row in rows:
                for model in MODELS:
                    self.judged(row[model])
        complete = [row for row in rows if self.is_complete(row)]
        tasks_of: dict[str, set[str]] = {}
        for row in complete:
            tasks_of.setdefault(row["sample_id"], set()).add(row["task"])
        for row in complete:
            shared = len(tasks_of[row["sample_id"]]) > 1
            self.add(f"{row['task']}/{row['sample_id']}" if shared else row["sample_id"], row)
        self.dropped["empty prompts"] = sum(prompt is None for prompt in self.prompt.values())
        self.scores = {cell: self.mean(several) for cell, several in self.cells.items()}

    def in_order(self) -> list[tuple[str, str]]:
        """Cells with a score: of a wide table column by column, of a long one row by row."""
        return sorted(self.order, key=lambda c: MODELS.index(c[1]) if self.wide else self.order[c])

    def is_complete(self, row: dict[str, Any]) -> bool:
        needed = ["sample_id", "task", *([] if self.wide else ["model"])]
        missing = [name for name in needed if text(row[name]) is None]
        if missing:
            self.dropped[f"rows without a {missing[0]}"] += 1
        return not missing

    def add(self, sample_id: str, row: dict[str, Any]) -> None:
        prompt = text(row["prompt"])
        if self.prompt.setdefault((sample_id, row["task"]), prompt) != prompt:
            self.dropped["rows whose sample_id had another prompt"] += 1
            return
        if self.wide:
            found = {m: score for m in MODELS if (score := finite(row[m])) is not None}
        else:
            self.judged(row["score"])
            found = {row["model"]: finite(row["score"])}
        if prompt is None:
            self.dropped["scores of samples left out"] += len(found)
            return
        for model, score in found.items():
            if score is not None:
                self.order.setdefault((sample_id, model), len(self.order))
            self.cells.setdefault((sample_id, model), []).append(score)

    def judged(self, value: str | None) -> None:
        if text(value) is None:
            self.dropped["empty scores"] += 1
        elif finite(value) is None:
            self.dropped["scores that are not numbers"] += 1

    def mean(self, several: list[float | None]) -> float | None:
        known = [score for score in several if score is not None]
        self.dropped["repeated results, which are averaged"] += len(several) - 1
        return sum(known) / len(known) if known else None


def scores_of(table: SourceTable) -> dict[tuple[str, str], float | None]:
    columns = (table.scores[name] for name in ("sample_id", "model", "score"))
    return {(sample_id, model): score for sample_id, model, score in zip(*columns, strict=True)}


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=drawn_tables)
def test_messy_tables_read_in_small_batches_hold_what_a_plain_loop_finds(
    tmp_path: Path, small_batches: int, drawn: list[tuple[str, bool, list[Row]]]
) -> None:
    judged = []
    expected: dict[Cell, float] = {}
    for s, (kind, is_wide, values) in enumerate(drawn):
        names = [
            "sample_id",
            "task",
            "prompt",
            *(MODELS if is_wide else ["model", "score", "note"]),
        ]
        rows = [dict(zip(names, row, strict=True)) for row in values]
        path = tmp_path / f"{s}.{kind}"
        WRITERS[kind](pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String)), path)
        if is_wide and any(all(finite(row[model]) is None for row in rows) for model in MODELS):
            continue  # a column without a number is no model's
        plain = Plain(rows, is_wide)
        if all(score is None for score in plain.scores.values()):
            with pytest.raises(SourceError):
                read(path)
            continue
        table = read(path)
        assert scores_of(table) == pytest.approx(plain.scores)
        plain.dropped['values in the unknown column "note"'] = sum(
            row.get("note") is not None for row in rows
        )
        assert table.dropped == plain.dropped  # of a Counter, what is not there is 0
        columns = (table.samples[name] for name in ("sample_id", "task", "prompt"))
        kept = {key: prompt for key, prompt in plain.prompt.items() if prompt is not None}
        assert {(i, t): prompt for i, t, prompt in zip(*columns, strict=True)} == kept
        judged.append((table, SourceJudgement(f"S{s}", threshold=0.2)))
        task_of = dict(plain.prompt.keys())
        for sample_id, model in plain.in_order():
            score, task = plain.scores[sample_id, model], task_of[sample_id]
            cell = (task, sample_id, kept[sample_id, task], "b" if model == "b2" else model)
            expected.setdefault(cell, score)
    if judged:
        benchmark, report = merge(judged, aliases={"b2": "b"}, facts={})
        own_id = [_own_id(judged[s][0], row) for s, row in report.source_row]
        assert pytest.approx(expected) == {
            (
                benchmark.tasks[benchmark.task[i]],
                own_id[i],
                benchmark.prompts[i],
                benchmark.models[m],
            ): benchmark.scores[i, m]
            for i, m in np.argwhere(~np.isnan(benchmark.scores))
        }


def _own_id(table: SourceTable, source_row: int) -> str:
    return str(table.samples.filter(source_row=int(source_row))["sample_id"].item())
