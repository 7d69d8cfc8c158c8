"""Protocol `traffic`: unnamed, mixed prompts unlike the benchmark, of which some are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.task import describe
from litellm_benchrouter.evaluation.traffic_cost import FEWEST, summary_of
from litellm_benchrouter.evaluation.traffic_split import METHODS, TrafficSplit
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.metrics import bootstrap_mean

LABELS = (30, 50, 100, 200, 400)
SPLITS = 8


def run_traffic(
    prepared: TaskFolds,
    progress: Progress,
    *,
    n_labels: Sequence[int] = LABELS,
    splits: int = SPLITS,
    share: float = 0.0,
    held_back: float = 0.3,
    racing: bool = False,
    methods: Sequence[str] = METHODS,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Take half of the tasks as traffic, the others as the benchmark, and label some prompts.

    The labelled prompts are drawn at random, without regard to their tasks, and what each method
    then picks for the other prompts of the traffic is compared with BMA, the best on average on
    the benchmark.

    Parameters
    ----------
    n_labels : sequence of int
        Prompts labelled for every model; with `racing` the answers that so many would take.
    splits : int
        Random halves.
    share : float
        Share of the traffic, in [0, 1], that is like the benchmark: samples of its tasks that it
        does not hold.
    held_back : float
        Share of the benchmark's samples that may become such traffic.
    racing : bool
        Ask in batches, and drop models that cannot be the best any more.
    methods : sequence of str
        Of `METHODS`.

    Returns
    -------
    dict
        The document that `evaluate --json` writes; docs/evaluation.md specifies it.
    """
    if prepared.n_groups < 2:
        raise ConfigError(
            "the protocol traffic takes half of the benchmark's families of tasks as traffic and "
            f"needs 2 of them; the benchmark has {prepared.n_groups}."
        )
    numbers = sorted(set(n_labels))

    def try_on(split: int) -> dict[str, Any]:
        return TrafficSplit.draw(prepared, split, share, held_back).measure(
            numbers, methods, racing
        )

    measured = []
    with progress.stage("traffic", splits) as advance:
        for of_split in engine.map(try_on, range(splits)):
            measured.append(of_split)
            advance(1)
    return {
        "protocol": {
            "name": "traffic",
            **describe(prepared),
            "splits": splits,
            "share": share,
            "racing": racing,
        },
        "n_labels": numbers,
        "methods": {
            name: {
                str(n): _summary([one["gain"][name][str(n)] for one in measured], prepared.seed)
                for n in numbers
            }
            for name in methods
        },
        "trade_off": {
            str(n): summary_of([one["trade_off"] for one in measured], n)
            for n in numbers
            if n >= FEWEST
        },
        "by_split": measured,
    }


def _summary(gains: Sequence[float], seed: int) -> dict[str, Any]:
    measured = np.array(gains)[~np.isnan(gains)]
    gain, low, high = bootstrap_mean(measured, seed=seed) if len(measured) else [float("nan")] * 3
    return {"gain": gain, "gain_over_splits_95": [low, high], "by_split": list(gains)}
