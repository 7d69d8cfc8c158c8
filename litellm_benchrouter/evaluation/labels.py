"""Protocol `labels` (figures 2, 4 and 8): a few labelled samples of the new task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.evaluation.task import describe
from litellm_benchrouter.paper.benchmark import mean, ratio
from litellm_benchrouter.paper.mixing import Mixed, MixedLists, votes_of
from litellm_benchrouter.paper.scores import (
    TaskScores,
    decide_by_eq6,
    predictor_accuracy,
    s1,
    s2,
    s3,
)
from litellm_benchrouter.paper.smoother import ALPHAS, SmootherTable, draws, kernel_smoother
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import pearson

Array = NDArray[np.float64]

SCORED = ("s1", "s2", "s3", "s3_true_p")
"""Methods that score every model, so that scores and accuracies correlate."""

_DRAW = ("task", "alpha", "repeat", "moved", "u", "predictor_accuracy", "smoother_mae")


def run_labels(
    prepared: TaskFolds,
    progress: Progress,
    *,
    alphas: Sequence[float] = ALPHAS,
    repeats: int = 10,
    max_moved: int = 50,
    reference: TaskFolds | None = None,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Move min(alpha n, max_moved) samples of each new task into the training data and choose.

    The predictors learn from the moved samples, u(d') is measured with them, and every method is
    judged on the samples that remain. The best model on average and the smoother's table come from
    the other tasks, so the table is the same for all draws. `alphas` are in [0, 1], each drawn
    `repeats` times. `reference` is the benchmark with a larger pool of models, whose best model on
    average is the line to compare with (figure 8). docs/evaluation.md specifies the document.
    """
    tables = prepared.smoother_tables(progress, engine)
    votes = votes_of(prepared.benchmark.correctness)

    def measure(d: int) -> list[dict[str, Any]]:
        task = _NewTask(prepared, d, tables[prepared.group_of_task[d]], votes, reference)
        drawn = draws(
            len(prepared.rows[d]), (prepared.seed, d), alphas, repeats=repeats, max_moved=max_moved
        )
        of_task = []
        for at, moved in drawn:
            measured = {"moved": len(moved)} | task.measure(moved)
            for z in range(at.start, at.stop):
                alpha, repeat = alphas[z // repeats], z % repeats
                of_task.append({"task": d, "alpha": alpha, "repeat": repeat} | measured)
        return of_task

    rows: list[dict[str, Any]] = []
    with progress.stage("labelled samples", prepared.n_tasks) as advance:
        for of_task in engine.map(measure, range(prepared.n_tasks)):
            rows += of_task
            advance(1)
    frame = pl.DataFrame(rows).fill_nan(None)
    document: dict[str, Any] = {
        "protocol": {"name": "labels", **describe(prepared)}
        | {"alphas": list(alphas), "repeats": repeats, "max_moved": max_moved},
        "alphas": _by_alpha(frame),
        "draws": _draws(frame, prepared.benchmark.tasks),
    }
    if reference is not None:
        best = [
            reference.benchmark.models[_best_on_average(reference, d)]
            for d in range(prepared.n_tasks)
        ]
        document["reference"] = {"models": {name: best.count(name) for name in sorted(set(best))}}
    return document


class _NewTask:
    """A held-out task, measured again for every draw of samples that move."""

    def __init__(
        self,
        prepared: TaskFolds,
        d: int,
        table: SmootherTable,
        votes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        reference: TaskFolds | None,
    ) -> None:
        rows, routing = prepared.rows[d], prepared.routing
        self._prepared, self._d, self._pairs = prepared, d, table.pairs()
        self._mixing = MixedLists(
            prepared.neighbors_other_tasks.rows(rows),
            np.arange(len(rows)),
            rows,
            prepared.embeddings,
            *votes,
            k=routing.k,
            kappa=routing.kappa,
        )
        self._labels = prepared.labels[rows]
        self._correctness = prepared.benchmark.correctness[rows]
        self._average = prepared.average_without(d)
        self._reference: NDArray[np.float32] | None = None
        if reference is not None:
            self._reference = reference.labels[rows, _best_on_average(reference, d)]

    def measure(self, moved: NDArray[np.intp]) -> dict[str, float]:
        """Choose by every method after a draw; columns `accuracy METHOD`, `pearson METHOD`, ..."""
        stays = np.ones(len(self._labels), dtype=bool)
        stays[moved] = False
        mixed = self._mixing.draw(moved)
        accuracy = mean(self._labels[stays])
        u = float(mean(mixed.distance[stays]))
        picks, scores, true_p, p = self._choose(mixed, stays, u, accuracy)
        measured = {
            "u": u,
            "predictor_accuracy": float(mean(true_p)),
            "smoother_mae": float(mean(np.abs(p - true_p))),
        }
        measured |= {f"accuracy {name}": float(accuracy[pick]) for name, pick in picks.items()}
        measured |= {f"pearson {name}": pearson(scores[name], accuracy) for name in SCORED}
        if self._reference is not None:
            measured["accuracy reference"] = float(mean(self._reference[stays]))
        return measured

    def _choose(
        self, mixed: Mixed, stays: NDArray[np.bool_], u: float, accuracy: Array
    ) -> tuple[dict[str, int], dict[str, Array], Array, Array]:
        routing, benchmark = self._prepared.routing, self._prepared.benchmark
        g = ratio(mixed.votes[stays], mixed.voters[stays])
        true_p = predictor_accuracy(g, self._correctness[stays], routing.t)
        p = kernel_smoother(u, *self._pairs, routing.sigma)
        first, second = s1(g), s2(g, routing.t)
        scores = {"s1": first, "s2": second, "bma": self._average, "oracle": accuracy}
        picks = {
            name: int(self._prepared.order(score, self._average)[0])
            for name, score in scores.items()
        }
        for name, estimate in {"s3": p, "s3_true_p": true_p}.items():
            third = scores[name] = s3(second, estimate)
            choice = decide_by_eq6(
                TaskScores(len(g), u, first, second, third, estimate),
                self._average,
                benchmark.cost_ranks,
                benchmark.models,
                eta=routing.eta,
            )
            picks[name] = int(choice.order[0])
        return picks, scores, true_p, p


def _best_on_average(prepared: TaskFolds, d: int) -> int:
    average = prepared.average_without(d)
    return int(prepared.order(average, average)[0])


def _by_alpha(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Mean over tasks; then, over the repeats, its mean and standard deviation."""
    values = [name for name in frame.columns if name not in ("task", "alpha", "repeat")]
    # In order, or the last digits of a deviation change from run to run.
    over_tasks = frame.group_by("alpha", "repeat", maintain_order=True).agg(pl.col(values).mean())
    summary = (
        over_tasks.group_by("alpha", maintain_order=True)
        .agg(
            pl.col(values).mean(),
            pl.col(values).std().fill_null(0.0).name.suffix("_sd"),  # one repeat deviates by 0
        )
        .sort("alpha")
    )
    described = []
    for row in summary.iter_rows(named=True):
        methods: dict[str, dict[str, Any]] = {}
        for name in values:
            measure, _, method = name.partition(" ")
            if method:
                of_method = methods.setdefault(method, {})
                of_method |= {measure: row[name], f"{measure}_sd": row[f"{name}_sd"]}
        plain = ("u", "predictor_accuracy", "smoother_mae")
        described.append(
            {"alpha": row["alpha"], "moved": row["moved"], "methods": methods}
            | {name: row[name] for name in plain}
            | {f"{name}_sd": row[f"{name}_sd"] for name in plain}
        )
    return described


def _draws(frame: pl.DataFrame, tasks: Sequence[str]) -> dict[str, Any]:
    """Every draw once, as columns; accuracy and correlation by method."""
    drawn = frame.filter((pl.col("moved") > 0) | (pl.col("repeat") == 0))
    drawn = drawn.with_columns(cs.float().round(6))
    columns: dict[str, Any] = {name: drawn[name].to_list() for name in _DRAW}
    columns["task"] = [tasks[d] for d in columns["task"]]
    for name in frame.columns:
        measure, _, method = name.partition(" ")
        if method:
            columns.setdefault(measure, {})[method] = drawn[name].to_list()
    return columns
