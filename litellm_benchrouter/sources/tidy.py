"""What a table keeps and what it leaves out: each rule counts, in words that a report shows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import listed

SAMPLE = ("sample_id", "task", "prompt", "reference", "split")
"""The columns of text that describe a sample."""


_NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens", "log_likelihood")
_PREFIXES = ("metric:", "ranker:")

LEFT_OUT = -1
"""In place of a sample's position: it is not wanted, or has no prompt."""


def is_number(name: str) -> bool:
    """Say whether a column holds something about an answer."""
    return name in _NUMBERS or name.startswith(_PREFIXES)


def require(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise a SourceError where a column is missing."""
    for name in names:
        if name not in columns:
            or_option = ", or give the option task" if name == "task" else ""
            raise SourceError(
                f'{path} has no column "{name}" (it has {listed(columns)}); say which one it '
                f"is with columns: {{{name}: THEIRS}}{or_option}."
            )


def known(frame: pl.DataFrame, names: Sequence[str], dropped: Counter[str]) -> pl.DataFrame:
    """Keep the columns that have a meaning here, and count the values of the others."""
    for name in frame.columns:
        if name not in names:
            dropped[f'values in the unknown column "{name}"'] += frame[name].count()
    return frame.select(name for name in frame.columns if name in names)


def count(dropped: Counter[str], words: str, n: int) -> None:
    """Count what was left out; what was not needs no mention."""
    if n:
        dropped[words] += n


def as_text(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Make the columns of text text, and blank text null."""
    texts = [name for name in (*SAMPLE, "model") if name in frame.columns]
    for name in texts:
        dtype = frame.schema[name]
        if dtype.is_nested() or dtype == pl.Binary:
            raise SourceError(
                f'{path} holds {dtype} in its column "{name}"; give text, one value a row.'
            )
    frame = frame.with_columns(pl.col(texts).cast(pl.String))
    return frame.with_columns(
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name)
        for name in texts
    )


def complete(frame: pl.DataFrame, names: Sequence[str], dropped: Counter[str]) -> pl.DataFrame:
    """Leave out rows without a value in one of the columns."""
    for name in names:
        if name in frame.columns:
            count(dropped, f"rows without a {name}", frame[name].null_count())
            frame = frame.drop_nulls(name)
    return frame


