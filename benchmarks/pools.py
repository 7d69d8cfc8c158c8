"""The default method on many benchmarks, each with the pools an operator may have.

    python benchmarks/pools.py FOLDER [SET ...] [--keep DIR]

FOLDER holds one benchmark a folder, each with its `embeddings.npy`. Every set is evaluated through
`benchrouter evaluate` with all of its models, without the best, without the three best, and with
those of at most 34 billion parameters. `--keep` stores what each run wrote, and takes it up later.

Gains are points of accuracy over the best single model: on tasks that nobody has seen (best on the
other tasks), on requests like those known (best on the training part), and on tasks with some
labelled samples. The intervals resample the tasks of each set, the same ones in all its pools.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

POOLS = {
    "all": [],
    "without the best": ["--without-top", "1"],
    "without three": ["--without-top", "3"],
    "at most 34B": ["--max-params", "34"],
}
PROTOCOLS = ("task", "request", "few-labels")
BY_NAME = {"reasoning_gym"}
DRAWS = 4_000

Runs = dict[tuple[str, str], dict[str, Any]]


def main() -> None:
    """Run what is not kept yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = options.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        names = options.sets or sorted(
            p.parent.name for p in options.folder.glob("*/embeddings.npy")
        )
        runs: Runs = {}
        wanted = [(name, pool) for name in names for pool in POOLS]
        for name, pool in track(wanted, "evaluating", console=Console(stderr=True)):
            document = evaluate(options.folder / name, pool, keep / f"{name}-{slug(pool)}.json")
            if document is not None:
                runs[name, pool] = document
    if not runs:
        sys.exit("nothing could be evaluated")
    console = Console(width=150)
    console.print(unseen(runs), requests(runs), few_labels(runs))


def slug(pool: str) -> str:
    """Return a pool's name for a file."""
    return pool.replace(" ", "-")


