"""Embedders side by side on one benchmark: what the proof finds, and how long a prompt takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.embed import embed_benchmark, load_benchmark
from litellm_benchrouter.building.learn import fit_and_prove
from litellm_benchrouter.config import BenchRouterConfig, EmbedderKind
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.engine import open_engine
from litellm_benchrouter.errors import BenchRouterError, EmbedderError
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.subset import TrainingSubset

_TIMED, _WARM_UP = 100, 3  # prompts


def compare_embedders(
    config: BenchRouterConfig,
    kinds: Sequence[EmbedderKind],
    *,
    samples: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the proof of docs/proof.md with the vectors of each kind of embedder.

    `config.embedder` says all but the kind; at most `samples` are used, of each task alike
    (default: `fit_samples`). `embedders` has for each kind `verdict`, as in a manifest, and
    `p50_ms`, the median time of one prompt on one thread; or `failed`, why it does not work here.
    Raises ConfigError or SourceError where the benchmark cannot be read, and EmbedderError where no
    kind works.
    """
    progress = progress or Progress()
    by_kind: dict[str, dict[str, Any]] = {}
    embedders: dict[str, Embedder] = {}
    with open_engine(config.engine, config.ray_address) as engine:
        benchmark, report = load_benchmark(config, progress, engine)
        for kind in kinds:
            # Vectors that are given would be compared with themselves.
            own = [source.model_copy(update={"embeddings": None}) for source in config.sources]
            change = {"embedder": config.embedder.of_kind(kind), "sources": own}
            one = config.model_copy(update=change)
            cache = config.artifacts / "cache"
            try:
                part, embedded = embed_benchmark(
                    one, benchmark, report, None, cache, progress, engine
                )
            except BenchRouterError as error:
                by_kind[kind] = {"kind": kind, "failed": str(error)}
                continue
            most = config.fit_samples if samples is None else samples
            taken = TrainingSubset.of(part, embedded.vectors, most, seed=config.seed)
            whole = TrainingSubset(taken.benchmark, taken.vectors, None, taken.benchmark)
            with threadpool_limits(limits=1):  # or the last bits depend on the number of cores
                verdict = fit_and_prove(one, whole, None, progress, engine).verdict
            embedders[kind] = embedded.embedder
            by_kind[kind] = {
                "kind": kind,
                "dimension": embedded.embedder.dimension,
                "samples": {"taken": len(taken.benchmark), "of": len(benchmark)},
                "verdict": verdict.as_dict(),
            }
    if not embedders:
        reasons = " ".join(f"{kind}: {each['failed']}" for kind, each in by_kind.items())
        raise EmbedderError(f"none of the embedders {', '.join(kinds)} works here. {reasons}")
    for name, milliseconds in _milliseconds(embedders, benchmark.prompts, progress).items():
        by_kind[name]["p50_ms"] = milliseconds
    return {"embedders": list(by_kind.values())}


def _milliseconds(
    embedders: Mapping[str, Embedder], prompts: Sequence[str], progress: Progress
) -> dict[str, float]:
    """Return the median time of one prompt on one thread.

    Every prompt goes to each embedder in turn, so that other work on the machine slows all alike.
    """
    rows = np.unique(np.linspace(0, len(prompts) - 1, min(_TIMED, len(prompts))).astype(int))
    times: dict[str, list[float]] = {kind: [] for kind in embedders}
    with progress.stage("timing embedders", len(rows)) as advance, threadpool_limits(limits=1):
        for embedder in embedders.values():
            for row in rows[:_WARM_UP]:
                embedder.embed([prompts[row]])
        for row in rows:
            for kind, embedder in embedders.items():
                start = time.perf_counter()
                embedder.embed([prompts[row]])
                times[kind].append(1e3 * (time.perf_counter() - start))
            advance(1)
    return {kind: round(float(np.median(each)), 3) for kind, each in times.items()}