def as_numbers(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read a column of any type as numbers: "0.5" is one, true is 1 and false is 0.

    Returns
    -------
    polars.Series of Float64
        Null where there is no finite number that a float32 can hold.
    polars.Series of Boolean
        Where there is a value that is no such number.
    """
    dtype, filled = values.dtype, values.is_not_null()
    if dtype == pl.String:
        text = values.str.strip_chars().str.to_lowercase()
        filled = (text != "").fill_null(False)
        values = text.replace({"true": "1", "false": "0"})
    elif not (dtype.is_numeric() or dtype == pl.Boolean):
        nothing = pl.repeat(None, len(values), dtype=pl.Float64, eager=True)
        return nothing.alias(values.name), filled
    numbers = values.cast(pl.Float64, strict=False)
    is_finite = numbers.cast(pl.Float32).is_finite()
    numbers = numbers.to_frame().select(pl.when(is_finite).then(pl.first())).to_series()
    return numbers, filled & numbers.is_null()


def identified(frame: pl.DataFrame, dropped: Counter[str]) -> pl.DataFrame:
    """Give every row a sample_id that stands for one prompt.

    Without a sample_id it is derived from task and prompt, the same in every file. Where an id
    occurs in several tasks, which number their samples alike, it becomes `TASK/SAMPLE_ID`.
    """
    if "sample_id" not in frame.columns:
        pairs = frame.select("task", "prompt").unique(maintain_order=True)
        ids = [
            hashlib.sha256(f"{task}\0{prompt or ''}".encode()).hexdigest()[:16]
            for task, prompt in pairs.iter_rows()
        ]
        pairs = pairs.with_columns(sample_id=pl.Series(ids, dtype=pl.String))
        return frame.join(
            pairs, on=["task", "prompt"], how="left", nulls_equal=True, maintain_order="left"
        )
    tasks_of_id = frame.select("sample_id", "task").unique()
    shared = tasks_of_id.filter(pl.col("sample_id").is_duplicated())["sample_id"].unique()
    if not shared.is_empty():
        frame = frame.with_columns(
            sample_id=pl.when(pl.col("sample_id").is_in(shared.implode()))
            .then(pl.concat_str("task", pl.lit("/"), "sample_id"))
            .otherwise("sample_id")
        )
    return one_prompt_an_id(frame, dropped)


def one_prompt_an_id(frame: pl.DataFrame, dropped: Counter[str]) -> pl.DataFrame:
    """Leave out rows whose sample_id stood for another prompt before."""
    key = ["sample_id", "task", "prompt"]
    seen = frame.select(key).unique(maintain_order=True)
    first = seen.unique("sample_id", keep="first", maintain_order=True)
    if first.height == seen.height:
        return frame
    kept = frame.join(first, on=key, how="semi", nulls_equal=True, maintain_order="left")
    count(dropped, "rows whose sample_id had another prompt", frame.height - kept.height)
    return kept


def positions_of(frame: pl.DataFrame, samples: pl.DataFrame) -> NDArray[np.int64]:
    """Return where the sample of each row is; `samples` has each sample_id once."""
    if frame.height == samples.height:
        return np.arange(frame.height)
    ids = samples.select("sample_id").with_row_index("position")
    found = frame.select("sample_id").join(ids, on="sample_id", how="left", maintain_order="left")
    return found["position"].to_numpy().astype(np.int64)


def useful_samples(
    samples: pl.DataFrame, tasks: Sequence[str] | None, path: Path, dropped: Counter[str]
) -> pl.DataFrame:
    """Keep the samples of `tasks` (None: of all) that have a prompt."""
    if tasks is not None:
        there = samples["task"].unique().sort().to_list()
        for task in tasks:
            if task not in there:
                raise SourceError(f'{path} has no task "{task}"; it has {listed(there)}.')
        asked = samples.filter(pl.col("task").is_in(tasks))
        count(dropped, "samples of other tasks", samples.height - asked.height)
        samples = asked
    count(dropped, "empty prompts", samples["prompt"].null_count())
    return samples.drop_nulls("prompt")


def useful_scores(
    scores: pl.DataFrame, samples: pl.DataFrame, kept: pl.DataFrame, dropped: Counter[str]
) -> pl.DataFrame:
    """Leave out scores without a sample, and all but one of a sample and model."""
    numbered = samples.select(
        "sample_id", is_kept=pl.col("sample_id").is_in(kept["sample_id"].implode())
    ).with_row_index("row")
    known = scores.join(numbered, on="sample_id", how="inner", maintain_order="left")
    count(dropped, "scores of unknown samples", scores.height - known.height)
    scores = known.filter("is_kept").drop("is_kept")
    count(dropped, "scores of samples left out", known.height - scores.height)
    # Numbers for sample and model, as comparing the names of 50 million cells takes a minute.
    model = scores["model"].cast(pl.Enum(scores["model"].unique())).to_physical()
    cell = scores["row"].cast(pl.Int64) * (model.n_unique() + 1) + model
    scores = scores.drop("row")
    if cell.n_unique() == scores.height:
        return scores
    return first_scored(scores, cell, dropped)


def first_scored(scores: pl.DataFrame, cell: pl.Series, dropped: Counter[str]) -> pl.DataFrame:
    """Of several scores of a cell keep one.

    A failed run and its repetition: the first that has a score is the result.
    """
    scores = scores.with_columns(cell=cell).sort(pl.col("score").is_null(), maintain_order=True)
    first = scores.unique("cell", keep="first", maintain_order=True)
    differs = pl.col("score") != pl.col("score").first().over("cell")
    n_differing = scores.select(differs.sum()).item()
    count(dropped, "repeated scores", scores.height - first.height - n_differing)
    count(dropped, "repeated scores that differ (the first stays)", n_differing)
    return first.drop("cell")
