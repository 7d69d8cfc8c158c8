"""A model that is added later from a few scored prompts: is the router better for it, or harmed?

    python benchmarks/new_model.py [--data FOLDER]... [--draws 5]

Of each benchmark, 70 % are known and 30 % are routed. One model at a time is hidden (the best, the
one in the middle, the one that gains most on single tasks), some of its scores of the known part
are revealed at random, and the default method is fitted. The table compares that with the router
that has never heard of the model, and with the one that knows all its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich import progress as rich
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import parse_config
from litellm_benchrouter.guarded.fit import fit_request, neighbors_of_each
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.paper.benchmark import labels, mean, task_accuracy
from litellm_benchrouter.paper.neighbors import Neighbors, nearest, normalize
from litellm_benchrouter.progress import Progress

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("openllm_v2", "llmrouter", "routerdc")
REVEALED = (20, 50)

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """A benchmark, 70 % of it known; neighbours are searched once for all models."""

    vectors: NDArray[np.float32]
    labels: Labels
    task: NDArray[np.int32]
    known: Rows
    asked: Rows
    inside: Neighbors
    near: Neighbors

    @property
    def n_tasks(self) -> int:
        return int(self.task.max()) + 1

    def route(self, shown: Labels, models: Rows) -> tuple[Rows, Floats]:
        """Pick for each asked row, and each model's estimated average; `shown` is (n, M)."""
        task, columns = self.task, shown[:, models]
        fitted = fit_request(
            self.vectors[self.known], columns[self.known], task[self.known], self.n_tasks,
            self.inside,
        )  # fmt: skip
        request = fitted.guarded.request
        index = self.known[self.near.index]
        scores = request.predict(self.vectors[self.asked], columns[index], task[index])
        stays = (self.near.distance.mean(axis=1) > fitted.guarded.far) | (not fitted.gate.routes)
        best = int(request.average.argmax())
        picks = np.where(stays, best, scores.argmax(axis=1))
        return models[picks], request.average

    def accuracy(self, picks: Rows) -> float:
        """Mean over tasks of the picks' accuracy."""
        right = self.labels[self.asked, picks][:, None]
        return float(np.nanmean(task_accuracy(right, self.task[self.asked], self.n_tasks)))


def read(folder: Path, seed: int) -> tuple[Split, tuple[str, ...]]:
    """Read a benchmark with its vectors and split it within each task."""
    block = {"sources": [{"path": str(folder)}]}
    benchmark, report = load_benchmark(parse_config(block, folder=Path.cwd()), Progress())
    vectors = normalize(np.load(folder / "embeddings.npy").astype(np.float32))
    vectors = vectors[[row for _, row in report.source_row]]
    generator = np.random.default_rng(seed)
    is_known = np.zeros(len(vectors), dtype=bool)
    for d in range(len(benchmark.tasks)):
        rows = generator.permutation(np.flatnonzero(benchmark.task == d))
        is_known[rows[: round(0.7 * len(rows))]] = True
    known, asked = np.flatnonzero(is_known), np.flatnonzero(~is_known)
    split = Split(
        vectors, labels(benchmark.correctness), benchmark.task, known, asked,
        neighbors_of_each(vectors[known]), nearest(vectors[asked], vectors[known], K),
    )  # fmt: skip
    return split, benchmark.models


def hidden_models(split: Split) -> dict[str, int]:
    """The best on average, the middle one, and the one with most to give on single tasks."""
    accuracy = task_accuracy(split.labels[split.known], split.task[split.known], split.n_tasks)
    average = mean(accuracy)
    order = np.argsort(-average)
    above = np.clip(accuracy - accuracy[:, order[0]][:, None], 0, None).mean(axis=0)
    above[[order[0], order[len(order) // 2]]] = -1
    return {
        "best": int(order[0]),
        "middle": int(order[len(order) // 2]),
        "specialist": int(above.argmax()),
    }


@click.command(help=__doc__)
@click.option(
    "--data",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=[SHARED / name for name in SETS],
    help="Folders with samples, scores and embeddings.npy.",
)
@click.option("--draws", default=5, show_default=True, help="Random choices of the prompts.")
@click.option("--seed", default=0, show_default=True, help="Of the split and the draws.")
@click.option("--prompts", multiple=True, type=click.IntRange(1), default=REVEALED)
def main(folders: tuple[Path, ...], draws: int, seed: int, prompts: tuple[int, ...]) -> None:
    console = Console()
    table = Table("set", "hidden", "model", title="Points of accuracy above the best of the others")
    columns = (
        *("true avg", "prompts", "estimated", "off by", "is BMA", "picked"),
        *("without", "with", "worst draw", "all scores"),
    )
    for column in columns:
        table.add_column(column, justify="right")
    with threadpool_limits(limits=1), rich.Progress(console=console, transient=True) as shown:
        steps = shown.add_task("routing", total=len(folders) * 3 * (2 + len(prompts) * draws))
        for folder in folders:
            split, names = read(folder, seed)
            for role, new in hidden_models(split).items():
                done = partial(shown.advance, steps)
                for cells in _rows(split, new, draws, seed, prompts, done):
                    table.add_row(folder.name, role, names[new], *cells)
            table.add_section()
    console.print(table)


def _rows(
    split: Split,
    new: int,
    draws: int,
    seed: int,
    prompts: Sequence[int],
    advance: Callable[[], None],
) -> list[list[str]]:
    everyone = np.arange(split.labels.shape[1])
    others = everyone[everyone != new]
    accuracy = task_accuracy(split.labels[split.known], split.task[split.known], split.n_tasks)
    average = mean(accuracy)
    bma = others[int(average[others].argmax())]
    base = split.accuracy(np.full(len(split.asked), bma))
    without = split.accuracy(split.route(split.labels, others)[0]) - base
    advance()
    full = split.accuracy(split.route(split.labels, everyone)[0]) - base
    advance()
    found = []
    for n in prompts:
        estimated, picked, gains, is_best = [], [], [], []
        for draw in range(draws):
            generator = np.random.default_rng([seed, new, n, draw])
            scored = split.known[~np.isnan(split.labels[split.known, new])]
            shown = split.labels.copy()
            shown[:, new] = np.nan
            rows = generator.choice(scored, size=n, replace=False)
            shown[rows, new] = split.labels[rows, new]
            picks, means = split.route(shown, everyone)
            estimated.append(means[new])
            is_best.append(int(means.argmax()) == new)
            picked.append(np.mean(picks == new))
            gains.append(split.accuracy(picks) - base)
            advance()
        values = np.array(estimated)
        found.append(
            [
                *(f"{average[new]:.3f}", str(n), f"{values.mean():.3f}"),
                *(f"{np.abs(values - average[new]).mean():.3f}", f"{np.mean(is_best):.0%}"),
                *(f"{np.mean(picked):.0%}", f"{100 * without:+.2f}"),
                *(f"{100 * np.mean(gains):+.2f}", f"{100 * min(gains):+.2f}", f"{100 * full:+.2f}"),
            ]
        )
    return found


if __name__ == "__main__":
    main()
