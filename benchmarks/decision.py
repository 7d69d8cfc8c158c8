"""How long a decision takes without the embedding, beside exact search over the same rows.

A real artifact is built from a synthetic benchmark, opened as a proxy would open it, and asked
through `BenchRouter.decide`; only the embedder is replaced: by one whose vectors were made before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.artifact import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig, parse_config
from litellm_benchrouter.core.neighbors import normalize
from litellm_benchrouter.index.graph import ExactIndex
from litellm_benchrouter.progress import bars
from litellm_benchrouter.routing.policy import Policy, Terms
from litellm_benchrouter.routing.router import BenchRouter

_WARM_UP = 200
_ROUNDS = 10
_CLUSTERS, _INTRINSIC = 300, 24  # text vectors lie near a surface of few dimensions
_BARS = {"paper": {"p50": 0.3, "p99": 1.0}, "guarded": {"p50": 0.5, "p99": 2.0}}

Vectors = NDArray[np.float32]
Times = NDArray[np.float64]


class PreparedVectors:
    """An embedder whose vectors were made before: each call returns the next one."""

    kind = "prepared"
    cacheable = False

    def __init__(self, vectors: Vectors) -> None:
        self.dimension = vectors.shape[1]
        self._vectors = vectors
        self._next = 0

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Return the next vector, whatever the text is."""
        self._next = (self._next + 1) % len(self._vectors)
        return self._vectors[self._next, None]

    def identity(self) -> dict[str, object]:
        """Return kind and dimension."""
        return {"kind": self.kind, "dimension": self.dimension, "fingerprint": ""}

    def save(self, folder: Path) -> None:
        """Write nothing."""


@click.command()
@click.option("--rows", default=36_000, show_default=True, help="Benchmark samples.")
@click.option("--dimension", default=384, show_default=True)
@click.option("--models", "n_models", default=18, show_default=True)
@click.option("--k", default=5, show_default=True, help="Neighbours of a decision.")
@click.option("--decisions", default=5_000, show_default=True, help="Timed with the index.")
@click.option("--exact-decisions", default=300, show_default=True, help="Timed with exact search.")
@click.option("--method", type=click.Choice(["paper", "guarded"]), default="paper")
@click.option(
    "--engine", type=click.Choice(["auto", "hnswlib", "faiss"]), default="auto", show_default=True
)
@click.option("--policy", "policy_text", default="quality", show_default=True)
@click.option(
    "--vectors",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Real vectors (.npy) in place of synthetic ones; the last 1,000 are asked.",
)
def main(
    rows: int,
    dimension: int,
    n_models: int,
    k: int,
    decisions: int,
    exact_decisions: int,
    method: str,
    engine: str,
    policy_text: str,
    vectors: tuple[Path, ...],
) -> None:
    """Time decisions through the index and through exact search, in one run and one thread."""
    terms = Terms(Policy.parse(policy_text))
    every = _real(vectors) if vectors else synthetic(rows + 1_000, dimension)
    base, queries = every[:-1_000], every[-1_000:]
    with tempfile.TemporaryDirectory(prefix="benchrouter-decision-") as folder:
        routing = {"k": k, "alphas": [0.0], "repeats": 1}
        config = benchmark_config(
            Path(folder), base, n_models, method=method, routing=routing, index={"engine": engine}
        )
        with bars() as stages:
            built = build(config, stages=stages, force=True)
        artifact = read_artifact(built.folder)
        with threadpool_limits(limits=1):  # a proxy's worker has one core
            artifact = replace(artifact, embedder=PreparedVectors(queries))
            exact = replace(artifact, index=ExactIndex(artifact.embeddings))
            by_index, by_exact = BenchRouter(artifact), BenchRouter(exact)
            query = cycle(queries[:, None])
            times = {
                "by the index": _time(
                    lambda: by_index.decide("a prompt", terms=terms), decisions, "index"
                ),
                "of it the search": _time(
                    lambda: artifact.index.search(next(query), k), decisions, "search"
                ),
                "by exact search": _time(
                    lambda: by_exact.decide("a prompt", terms=terms),
                    exact_decisions,
                    "exact search",
                ),
            }
        _show(artifact, times)


