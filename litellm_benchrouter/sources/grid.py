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
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.tidy import count

_DEFAULT_THRESHOLD = 0.5
_SLICE = 1 << 20  # results that are worked on at once


@dataclass(frozen=True)
class SourceJudgement:
    """The thresholds of a source: y(x, m) = 1 where the score is above eta_d."""

    name: str  # as reports call the source
    # eta_d of other tasks than `thresholds` has; None: 0.5, and no score may be above 1
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    # put before sample ids that collide with another source's; default: `name`
    prefix: str | None = None


@dataclass(frozen=True)
class SourceReport:
    """The share of one source in the benchmark; other sources may have scores of the same."""

    name: str
    samples: int
    scores: int
    models: int
    tasks: int
    dropped: dict[str, int]  # what was left out, in words, and how often

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass
class Placed:
    """Results of a source with the numbers that their rows and models have in the benchmark."""

    results: pl.DataFrame
    model_of: NDArray[np.int64]  # number in the benchmark of each model; -1 where left out
    # likewise of each sample
    row_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def numbers(self) -> list[str]:
        """The columns of numbers besides the score."""
        return [name for name in self.results.columns if name not in ("row", "model", "score")]

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield the results, some after the other, without what is left out."""
        for part in self.results.iter_slices(_SLICE):
            row = self.row_of[part["row"].to_numpy()]
            model = self.model_of[part["model"].to_physical().to_numpy()]
            placed = part.with_columns(row=pl.Series(row), model=pl.Series(model))
            yield placed.filter((pl.col("row") >= 0) & (pl.col("model") >= 0))


class Grid:
    """Scores, labels (0, 1, or 255) and further numbers of n samples and M models, by source.

    Every array has the shape (n, M), and NaN is missing.
    """

    def __init__(self, sources: Sequence[Placed], task: pl.Series, n_models: int) -> None:
        self._task = task
        shape = (len(task), n_models)
        names = sorted({name for source in sources for name in source.numbers})
        self.scores: NDArray[np.float32] = np.full(shape, np.nan, dtype=np.float32)
        self.correctness: NDArray[np.uint8] = np.full(shape, MISSING, dtype=np.uint8)
        self.columns: dict[str, NDArray[np.float32]] = {
            name: np.full(shape, np.nan, dtype=np.float32) for name in names
        }
        # An answer without a score may have a cost; a later answer with a score replaces it.
        for source in sources:
            for part in source.parts() if source.numbers else ():
                unscored = part.filter(pl.col("score").is_null())
                for name in source.numbers:
                    stated, into = self._free(unscored.drop_nulls(name), self.columns[name])
                    self.columns[name].put(into, _floats(stated[name]))

    def fill(
        self,
        source: Placed,
        judgement: SourceJudgement,
        dropped: Counter[str],
        names: Sequence[str],
    ) -> tuple[SourceReport, list[str]]:
        """Write a source's scores and labels into the cells that have none; also warn of them.

        `names` are those of the models.

        Raises SourceError where a score is above 1, and no threshold says which scores are correct.
        """
        eta = self._thresholds(source, judgement)
        is_guessed = judgement.threshold is None and not judgement.thresholds
        warnings = _about_negatives(source, judgement) if is_guessed else []
        has_score = np.zeros(len(eta), dtype=bool)
        models: set[int] = set()
        before = self._counts()
        n_scores = n_differing = 0
        spans: list[pl.DataFrame] = []
        for part in source.parts():
            scored = part.drop_nulls("score")
            spans.append(self._spans(scored))
            has_score[scored["row"].to_numpy()] = True
            models |= set(scored["model"].unique())
            n_scores += len(scored)
            free, into = self._free(scored, self.scores)
            self.correctness.put(into, free["score"].to_numpy() > eta[free["row"].to_numpy()])
            self.scores.put(into, _floats(free["score"]))
            for name, array in self.columns.items():
                array.put(into, _floats(free[name]) if name in free.columns else np.nan)
            there = self.scores.take(self._cells(scored))
            n_differing += int(np.count_nonzero(there != _floats(scored["score"])))
        n_given, n_correct = (int(n) for n in self._counts() - before)
        if n_given > 1 and n_correct in (0, n_given):
            warnings.append(
                f"{judgement.name}: all {n_given} results count as "
                f"{'correct' if n_correct else 'wrong'}, so no model can be told from another. "
                "Check the scores and the threshold."
            )
        elif spans:
            warnings += _about_scales(judgement, pl.concat(spans), names)
        n_equal = n_scores - n_given - n_differing
        count(dropped, "scores that were there already", n_equal)
        count(dropped, "scores that were there already and differ (the first stays)", n_differing)
        report = SourceReport(
            name=judgement.name,
            samples=int(np.count_nonzero(has_score)),
            scores=n_given,
            models=len(models),
            tasks=self._task.filter(pl.Series(has_score)).n_unique(),
            dropped=dict(sorted(dropped.items())),
        )
        return report, warnings

    def _counts(self) -> NDArray[np.intp]:
        """Return how many labels there are, and how many are 1."""
        return np.array(
            [np.count_nonzero(self.correctness != MISSING), (self.correctness == 1).sum()]
        )

    def _thresholds(self, source: Placed, judgement: SourceJudgement) -> NDArray[np.float64]:
        """Return eta_d of each row; raise a SourceError where only the operator can know it."""
        default = _DEFAULT_THRESHOLD if judgement.threshold is None else judgement.threshold
        eta = self._task.replace_strict(
            dict(judgement.thresholds), default=default, return_dtype=pl.Float64
        )
        if judgement.threshold is None:
            is_guessed = ~self._task.is_in(list(judgement.thresholds))
            for part in source.parts():
                above = part.filter(is_guessed.gather(part["row"]), pl.col("score") > 1.000_001)
                if above.height:
                    row, _, score = above.sort("score").row(-1)[:3]
                    raise SourceError(
                        f"{judgement.name}: scores go up to {score:g} in task {self._task[row]}, "
                        "so they are not on a scale from 0 to 1. Set `threshold` of the source: a "
                        "score above it counts as correct."
                    )
        return eta.to_numpy()

    def _spans(self, scored: pl.DataFrame) -> pl.DataFrame:
        """Return the least and the largest score of each task and model."""
        task = self._task.gather(scored["row"])
        by_both = scored.select("model", "score").with_columns(task=task).group_by("task", "model")
        score = pl.col("score")
        return by_both.agg(low=score.min(), high=score.max())

    def _free(
        self, part: pl.DataFrame, array: NDArray[np.float32]
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Return the results whose cells are empty, and these cells.

        They come in reverse: of several in one cell, the last to be written stays.
        """
        cells = self._cells(part)
        is_free = np.isnan(array.take(cells))
        return part.filter(pl.Series(is_free)).reverse(), cells[is_free][::-1]

    def _cells(self, part: pl.DataFrame) -> NDArray[np.int64]:
        cells: NDArray[np.int64] = (
            part["row"].to_numpy() * self.scores.shape[1] + part["model"].to_numpy()
        )
        return cells


