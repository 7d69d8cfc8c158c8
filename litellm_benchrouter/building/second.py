"""What a build learns with the second embedder, which decides where a hosted one gives no answer.

Only what depends on vectors is made again: the index, the request estimates, and the proof of what
would be served. Named tasks are decided without embedding, by what the first embedder found.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.second import SECOND, SecondContents
from litellm_benchrouter.artifact.verdict import losses, points
from litellm_benchrouter.building.embed import EmbeddedBenchmark, embed_prompts, finished
from litellm_benchrouter.building.encoder_check import make_and_check
from litellm_benchrouter.building.guarded_build import FEWEST_SAMPLES
from litellm_benchrouter.building.indexing import index_vectors
from litellm_benchrouter.building.proof import loses
from litellm_benchrouter.building.proof_second import prove_requests
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ArtifactError, EmbedderError, SourceError
from litellm_benchrouter.guarded.fit import RequestFit, fit_request, neighbors_of_each
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.index.graph import Index
from litellm_benchrouter.paper.benchmark import Benchmark, labels
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.folds import TaskFolds, TrainingSubset


def build_second(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    cache: Path,
    stages: Silent,
    warnings: list[str],
    engine: Engine = LOCAL,
) -> SecondContents | None:
    """Embed a benchmark with the second embedder, and learn what it needs to decide by itself.

    Parameters
    ----------
    config : BenchRouterConfig
    benchmark : Benchmark
        The samples that the first embedder knows.
    cache : Path
    stages : Silent or Bars
    warnings : list of str
        Of the build; what the operator should know is added.
    engine : Engine

    Returns
    -------
    SecondContents or None
        None where none is configured, and where a warning says why there is none: it would lose to
        the best model on average by more than `publish` tolerates, or nobody asked for the default
        one and it cannot be made.

    Raises
    ------
    EmbedderError, SourceError, ArtifactError
        If the one that was asked for cannot be made or indexed.
    """
    chosen = config.embedder.stand_in
    if chosen is None:
        return None
    try:
        whole = config.model_copy(update={"embedder": chosen})
        return _build(whole, benchmark, cache, stages, warnings, engine)
    except (EmbedderError, SourceError, ArtifactError) as error:
        if config.embedder.second is not None:
            raise
        warnings.append(f"there is no second embedder ({error}); `second: none` asks for none.")
        return None


def _build(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    cache: Path,
    stages: Silent,
    warnings: list[str],
    engine: Engine,
) -> SecondContents | None:
    kind = config.embedder.kind
    embedded, rows = _embed(config, benchmark, cache, stages, engine)
    warnings += [f"second embedder: {warning}" for warning in embedded.warnings]
    known = benchmark if rows is None else benchmark.rows(rows)
    index, measured = index_vectors(
        config, embedded.vectors, cache / SECOND, stages, "second index"
    )
    with stages.stage("second embedder", 2) as advance, threadpool_limits(limits=1):
        learned = TrainingSubset.of(known, embedded.vectors, config.fit_samples, seed=config.seed)
        fitted = None
        if config.method == "guarded":
            fitted = _fit(learned, index)
        advance(1)
        proof = prove_requests(
            _prepared(config, learned), fitted, config.publish, engine, method=config.method
        )
        if fitted is not None and loses(proof.requests, config.publish):
            fitted = fitted.closed()
        advance(1)
    verdict = proof.as_dict()
    if not proof.passes:
        lost = points(losses(verdict)["requests"])
        warnings.append(
            f"the second embedder, {kind}, would serve {lost} points against the best model on "
            f"average (benchrouter.publish tolerates {100 * config.publish.tolerance:g}), so it is "
            f"left out: that model stands in where the hosted embedder gives no answer."
        )
        return None
    fitted_rows = None if learned.rows is None else learned.rows.astype(np.int32)
    return SecondContents(
        embeddings=embedded.vectors,
        index=index,
        guarded=None if fitted is None else fitted.guarded,
        fitted_rows=fitted_rows,
        rows=None if rows is None else rows.astype(np.int32),
        embedder=embedded.embedder,
        record=_record(embedded, measured, fitted, fitted_rows, verdict),
        measured=embedded.measured,
    )


def _embed(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    cache: Path,
    stages: Silent,
    engine: Engine,
) -> tuple[EmbeddedBenchmark, NDArray[np.intp] | None]:
    """Embed a benchmark whose samples are settled already with an embedder that stands in.

    Parameters
    ----------
    config : BenchRouterConfig
        Whose `embedder` is the second one.
    benchmark : Benchmark
    cache : Path
    stages : Silent or Bars
    engine : Engine

    Returns
    -------
    EmbeddedBenchmark
        Of the samples that it knows anything of.
    ndarray of int, or None
        Which these are; None for all.
    """
    folder = cache if config.embedder.cache else None
    made = make_and_check(config, benchmark, folder, stages)
    with stages.stage("embedding again", len(benchmark)) as advance:
        vectors, n_new = embed_prompts(made, benchmark.prompts, folder, advance, engine)
    embedded = finished(vectors, made, made.n_new + n_new, folder)
    known = np.asarray(embedded.vectors.any(axis=1))
    if known.all():
        return embedded, None
    return replace(embedded, vectors=embedded.vectors[known]), np.flatnonzero(known)


def _fit(learned: TrainingSubset, index: Index) -> RequestFit | None:
    """The request estimates, as `fit_guarded` fits them; None where there are too few samples."""
    benchmark = learned.benchmark
    if len(benchmark) < FEWEST_SAMPLES:
        return None
    whole = learned.rows is None
    return fit_request(
        learned.vectors,
        labels(benchmark.correctness),
        benchmark.task,
        len(benchmark.tasks),
        neighbors_of_each(learned.vectors) if whole else learned.neighbors(index, K),
        None if whole else (labels(learned.whole.correctness), learned.whole.task),
    )


def _prepared(config: BenchRouterConfig, learned: TrainingSubset) -> TaskFolds:
    """What the proof of requests reads; neighbours in other tasks are of no use to it."""
    benchmark = learned.benchmark
    nothing: NDArray[Any] = np.empty((len(benchmark), 0))
    return TaskFolds(
        benchmark,
        learned.vectors,
        Neighbors(nothing.astype(np.int64), nothing.astype(np.float32)),
        benchmark.task,
        np.arange(len(benchmark.tasks), dtype=np.int32),
        config.routing,
        config.seed,
    )


def _record(
    embedded: EmbeddedBenchmark,
    measured: dict[str, float | str],
    fitted: RequestFit | None,
    fitted_rows: NDArray[np.int32] | None,
    verdict: dict[str, Any],
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "embedder": embedded.embedder.identity(),
        "index": measured,
        "samples": len(embedded.vectors),
        "guarded": None if fitted is None else {"request": fitted.as_manifest},
        "verdict": {
            "served": verdict["served"]["requests"],
            "requests": verdict["requests"],
            "unproven": verdict["unproven"].get("requests"),
        },
    }
    return record if fitted_rows is None else record | {"fitted": len(fitted_rows)}
