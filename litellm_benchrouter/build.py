"""Benchmark results in, one verified version of the artifact out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact import Contents, read_artifact, write_contents
from litellm_benchrouter.config import BenchRouterConfig, IndexConfig
from litellm_benchrouter.core.benchmark import (
    MISSING,
    Benchmark,
    ModelFacts,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.core.decision import TaskScores
from litellm_benchrouter.core.neighbors import (
    Neighbors,
    nearest,
    nearest_outside_task,
    normalize,
)
from litellm_benchrouter.core.scores import correctness_predictor, s1, s2, s3
from litellm_benchrouter.core.smoother import (
    SmootherTable,
    kernel_smoother,
    smoother_table,
    task_distance,
)
from litellm_benchrouter.embed import EmbeddedBenchmark, embed_benchmark, embed_task_inputs
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index import HnswIndex, recall
from litellm_benchrouter.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    ModelRecord,
    TaskRecord,
    describe_files,
    finite,
)
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.load import load_benchmark
from litellm_benchrouter.store import Store

_RECALL_QUERIES = 1_000
_LARGEST_EF = 4_096
_LIBRARIES = ("hnswlib", "numpy", "scikit-learn", "litellm", "litellm-benchrouter")


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes
    ----------
    manifest : Manifest
    folder : Path
        The version's folder.
    unchanged : bool
        Whether the same version was there already.
    """

    manifest: Manifest
    folder: Path
    unchanged: bool


def build(
    config: BenchRouterConfig,
    *,
    embeddings: Path | None = None,
    stages: Silent | None = None,
) -> Built:
    """Build a version from the configured sources and make it the one that serves.

    Nothing is published before the written version has been read back and verified; a build that
    fails or is killed leaves the version that serves as it was.

    Parameters
    ----------
    config : BenchRouterConfig
    embeddings : Path, optional
        A .npy file of shape (n, d), rows in the order of the (only) source's samples.
    stages : Silent or Bars, optional
        Shows progress.

    Returns
    -------
    Built

    Raises
    ------
    ConfigError, SourceError
        If the input is wrong; nothing has been written then.
    EmbedderError, ArtifactError
        If the build fails.
    """
    stages = stages or Silent()
    benchmark, report = load_benchmark(config, stages)
    store = Store(config.artifacts)
    with store.building() as folder:
        embedded = embed_benchmark(config, benchmark, report, embeddings, store.cache, stages)
        contents = _contents(config, benchmark, embedded, stages)
        index, measured = _index(config.index, config.seed, config.routing.k, embedded, stages)
        with stages.stage("writing and verifying", 1) as advance:
            write_contents(folder, contents, index, embedded.embedder)
            manifest = Manifest(
                schema_version=SCHEMA_VERSION,
                version="",
                digest="",
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                files=describe_files(folder),
                embedder=embedded.embedder.identity(),
                parameters=_parameters(config),
                models=_models(benchmark, contents.task_accuracy),
                tasks=_tasks(benchmark),
                named_tasks=sorted(contents.named_tasks),
                counts={
                    "samples": len(benchmark),
                    "models": len(benchmark.models),
                    "tasks": len(benchmark.tasks),
                    "labels": int((benchmark.correctness != MISSING).sum()),
                    "missing_labels": int((benchmark.correctness == MISSING).sum()),
                    "smoother_draws": contents.smoother.u.shape[1],
                    "embedded_now": embedded.n_new,
                },
                index=measured,
                sources=[source.as_dict() for source in report.sources],
                warnings=[*report.warnings, *embedded.warnings],
                libraries={name: version(name) for name in _LIBRARIES}
                | {"python": platform.python_version()},
                build_seconds={name: round(s, 3) for name, s in stages.seconds.items()},
            ).sealed()
            (folder / MANIFEST).write_bytes(manifest.to_bytes())
            read_artifact(folder)
            known = manifest.version in store.versions()
            target = store.add(folder, manifest)
            store.publish(manifest.version)
            advance(1)
    return Built(manifest, target, known)


