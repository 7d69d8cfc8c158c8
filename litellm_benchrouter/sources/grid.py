"""Scores one below the other become arrays with a row a sample and a column a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.sources.tidy import count

_DEFAULT_THRESHOLD = 0.5
_SLICE = 1 << 20  # results that are worked on at once


@dataclass(frozen=True)
class SourceJudgement:
    """How a source's scores become labels: y(x, m) = 1 where the score is above eta_d.

    Attributes
    ----------
    name : str
        How reports call the source.
    threshold : float or None
        eta_d of every task that has none of its own; None: 0.5, and no score may be above 1.
    thresholds : mapping of str to float
        eta_d of single tasks.
    prefix : str or None
        Put before its sample ids where they collide with another source's; default: `name`.
    """

    name: str
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    prefix: str | None = None


@dataclass(frozen=True)
class SourceReport:
    """What one source gave to the benchmark.

    Attributes
    ----------
    name : str
    samples, models, tasks : int
        How many it has scores of; other sources may have scores of the same.
    scores : int
        How many of its scores are in the benchmark.
    dropped : dict of str to int
        What was left out, in words, and how often.
    """

    name: str
    samples: int
    scores: int
    models: int
    tasks: int
    dropped: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


class Placed:
    """Results of a source with the numbers that their rows and models have in the benchmark.

    Attributes
    ----------
    row_of, model_of : ndarray of int64
        Number in the benchmark of each sample and each model of the source; -1 where left out.
    has_twins : bool
        Whether two of its models have the same number.
    n_correct, n_given : int
        How many of its labels are 1, and how many of its scores are in the benchmark.
    """

    def __init__(self, results: pl.DataFrame, model_of: NDArray[np.int64]) -> None:
        self.results, self.model_of = results, model_of
        self.row_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.numbers = [n for n in results.columns if n not in ("row", "model", "score")]
        self.n_correct = self.n_given = 0
        there = model_of[model_of >= 0]
        self.has_twins = len(set(there)) < len(there)

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield the results, some after the other, without what is left out."""
        for part in self.results.iter_slices(_SLICE):
            row = self.row_of[part["row"].to_numpy()]
            model = self.model_of[part["model"].to_physical().to_numpy()]
            placed = part.with_columns(row=pl.Series(row), model=pl.Series(model))
            yield placed.filter((pl.col("row") >= 0) & (pl.col("model") >= 0))

    def warnings(self, name: str) -> list[str]:
        """Return a warning where all labels are equal."""
        if self.n_given < 2 or 0 < self.n_correct < self.n_given:
            return []
        what = "correct" if self.n_correct else "wrong"
        return [
            f"{name}: all {self.n_given} results count as {what}, so no model can be told from "
            "another. Check the scores and the threshold."
        ]


def thresholds(task: pl.Series, source: Placed, judgement: SourceJudgement) -> NDArray[np.float64]:
    """Return eta_d of each row; raise a SourceError where only the operator can know it."""
    default = _DEFAULT_THRESHOLD if judgement.threshold is None else judgement.threshold
    eta = task.replace_strict(
        dict(judgement.thresholds), default=default, return_dtype=pl.Float64
    ).to_numpy()
    if judgement.threshold is None:
        is_guessed = ~task.is_in(list(judgement.thresholds))
        for part in source.parts():
            above = part.filter(is_guessed.gather(part["row"]), pl.col("score") > 1.000_001)
            if above.height:
                row, _, score = above.sort("score").row(-1)[:3]
                raise SourceError(
                    f"{judgement.name}: scores go up to {score:g} in task {task[row]}, so they are "
                    "not on a scale from 0 to 1. Set `threshold` of the source: a score above it "
                    "counts as correct."
                )
    return eta


class Grid:
    """Scores, labels and further numbers of n samples and M models, filled source by source.

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
        names = sorted({name for source in sources for name in source.numbers})
        self.scores: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
        self.correctness: NDArray[np.uint8] = np.full(shape, MISSING, dtype=np.uint8)
        self.columns: dict[str, NDArray[np.float32]] = {
            name: np.full(shape, np.nan, dtype=np.float32) for name in names
        }
        # An answer without a score may have a cost; a later answer with a score replaces it.
        for source in sources:
            for part in source.parts() if source.numbers else ():
                for name in source.numbers:
                    stated = part.filter(pl.col("score").is_null()).drop_nulls(name)
                    self._put(self.columns[name], self._cells(stated), stated[name])

    def fill(
        self,
        source: Placed,
        eta: NDArray[np.float64],
        task: NDArray[np.int32],
        name: str,
        dropped: Counter[str],
    ) -> SourceReport:
        """Write a source's scores into the cells that have none; the first of several stays."""
        has_score = np.zeros(len(eta), dtype=bool)
        models: set[int] = set()
        n_scores = n_differing = 0
        for part in source.parts():
            scored = part.drop_nulls("score")
            has_score[scored["row"].to_numpy()] = True
            models |= set(scored["model"].unique())
            n_scores += len(scored)
            n_differing += self._fill(source, scored, eta)
        n_equal = n_scores - source.n_given - n_differing
        count(dropped, "scores that were there already", n_equal)
        count(dropped, "scores that were there already and differ (the first stays)", n_differing)
        return SourceReport(
            name=name,
            samples=int(np.count_nonzero(has_score)),
            scores=source.n_given,
            models=len(models),
            tasks=len(np.unique(task[has_score])),
            dropped=dict(sorted(dropped.items())),
        )

    def _fill(self, source: Placed, part: pl.DataFrame, eta: NDArray[np.float64]) -> int:
        """Write scores; return how many found another score in their cell."""
        cells = self._cells(part)
        is_free = np.isnan(self.scores.take(cells))
        free = part if is_free.all() else part.filter(pl.Series(is_free))
        into = cells[is_free]
        if source.has_twins:  # the first in the file stays
            into, first = np.unique(into, return_index=True)
            free = free[first]
        labels = free["score"].to_numpy() > eta[free["row"].to_numpy()]
        self.correctness.put(into, labels.astype(np.uint8))
        self.scores.put(into, _floats(free["score"]))
        for name, array in self.columns.items():
            array.put(into, _floats(free[name]) if name in free.columns else np.nan)
        source.n_given += len(into)
        source.n_correct += int(np.count_nonzero(labels))
        if len(into) == len(cells):
            return 0
        return int(np.count_nonzero(self.scores.take(cells) != _floats(part["score"])))

    def _put(self, array: NDArray[np.float32], cells: NDArray[np.int64], values: pl.Series) -> None:
        """Write values into the cells that have none; the first of several stays."""
        is_free = np.isnan(array.take(cells))
        array.put(cells[is_free][::-1], _floats(values)[is_free][::-1])

    def _cells(self, part: pl.DataFrame) -> NDArray[np.int64]:
        cells: NDArray[np.int64] = (
            part["row"].to_numpy() * self.scores.shape[1] + part["model"].to_numpy()
        )
        return cells


def _floats(values: pl.Series) -> NDArray[np.float32]:
    return values.cast(pl.Float32).to_numpy()
