"""Named tasks: what choosing a model by task gains on samples that it was not chosen by.

    python benchmarks/named.py FOLDER [SET ...] [--splits 24] [--share .5]

FOLDER holds one benchmark a folder, each with its `embeddings.npy`. A share of the samples (by
groups of near-duplicates) is learned from, the rest says what was gained: by the model that did
best on each task (`argmax`, S3 with true p), by the posterior of docs/guarded.md, and by what is
served, which is the posterior where its own held-out samples say that it is no worse than BMA.
Every set has all of its models, then all but the best, all but the three best, and those of at
most 34 billion parameters.

Gains are points of accuracy over the best model on average of the samples that are learned from,
the mean over tasks, splits and pools.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from drift import folds_of
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from litellm_benchrouter.config.builder import PublishConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.guarded.named import fit_named_tasks
from litellm_benchrouter.paper.benchmark import task_accuracy
from litellm_benchrouter.validation.folds import TaskFolds, choose_pool, served_average

POOLS = {
    "all": {},
    "without the best": {"without_top": 1},
    "without three": {"without_top": 3},
    "at most 34B": {"max_params": 34.0},
}
RULES = ("argmax", "posterior", "served")
LOSS = -0.5  # points: a split below it lost

Gains = dict[tuple[str, str], NDArray[np.float64]]


def main() -> None:
    """Measure every set and pool, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--splits", type=int, default=24)
    parser.add_argument("--share", type=float, default=0.5)
    options = parser.parse_args()
    names = options.sets or sorted(p.parent.name for p in options.folder.glob("*/embeddings.npy"))
    gains: Gains = {}
    for name in track(names, "measuring", console=Console(stderr=True)):
        whole = folds_of(options.folder / name)
        for pool, restriction in POOLS.items():
            try:
                folds = choose_pool(whole, **restriction)
            except ConfigError:
                continue  # fewer than two models
            if pool == "all" or len(folds.benchmark.models) < len(whole.benchmark.models):
                splits = [measure(folds, s, options.share) for s in range(options.splits)]
                gains[name, pool] = 100 * np.array([each for each in splits if each is not None])
    show({key: values for key, values in gains.items() if len(values)})


def measure(folds: TaskFolds, split: int, share: float) -> list[float] | None:
    """Return the gain of each rule; None where a task has samples on one side alone."""
    task, group, n_tasks = folds.benchmark.task, folds.sample_group, folds.n_tasks
    drawn = np.random.default_rng((folds.seed, split)).random(int(group.max()) + 1)
    learned = drawn[group] < share
    accuracy = [
        task_accuracy(folds.labels[side], task[side], n_tasks) for side in (learned, ~learned)
    ]
    if any(np.isnan(of_side).all(axis=1).any() for of_side in accuracy):
        return None
    given = folds.labels[learned], task[learned]
    average = served_average(*given, n_tasks)
    best = int(folds.order(average, average)[0])
    model = fit_named_tasks(*given, group[learned], n_tasks, average, best)
    posterior = model.advantages.picks(best)
    serves = model.serves(PublishConfig().tolerance)
    picks = [
        np.nan_to_num(accuracy[0], nan=-1.0).argmax(axis=1),
        posterior,
        posterior if serves else np.full(n_tasks, best),
    ]
    gained = accuracy[1] - accuracy[1][:, [best]]
    return [float(np.nanmean(gained[np.arange(n_tasks), each])) for each in picks]


def show(gains: Gains) -> None:
    """Print a row a set, and what the whole comes to."""
    table = Table(
        "set", *RULES, title="gain over BMA, points, mean over pools", title_justify="left"
    )
    for name in dict.fromkeys(name for name, _ in gains):
        of_pools = [each.mean(axis=0) for (of_set, _), each in gains.items() if of_set == name]
        table.add_row(name, *(f"{gain:+.2f}" for gain in np.mean(of_pools, axis=0)))
    pools = np.array([each.mean(axis=0) for each in gains.values()])
    lost = np.mean(np.concatenate(list(gains.values())) < LOSS, axis=0)
    table.add_section()
    table.add_row("mean over sets and pools", *(f"{gain:+.2f}" for gain in pools.mean(axis=0)))
    table.add_row("worst set and pool", *(f"{gain:+.2f}" for gain in pools.min(axis=0)))
    table.add_row(f"splits below {LOSS:g}", *(f"{100 * each:.1f} %" for each in lost))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