def _contents(
    config: BenchRouterConfig, benchmark: Benchmark, embedded: EmbeddedBenchmark, stages: Silent
) -> Contents:
    routing, n_tasks = config.routing, len(benchmark.tasks)
    n_neighbors = max(routing.k, routing.kappa)
    with stages.stage("neighbours", len(benchmark)) as advance:
        outside = nearest_outside_task(
            embedded.vectors, benchmark.task, n_neighbors, progress=advance
        )
    with stages.stage("smoother table", n_tasks) as advance:
        (table,) = smoother_table(
            embedded.vectors,
            benchmark.task,
            benchmark.correctness,
            outside,
            n_tasks=n_tasks,
            k=routing.k,
            kappa=routing.kappa,
            t=routing.t,
            alphas=routing.alphas,
            repeats=routing.repeats,
            max_moved=routing.max_moved,
            seed=config.seed,
            progress=advance,
        )
    named = {}
    with stages.stage("named tasks", len(config.tasks)) as advance:
        for name in sorted(config.tasks):
            inputs = embed_task_inputs(name, config.tasks[name], embedded.embedder, embedded.cache)
            found = nearest(inputs, embedded.vectors, n_neighbors)
            named[name] = task_scores(config, benchmark, found, table)
            advance(1)
    metric = benchmark.scores if routing.s1_on == "score" else labels(benchmark.correctness)
    return Contents(
        embeddings=embedded.vectors,
        correctness=benchmark.correctness,
        scores=None if _only_labels(benchmark.scores) else benchmark.scores,
        task=benchmark.task,
        task_accuracy=task_accuracy(metric, benchmark.task, n_tasks),
        smoother=table,
        named_tasks=named,
        sample_ids=list(benchmark.sample_ids),
    )


def task_scores(
    config: BenchRouterConfig, benchmark: Benchmark, neighbors: Neighbors, table: SmootherTable
) -> TaskScores:
    """Compute u, S1, S2, p and S3 of a new task (eqs. 1, 2, 5, 8 and 10).

    Parameters
    ----------
    config : BenchRouterConfig
    benchmark : Benchmark
    neighbors : Neighbors
        Of the task's inputs in the benchmark, at least max(k, kappa) of them.
    table : SmootherTable

    Returns
    -------
    TaskScores
    """
    routing = config.routing
    near = neighbors.first(routing.k)
    g = correctness_predictor(benchmark.correctness, near)
    u = task_distance(neighbors, routing.kappa)
    p = kernel_smoother(u, *table.pairs(), routing.sigma)
    second = s2(g, routing.t)
    if routing.s1_on == "score":
        first = s1(correctness_predictor(benchmark.scores, near))
    else:
        first = s1(g)
    return TaskScores(len(neighbors.index), u, first, second, s3(second, p), p)


def _index(
    config: IndexConfig, seed: int, k: int, embedded: EmbeddedBenchmark, stages: Silent
) -> tuple[HnswIndex, dict[str, float]]:
    """Build the graph and raise `ef` until it finds what exact search finds."""
    vectors = embedded.vectors
    with stages.stage("index", len(vectors)) as advance:
        index = HnswIndex.build(
            vectors,
            m=config.m,
            ef_construction=config.ef_construction,
            ef=config.ef,
            seed=seed,
            progress=advance,
        )
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(vectors), size=min(_RECALL_QUERIES, len(vectors)), replace=False)
    # Midpoints between samples: queries that are near the benchmark and not in it.
    queries = _midpoints(vectors[rows])
    exact = nearest(queries, vectors, min(k, len(vectors)))
    while True:
        found = recall(index, queries, exact)
        if found >= config.min_recall:
            return index, {"recall": round(found, 6), "recall_at": float(k), "ef": float(index.ef)}
        if index.ef >= min(_LARGEST_EF, 2 * len(vectors)):
            raise ArtifactError(
                f"the index finds {found:.3f} of the exact neighbours at ef={index.ef}, less than "
                f"index.min_recall={config.min_recall:g}; raise index.m or index.ef_construction."
            )
        index.ef *= 2


def _midpoints(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return normalize(vectors + np.roll(vectors, 1, axis=0) / 2)


def _only_labels(scores: NDArray[np.float32]) -> bool:
    return bool(np.isin(np.unique(scores[~np.isnan(scores)]), (0.0, 1.0)).all())


def _parameters(config: BenchRouterConfig) -> dict[str, Any]:
    parameters = config.routing.model_dump()
    parameters["seed"] = config.seed
    parameters["index"] = config.index.model_dump()
    return parameters


def _models(benchmark: Benchmark, accuracy: NDArray[np.float64]) -> list[ModelRecord]:
    count = (benchmark.correctness != MISSING).sum(axis=0)
    average = average_accuracy(accuracy)
    return [
        ModelRecord(
            name=name,
            average_accuracy=finite(float(average[m])),
            n_labels=int(count[m]),
            **vars(benchmark.facts.get(name, ModelFacts())),
        )
        for m, name in enumerate(benchmark.models)
    ]


def _tasks(benchmark: Benchmark) -> list[TaskRecord]:
    count = np.bincount(benchmark.task, minlength=len(benchmark.tasks))
    return [
        TaskRecord(name=name, n_samples=int(count[d])) for d, name in enumerate(benchmark.tasks)
    ]
