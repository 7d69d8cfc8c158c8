"""Scores of a source in little room: numbers in place of sample ids and of models' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.sources.tidy import count

BATCH = 1 << 17
"""Rows that are worked on at once."""


class Results(Protocol):
    """What models scored on a source's samples.

    Attributes
    ----------
    models : sequence of str
    numbers : sequence of str
        What else is known of an answer (`cost_usd`, `metric:NAME`, ...).
    """

    @property
    def models(self) -> Sequence[str]: ...

    @property
    def numbers(self) -> Sequence[str]: ...

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield frames with `row` and `model` (UInt32: positions in the source's samples and in
        `models`), `score` (null where it is missing) and `numbers`.
        """
        ...


@dataclass(frozen=True)
class Long:
    """One line a sample and model.

    Attributes
    ----------
    frame : polars.DataFrame
        What the parts have, one below the other.
    models : sequence of str
    """

    frame: pl.DataFrame
    models: Sequence[str]

    @property
    def numbers(self) -> Sequence[str]:
        """The further columns."""
        return [name for name in self.frame.columns if name not in ("row", "model", "score")]

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield some rows after the other."""
        yield from self.frame.iter_slices(BATCH)


@dataclass(frozen=True)
class Wide:
    """One line a sample and a column a model, which are never put one below the other.

    Attributes
    ----------
    frame : polars.DataFrame
        Scores, as many rows as there are samples; null where there is none.
    """

    frame: pl.DataFrame
    numbers: Sequence[str] = ()

    @property
    def models(self) -> Sequence[str]:
        """The columns."""
        return self.frame.columns

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield one model's scores after the other's."""
        for m, scores in enumerate(self.frame.iter_columns()):
            row = scores.is_not_null().arg_true().alias("row")
            model = pl.repeat(m, len(row), dtype=pl.UInt32, eager=True).alias("model")
            yield pl.DataFrame([row, model, scores.drop_nulls().alias("score")])


@dataclass(frozen=True)
class Placed:
    """Results whose rows and models are numbered as in the benchmark.

    Attributes
    ----------
    results : Results
    row_of : ndarray of int64
        Row of the benchmark for each sample of the source; -1 where it is left out.
    model_of : ndarray of int64
        The same of its models.
    """

    results: Results
    row_of: NDArray[np.int64]
    model_of: NDArray[np.int64]

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield the parts in the benchmark's numbers (Int64), without what is left out."""
        for part in self.results.parts():
            row = self.row_of[part["row"].to_numpy()]
            model = self.model_of[part["model"].to_numpy()]
            there = (row >= 0) & (model >= 0)
            placed = part.with_columns(row=pl.Series(row), model=pl.Series(model))
            yield placed if there.all() else placed.filter(pl.Series(there))


def numbered(scores: pl.DataFrame, samples: pl.DataFrame, dropped: Counter[str]) -> Long:
    """Put numbers in place of ids and names.

    Parameters
    ----------
    scores : polars.DataFrame
        As `SourceTable.scores`.
    samples : polars.DataFrame
        With `sample_id`.
    dropped : Counter
        Takes the number of scores whose sample is not there.
    """
    ids = samples.select("sample_id").with_row_index("row")
    known = scores.join(ids, on="sample_id", how="inner", maintain_order="left")
    count(dropped, "scores of unknown samples", len(scores) - len(known))
    models = known["model"].unique(maintain_order=True).to_list()
    # What a float32 cannot hold would be infinite in the benchmark.
    finite = pl.col("score").cast(pl.Float32).is_finite()
    numbers = [name for name in scores.columns if name not in ("sample_id", "model", "score")]
    return Long(
        known.select(
            "row",
            positions(known["model"], models),
            pl.when(finite).then("score").alias("score"),
            *numbers,
        ),
        models,
    )


def positions(values: pl.Series, names: Sequence[str]) -> pl.Series:
    """Return the position of each value in `names` as UInt32, null where it is not there."""
    return values.cast(pl.Enum(names), strict=False).to_physical().cast(pl.UInt32)


def narrowed(numbers: pl.Series) -> pl.Series:
    """Return numbers as Float32 where that loses nothing of them."""
    narrow = numbers.cast(pl.Float32)
    return narrow if (narrow.cast(pl.Float64) == numbers).all() else numbers


def as_long(results: Results, samples: pl.DataFrame) -> pl.DataFrame:
    """Return results as one long frame with ids and names: what `SourceTable.scores` describes."""
    parts = [
        part.with_columns(pl.col("score", *results.numbers).cast(pl.Float64))
        for part in results.parts()
    ]
    names = pl.Series(results.models, dtype=pl.String)
    frame = pl.concat(parts)
    return frame.select(
        samples["sample_id"].gather(frame["row"]),
        names.gather(frame["model"]).alias("model"),
        pl.exclude("row", "model"),
    )
