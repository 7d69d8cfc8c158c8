"""Benchmark results in, one verified version of the artifact out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.artifact import Contents, read_artifact, write_contents
from litellm_benchrouter.artifact.history import How
from litellm_benchrouter.artifact.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    describe_files,
)
from litellm_benchrouter.artifact.records import model_records, task_records
from litellm_benchrouter.artifact.store import Store
from litellm_benchrouter.artifact.verdict import BMA
from litellm_benchrouter.building.embed import (
    EmbeddedBenchmark,
    embed_benchmark,
    embed_task_inputs,
    read_task_inputs,
    without_unknown_prompts,
)
from litellm_benchrouter.building.guarded_build import fit_guarded
from litellm_benchrouter.building.labelled_build import Labels, TaskLabels, read_task_labels
from litellm_benchrouter.building.load import load_benchmark
from litellm_benchrouter.building.proof import held_out_groups, prove
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.core.benchmark import (
    MISSING,
    Benchmark,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.core.decision import TaskScores, choose, probabilities_better
from litellm_benchrouter.core.neighbors import (
    Neighbors,
    nearest,
)
from litellm_benchrouter.core.scores import correctness_predictor, s1, s2, s3
from litellm_benchrouter.core.smoother import (
    SmootherTable,
    kernel_smoother,
    task_distance,
)
from litellm_benchrouter.embedders.precomputed import PrecomputedEmbedder
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.estimators.filled import filled_accuracy
from litellm_benchrouter.evaluation.prepared import prepare
from litellm_benchrouter.index.build import build_index
from litellm_benchrouter.progress import Silent

_LIBRARIES = ("hnswlib", "faiss-cpu", "numpy", "scikit-learn", "litellm", "litellm-benchrouter")


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes
    ----------
    manifest : Manifest
    folder : Path
        The version's folder.
    unchanged : bool
        Whether the same version served already.
    published : bool
        Whether it serves now; False where its verdict fails and nobody forced it. The version that
        served before then still does.
    """

    manifest: Manifest
    folder: Path
    unchanged: bool
    published: bool