def _about_negatives(source: Placed, judgement: SourceJudgement) -> list[str]:
    """Warn of scores below 0 beside others; refuse a number that may say: there is no result."""
    score = pl.concat([part["score"] for part in source.parts()]).drop_nulls()
    below, others = score.filter(score < 0), score.filter(score >= 0)
    is_sign = (below == -1).all() and (others == 1).all()
    if is_sign or not len(below) or not (others > 0).any():
        return []
    low, high = float(below.min()), float(others.max())  # type: ignore[arg-type]
    if low <= -1 and high <= 1 and below.n_unique() == 1:
        raise SourceError(
            f"{judgement.name}: {len(below)} scores are {low:g}, and all others from 0 to 1. Leave "
            f"cells empty where {low:g} says that there is no result; where it is a score, set "
            "`threshold`."
        )
    return [
        f"{judgement.name}: scores go from {low:g} to {high:g}, and above {_DEFAULT_THRESHOLD} "
        "counts as correct. Set `threshold` where the scale is not from 0 to 1."
    ]


def _about_scales(
    judgement: SourceJudgement, spans: pl.DataFrame, names: Sequence[str]
) -> list[str]:
    """Warn of tasks on another scale than the threshold, and of models on a scale of their own.

    `spans` has the least and the largest score of tasks and models, in one part or several.
    """
    span = (pl.col("low").min(), pl.col("high").max())
    of_task = spans.group_by("task").agg(span).filter(pl.col("low") < pl.col("high")).sort("task")
    default = _DEFAULT_THRESHOLD if judgement.threshold is None else judgement.threshold
    undivided = []
    for task, low, high in of_task.iter_rows():
        eta = judgement.thresholds.get(task, default)
        # Hard tasks may have small scores; another scale is what reaches across 0 or 1.
        if high <= 1 < eta or high <= 0 <= eta or (eta < low and eta <= 1 < high):
            undivided.append(f"{task} ({low:g} to {high:g})")
    warnings = []
    if undivided:
        warnings.append(
            f"{judgement.name}: the threshold makes all results of a task correct or all wrong, "
            f"though they differ: {listed(undivided)}. Set `thresholds` of these tasks."
        )
    of_model = spans.group_by("model").agg(span).sort("model")
    small = of_model.filter(pl.col("low") >= 0, pl.col("low") < pl.col("high"), pl.col("high") <= 1)
    if default > 1 and 0 < len(small) < len(of_model):
        warnings.append(
            f"{judgement.name}: no score of {listed([names[m] for m in small['model']])} is above "
            "1, and those of other models are. Give all models one scale."
        )
    return warnings


def _floats(values: pl.Series) -> NDArray[np.float32]:
    return values.cast(pl.Float32).to_numpy()