def evaluate(source: Path, pool: str, kept: Path) -> dict[str, Any] | None:
    """Return the protocols of one set and pool; None where too few models or sizes are known."""
    if not kept.exists():
        command = [sys.executable, "-m", "litellm_benchrouter", "evaluate"]
        command += ["--source", str(source), "--embeddings", str(source / "embeddings.npy")]
        command += [f"--protocol={protocol}" for protocol in PROTOCOLS] + POOLS[pool]
        command += ["--hold-out", "name"] if source.name in BY_NAME else []
        done = subprocess.run(
            [*command, "--json", str(kept)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"{source.name}, {pool}: {done.stderr.strip()}", file=sys.stderr)
            return None
    protocols: dict[str, Any] = json.loads(kept.read_text())["protocols"]
    return protocols


def sets_of(runs: Runs) -> list[str]:
    """Return the sets in the order in which they ran."""
    return list(dict.fromkeys(name for name, _ in runs))


def of_set(runs: Runs, name: str, pool: str | None = None) -> list[dict[str, Any]]:
    """Return a set's documents, of one pool or of all."""
    return [d for (n, p), d in runs.items() if n == name and pool in (None, p)]


def summary(gains: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Mean over sets of the mean over their tasks, and its 95 % interval over tasks.

    Parameters
    ----------
    gains : dict of str to ndarray of float64, shape (pools, tasks)
    """
    generator = np.random.default_rng(0)
    drawn = np.zeros(DRAWS)
    for values in gains.values():
        per_task = values.mean(axis=0)
        rows = generator.integers(len(per_task), size=(DRAWS, len(per_task)))
        drawn += per_task[rows].mean(axis=1) / len(gains)
    mean = float(np.mean([values.mean() for values in gains.values()]))
    return mean, *np.quantile(drawn, [0.025, 0.975]).tolist()


def task_gains(documents: list[dict[str, Any]], method: str) -> np.ndarray:
    """Gain over BMA of each held-out task, shape (pools, tasks)."""
    return np.array(
        [
            [t["method_accuracy"][method] - t["method_accuracy"]["bma"] for t in d["task"]["tasks"]]
            for d in documents
        ]
    )


def points(value: float) -> str:
    """Format a gain; NaN is none."""
    return "–" if np.isnan(value) else f"{100 * value:+.2f}"


def rows_of(runs: Runs, title: str, cells: Any) -> Table:
    """Return a table with a row a set, a column a pool, and what all pools give together."""
    table = Table("set", *POOLS, "mean", title=title, title_justify="left")
    for name in sets_of(runs):
        by_pool = [of_set(runs, name, pool) for pool in POOLS]
        found = [cells(documents) if documents else "-" for documents in by_pool]
        table.add_row(name, *found, cells(of_set(runs, name)))
    return table


def unseen(runs: Runs) -> Table:
    """Tasks that nobody has seen."""
    table = rows_of(
        runs,
        "New tasks: gain over the best on average",
        lambda documents: points(task_gains(documents, "default").mean()),
    )
    for label, method in (("default", "default"), ("S1, k=5", "s1"), ("S3", "s3")):
        for pool in (None, "all"):
            gains = {n: task_gains(of_set(runs, n, pool), method) for n in sets_of(runs)}
            mean, low, high = summary(gains)
            where = "all pools" if pool is None else "all models"
            table.add_row(
                label, where, "", "", "", f"{points(mean)} [{points(low)}, {points(high)}]"
            )
    for label, key in (
        ("fixed best in hindsight", "fixed_best_in_hindsight"),
        ("half-split oracle", "half_split_oracle"),
    ):
        values = [
            np.mean(
                [
                    d["task"]["baselines"][key]["accuracy"]
                    - d["task"]["methods"]["bma"]["accuracy"]
                    for d in of_set(runs, name)
                ]
            )
            for name in sets_of(runs)
        ]
        table.add_row(label, "all pools", "", "", "", points(float(np.mean(values))))
    return table


def requests(runs: Runs) -> Table:
    """Requests like those known."""

    def cells(documents: list[dict[str, Any]]) -> str:
        methods = [d["request"]["methods"] for d in documents]
        gain = np.mean([m["default"]["gain"] for m in methods])
        ece = np.mean([m["default"]["ece"] for m in methods])
        return f"{points(float(gain))}  ECE {ece:.3f}"

    table = rows_of(runs, "Requests: gain over the best single model", cells)

    def mean_gain(method: str) -> float:
        per_set = [
            np.mean([d["request"]["methods"][method]["gain"] for d in of_set(runs, name)])
            for name in sets_of(runs)
        ]
        return float(np.mean(per_set))

    ours = mean_gain("default")
    table.add_row("default", "all pools", "", "", "", points(ours))
    for label, method in (
        ("S1, k=5", "s1"),
        ("best per known task", "best_per_task"),
        ("task oracle in hindsight", "task_oracle"),
    ):
        share = (
            f" (default: {100 * ours / mean_gain(method):.0f} % of it)" if method != "s1" else ""
        )
        table.add_row(label, "all pools", "", "", "", points(mean_gain(method)) + share)
    return table


def few_labels(runs: Runs) -> Table:
    """Tasks with a handful of labelled samples."""
    numbers = next(iter(runs.values()))["few-labels"]["n_labels"]
    columns = [f"{n} labels" for n in numbers]
    table = Table("set", "pools", "method", *columns, title="A few labels", title_justify="left")

    def means(names: list[str], pool: str | None, method: str) -> list[float]:
        per_set = [
            [
                [cell["gain"] for cell in d["few-labels"]["methods"][method]]
                for d in of_set(runs, name, pool)
            ]
            for name in names
        ]
        gains = [np.array(values, dtype=np.float64) for values in per_set]  # NaN: too few samples
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")
            return np.nanmean([np.nanmean(each, axis=0) for each in gains], axis=0).tolist()

    every = sets_of(runs)
    for label, names in [(name, [name]) for name in every] + [("all sets", every)]:
        for pool in (None, "all"):
            for method in ("default", "beta20"):
                found = [points(value) for value in means(names, pool, method)]
                table.add_row(label, "all pools" if pool is None else "all models", method, *found)
    return table


if __name__ == "__main__":
    main()
