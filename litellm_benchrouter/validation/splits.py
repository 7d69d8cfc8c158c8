"""What `request` and `cost` share: samples split into those learned from and those asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.impute import served_average
from litellm_benchrouter.paper.benchmark import MISSING, mean
from litellm_benchrouter.paper.neighbors import Neighbors, nearest
from litellm_benchrouter.paper.scores import correctness_predictor
from litellm_benchrouter.validation.folds import TaskFolds

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

NO_PICK = -1
"""In an array of picks: the method had nothing to choose by."""

FEWEST_LEARNED = 2
"""Samples from which anything can be learned."""

_TRAIN, _TEST = {"train", "training"}, {"test"}
_BLOCK = 2_048  # queries whose neighbours' labels are gathered at once


@dataclass(frozen=True)
class TrainSplit:
    """What a method may learn from.

    Attributes
    ----------
    prepared : TaskFolds
        The benchmark with labels, scores and columns missing outside the training part.
    rows : ndarray of int, shape (n_train,)
        Samples of the training part, as rows of the benchmark.
    values : ndarray of float32, shape (n, M)
        The metric in the benchmark's rows; NaN where missing and wherever the row is not in the
        training part.
    """

    prepared: TaskFolds
    rows: Rows
    values: NDArray[np.float32]

    @cached_property
    def average(self) -> Array:
        """Mean over tasks of each model on the training part, shape (M,); see `served_average`."""
        prepared, rows = self.prepared, self.rows
        return served_average(self.values[rows], prepared.benchmark.task[rows], prepared.n_tasks)

    @cached_property
    def order(self) -> Rows:
        """Models by `average`, best first; ties by cost and name."""
        return self.prepared.order(self.average, self.average)

    @property
    def best(self) -> int:
        """The best single model of the training part (BMA)."""
        return int(self.order[0])

    def near(self, rows: Rows, k: int) -> Neighbors:
        """Return the nearest k samples of the training part; a sample is never its own neighbour.

        Parameters
        ----------
        rows : ndarray of int, shape (q,)
            Rows of the benchmark, of either part.

        Returns
        -------
        Neighbors
            Of shape (q, k); `index` holds rows of the benchmark, -1 where there are fewer. An
            all-zero vector has no direction and no neighbours.
        """
        key = rows.tobytes()
        if key not in self._searched or self._searched[key].index.shape[1] < k:
            self._searched[key] = self._search(rows, k)
        return self._searched[key].first(k)

    @cached_property
    def _searched(self) -> dict[bytes, Neighbors]:
        """The longest lists so far: a protocol and its methods ask for the same samples."""
        return {}

    def _search(self, rows: Rows, k: int) -> Neighbors:
        vectors = self.prepared.embeddings
        near = nearest(
            vectors[rows],
            vectors[self.rows],
            k,
            excluded=lambda block: rows[block, None] == self.rows[None, :],
        )
        silent = ~vectors[rows].any(axis=1, keepdims=True)
        gone = (near.index < 0) | silent
        index = np.where(gone, -1, self.rows[near.index])
        return Neighbors(index, np.where(gone, np.float32("inf"), near.distance))

    def averaged_over(self, near: Neighbors, values: NDArray[np.float32] | None = None) -> Array:
        """g_m(x): mean of `values` (default: the metric) over neighbours (eq. 7), shape (q, M)."""
        values = self.values if values is None else values
        n = len(near.index)
        blocks = [
            correctness_predictor(values, near.rows(np.arange(i, min(i + _BLOCK, n))))
            for i in range(0, n, _BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, values.shape[1]))

    def argmax(self, scores: Array) -> Rows:
        """Pick the model with the highest score of each row; ties go to the best on average.

        Parameters
        ----------
        scores : ndarray of float64, shape (q, M)
            NaN never wins. A row of NaN gets the best on average.

        Returns
        -------
        ndarray of int, shape (q,)
        """
        finite = np.where(np.isnan(scores), -np.inf, scores)[:, self.order]
        picks: Rows = self.order[finite.round(12).argmax(axis=1)]
        return picks


@dataclass(frozen=True)
class Split:
    """The two parts, as sorted rows of the benchmark."""

    train: Rows
    test: Rows


def metric_values(prepared: TaskFolds, metric: str) -> NDArray[np.float32]:
    """What an answer is worth, shape (n, M), NaN where missing.

    Parameters
    ----------
    metric : str
        `correctness`, `score`, or `metric:NAME` for a further metric of the source. Higher is
        better.

    Raises
    ------
    ConfigError
        If the source has no such metric.
    """
    metrics = metrics_of(prepared)
    if metric not in metrics:
        raise ConfigError(
            f"--metric is {metric!r}, which the source does not have; it has {', '.join(metrics)}."
        )
    return metrics[metric]


def metrics_of(prepared: TaskFolds) -> Mapping[str, NDArray[np.float32]]:
    """Return every metric that the source has, by name."""
    columns = prepared.benchmark.columns
    further = {name: values for name, values in columns.items() if name.startswith("metric:")}
    return {"correctness": prepared.labels, "score": prepared.benchmark.scores, **further}


def choose_splits(
    prepared: TaskFolds, *, test_share: float, runs: int, given: bool | None = None
) -> tuple[list[Split], str]:
    """Split at random, or as the source says.

    Parameters
    ----------
    test_share : float
        Share of the samples that is asked, in (0, 1).
    runs : int
        Random splits, each with a seed of its own that follows from the benchmark's.
    given : bool, optional
        True: the source's own split (`train`, `test`; samples of others are left out), False: at
        random. Default: the source's own where it has both parts.

    Returns
    -------
    list of Split
        One where the source's own split is used.
    str
        `given` or `random`.

    Raises
    ------
    ConfigError
        If a part would be empty.
    """
    own = _given_split(prepared)
    if given and own is None:
        raise ConfigError(
            "the source does not put samples in a train and a test split; use random splits."
        )
    if own is not None and given is not False:
        return [own], "given"
    n = len(prepared.benchmark)
    n_test = round(n * test_share) if 0 < test_share < 1 else 0
    if not 0 < n_test <= n - FEWEST_LEARNED or runs < 1:
        raise ConfigError(
            f"--test-share {test_share} of {n} samples in {runs} runs leaves fewer than "
            f"{FEWEST_LEARNED} samples to learn from, or none to ask. Use a share such as 0.3, at "
            "least one run, and a benchmark of three samples or more."
        )
    splits = []
    for run in range(runs):
        order = np.random.default_rng([prepared.seed, run]).permutation(n)
        splits.append(_split_groups(order, prepared.sample_group, n_test))
    if any(not len(part) for split in splits for part in (split.train, split.test)):
        raise ConfigError(
            f"all {n} samples are near-duplicates of one another, so that no part can be asked "
            "that was not learned from; give a benchmark with other questions."
        )
    return splits, "random"


def _split_groups(order: Rows, group: Rows, n_test: int) -> Split:
    """Put the groups whose first sample comes first into the test part, until it is so large."""
    _, first, inverse, size = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    # By one sample of each: by any of them, large groups would come first more often than others.
    place = np.argsort(np.argsort(order)[first])
    before = np.empty(len(size), dtype=np.intp)
    before[place] = np.cumsum(size[place]) - size[place]
    asked = before[inverse] < n_test
    return Split(np.flatnonzero(~asked), np.flatnonzero(asked))


def training(prepared: TaskFolds, split: Split, values: NDArray[np.float32]) -> TrainSplit:
    """Return the training part, with everything that is known of the other samples removed."""
    benchmark = prepared.benchmark

    def only(array: NDArray[Any], missing: float) -> NDArray[Any]:
        part = np.full_like(array, missing)
        part[split.train] = array[split.train]
        return part

    learned = replace(
        benchmark,
        correctness=only(benchmark.correctness, MISSING),
        scores=only(benchmark.scores, np.nan),
        columns={name: only(array, np.nan) for name, array in benchmark.columns.items()},
    )
    return TrainSplit(replace(prepared, benchmark=learned), split.train, only(values, np.nan))


def achieved(values: NDArray[Any], rows: Rows, picks: Rows) -> Array:
    """Value of the picked model on each sample, shape (q,); NaN where missing or nothing picked."""
    worth = values[rows, np.maximum(picks, 0)].astype(np.float64)
    worth[picks == NO_PICK] = np.nan
    return worth


def best_per_task(prepared: TaskFolds, values: NDArray[Any], learned: Rows, rows: Rows) -> Rows:
    """Pick for each sample the model that is best on the samples of its task among `learned`.

    Where `learned` are the asked samples themselves, this is the task oracle in hindsight; where
    they are the training part, it is what knowing a request's task is worth.
    """
    picks = np.full(len(rows), NO_PICK, dtype=np.intp)
    task, task_known = prepared.benchmark.task[rows], prepared.benchmark.task[learned]
    for d in np.unique(task):
        average = mean(values[learned[task_known == d]])
        picks[task == d] = prepared.order(average, average)[0]
    return picks


def describe_splits(
    prepared: TaskFolds, splits: Sequence[Split], kind: str, *, metric: str, k: int
) -> dict[str, Any]:
    """Return what a reader needs to run a protocol on these splits again."""
    return {
        "n_samples": len(prepared.benchmark),
        "n_train": [len(split.train) for split in splits],
        "n_test": [len(split.test) for split in splits],
        "models": list(prepared.benchmark.models),
        "metric": metric,
        "k": k,
        "split": kind,
        "test_share": len(splits[0].test) / len(prepared.benchmark) if kind == "random" else None,
        "runs": len(splits),
        "seed": prepared.seed,
    }


def _given_split(prepared: TaskFolds) -> Split | None:
    named = prepared.benchmark.split
    if named is None:
        return None
    names = [str(name).strip().lower() for name in named]
    train, test = (
        np.flatnonzero([name in part for name in names]).astype(np.intp) for part in (_TRAIN, _TEST)
    )
    return Split(train, test) if len(train) >= FEWEST_LEARNED and len(test) else None
