"""Benchmark results in, one verified version of the artifact out."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.contents import Contents, write_contents
from litellm_benchrouter.artifact.files import describe_files
from litellm_benchrouter.artifact.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    model_records,
    task_records,
)
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.embed import (
    embed_benchmark,
    index_vectors,
    load_benchmark,
)
from litellm_benchrouter.building.feedback import learn_feedback
from litellm_benchrouter.building.learn import learn
from litellm_benchrouter.building.named_tasks import read_task_labels
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.engine import Engine, open_engine
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.impute import coverage_warnings
from litellm_benchrouter.paper.benchmark import MISSING, labels
from litellm_benchrouter.paper.neighbors import Index
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources.tasks import read_task_inputs
from litellm_benchrouter.sources.traffic import ExploredEvents, read_traffic_labels
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.versions import How

_ASKED, _NEIGHBORS = 16, 5  # of an index that was read back
_ROUNDED = 5e-3  # cosine distance: 16-bit vectors put the candidates of faiss in order
_LIBRARIES = ("hnswlib", "faiss-cpu", "numpy", "scikit-learn", "litellm", "litellm-benchrouter")


@dataclass(frozen=True)
class Built:
    """A finished build."""

    manifest: Manifest
    folder: Path  # the version's
    unchanged: bool  # the same version served already
    published: bool  # it serves now; else its verdict fails, and what served before still does


def build(
    config: BenchRouterConfig,
    *,
    embeddings: Path | None = None,
    progress: Progress | None = None,
    force: bool = False,
    explored: ExploredEvents | None = None,
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
    progress : Progress or ProgressBars, optional
        Shows progress.
    force : bool
        Publish it even where its verdict fails; the manifest then says so.
    explored : ExploredEvents, optional
        Feedback on explored requests, as `traffic.explored.read_explored` gives it.

    Returns
    -------
    Built

    Raises
    ------
    ConfigError, SourceError
        If the input is wrong; nothing has been written then.
    EmbedderError, EngineError, ArtifactError
        If the build fails.
    """
    with open_engine(config.engine, config.ray_address) as engine:
        shown = progress or Progress()
        return _build(config, embeddings, shown, engine, force=force, explored=explored)


def _build(
    config: BenchRouterConfig,
    embeddings: Path | None,
    progress: Progress,
    engine: Engine,
    *,
    force: bool,
    explored: ExploredEvents | None,
) -> Built:
    benchmark, report = load_benchmark(config, progress, engine)
    inputs = read_task_inputs(config.tasks)  # before the long work, as it may be missing
    given = read_task_labels(config, inputs, benchmark.models, report.warnings)
    traffic, path = None, config.traffic_labels
    if path is not None and (path.exists() or (config.traffic and config.traffic.labels)):
        traffic = read_traffic_labels(path, benchmark.models, config.aliases, report.warnings)
    store = open_store(config)
    with store.building() as folder:
        benchmark, embedded = embed_benchmark(
            config, benchmark, report, embeddings, store.cache, progress, engine
        )
        index, measured = index_vectors(config, embedded.vectors, progress)
        with threadpool_limits(limits=1):  # or the last bits depend on the number of cores
            contents = learn(
                config, benchmark, embedded, index, inputs, given, progress, engine, traffic
            )
            if explored is not None:
                with progress.stage("feedback", 1):
                    contents = learn_feedback(
                        explored, benchmark, embedded, index, contents, report.warnings
                    )
        coverage = coverage_warnings(
            labels(benchmark.correctness), benchmark.task, benchmark.models, benchmark.tasks
        )
        with progress.stage("writing and verifying", 1) as advance:
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
                tasks=task_records(benchmark, contents.family),
                named_tasks=sorted(contents.named_tasks),
                counts={
                    "samples": len(benchmark),
                    "models": len(benchmark.models),
                    "tasks": len(benchmark.tasks),
                    "labels": int((benchmark.correctness != MISSING).sum()),
                    "missing_labels": int((benchmark.correctness == MISSING).sum()),
                    "smoother_draws": contents.smoother.u.shape[1],
                    "embedded_now": embedded.n_new,
                }
                | _grouped_counts(contents),
                index=measured,
                sources=[source.as_dict() for source in report.sources],
                warnings=[*report.warnings, *embedded.warnings, *coverage, *contents.warnings],
                guarded=contents.facts,
                verdict=contents.verdict,
                embedder_measured=None,
                libraries={name: version(name) for name in _LIBRARIES}
                | {"python": platform.python_version()},
                build_seconds={name: round(s, 3) for name, s in progress.seconds.items()},
            )
            if contents.cascade is not None:  # a key that is not set is not written
                manifest = manifest.model_copy(update={"cascade": contents.cascade})
            manifest = manifest.sealed()
            (folder / MANIFEST).write_bytes(manifest.to_bytes())
            _check_index(read_artifact(folder).index, index, embedded.vectors)
            is_new = store.add(folder, manifest, progress)
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


def _check_index(opened: Index, built: Index, vectors: NDArray[np.float32]) -> None:
    """Raise `ArtifactError` where a written index does not answer as the one that was built."""
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _ASKED)).astype(int)
    read_back, wanted = (
        index.search(vectors[rows], _NEIGHBORS).distance for index in (opened, built)
    )
    if not np.allclose(read_back, wanted, atol=_ROUNDED):
        raise ArtifactError(
            "the index that was written finds other neighbours than the one that was built. See "
            "that the disk has space and is well, and build again."
        )


def _grouped_counts(contents: Contents) -> dict[str, int]:
    """Count the samples that were learned from, where not all, and what is held together."""
    counts = {} if contents.fitted_rows is None else {"fitted": len(contents.fitted_rows)}
    if contents.groups is not None and contents.family is not None:
        counts["copies"] = len(contents.groups) - len(np.unique(contents.groups))
        counts["families"] = len(np.unique(contents.family))
    return counts
