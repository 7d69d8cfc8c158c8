"""Vectors like those of texts, artifacts over them, and an embedder that was asked before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig, parse_config
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import bars

_CLUSTERS, _INTRINSIC = 300, 24  # text vectors lie near a surface of few dimensions
_BLOCK = 50_000
N_TASKS = 25

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


def synthetic(n: int, dimension: int) -> tuple[Vectors, NDArray[np.intp]]:
    """Make clusters on a random linear image of few dimensions, with some noise around it.

    Returns
    -------
    ndarray of float32, shape (n, dimension)
        Rows of unit length; made in blocks, so that a million need no more than they fill.
    ndarray of int, shape (n,)
        The cluster of each.
    """
    generator = np.random.default_rng(0)
    centre = generator.normal(size=(_CLUSTERS, _INTRINSIC))
    image = generator.normal(size=(_INTRINSIC, dimension))
    cluster = generator.integers(_CLUSTERS, size=n)
    vectors = np.empty((n, dimension), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        inner = centre[cluster[start : start + _BLOCK]]
        inner = inner + 0.4 * generator.normal(size=inner.shape)
        outer = inner @ image
        vectors[start : start + _BLOCK] = normalize(
            outer + 0.4 * generator.normal(size=outer.shape)
        )
    return vectors, cluster


def random_labels(n: int, n_models: int) -> NDArray[np.int8]:
    """Draw labels that say nothing, shape (n, M): the default method then holds back."""
    return (np.random.default_rng(1).random((n, n_models)) < 0.6).astype(np.int8)


def cluster_labels(cluster: NDArray[np.intp], n_models: int) -> NDArray[np.int8]:
    """Draw labels that go by the cluster, shape (n, M): the default method then routes."""
    generator = np.random.default_rng(1)
    chance = generator.uniform(0.2, 0.9, size=(_CLUSTERS, n_models))[cluster]
    return (generator.random(chance.shape) < chance).astype(np.int8)


def benchmark_config(
    folder: Path,
    vectors: Vectors,
    labels: NDArray[np.integer],
    *,
    tasks: Sequence[str] | None = None,
    **block: object,
) -> BenchRouterConfig:
    """Write a wide table, and configure it with few draws, which no prompt needs.

    Parameters
    ----------
    folder : Path
        An empty one.
    vectors : ndarray of float32, shape (n, d)
    labels : ndarray of int, shape (n, M)
        0 and 1.
    tasks : sequence of str, length n, optional
        Default: 25 tasks in turns.
    **block
        More of the configuration.
    """
    n, n_models = labels.shape
    table: Mapping[str, Any] = {
        "task": list(tasks) if tasks else [f"task-{i % N_TASKS:02d}" for i in range(n)],
        "prompt": [f"prompt {i}" for i in range(n)],
    }
    frame = pl.DataFrame(table).with_columns(
        pl.Series(f"model-{m:02d}", labels[:, m].astype(np.int8)) for m in range(n_models)
    )
    frame.write_parquet(folder / "benchmark.parquet")
    np.save(folder / "vectors.npy", vectors)
    whole = {
        "models": {f"model-{m:02d}": {"params_b": 1 + m} for m in range(n_models)},
        "sources": [{"path": "benchmark.parquet", "embeddings": "vectors.npy"}],
        "embedder": {"kind": "precomputed"},
        "routing": {"alphas": [0.0], "repeats": 1},
    }
    return parse_config(whole | block, folder=folder)


def artifact_over(
    folder: Path,
    vectors: Vectors,
    labels: NDArray[np.integer],
    *,
    method: str,
    k: int,
    tasks: Sequence[str] | None = None,
) -> Artifact:
    """Build a version over given vectors, and open it; parameters as for `benchmark_config`."""
    routing = {"k": k, "alphas": [0.0], "repeats": 1}
    config = benchmark_config(folder, vectors, labels, tasks=tasks, method=method, routing=routing)
    with bars() as progress:
        # Labels of chance are no better than the best on average.
        built = build(config, progress=progress, force=True)
    return read_artifact(built.folder)


def with_open_gate(artifact: Artifact, labels: NDArray[np.integer]) -> Artifact:
    """Let the default method route: what a decision costs behind a closed gate is less.

    Parameters
    ----------
    artifact : Artifact
    labels : ndarray of int, shape (n, M)
        Its labels, which leaving out is then taken to have found.
    """
    fitted = artifact.guarded
    if fitted is None:
        return artifact
    left_out = labels[artifact.fitted_rows].astype(np.float32)
    return replace(artifact, guarded=replace(fitted, loo_scores=left_out))
