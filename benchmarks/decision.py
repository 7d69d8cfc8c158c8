"""How long a decision takes without the embedding, beside exact search over the same rows.

A real artifact is built from a synthetic benchmark, opened as a proxy would open it, and asked
through `BenchRouter.decide`; only the embedder is replaced, by one that returns vectors made before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact import Artifact, read_artifact
from litellm_benchrouter.build import build
from litellm_benchrouter.config import parse_config
from litellm_benchrouter.core.neighbors import normalize
from litellm_benchrouter.index import ExactIndex
from litellm_benchrouter.progress import bars
from litellm_benchrouter.router import BenchRouter

_WARM_UP = 200
_CLUSTERS, _INTRINSIC = 300, 24  # text vectors lie near a surface of few dimensions
_BAR = {"p50": 0.3, "p99": 1.0}

Vectors = NDArray[np.float32]


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
    vectors: tuple[Path, ...],
) -> None:
    """Time decisions through the index and through exact search, in one run and one thread."""
    every = _real(vectors) if vectors else _synthetic(rows + 1_000, dimension)
    base, queries = every[:-1_000], every[-1_000:]
    with tempfile.TemporaryDirectory(prefix="benchrouter-decision-") as folder:
        artifact = _artifact(Path(folder), base, n_models, k)
        with threadpool_limits(limits=1):  # a proxy's worker has one core
            artifact = replace(artifact, embedder=PreparedVectors(queries))
            exact = replace(artifact, index=ExactIndex(artifact.embeddings))
            by_index = _time(BenchRouter(artifact), decisions, "index")
            by_exact = _time(BenchRouter(exact), exact_decisions, "exact search")
            search = _time_search(artifact, queries, decisions, k)
    _show(artifact, {"index": by_index, "  of it the search": search, "exact search": by_exact})


def _real(files: tuple[Path, ...]) -> Vectors:
    parts = [np.load(file, allow_pickle=False).astype(np.float32) for file in files]
    every = normalize(np.concatenate(parts))
    return every[np.random.default_rng(0).permutation(len(every))]


def _synthetic(n: int, dimension: int) -> Vectors:
    """Make clusters on a random linear image of few dimensions, with some noise around it."""
    generator = np.random.default_rng(0)
    centre = generator.normal(size=(_CLUSTERS, _INTRINSIC))
    inner = centre[generator.integers(_CLUSTERS, size=n)]
    inner = inner + 0.4 * generator.normal(size=inner.shape)
    outer = inner @ generator.normal(size=(_INTRINSIC, dimension))
    return normalize(outer + 0.4 * generator.normal(size=outer.shape))


def _artifact(folder: Path, base: Vectors, n_models: int, k: int) -> Artifact:
    """Build from a wide table of random labels; the smoother, which no prompt needs, is cut short."""
    generator = np.random.default_rng(1)
    table = {"task": [f"task-{i % 25:02d}" for i in range(len(base))]}
    table["prompt"] = [f"prompt {i}" for i in range(len(base))]
    labels = (generator.random((len(base), n_models)) < 0.6).astype(np.int8)
    frame = pl.DataFrame(table).with_columns(
        pl.Series(f"model-{m:02d}", labels[:, m]) for m in range(n_models)
    )
    frame.write_parquet(folder / "benchmark.parquet")
    np.save(folder / "vectors.npy", base)
    block = {
        "sources": [{"path": "benchmark.parquet", "embeddings": "vectors.npy"}],
        "embedder": {"kind": "precomputed"},
        "routing": {"k": k, "alphas": [0.0], "repeats": 1},
    }
    with bars() as stages:
        built = build(parse_config(block, folder=folder), stages=stages)
    return read_artifact(built.folder)


def _time(router: BenchRouter, n: int, name: str) -> Vectors:
    for _ in range(min(_WARM_UP, n)):
        router.decide("a prompt")
    seconds = np.empty(n)
    for i in track(range(n), description=name, transient=True):
        start = time.perf_counter()
        router.decide("a prompt")
        seconds[i] = time.perf_counter() - start
    return seconds * 1e3


def _time_search(artifact: Artifact, queries: Vectors, n: int, k: int) -> Vectors:
    seconds = np.empty(n)
    for i in range(n):
        query = queries[i % len(queries), None]
        start = time.perf_counter()
        artifact.index.search(query, k)
        seconds[i] = time.perf_counter() - start
    return seconds * 1e3


def _show(artifact: Artifact, milliseconds: dict[str, Vectors]) -> None:
    n, dimension = artifact.embeddings.shape
    index = artifact.manifest.index
    console = Console()
    table = Table(
        title=f"A decision without the embedding: {n:,} x {dimension}, k={index['recall_at']:.0f}, "
        f"{len(artifact.models)} models; recall {index['recall']:.4f} at ef={index['ef']:.0f}",
        title_justify="left",
    )
    for column in ("", "p50 (ms)", "p99 (ms)", "p50 relative to the index"):
        table.add_column(column, justify="left" if not column else "right")
    reference = float(np.percentile(milliseconds["index"], 50))
    for name, values in milliseconds.items():
        p50, p99 = np.percentile(values, [50, 99])
        table.add_row(name, f"{p50:.3f}", f"{p99:.3f}", f"{p50 / reference:.2f}")
    console.print(table)
    p50, p99 = np.percentile(milliseconds["index"], [50, 99])
    met = p50 <= _BAR["p50"] and p99 <= _BAR["p99"]
    console.print(
        f"Bar: p50 <= {_BAR['p50']} ms and p99 <= {_BAR['p99']} ms: {'met' if met else 'MISSED'}."
    )


if __name__ == "__main__":
    main()
