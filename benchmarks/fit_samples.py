"""What it costs in accuracy to learn from some of the samples while all of them answer.

Samples are held out at random; versions are built from the others, each learning from fewer of
them, and route what was held out one by one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import parse_config
from litellm_benchrouter.paper.benchmark import Benchmark, labels
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress, bars
from litellm_benchrouter.routing.router import BenchRouter


class ByNumber:
    """An embedder whose prompts are numbers of rows."""

    kind = "by-number"
    cacheable = False

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.dimension = vectors.shape[1]
        self._vectors = vectors

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return the rows that the texts name."""
        return self._vectors[[int(text) for text in texts]]

    def identity(self) -> dict[str, object]:
        """Return nothing that a version could be built with."""
        return {}

    def save(self, folder: Path) -> None:
        """Write nothing."""


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--samples", multiple=True, type=int, default=(1_000, 2_000, 20_000))
@click.option("--test-share", default=0.3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(data: Path, samples: tuple[int, ...], test_share: float, seed: int) -> None:
    """Build from DATA with each of --samples, and route what was held out."""
    source = {"sources": [{"path": str(data.resolve())}]}
    benchmark, report = load_benchmark(parse_config(source, folder=data), Progress())
    stored = np.load(data / "embeddings.npy", allow_pickle=False)
    vectors = normalize(stored[np.asarray(report.source_row)[:, 1]])
    draws = np.random.default_rng(seed)
    n = len(benchmark)
    asked = np.sort(draws.choice(n, size=round(test_share * n), replace=False))
    known = np.setdiff1d(np.arange(n), asked)
    table = Table("learned from", "of", "accuracy", "best on average", "gain, points")
    for most in samples:
        served, best, fitted = _route(benchmark, vectors, known, asked, most)
        row = (f"{served:.4f}", f"{best:.4f}", f"{100 * (served - best):+.2f}")
        table.add_row(f"{fitted:,}", f"{len(known):,}", *row)
    Console().print(f"{data.name}: {n:,} samples, {len(benchmark.models)} models", table)


def _route(
    benchmark: Benchmark,
    vectors: NDArray[np.float32],
    known: NDArray[np.intp],
    asked: NDArray[np.intp],
    most: int,
) -> tuple[float, float, int]:
    """Return the accuracy of the picks and of the best on average, and how many were fitted."""
    learned = benchmark.rows(known)
    values = labels(benchmark.correctness)
    frame = pl.DataFrame(
        {
            "task": [learned.tasks[task] for task in learned.task],
            "prompt": [str(row) for row in known],
            "sample_id": [str(row) for row in known],
        }
    ).with_columns(
        pl.Series(f"m:{model}", values[known, m], nan_to_null=True)
        for m, model in enumerate(benchmark.models)
    )
    with tempfile.TemporaryDirectory(prefix="benchrouter-fit-") as name:
        folder = Path(name)
        frame.write_parquet(folder / "benchmark.parquet")
        np.save(folder / "vectors.npy", vectors[known])
        block = {
            "sources": [{"path": "benchmark.parquet", "embeddings": "vectors.npy"}],
            "embedder": {"kind": "precomputed"},
            "fit_samples": most,
            "routing": {"repeats": 1, "alphas": [0.0]},
        }
        with bars() as progress:
            built = build(parse_config(block, folder=folder), progress=progress, force=True)
        router = BenchRouter(replace(read_artifact(built.folder), embedder=ByNumber(vectors)))
        column = {f"m:{model}": m for m, model in enumerate(benchmark.models)}
        picks = [column[router.decide(str(row)).pick] for row in asked]
        best = column[router.best_on_average(router.models, "").pick]
    fitted = built.manifest.counts.get("fitted", len(known))
    achieved = np.nanmean(values[asked, picks]), np.nanmean(values[asked, best])
    return float(achieved[0]), float(achieved[1]), fitted


if __name__ == "__main__":
    main()
