"""What a merged benchmark is warned of: what makes its averages less than they seem."""

from __future__ import annotations

import re
from hashlib import sha256

import numpy as np
import polars as pl

from litellm_benchrouter.paper.benchmark import MISSING, Benchmark
from litellm_benchrouter.sources.frames import listed

_NOBODY = re.compile(
    r"(human|oracle|random|chance|majority|ensemble|consensus|baseline|gold|reference|best|worst"
    r"|average|avg|mean|total|overall|all|unknown|nan|none|null|n/a)"
    r"([ _-](baseline|guess|guessing|choice|vote|voting|expert|annotator|of|model|answer|\d+|n))*",
    re.IGNORECASE,
)
_MANY = 100  # samples from which on two models do not agree on all by chance
_FAMILY = 0.5  # of a task's prompts, from which on another task that has them too is named


def remarks(benchmark: Benchmark, rows: pl.DataFrame, all_tasks: pl.Series) -> list[str]:
    """Say what makes the averages or the neighbours less than they seem.

    `rows` has task and prompt of each sample, `all_tasks` the tasks of all that the sources had.
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
    pairs = rows.select("task", "prompt").unique()
    repeated = len(rows) - len(pairs)
    if repeated:
        warnings.append(
            f"{repeated} samples repeat the prompt of another sample of their task under another "
            "id (sources that share samples must share their ids)."
        )
    shared = pairs.with_columns(is_shared=pl.len().over("prompt") > 1)
    of_task = shared.group_by("task").agg(pl.col("is_shared").mean()).sort("task")
    families = of_task.filter(pl.col("is_shared") >= _FAMILY)["task"].to_list()
    if families:
        warnings.append(
            f"Tasks that share at least half of their prompts with other tasks: {listed(families)}."
            " Their results do not say how the router does on a new task."
        )
    nobody = [name for name in benchmark.models if _NOBODY.fullmatch(name)]
    if nobody:
        warnings.append(
            f"Models that are none by their names: {listed(nobody)}. Where that is so, take their "
            "results out: the best model on average may be one of them."
        )
    return warnings + _twins(benchmark) + _copies(benchmark)


def _twins(benchmark: Benchmark) -> list[str]:
    """Warn of models and tasks that may be one under several spellings.

    Models whose names differ by an owner alone are such where they have no sample in common.
    """
    warnings = []
    for kind, names in (("Models", benchmark.models), ("Tasks", benchmark.tasks)):
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(re.sub(r"[\s_-]+", "-", name.casefold()), []).append(name)
        twins = [" and ".join(group) for group in groups.values() if len(group) > 1]
        if twins:
            way_out = "name them alike" + (", or with `aliases`" if kind == "Models" else "")
            warnings.append(
                f"{kind} that may be one under several spellings: {listed(twins)}. Where they are, "
                f"{way_out}."
            )
    tails: dict[str, list[int]] = {}
    for m, model in enumerate(benchmark.models):
        tails.setdefault(model.rpartition("/")[2].casefold(), []).append(m)
    halves = [
        " and ".join(benchmark.models[m] for m in group)
        for group in tails.values()
        if len(group) > 1
        and not ((benchmark.correctness[:, group] != MISSING).sum(axis=1) > 1).any()
        and any("/" in benchmark.models[m] for m in group)
    ]
    if halves:
        warnings.append(
            f"Models that may be one, and have no sample in common: {listed(halves)}. Where they "
            "are, say so with `aliases`."
        )
    return warnings


def _copies(benchmark: Benchmark) -> list[str]:
    """Warn of models with the same scores on every sample, as no two models have on many."""
    groups: dict[bytes, list[str]] = {}
    for m, name in enumerate(benchmark.models):
        labels = benchmark.correctness[:, m][benchmark.correctness[:, m] != MISSING]
        if len(labels) >= _MANY and 0 < np.count_nonzero(labels) < len(labels):
            groups.setdefault(sha256(benchmark.scores[:, m].tobytes()).digest(), []).append(name)
    copies = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if not copies:
        return []
    return [
        f"Models with the same score on every sample: {listed(copies)}. One of them may hold the "
        "results of the other by mistake."
    ]
