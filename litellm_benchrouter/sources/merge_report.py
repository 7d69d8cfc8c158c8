"""What a merge took from each source, what it left out, and what to know about the result."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING, Benchmark
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.grid import Filled


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


@dataclass(frozen=True)
class MergeReport:
    """How the benchmark came about.

    Attributes
    ----------
    sources : list of SourceReport
        In the order given.
    warnings : list of str
        Sentences about what a reader of the results should know.
    source_row : ndarray of int64, shape (n, 2)
        Of each row of the benchmark: the source that it first came from, and its row in that
        source's samples as they were before anything was left out.
    n_rows : list of int
        How many samples each source held then.
    """

    sources: list[SourceReport]
    warnings: list[str]
    source_row: NDArray[np.int64]
    n_rows: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without what says which row of a source is where."""
        return {
            "sources": [source.as_dict() for source in self.sources],
            "warnings": self.warnings,
        }


def source_report(
    name: str, filled: Filled, task: NDArray[np.int32], dropped: Counter[str]
) -> SourceReport:
    """Count what a source gave."""
    return SourceReport(
        name=name,
        samples=int(np.count_nonzero(filled.rows)),
        scores=filled.n_given,
        models=int(np.count_nonzero(filled.models)),
        tasks=len(np.unique(task[filled.rows])),
        dropped=dict(sorted(dropped.items())),
    )


def warnings_about(benchmark: Benchmark, rows: pl.DataFrame, all_tasks: pl.Series) -> list[str]:
    """Say what makes the averages or the neighbours less than they seem.

    Parameters
    ----------
    benchmark : Benchmark
    rows : polars.DataFrame
        `task` and `prompt` of its samples.
    all_tasks : polars.Series of str
        Tasks of all samples that the sources had.
    """
    warnings = []
    lost = sorted(set(all_tasks.unique()) - set(benchmark.tasks))
    if lost:
        warnings.append(f"Tasks without any score are left out: {listed(lost)}.")
    by_task = np.argsort(benchmark.task, kind="stable")
    size = np.bincount(benchmark.task)
    starts = np.cumsum(size) - size
    covered = np.logical_or.reduceat(benchmark.correctness[by_task] != MISSING, starts)
    lacking = np.count_nonzero(~covered, axis=0)
    if lacking.any():
        worst = int(lacking.argmax())
        warnings.append(
            f"{np.count_nonzero(lacking)} of {len(lacking)} models have no score in some task, so "
            f"averages over tasks do not compare like with like; {benchmark.models[worst]} lacks "
            f"the most, {lacking[worst]} of {len(size)} tasks."
        )
    single = [name for name, n in zip(benchmark.tasks, size, strict=True) if n == 1]
    if single:
        warnings.append(f"Tasks with a single sample: {listed(single)}.")
    repeated = len(rows) - rows.n_unique(["task", "prompt"])
    if repeated:
        warnings.append(
            f"{repeated} samples repeat the prompt of another sample of their task under another "
            "id (sources that share samples must share their ids)."
        )
    return warnings
