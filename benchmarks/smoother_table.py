"""The smoother's table for every held-out task, beside a literal loop over the equations.

    python benchmarks/smoother_table.py --data ../shared/data/openllm_v2

The protocol `task` needs 15 x 10 draws of every task for every held-out task. The literal loop does
what appendix B says in each draw: it searches the neighbours of the task's remaining samples in
what is left plus what has moved. It is timed on some draws, evenly spread over the tasks, and both
are compared by the draw, in one run.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.building.embed import embed_benchmark, load_benchmark
from litellm_benchrouter.config import RoutingConfig, parse_config
from litellm_benchrouter.paper.neighbors import nearest
from litellm_benchrouter.paper.scores import correctness_predictor, predictor_accuracy
from litellm_benchrouter.paper.smoother import n_moved, task_distance
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds, prepare


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--literal-draws", default=50, show_default=True, help="Draws of the literal loop.")
def main(data: Path, literal_draws: int) -> None:
    """Print seconds and the ratio."""
    config = parse_config({"sources": [{"path": str(data.resolve())}]}, folder=Path.cwd())
    progress = Progress()
    benchmark, report = load_benchmark(config, progress)
    embedded = embed_benchmark(
        config, benchmark, report, data / "embeddings.npy", Path("unused"), progress
    )
    start = time.perf_counter()
    prepared = prepare(benchmark, embedded.vectors, config.routing, seed=0, progress=progress)
    tables = prepared.smoother_tables(progress)
    ours = time.perf_counter() - start
    n_draws = len(tables) * (prepared.n_tasks - 1) * tables[0].u.shape[1]
    start = time.perf_counter()
    for i in range(literal_draws):
        literal_draw(prepared, config.routing, i)
    literal = time.perf_counter() - start
    shown = Table("", "draws", "seconds", "ms a draw", "ratio")
    for name, draws, seconds in (
        ("neighbour lists reused", n_draws, ours),
        ("literal loop", literal_draws, literal),
    ):
        ratio = (seconds / draws) / (ours / n_draws)
        shown.add_row(
            name, f"{draws:,}", f"{seconds:.1f}", f"{1e3 * seconds / draws:.3f}", f"{ratio:.1f}"
        )
    Console().print(shown)


def literal_draw(prepared: TaskFolds, routing: RoutingConfig, i: int) -> tuple[float, float]:
    """One draw of appendix B: move samples of a task, search, predict, compare."""
    d, left_out = i % prepared.n_tasks, (i + 1) % prepared.n_tasks
    generator = np.random.default_rng(i)
    rows = prepared.rows[d]
    alpha = routing.alphas[i % len(routing.alphas)]
    moved = generator.choice(rows, n_moved(alpha, len(rows), routing.max_moved), replace=False)
    asked = np.setdiff1d(rows, moved)
    task, correctness = prepared.benchmark.task, prepared.benchmark.correctness
    base = np.concatenate([np.flatnonzero((task != d) & (task != left_out)), moved])
    near = nearest(
        prepared.embeddings[asked], prepared.embeddings[base], max(routing.k, routing.kappa)
    )
    g = correctness_predictor(correctness[base], near.first(routing.k))
    accuracy = predictor_accuracy(g, correctness[asked], routing.t)
    return task_distance(near, routing.kappa), float(np.nanmean(accuracy))


if __name__ == "__main__":
    main()
