"""What labels of own traffic are worth, on many benchmarks and the pools an operator may have.

    python benchmarks/traffic.py FOLDER [SET ...] [--seeds 0,1,2,3] [--lexical]

FOLDER holds one benchmark a folder, each with its `embeddings.npy`, which `--lexical` leaves aside.
Every set goes through the splits of `benchrouter evaluate --protocol traffic` with all of its
models, without the three best, with five at random, and with those of at most 34 billion
parameters; a seed draws other splits and other five models.

Gains are points of accuracy over the best model on average of the benchmark: the mean over sets of
the mean over their pools, seeds and splits, the lowest set, and the lowest set and pool.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from drift import folds_of
from rich.console import Console
from rich.progress import track
from rich.table import Table

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.traffic import LABELS, SPLITS
from litellm_benchrouter.evaluation.traffic_split import TrafficSplit
from litellm_benchrouter.validation.folds import TaskFolds, choose_pool

SETS = (
    *("llmrouter", "routerdc", "mmlu_pro", "openllm_v2"),
    *("reasoning_gym", "routerbench", "bfcl"),
)
METHODS = {
    "default": "own labels",
    "benchmark": "benchmark alone",
    "own_best": "one model, best on own labels",
}

Gains = dict[tuple[str, str, str, int], list[float]]  # by method, set, pool and number of labels


def main() -> None:
    """Measure every set, pool and seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--seeds", default="0,1,2,3")
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--lexical", action="store_true")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    gains: Gains = defaultdict(list)
    wanted = [(name, seed) for name in options.sets or SETS for seed in seeds]
    for name, seed in track(wanted, "measuring", console=Console(stderr=True)):
        whole = folds_of(options.folder / name, seed=seed, lexical=options.lexical)
        for pool, folds in pools_of(whole, seed).items():
            for split in range(options.splits):
                drawn = TrafficSplit.draw(folds, split, 0.0, 0.3)
                measured = drawn.measure(LABELS, tuple(METHODS), False, costs=False)["gain"]
                for method, by_number in measured.items():
                    for n, gain in by_number.items():
                        gains[method, name, pool, int(n)].append(100 * gain)
    show(gains)


def pools_of(whole: TaskFolds, seed: int) -> dict[str, TaskFolds]:
    """Return the pools that differ from the whole, and it."""
    models = whole.benchmark.models
    five = np.random.default_rng((seed, 77)).choice(len(models), min(5, len(models)), replace=False)
    restrictions: dict[str, dict[str, Any]] = {
        "all": {},
        "without three": {"without_top": 3},
        "at most 34B": {"max_params": 34.0},
        "five at random": {"models": [models[m] for m in sorted(five)]},
    }
    pools = {}
    for name, restriction in restrictions.items():
        try:
            pool = choose_pool(whole, **restriction)
        except ConfigError:
            continue  # fewer than two models
        if name == "all" or len(pool.benchmark.models) < len(models):
            pools[name] = pool
    return pools


def show(gains: Gains) -> None:
    """Print the table; a split whose traffic is too small for a number of labels is left out."""
    table = Table("gain over BMA, points", *(f"{n} labels" for n in LABELS))
    for method, title in METHODS.items():
        of_sets: list[list[float]] = []
        of_pools: list[list[float]] = []
        for n in LABELS:
            by_set: dict[str, list[float]] = defaultdict(list)
            for (of_method, name, _, number), values in gains.items():
                if of_method == method and number == n and not np.isnan(values).all():
                    by_set[name].append(float(np.nanmean(values)))
            of_sets.append([float(np.mean(pools)) for pools in by_set.values()])
            of_pools.append([gain for pools in by_set.values() for gain in pools])
        table.add_section()
        table.add_row(title, *(f"{np.mean(each):+.2f}" for each in of_sets))
        table.add_row("  lowest set", *(f"{min(each):+.2f}" for each in of_sets))
        table.add_row("  lowest set and pool", *(f"{min(each):+.2f}" for each in of_pools))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