def build(
    config: BenchRouterConfig,
    *,
    embeddings: Path | None = None,
    stages: Silent | None = None,
    force: bool = False,
) -> Built:
    """Build a version from the configured sources and make it the one that serves.

    Nothing is published before the written version has been read back and verified, nor what does
    not show what `publish` requires; a build that fails or is killed leaves the version that serves
    as it was.

    Parameters
    ----------
    config : BenchRouterConfig
    embeddings : Path, optional
        A .npy file of shape (n, d), rows in the order of the (only) source's samples.
    stages : Silent or Bars, optional
        Shows progress.
    force : bool
        Publish it even where its verdict fails; the manifest then says so.

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
    inputs = read_task_inputs(config.tasks)  # before the long work, as it may be missing
    given = read_task_labels(config, inputs, benchmark.models, report.warnings)
    store = Store(config.artifacts)
    with store.building() as folder:
        embedded = embed_benchmark(config, benchmark, report, embeddings, store.cache, stages)
        benchmark, embedded = without_unknown_prompts(benchmark, embedded)
        with threadpool_limits(limits=1):  # or the last bits depend on the number of cores
            contents = _contents(config, benchmark, embedded, inputs, given, stages)
        with stages.stage("index", len(benchmark)) as advance:
            index, measured = build_index(
                embedded.vectors,
                config.index,
                k=config.routing.k,
                seed=config.seed,
                progress=advance,
                cache=store.cache,
            )
        with stages.stage("writing and verifying", 1) as advance:
            write_contents(folder, contents, index, embedded.embedder)
            manifest = Manifest(
                schema_version=SCHEMA_VERSION,
                version="",
                digest="",
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                files=describe_files(folder),
                embedder=embedded.embedder.identity(),
                parameters=config.parameters,
                models=model_records(benchmark, contents.task_accuracy),
                tasks=task_records(benchmark),
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
                guarded=contents.found,
                verdict=contents.verdict,
                embedder_measured=embedded.measured,
                libraries={name: version(name) for name in _LIBRARIES}
                | {"python": platform.python_version()},
                build_seconds={name: round(s, 3) for name, s in stages.seconds.items()},
            ).sealed()
            (folder / MANIFEST).write_bytes(manifest.to_bytes())
            read_artifact(folder)
            is_new = store.add(folder, manifest)
            # What somebody forced stays until there is something else to decide about.
            published = force or manifest.may_serve or store.served() == manifest.version
            if published and not manifest.may_serve:
                manifest = store.mark_forced(manifest.version)
            is_other = published and store.publish(manifest.version, How.BUILD)
            with suppress(ArtifactError):  # the next build prunes, too
                store.prune(config.keep_versions)
            advance(1)
    unchanged = published and not (is_new or is_other)
    return Built(manifest, store.folder(manifest.version), unchanged, published)


def _contents(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    inputs: Mapping[str, list[str]],
    given: Mapping[str, Labels],
    stages: Silent,
) -> Contents:
    routing, n_tasks = config.routing, len(benchmark.tasks)
    prepared = prepare(benchmark, embedded.vectors, routing, seed=config.seed, stages=stages)
    table, without = prepared.smoother_table_and_without(stages, held_out_groups(prepared))
    fitted = fit_guarded(prepared, table, stages) if config.method == "guarded" else None
    verdict = prove(
        prepared,
        fitted,
        without,
        config.publish,
        stages,
        method=config.method,
        embeds_prompts=embedded.embedder.kind != PrecomputedEmbedder.kind,
    )
    if fitted is not None and verdict.served["unseen"] == BMA:
        fitted = fitted.without_candidate()
    task_labels = TaskLabels(prepared, fitted, by_posterior=config.method == "guarded")
    named, guarded_tasks, labelled_tasks = {}, {}, {}
    n_neighbors = max(routing.k, routing.kappa, 0 if fitted is None else fitted.n_neighbors)
    with stages.stage("named tasks", len(config.tasks)) as advance:
        for name, task in sorted(config.tasks.items()):
            vectors = embed_task_inputs(name, task, inputs[name], embedded.embedder, embedded.cache)
            usable = vectors.any(axis=1)  # the embedder knows nothing of the others
            found = nearest(vectors[usable], embedded.vectors, n_neighbors)
            named[name] = task_scores(config, benchmark, found, table)
            guarded = (
                fitted.task_scores(vectors[usable], found, named[name])
                if fitted is not None
                else None
            )
            if guarded is not None:
                guarded_tasks[name] = guarded.scores
            if name in given and not np.isnan(given[name][usable]).all():
                labelled_tasks[name], named[name] = task_labels.take_in(
                    given[name][usable], found, named[name], guarded
                )
            advance(1)
    metric = benchmark.scores if routing.s1_on == "score" else labels(benchmark.correctness)
    # The paper takes the mean over the tasks that a model has, whatever they are.
    of_tasks = filled_accuracy if config.method == "guarded" else task_accuracy
    accuracy = of_tasks(metric, benchmark.task, n_tasks)
    average, cost_ranks = average_accuracy(accuracy), benchmark.cost_ranks
    choices = {
        name: choose(scores, average, cost_ranks, benchmark.models, eta=routing.eta)
        for name, scores in named.items()
    }
    return Contents(
        embeddings=embedded.vectors,
        correctness=benchmark.correctness,
        scores=None if _only_labels(benchmark) else benchmark.scores,
        task=benchmark.task,
        task_accuracy=accuracy,
        smoother=table,
        named_tasks=named,
        sample_ids=list(benchmark.sample_ids),
        guarded=None if fitted is None else fitted.guarded,
        guarded_tasks=guarded_tasks,
        labelled_tasks=labelled_tasks,
        found=None if fitted is None else fitted.found,
        verdict=verdict.as_dict(),
        choices=choices,
        better={
            name: probabilities_better(scores, choices[name].best_on_average)
            for name, scores in named.items()
        },
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
    averaged = benchmark.scores if routing.s1_on == "score" else benchmark.correctness
    first = s1(correctness_predictor(averaged, near))
    return TaskScores(len(neighbors.index), u, first, second, s3(second, p), p)


def _only_labels(benchmark: Benchmark) -> bool:
    """Say whether the scores tell no more than the labels."""
    return np.array_equal(benchmark.scores, labels(benchmark.correctness), equal_nan=True)
