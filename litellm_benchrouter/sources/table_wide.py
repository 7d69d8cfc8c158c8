"""The wide form of a table: a row a sample and a column a model, gathered as it is read."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frame_file import FrameFile
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.results import Wide, narrowed
from litellm_benchrouter.sources.tidy import (
    SAMPLE,
    as_numbers,
    as_text,
    complete,
    count,
    first_scored,
    identified,
    is_number,
    positions_of,
    require,
)


class WideScores:
    """Scores of a wide table, a column a model.

    Attributes
    ----------
    n_lines : int
        Rows of the file.
    lines : ndarray of uint32
        Which of them are read.
    sample_of : ndarray of int64
        Position of each of those in the samples.
    """

    def __init__(self, scores: list[pl.Series]) -> None:
        self.n_lines = len(scores[0])
        self.lines: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self.sample_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._scores = scores

    def of_samples(self, position: NDArray[np.int64], dropped: Counter[str]) -> Wide:
        """See `LongScores.of_samples`."""
        place = position[self.sample_of]
        n_kept = int(np.count_nonzero(position >= 0))
        for m, scores in enumerate(self._scores):
            self._scores[m] = self._of_kept(scores, place, n_kept, dropped)
        return Wide(pl.DataFrame(self._scores))

    def _of_kept(
        self, scores: pl.Series, place: NDArray[np.int64], n_kept: int, dropped: Counter[str]
    ) -> pl.Series:
        """Return a model's score of each sample that is kept."""
        if n_kept == len(place) == len(scores):
            return scores  # every row of the file is a sample of its own
        scored = pl.DataFrame({"row": place, "score": scores.gather(self.lines)}).drop_nulls()
        kept = scored.filter(pl.col("row") >= 0)
        count(dropped, "scores of samples left out", scored.height - kept.height)
        if not kept["row"].is_unique().all():
            kept = first_scored(kept, kept["row"], dropped)
        values = kept["score"].to_numpy()
        of_each = np.full(n_kept, np.nan, dtype=values.dtype)
        of_each[kept["row"].to_numpy()] = values
        return pl.Series(scores.name, of_each).fill_nan(None)


def read_wide(file: FrameFile, dropped: Counter[str]) -> tuple[pl.DataFrame, WideScores]:
    """Read the samples of a file with a row a sample; their scores are read later."""
    costs = [name for name in file.columns if name.endswith("|total_cost")]
    if costs:
        raise SourceError(
            f'{file.path} has RouterBench\'s columns ("{costs[0]}"); read it with kind: '
            "routerbench."
        )
    require(file.path, file.columns, ("task", "prompt"))
    columns = [_Column(name) for name in file.columns if name not in SAMPLE]
    texts = [name for name in file.columns if name in SAMPLE]
    parts = []
    for batch in file.batches():
        parts.append(as_text(batch.select(texts), file.path))
        for column in columns:
            column.add(batch[column.name])
    scores = WideScores(_scores(file, columns, dropped))
    frame = pl.concat(parts).with_row_index("source_row")
    frame = identified(complete(frame, ("sample_id", "task"), dropped), dropped)
    samples = frame.unique("sample_id", keep="first", maintain_order=True)
    scores.lines, scores.sample_of = frame["source_row"].to_numpy(), positions_of(frame, samples)
    return samples, scores


class _Column:
    """A column that may hold a model's scores, gathered batch by batch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_values = self.n_other = 0
        self._parts: list[pl.Series] = []

    def add(self, values: pl.Series) -> None:
        """Add the values of some rows."""
        numbers, is_other = as_numbers(values)
        self.n_values += values.count()
        self.n_other += int(is_other.sum())
        self._parts.append(narrowed(numbers))

    def scores(self) -> pl.Series:
        """Return all numbers, as Float32 where that loses nothing; asked for once."""
        frames = [part.to_frame() for part in self._parts]
        self._parts.clear()
        return pl.concat(frames, how="vertical_relaxed", rechunk=True).to_series()


def _scores(file: FrameFile, columns: list[_Column], dropped: Counter[str]) -> list[pl.Series]:
    """Return the columns that hold a model's scores."""
    found = []
    for column in columns:
        scores = column.scores()
        is_model = column.name not in ("", "source_row") and not is_number(column.name)
        if not is_model or not scores.count():  # else it is a text about the sample
            dropped[f'values in the unknown column "{column.name}"'] += column.n_values
            continue
        count(dropped, "scores that are not numbers", column.n_other)
        count(dropped, "empty scores", scores.null_count() - column.n_other)
        found.append(scores)
    if not found:
        raise SourceError(
            f"{file.path} has no column with a model's scores (it has {listed(file.columns)}); a "
            "wide table has one column a model, a long one has the columns model and score."
        )
    return found
