"""The wide form of a table: a row a sample and a column a model, which are read one by one."""

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
    """Scores of a wide table, read column by column once it is known which samples are kept.

    Attributes
    ----------
    n_lines : int
        Rows of the file.
    """

    def __init__(
        self, file: FrameFile, n_lines: int, lines: NDArray[np.uint32], sample: NDArray[np.int64]
    ) -> None:
        self.n_lines = n_lines
        self._file = file
        self._lines = lines  # which rows of the file are read
        self._sample = sample  # the position of each one's sample

    def of_samples(self, position: NDArray[np.int64], dropped: Counter[str]) -> Wide:
        """See `LongScores.of_samples`."""
        place = position[self._sample]
        n_kept = int(np.count_nonzero(position >= 0))
        columns = []
        for name in self._file.columns:
            if name in SAMPLE:
                continue
            values = self._file.take([name]).to_series()
            numbers, is_other = as_numbers(values)
            is_model = name not in ("", "source_row") and not is_number(name)
            if not is_model or not numbers.count():  # else it is a text about the sample
                dropped[f'values in the unknown column "{name}"'] += values.count()
                continue
            n_other = int(is_other.sum())
            count(dropped, "scores that are not numbers", n_other)
            count(dropped, "empty scores", numbers.null_count() - n_other)
            columns.append(narrowed(self._of_kept(numbers, place, n_kept, dropped)))
        if not columns:
            raise SourceError(
                f"{self._file.path} has no column with a model's scores (it has "
                f"{listed(self._file.columns)}); a wide table has one column a model, a long one "
                "has the columns model and score."
            )
        return Wide(pl.DataFrame(columns))

    def _of_kept(
        self, numbers: pl.Series, place: NDArray[np.int64], n_kept: int, dropped: Counter[str]
    ) -> pl.Series:
        """Return a model's score of each sample that is kept."""
        if n_kept == len(place) == len(numbers):
            return numbers  # every row of the file is a sample of its own
        scored = pl.DataFrame({"row": place, "score": numbers.gather(self._lines)}).drop_nulls()
        kept = scored.filter(pl.col("row") >= 0)
        count(dropped, "scores of samples left out", scored.height - kept.height)
        if not kept["row"].is_unique().all():
            kept = first_scored(kept, kept["row"], dropped)
        scores = np.full(n_kept, np.nan)
        scores[kept["row"].to_numpy()] = kept["score"].to_numpy()
        return pl.Series(numbers.name, scores).fill_nan(None)


def read_wide(file: FrameFile, dropped: Counter[str]) -> tuple[pl.DataFrame, WideScores]:
    """Read the samples of a file with a row a sample; their scores are read later."""
    costs = [name for name in file.columns if name.endswith("|total_cost")]
    if costs:
        raise SourceError(
            f'{file.path} has RouterBench\'s columns ("{costs[0]}"); read it with kind: '
            "routerbench."
        )
    require(file.path, file.columns, ("task", "prompt"))
    frame = file.take([name for name in file.columns if name in SAMPLE])
    n_lines = frame.height
    frame = as_text(frame.with_row_index("source_row"), file.path)
    frame = identified(complete(frame, ("sample_id", "task"), dropped), dropped)
    samples = frame.unique("sample_id", keep="first", maintain_order=True)
    lines = frame["source_row"].to_numpy()
    return samples, WideScores(file, n_lines, lines, positions_of(frame, samples))