def _real(files: tuple[Path, ...]) -> Vectors:
    parts = [np.load(file, allow_pickle=False).astype(np.float32) for file in files]
    every = normalize(np.concatenate(parts))
    return every[np.random.default_rng(0).permutation(len(every))]


def synthetic(n: int, dimension: int) -> Vectors:
    """Make clusters on a random linear image of few dimensions, with some noise around it."""
    generator = np.random.default_rng(0)
    centre = generator.normal(size=(_CLUSTERS, _INTRINSIC))
    inner = centre[generator.integers(_CLUSTERS, size=n)]
    inner = inner + 0.4 * generator.normal(size=inner.shape)
    outer = inner @ generator.normal(size=(_INTRINSIC, dimension))
    return normalize(outer + 0.4 * generator.normal(size=outer.shape))


def benchmark_config(
    folder: Path, base: Vectors, n_models: int, **block: object
) -> BenchRouterConfig:
    """Write a wide table of random labels, and configure it with few draws."""
    generator = np.random.default_rng(1)
    table = {"task": [f"task-{i % 25:02d}" for i in range(len(base))]}
    table["prompt"] = [f"prompt {i}" for i in range(len(base))]
    labels = (generator.random((len(base), n_models)) < 0.6).astype(np.int8)
    frame = pl.DataFrame(table).with_columns(
        pl.Series(f"model-{m:02d}", labels[:, m]) for m in range(n_models)
    )
    frame.write_parquet(folder / "benchmark.parquet")
    np.save(folder / "vectors.npy", base)
    whole = {
        "models": {f"model-{m:02d}": {"params_b": 1 + m} for m in range(n_models)},
        "sources": [{"path": "benchmark.parquet", "embeddings": "vectors.npy"}],
        "embedder": {"kind": "precomputed"},
        "routing": {"alphas": [0.0], "repeats": 1},
    }
    return parse_config(whole | block, folder=folder)


def _time(question: Callable[[], object], n: int, name: str) -> Times:
    """Ask n times; return milliseconds, shape (_ROUNDS, n // _ROUNDS)."""
    for _ in range(min(_WARM_UP, n)):
        question()
    seconds = np.empty((_ROUNDS, n // _ROUNDS))
    for row in track(seconds, description=name, transient=True):
        for i in range(len(row)):
            start = time.perf_counter()
            question()
            row[i] = time.perf_counter() - start
    return seconds * 1e3


def _show(artifact: Artifact, times: dict[str, Times]) -> None:
    (n, dimension), index = artifact.embeddings.shape, artifact.manifest.index
    console = Console()
    console.print(
        f"A decision without the embedding: {n:,} x {dimension}, k={index['recall_at']:.0f}, "
        f"{len(artifact.models)} models, method {artifact.manifest.parameters['method']}; "
        f"{index['engine']}, recall {index['recall']:.4f} at ef={index['ef']:.0f}",
        highlight=False,
    )
    table = Table("ms", "p50", "p99", "p50, quietest", "p99, quietest", "p50, relative")
    for column in table.columns[1:]:
        column.justify = "right"
    by_index = np.percentile(times["by the index"], [50, 99])
    for name, rounds in times.items():
        p50, p99 = np.percentile(rounds, [50, 99])
        quiet_50, quiet_99 = np.percentile(rounds, [50, 99], axis=1).min(axis=1)
        shown = [f"{value:.3f}" for value in (p50, p99, quiet_50, quiet_99)]
        table.add_row(name, *shown, f"{p50 / by_index[0]:.2f}")
    console.print(table)
    bar = _BARS[artifact.manifest.parameters["method"]]
    met = all(by_index <= list(bar.values()))
    console.print(
        f"Bar: p50 <= {bar['p50']} ms and p99 <= {bar['p99']} ms: {'met' if met else 'MISSED'}. "
        f"Where other work shares the cores, what it takes shows in p99; the quietest of {_ROUNDS} "
        f"rounds has the least of it.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
