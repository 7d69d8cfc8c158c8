"""Scores one below the other become arrays with a row a sample and a column a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.sources.results import Placed
from litellm_benchrouter.sources.tidy import count


class Grid:
    """Scores, labels and further numbers of n samples and M models, filled source by source.

    Parameters
    ----------
    sources : sequence of Placed
        The first before the others.
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

    def __init__(self, sources: Sequence[Placed], n_samples: int, n_models: int) -> None:
        shape = (n_samples, n_models)
        names = sorted({name for source in sources for name in source.results.numbers})
        self.scores: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
        self.correctness: NDArray[np.uint8] = np.full(shape, MISSING, dtype=np.uint8)
        self.columns: dict[str, NDArray[np.float32]] = {
            name: np.full(shape, np.nan, dtype=np.float32) for name in names
        }
        # An answer without a score may have a cost; a later answer with a score replaces it.
        for source in sources:
            if source.results.numbers:
                for part in source.parts():
                    self._note_unscored(part.filter(pl.col("score").is_null()))

    def _note_unscored(self, part: pl.DataFrame) -> None:
        """Write the numbers of answers without a score into the cells that have none."""
        for name in self.columns:
            if name in part.columns:
                known = part.drop_nulls(name)
                cells, numbers = self._cells(known), _floats(known[name])
                free = np.isnan(self.columns[name].take(cells))
                self.columns[name].put(cells[free][::-1], numbers[free][::-1])

    def fill(self, source: Placed, eta: NDArray[np.float64], dropped: Counter[str]) -> Filled:
        """Write a source's scores into the cells that have none; the first of several stays.

        Parameters
        ----------
        source : Placed
            One of `sources`.
        eta : ndarray of float64, shape (n,)
            Threshold of each sample's task.
        dropped : Counter
            Takes how many scores found their cell taken.
        """
        filled = Filled(np.zeros(len(eta), dtype=bool), np.zeros(self.scores.shape[1], dtype=bool))
        n_scores = n_differing = 0
        for part in source.parts():
            scored = part.drop_nulls("score")
            n_scores += len(scored)
            filled.rows[scored["row"].to_numpy()] = True
            filled.models[scored["model"].unique().to_numpy()] = True
            n_given, n_other = self._fill(scored, eta)
            filled.n_given += n_given
            n_differing += n_other
        there = n_scores - filled.n_given - n_differing
        count(dropped, "scores that were there already", there)
        count(dropped, "scores that were there already and differ (the first stays)", n_differing)
        return filled

    def _fill(self, part: pl.DataFrame, eta: NDArray[np.float64]) -> tuple[int, int]:
        """Write scores; return how many cells were free, and how many hold another score."""
        cells, scores = self._cells(part), _floats(part["score"])
        free = np.isnan(self.scores.take(cells))
        if not free.all():
            part = part.filter(pl.Series(free))
        into = cells if free.all() else cells[free]
        ascending = bool((into[1:] > into[:-1]).all())
        n_given = len(into) if ascending else len(np.unique(into))
        # Of the values put into one cell the last stays: backwards, the first in the file.
        backwards, into = part.reverse(), into[::-1]
        labels = backwards["score"].to_numpy() > eta[backwards["row"].to_numpy()]
        self.scores.put(into, _floats(backwards["score"]))
        self.correctness.put(into, labels.astype(np.uint8))
        for name, array in self.columns.items():
            array.put(into, _floats(backwards[name]) if name in part.columns else np.nan)
        if n_given == len(cells):
            return n_given, 0
        return n_given, int(np.count_nonzero(self.scores.take(cells) != scores))

    def _cells(self, part: pl.DataFrame) -> NDArray[np.int64]:
        n_models = self.scores.shape[1]
        cells: NDArray[np.int64] = part["row"].to_numpy() * n_models + part["model"].to_numpy()
        return cells


@dataclass
class Filled:
    """What a source has scores of.

    Attributes
    ----------
    rows : ndarray of bool, shape (n,)
    models : ndarray of bool, shape (M,)
    n_given : int
        How many of its scores are in the benchmark.
    """

    rows: NDArray[np.bool_]
    models: NDArray[np.bool_]
    n_given: int = 0


def _floats(values: pl.Series) -> NDArray[np.float32]:
    return values.cast(pl.Float32).to_numpy()
