"""Scores one below the other become arrays with a row a sample and a column a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import MISSING
from litellm_benchrouter.sources.tidy import count

_PLACE = ("row", "model", "score")


class Grid:
    """Scores, labels and further numbers of n samples and M models, filled source by source.

    Parameters
    ----------
    frames : sequence of polars.DataFrame
        One a source, the first before the others: `row` and `model` (integers: the place in the
        arrays), `score` (Float64, null where there is none), and any further Float32 columns.
    n_samples, n_models : int

    Attributes
    ----------
    scores : ndarray of float32, shape (n, M)
        NaN is missing.
    correctness : ndarray of uint8, shape (n, M)
        1, 0, or 255 where there is no score.
    columns : dict of str to ndarray of float32, shape (n, M)
        NaN is missing.
    """

    def __init__(self, frames: Sequence[pl.DataFrame], n_samples: int, n_models: int) -> None:
        shape = (n_samples, n_models)
        names = sorted({name for frame in frames for name in frame.columns} - {*_PLACE})
        self.scores: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
        self.correctness: NDArray[np.uint8] = np.full(shape, MISSING, dtype=np.uint8)
        self.columns: dict[str, NDArray[np.float32]] = {
            name: np.full(shape, np.nan, dtype=np.float32) for name in names
        }
        # An answer without a score may have a cost; a later answer with a score replaces it.
        for frame in reversed(frames):
            unscored = frame.filter(pl.col("score").is_null())
            for name in names:
                if name in frame.columns:
                    known = unscored.drop_nulls(name)
                    self.columns[name].put(self._cells(known)[::-1], _floats(known[name])[::-1])

    def fill(self, frame: pl.DataFrame, eta: NDArray[np.float64], dropped: Counter[str]) -> int:
        """Write a source's scores into the cells that have none; the first of several stays.

        Parameters
        ----------
        frame : polars.DataFrame
            One of `frames`.
        eta : ndarray of float64, shape (n,)
            Threshold of each sample's task.
        dropped : Counter
            Takes how many scores found their cell taken.

        Returns
        -------
        int
            Cells written.
        """
        frame = frame.drop_nulls("score")
        cells, scores = self._cells(frame), _floats(frame["score"])
        free = np.isnan(self.scores.take(cells))
        known_before = int(np.count_nonzero(~np.isnan(self.scores)))
        # Of the values put into one cell the last stays: backwards, the first in the file.
        into, backwards = cells[free][::-1], frame.filter(pl.Series(free)).reverse()
        labels = backwards["score"].to_numpy() > eta[into // self.scores.shape[1]]
        self.scores.put(into, _floats(backwards["score"]))
        self.correctness.put(into, labels.astype(np.uint8))
        for name, array in self.columns.items():
            array.put(into, _floats(backwards[name]) if name in frame.columns else np.nan)
        given = int(np.count_nonzero(~np.isnan(self.scores))) - known_before
        differing = int(np.count_nonzero(self.scores.take(cells) != scores))
        count(dropped, "scores that were there already", len(frame) - given - differing)
        count(dropped, "scores that were there already and differ (the first stays)", differing)
        return given

    def _cells(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        n_models = self.scores.shape[1]
        cells = frame.select(pl.col("row").cast(pl.Int64) * n_models + pl.col("model"))
        return cells.to_series().to_numpy()


def _floats(values: pl.Series) -> NDArray[np.float32]:
    return values.cast(pl.Float32).to_numpy()
