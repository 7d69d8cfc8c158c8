"""What an embedder is worth on a benchmark: what would be served with its vectors, held out.

Both protocols are those of the proof (docs/proof.md): tasks are held out in turn and chosen for as
if they were new, and a part of the samples is held out and routed one by one. What each pick was
worth is kept, so that two embedders are compared task by task and sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.guarded_build import FEWEST_SAMPLES, FEWEST_TASKS
from litellm_benchrouter.building.proof import TEST_SHARE, held_out_groups, paper_picks
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.paper.benchmark import MISSING, Benchmark, mean
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.folds import TaskFolds, prepare
from litellm_benchrouter.validation.methods import paper_choices, request_picks, unseen_choices
from litellm_benchrouter.validation.metrics import bootstrap_samples
from litellm_benchrouter.validation.splits import (
    achieved,
    choose_splits,
    metric_values,
    training,
)

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_ASKED, _MOST_RUNS = 3_000, 5  # samples routed at least, in at most so many random splits
_DIGITS = 6


@dataclass(frozen=True)
class Held:
    """What the picks of one protocol were worth.

    Attributes
    ----------
    rows : list of ndarray of int
        One array a run: the samples that were asked, or the tasks.
    values, best : list of ndarray of float64
        Accuracy of the pick for each of `rows`, and that of the best model on average.
    """

    rows: list[Rows]
    values: list[Array]
    best: list[Array]

    def only(self, kept: Rows) -> Held:
        """Return the same of some rows."""
        masks = [np.isin(rows, kept) for rows in self.rows]

        def masked(arrays: list[Any]) -> list[Any]:
            return [array[mask] for array, mask in zip(arrays, masks, strict=True)]

        return Held(masked(self.rows), masked(self.values), masked(self.best))

    @property
    def accuracy(self) -> float:
        """Mean over the runs."""
        return _mean_of(self.values)

    def ahead_of(self, others: list[Array], seed: int) -> tuple[float, list[float]]:
        """Mean of the paired differences, and its 95 % interval over tasks or samples."""
        differences = [mine - other for mine, other in zip(self.values, others, strict=True)]
        return _mean_of(differences), bootstrap_samples(self.rows, differences, seed=seed)


@dataclass(frozen=True)
class Quality:
    """Both protocols; None where the benchmark is too small for one.

    Attributes
    ----------
    unseen : Held or None
        Of held-out tasks.
    requests : Held or None
        Of held-out samples, in distribution.
    """

    unseen: Held | None
    requests: Held | None


def condensed(benchmark: Benchmark, rows: Rows) -> Benchmark:
    """Return some samples, without the tasks and models that have nothing among them."""
    part = benchmark.rows(rows)
    known, task = np.unique(part.task, return_inverse=True)
    tasks = tuple(benchmark.tasks[d] for d in known.tolist())
    part = replace(part, task=task.astype(np.int32), tasks=tasks)
    has_labels = (part.correctness != MISSING).any(axis=0)
    if has_labels.all() or not has_labels.any():
        return part
    return part.pool([m for m, has in zip(part.models, has_labels, strict=True) if has])


def measure_quality(
    config: BenchRouterConfig, benchmark: Benchmark, vectors: NDArray[np.float32]
) -> Quality:
    """Hold out tasks and samples, and decide for them by the configured method.

    Parameters
    ----------
    config : BenchRouterConfig
    benchmark : Benchmark
    vectors : ndarray of float32, shape (n, d)
        Rows of unit length.
    """
    if len(benchmark) < FEWEST_SAMPLES or len(benchmark.models) < 2:
        return Quality(None, None)
    stages = Silent()
    paper = config.method == "paper"
    with threadpool_limits(limits=1):  # or the last bits depend on the number of cores
        prepared = prepare(benchmark, vectors, config.routing, seed=config.seed, stages=stages)
        return Quality(
            _unseen(prepared, paper=paper, stages=stages), _requests(prepared, paper=paper)
        )


def _unseen(prepared: TaskFolds, *, paper: bool, stages: Silent) -> Held | None:
    if prepared.n_groups < FEWEST_TASKS:
        return None
    _, tables = prepared.smoother_table_and_without(stages, held_out_groups(prepared))
    if paper:
        choices = paper_choices(prepared, tables)
    else:
        choices = unseen_choices(prepared, tables, stages)[0]
    tasks = np.array(sorted(choices), dtype=np.intp)
    averages = [prepared.average_without(int(d)) for d in tasks]
    best = np.array([prepared.order(average, average)[0] for average in averages])
    picks = np.array([int(choices[int(d)].pick) for d in tasks])
    accuracy = prepared.accuracy
    return _known(Held([tasks], [accuracy[tasks, picks]], [accuracy[tasks, best]]))


def _requests(prepared: TaskFolds, *, paper: bool) -> Held | None:
    on_scores = paper and prepared.routing.s1_on == "score"
    values = metric_values(prepared, "score" if on_scores else "correctness")
    runs = min(_MOST_RUNS, math.ceil(_ASKED / (TEST_SHARE * len(prepared.benchmark))))
    splits, _ = choose_splits(prepared, test_share=TEST_SHARE, runs=runs, given=False)
    found, best = [], []
    for split in splits:
        known = training(prepared, split, values)
        picks = (paper_picks if paper else request_picks)(known, split.test)
        found.append(achieved(values, split.test, picks))
        best.append(achieved(values, split.test, np.full_like(split.test, known.best)))
    return _known(Held([split.test for split in splits], found, best))


def _known(held: Held) -> Held | None:
    return None if math.isnan(held.accuracy) else held


def _mean_of(runs: list[Array]) -> float:
    return float(mean(np.array([mean(run) for run in runs])))


def describe(held: Mapping[str, Held], seed: int) -> dict[str, dict[str, Any]]:
    """Put the embedders beside each other in one protocol.

    Parameters
    ----------
    held : mapping of str to Held
        By candidate, of the same rows.
    seed : int
        Of the intervals.

    Returns
    -------
    dict
        By candidate: `accuracy`, `gain` over the best model on average with `gain_95`, and how far
        it is `behind` the best of the candidates, with `behind_95`.
    """
    document: dict[str, dict[str, Any]] = {}
    if not held:
        return document
    first = max(held, key=lambda name: held[name].accuracy)
    for name, mine in held.items():
        gain, gain_95 = mine.ahead_of(mine.best, seed)
        ahead, ahead_95 = mine.ahead_of(held[first].values, seed)
        document[name] = {
            "accuracy": round(mine.accuracy, _DIGITS),
            "gain": _kept(gain),
            "gain_95": [_kept(limit) for limit in gain_95],
            "behind": _kept(-ahead),
            "behind_95": [_kept(-limit) for limit in reversed(ahead_95)],
        }
    return document


def _kept(value: float) -> float | None:
    """Round what is kept; -0 is 0, and what is not known is None, as JSON has no NaN."""
    return round(value, _DIGITS) + 0.0 if math.isfinite(value) else None
