"""Protocol `distance` (figures 3 and 6): are scores better where the new task is near?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.validation.metrics import spearman

_BINS = 8


def run_distance(labels: Mapping[str, Any], *, bins: int = _BINS) -> dict[str, Any]:
    """Set u(d') against the correlation of scores and accuracies, over all draws of `labels`.

    Moving labelled samples of a task into the training data brings it nearer, which is how the
    paper studies closer benchmarks (appendix C.3). Nothing is computed twice: the draws are those
    of `run_labels`, whose document this takes. Each bin has equally many of them.
    docs/evaluation.md specifies the document.
    """
    draws = labels["draws"]
    methods = list(draws["pearson"])
    frame = pl.DataFrame(
        {name: draws[name] for name in ("task", "alpha", "u")} | draws["pearson"],
        schema_overrides=dict.fromkeys(("u", *methods), pl.Float64),
    ).drop_nulls("u")
    points = (
        frame.group_by("task", "alpha", maintain_order=True)
        .agg(pl.col("u", *methods).mean())
        .to_dict(as_series=False)
    )
    return {
        "protocol": {**labels["protocol"], "name": "distance"},
        "methods": {method: _trend(frame, method, bins) for method in methods},
        "points": {
            **{name: points[name] for name in ("task", "alpha", "u")},
            "pearson": {method: points[method] for method in methods},
        },
    }


def _trend(frame: pl.DataFrame, method: str, bins: int) -> dict[str, Any]:
    """Rank correlation of u with the method's correlation, and the latter's mean per bin of u."""
    pairs = frame.select("task", "u", pearson=method).drop_nulls()
    # Tasks differ in more than their distance; within a task only the labelled samples do.
    by_task = pairs.group_by("task", maintain_order=True)  # or last digits change from run to run
    within = np.array([_spearman(of_task) for _, of_task in by_task])
    place = (pl.col("u").rank("ordinal").cast(pl.Int64) - 1) * bins // pl.len()
    binned = (
        pairs.group_by(bin=place, maintain_order=True)
        .agg(
            u=pl.col("u").mean(),
            u_min=pl.col("u").min(),
            u_max=pl.col("u").max(),
            pearson=pl.col("pearson").mean(),
            pearson_sd=pl.col("pearson").std(),
            count=pl.len(),
        )
        .sort("bin")
        .drop("bin")
    )
    return {
        "spearman": _or_none(_spearman(pairs)),
        "spearman_within_tasks": _or_none(float(mean(within))),
        "bins": binned.to_dicts(),
    }


def _spearman(frame: pl.DataFrame) -> float:
    return spearman(frame["u"].to_numpy(), frame["pearson"].to_numpy())


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
