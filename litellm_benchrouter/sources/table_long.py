"""The long form of a table: a row a sample and model, numbered batch by batch as it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.sources.frame_file import FrameFile
from litellm_benchrouter.sources.results import Long, narrowed, positions
from litellm_benchrouter.sources.tidy import (
    LEFT_OUT,
    SAMPLE,
    as_numbers,
    as_text,
    complete,
    count,
    first_scored,
    identified,
    is_number,
    known,
    positions_of,
    require,
)

_UNKNOWN = -2  # there is no such sample
_GONE = -3  # the row is not read at all: its id stood for another prompt


class LongScores:
    """Scores of a long table, gathered batch by batch.

    Attributes
    ----------
    sample_of : ndarray of int64
        Position of a row's key in the samples, or `_UNKNOWN` or `_GONE`; set when all is read.
    """

    def __init__(self, numbers: Sequence[str]) -> None:
        self.sample_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._numbers = numbers
        self._models: list[str] = []
        self._parts: list[pl.DataFrame] = []
        self._not_numbers: dict[str, list[NDArray[np.uint32]]] = {name: [] for name in numbers}

    def add(self, batch: pl.DataFrame, key: pl.Series) -> None:
        """Add rows with `model` and numbers; `key` (UInt32) stands for the sample of each."""
        there = set(self._models)
        named = batch["model"].unique(maintain_order=True)
        self._models += [name for name in named if name not in there]
        columns = [key.alias("row"), positions(batch["model"], self._models)]
        for name in self._numbers:
            numbers, is_other = as_numbers(batch[name])
            if is_other.any():
                self._not_numbers[name].append(key.filter(is_other).to_numpy())
            columns.append(narrowed(numbers))
        self._parts.append(pl.DataFrame(columns))

    def of_samples(self, position: NDArray[np.int64], dropped: Counter[str]) -> Long:
        """Return the scores of the samples that are kept.

        Parameters
        ----------
        position : ndarray of int64
            Where each sample is among those that are kept, or `LEFT_OUT`.
        dropped : Counter
        """
        place = self.sample_of.copy()
        place[place >= 0] = position[place[place >= 0]]
        n_empty = 0
        for p, part in enumerate(self._parts):
            at = place[part["row"].to_numpy()]
            n_empty += part["score"].filter(pl.Series(at != _GONE)).null_count()
            n_gone = int(np.count_nonzero(at == _GONE))
            count(dropped, "rows whose sample_id had another prompt", n_gone)
            count(dropped, "scores of unknown samples", int(np.count_nonzero(at == _UNKNOWN)))
            count(dropped, "scores of samples left out", int(np.count_nonzero(at == LEFT_OUT)))
            row = pl.Series("row", at[at >= 0].astype(np.uint32))
            self._parts[p] = part.filter(pl.Series(at >= 0)).with_columns(row)
        for name, keys in self._not_numbers.items():
            n_other = sum(int(np.count_nonzero(place[k] != _GONE)) for k in keys)
            words = "scores" if name == "score" else f"values of {name}"
            count(dropped, f"{words} that are not numbers", n_other)
            if name == "score":
                count(dropped, "empty scores", n_empty - n_other)
        frame = pl.concat(self._parts, how="vertical_relaxed")
        self._parts.clear()
        return Long(self._once(frame, int(place.max(initial=-1)) + 1, dropped), self._models)

    def _once(self, frame: pl.DataFrame, n_samples: int, dropped: Counter[str]) -> pl.DataFrame:
        """Leave out all but one score of a sample and model."""
        n_models = len(self._models)
        taken = np.zeros(n_samples * n_models, dtype=bool)
        for part in Long(frame, self._models).parts():
            taken[part["row"].to_numpy().astype(np.int64) * n_models + part["model"].to_numpy()] = 1
        if np.count_nonzero(taken) == frame.height:
            return frame
        cell = frame["row"].cast(pl.Int64) * n_models + frame["model"]
        return first_scored(frame, cell, dropped)


def read_long(file: FrameFile, dropped: Counter[str]) -> tuple[pl.DataFrame, LongScores]:
    """Read the samples and scores of a file with a row a sample and model."""
    require(file.path, file.columns, ("task", "prompt", "model", "score"))
    numbers = [name for name in file.columns if is_number(name)]
    texts = [name for name in file.columns if name in SAMPLE]
    scores, seen = LongScores(numbers), _Distinct()
    for read in _in_steps(file.batches(), seen):
        batch = as_text(known(read, (*SAMPLE, "model", *numbers), dropped), file.path)
        batch = complete(batch, ("sample_id", "task", "model"), dropped)
        scores.add(batch, seen.keys(batch.select(texts)))
    # What this counts are not the file's rows, of which each of these stands for several.
    described = identified(seen.rows, Counter())
    samples = described.drop("key").unique("sample_id", keep="first", maintain_order=True)
    scores.sample_of = np.full(seen.rows.height, _GONE, dtype=np.int64)
    scores.sample_of[described["key"].to_numpy()] = positions_of(described, samples)
    return samples.with_row_index("source_row"), scores


def folder_scores(file: FrameFile, samples: pl.DataFrame, dropped: Counter[str]) -> LongScores:
    """Read the scores of a folder, whose samples are known."""
    require(file.path, file.columns, ("sample_id", "model", "score"))
    numbers = [name for name in file.columns if is_number(name)]
    scores = LongScores(numbers)
    ids = samples.select("sample_id").with_row_index("key")
    for read in file.batches():
        batch = as_text(known(read, ("sample_id", "model", *numbers), dropped), file.path)
        batch = complete(batch, ("sample_id", "model"), dropped)
        of_batch = batch.select("sample_id").join(
            ids, on="sample_id", how="left", maintain_order="left"
        )
        scores.add(batch, of_batch["key"].fill_null(samples.height))
    scores.sample_of = np.append(np.arange(samples.height), _UNKNOWN)
    return scores


class _Distinct:
    """Different rows in the order in which they come, numbered by their column `key`."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame()

    def keys(self, batch: pl.DataFrame) -> pl.Series:
        """Return the number of each row; those that were not there before are added."""
        names = batch.columns
        new = batch.unique(maintain_order=True)
        if self.rows.width:
            new = new.join(self.rows, on=names, how="anti", nulls_equal=True, maintain_order="left")
        # Copied, as the texts of these few rows would keep those of the whole batch in memory.
        new = new.select(pl.concat_str(pl.col(name), pl.lit("")).alias(name) for name in names)
        new = new.with_row_index("key", offset=self.rows.height)
        self.rows = pl.concat([self.rows, new]) if self.rows.width else new
        numbered = batch.join(
            self.rows, on=names, how="left", nulls_equal=True, maintain_order="left"
        )
        return numbered["key"]


def _in_steps(batches: Iterator[pl.DataFrame], seen: _Distinct) -> Iterator[pl.DataFrame]:
    """Put batches together until they have as many rows as there are different ones so far.

    Every step looks through all of these, which would otherwise grow with their number's square.
    """
    waiting: list[pl.DataFrame] = []
    for batch in batches:
        waiting.append(batch)
        if sum(part.height for part in waiting) >= seen.rows.height:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)
