"""Benchmark results as arrays: the prompts, the task of each, and who answered them correctly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORRECT = 1
MISSING = 255
"""The value of `Benchmark.correctness` where a model has no label for a sample."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model besides its results.

    Attributes
    ----------
    params_b : float or None
        Parameters, in billions.
    input_price_usd_per_mtok, output_price_usd_per_mtok : float or None
        Price in USD per million tokens.
    mean_cost_usd : float or None
        Mean cost of one answer in USD, where the benchmark recorded it.
    mean_input_tokens, mean_output_tokens : float or None
        Mean tokens of a prompt and of an answer, where the benchmark recorded them.
    price_source : str or None
        `litellm` where the prices are those of LiteLLM's cost map; None where they were stated.
    """

    params_b: float | None = None
    input_price_usd_per_mtok: float | None = None
    output_price_usd_per_mtok: float | None = None
    mean_cost_usd: float | None = None
    mean_input_tokens: float | None = None
    mean_output_tokens: float | None = None
    price_source: str | None = None

    @property
    def prices_usd_per_mtok(self) -> tuple[float, float] | None:
        """Price of input and of output; where one is known it stands for both."""
        stated = (self.input_price_usd_per_mtok, self.output_price_usd_per_mtok)
        prices = [price for price in stated if price is not None]
        if not prices:
            return None
        return prices[0] if stated[0] is None else stated[0], prices[-1]


def cost_ranks(facts: Sequence[ModelFacts]) -> list[tuple[int, float]]:
    """Sort keys for breaking ties, cheapest first.

    Prices, recorded costs and parameters are not comparable: the first of them that is known of
    most models ranks these before all others, then the next one, and what is not known is last.
    """
    bases = [
        [None if (prices := fact.prices_usd_per_mtok) is None else sum(prices) for fact in facts],
        [fact.mean_cost_usd for fact in facts],
        [fact.params_b for fact in facts],
    ]
    bases.sort(key=lambda values: sum(value is None for value in values))
    return [
        next(
            ((b, cost) for b, values in enumerate(bases) if (cost := values[m]) is not None),
            (len(bases), math.inf),
        )
        for m in range(len(facts))
    ]


@dataclass(frozen=True)
class Benchmark:
    """The results of M models on n samples of D tasks.

    Attributes
    ----------
    prompts : sequence of str, length n
        The inputs x. They are embedded and never stored in an artifact.
    task : ndarray of int32, shape (n,)
        The task d of each sample, an index into `tasks`.
    correctness : ndarray of uint8, shape (n, M)
        y(x, m): 1 correct, 0 wrong, 255 (`MISSING`) no label.
    scores : ndarray of float32, shape (n, M)
        The metric f before the threshold eta_d; NaN where there is no label.
    facts : mapping of str to ModelFacts
        Size and prices of each model.
    columns : mapping of str to ndarray of float32, shape (n, M)
        What else the source recorded per sample and model, NaN where missing: `cost_usd`,
        `prompt_tokens`, `completion_tokens`, `log_likelihood`, `metric:NAME` for each further
        metric, `ranker:NAME` for each ranker's per-sample scores.
    references : sequence of str or None, length n, or None
        The reference answers r, where known.
    split : sequence of str, length n, or None
        The split that the source put each sample in (train, validation, test).
    group : sequence of str or None, length n, or None
        Samples that the sources declare to be variants of one another have the same name; None
        where none is declared.
    """

    sample_ids: Sequence[str]
    prompts: Sequence[str]
    task: NDArray[np.int32]
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    correctness: NDArray[np.uint8]
    scores: NDArray[np.float32]
    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    references: Sequence[str | None] | None = None
    split: Sequence[str] | None = None
    group: Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.prompts), len(self.models))
        shapes = {name: array.shape for name, array in self.columns.items()}
        shapes |= {"correctness": self.correctness.shape, "scores": self.scores.shape}
        for name, actual in shapes.items():
            if actual != shape:
                raise ValueError(f"{name} has shape {actual}, expected {shape}")
        if self.task.shape != shape[:1] or len(self.sample_ids) != shape[0]:
            raise ValueError(
                f"task has shape {self.task.shape} and there are {len(self.sample_ids)} "
                f"sample ids, expected {shape[0]} of each"
            )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def cost_ranks(self) -> list[tuple[int, float]]:
        """`cost_ranks` of the models."""
        return cost_ranks([self.facts.get(model, ModelFacts()) for model in self.models])

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Benchmark:
        """Return the benchmark restricted to some samples, by mask or index; tasks keep numbers."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        return replace(
            self,
            sample_ids=[self.sample_ids[i] for i in index],
            prompts=[self.prompts[i] for i in index],
            task=self.task[index],
            correctness=self.correctness[index],
            scores=self.scores[index],
            columns={name: array[index] for name, array in self.columns.items()},
            references=None if self.references is None else [self.references[i] for i in index],
            split=None if self.split is None else [self.split[i] for i in index],
            group=None if self.group is None else [self.group[i] for i in index],
        )

    def pool(self, models: Sequence[str]) -> Benchmark:
        """Return the benchmark restricted to some models, in the order given.

        Raises
        ------
        KeyError
            If a model is not in the benchmark.
        """
        position = {model: m for m, model in enumerate(self.models)}
        index = [position[model] for model in models]
        return replace(
            self,
            models=tuple(models),
            correctness=self.correctness[:, index],
            scores=self.scores[:, index],
            columns={name: array[:, index] for name, array in self.columns.items()},
        )


def labels(correctness: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return correctness as float32 with NaN for a missing label, same shape."""
    return np.where(correctness == MISSING, np.float32("nan"), correctness).astype(np.float32)


def task_accuracy(
    values: NDArray[np.floating], task: NDArray[np.int32], n_tasks: int
) -> NDArray[np.float64]:
    """Mean of each model on each task over the samples that have a label: S~(m, d).

    The values are correctness or scores, shape (n, M), NaN where missing, of samples whose tasks
    are `task`, shape (n,). Returns shape (n_tasks, M): NaN where a model has no label in a task.
    """
    present = ~np.isnan(values)
    total = np.empty((n_tasks, values.shape[1]))
    count = np.empty((n_tasks, values.shape[1]))
    for m in range(values.shape[1]):  # np.add.at takes several times as long
        total[:, m] = np.bincount(task, np.where(present[:, m], values[:, m], 0.0), n_tasks)
        count[:, m] = np.bincount(task, present[:, m], n_tasks)
    return ratio(total, count)


def average_accuracy(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unweighted mean over tasks of each model's accuracy; its best entry is m* of eq. 6 (BMA).

    From shape (D, M) to (M,); NaN entries are left out, and a model without any label has NaN.
    """
    return mean(accuracy)


def ratio(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, with NaN where `count` is zero."""
    out: NDArray[np.float64] = np.full(np.shape(total), np.nan)
    np.divide(total, count, out=out, where=np.asarray(count) > 0)
    return out


def mean(values: NDArray[Any], axis: int = 0) -> NDArray[np.float64]:
    """Mean over an axis of the entries that are not NaN; NaN where there are none."""
    present = ~np.isnan(values)
    return ratio(
        np.where(present, values, 0.0).sum(axis=axis, dtype=np.float64), present.sum(axis=axis)
    )
