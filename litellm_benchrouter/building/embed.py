"""Vectors of the benchmark's prompts and of tasks' inputs: given, cached, or computed now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.building.encoder_check import MadeEmbedder, make_and_check
from litellm_benchrouter.config import BenchRouterConfig, TaskConfig
from litellm_benchrouter.embedders import Embedder, embed_with_cache
from litellm_benchrouter.embedders.precomputed import PrecomputedEmbedder
from litellm_benchrouter.embedders.protocol import Progress
from litellm_benchrouter.embedders.room import room_for
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.sources.merge_report import MergeReport

_CHECKED = 16  # prompts embedded to see whether given vectors are the embedder's
_BLOCK = 16_384  # rows in memory at once where they need not be

_AGREEMENT = 0.98  # float16 and another BLAS stay far above it, another model far below


@dataclass
class EmbeddedBenchmark:
    """The benchmark's vectors and what made them.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
        Rows of unit length.
    n_new : int
        How many prompts were embedded now; the others were given or cached.
    cache : Path or None
    embedder, warnings, measured : as in `MadeEmbedder`
    """

    vectors: NDArray[np.float32]
    embedder: Embedder
    n_new: int
    cache: Path | None
    warnings: list[str]
    measured: dict[str, Any] | None


def embed_benchmark(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    report: MergeReport,
    given: Path | None,
    cache: Path,
    stages: Silent,
    engine: Engine = LOCAL,
) -> EmbeddedBenchmark:
    """Embed the benchmark's prompts.

    Parameters
    ----------
    config : BenchRouterConfig
    benchmark : Benchmark
    report : MergeReport
        Says which row of which source each sample was.
    given : Path, optional
        Vectors of the only source, in place of its `embeddings`.
    cache : Path
    stages : Silent or Bars
    engine : Engine
        Embeds the batches.

    Raises
    ------
    ConfigError
        If given vectors do not fit the sources or the embedder.
    EmbedderError
        If the embedder cannot be made or fails.
    """
    files = [source.embeddings for source in config.sources]
    if given is not None:
        if len(files) != 1:
            raise ConfigError(
                f"--embeddings holds the vectors of one source, the configuration has "
                f"{len(files)}; give each source its own `embeddings:`."
            )
        files = [given]
    folder = cache if config.embedder.cache else None
    if any(files):
        option = None if given is None else "--embeddings"
        vectors = _given(files, report, config, option, cache)
        made = _maker_of(config, vectors, benchmark, folder, stages)
        return finished(vectors, made, 0, folder)
    if config.embedder.kind == PrecomputedEmbedder.kind:
        raise ConfigError(
            "benchrouter.embedder.kind is 'precomputed', but no vectors are given; give "
            "--embeddings FILE.npy or `embeddings:` of every source."
        )
    made = make_and_check(config, benchmark, folder, stages)
    with stages.stage("embedding", len(benchmark)) as advance:
        vectors, n_new = embed_prompts(made, benchmark.prompts, folder, advance, engine)
    return finished(vectors, made, made.n_new + n_new, folder)


def embed_prompts(
    made: MadeEmbedder,
    prompts: Sequence[str],
    cache: Path | None,
    advance: Progress,
    engine: Engine,
) -> tuple[NDArray[np.float32], int]:
    """Return the vectors of all prompts, and how many of them were not known before."""
    if made.known is None:
        return embed_with_cache(made.embedder, prompts, cache, progress=advance, embed=engine.embed)
    rows, known = made.known
    advance(len(rows))
    rest = np.setdiff1d(np.arange(len(prompts)), rows)
    embedded, n_new = embed_with_cache(
        made.embedder,
        [prompts[row] for row in rest],
        cache,
        progress=advance,
        embed=engine.embed,
    )
    vectors = room_for(len(prompts), made.embedder.dimension, cache)
    vectors[rows], vectors[rest] = known, embedded
    return vectors, n_new


def embed_task_inputs(
    name: str, task: TaskConfig, inputs: list[str], embedder: Embedder, cache: Path | None
) -> NDArray[np.float32]:
    """Embed a named task's example inputs; those that the embedder knows nothing of are zero.

    Returns
    -------
    ndarray of float32, shape (len(inputs), d)
        Rows of unit length, or zero.

    Raises
    ------
    ConfigError
        If its vectors do not fit, or none of its inputs is usable.
    """
    if task.embeddings is not None:
        vectors = normalize(read_vectors(task.embeddings, f"benchrouter.tasks.{name}.embeddings"))
        if vectors.shape[1] != embedder.dimension:
            raise ConfigError(
                f"{task.embeddings} holds vectors of {vectors.shape[1]} numbers, the benchmark's "
                f"have {embedder.dimension}; embed both with the same model."
            )
        if len(vectors) != len(inputs):
            raise ConfigError(
                f"{task.embeddings} holds {len(vectors)} vectors, {task.inputs} holds "
                f"{len(inputs)} inputs; give one an input, in the same order."
            )
    elif embedder.kind == PrecomputedEmbedder.kind:
        raise ConfigError(
            f"benchrouter.tasks.{name} has inputs but no vectors, and no embedder is configured; "
            f"give `embeddings:` beside `inputs:`, or configure an embedder."
        )
    else:
        vectors, _ = embed_with_cache(embedder, inputs, cache)
    if not vectors.any():
        raise ConfigError(
            f"benchrouter.tasks.{name}: none of the inputs in {task.inputs} holds anything that "
            f"the embedder knows; give inputs in the benchmark's language."
        )
    return vectors


def read_vectors(path: Path, where: str) -> NDArray[np.floating]:
    """Map vectors that the user already has, shape (n, d)."""
    try:
        # Not np.load, which would also open archives and pickles.
        stored = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: {path} is not a .npy file of numbers ({error}).") from error
    if stored.ndim != 2 or not np.issubdtype(stored.dtype, np.floating):
        raise ConfigError(
            f"{where}: {path} holds {stored.dtype} of shape {stored.shape}; one row of floats a "
            f"sample is wanted."
        )
    for start in range(0, len(stored), _BLOCK):
        if not np.isfinite(stored[start : start + _BLOCK]).all():
            raise ConfigError(f"{where}: {path} holds NaN or infinite values; embed again.")
    return stored


def _given(
    files: list[Path | None],
    report: MergeReport,
    config: BenchRouterConfig,
    option: str | None,
    cache: Path,
) -> NDArray[np.float32]:
    """Select the rows of the samples that were kept from the sources' vectors."""
    loaded: dict[int, NDArray[np.floating]] = {}
    first = set(np.unique(report.source_row[:, 0]))
    for source, path in enumerate(files):
        where = option or f"benchrouter.sources[{source}].embeddings"
        if path is None:
            if source not in first:
                continue  # it brings more scores of the samples that an earlier source has
            raise ConfigError(f"{where} is missing, and other sources have theirs; add it.")
        vectors = read_vectors(path, where)
        n_rows = report.n_rows[source]
        if len(vectors) != n_rows:
            raise ConfigError(
                f"{where}: {path} holds {len(vectors)} vectors, {config.sources[source].path} "
                f"has {n_rows} samples; give one a sample, in the same order."
            )
        loaded[source] = vectors
    widths = sorted({vectors.shape[1] for vectors in loaded.values()})
    if len(widths) > 1:
        raise ConfigError(f"the sources' vectors have different lengths: {widths}.")
    places = report.source_row
    vectors = room_for(len(places), widths[0], cache)
    for start in range(0, len(places), _BLOCK):
        of_source, row = places[start : start + _BLOCK].T
        for number, stored in loaded.items():
            own = np.flatnonzero(of_source == number)
            vectors[start + own] = normalize(stored[row[own]])
    return vectors


def _maker_of(
    whole: BenchRouterConfig,
    vectors: NDArray[np.float32],
    benchmark: Benchmark,
    cache: Path | None,
    stages: Silent,
) -> MadeEmbedder:
    """Return the embedder that made given vectors, after seeing that it did."""
    config = whole.embedder
    if config.kind in (PrecomputedEmbedder.kind, "lexical"):
        # The lexical embedder is fitted here, so vectors from elsewhere cannot be its own.
        return MadeEmbedder(PrecomputedEmbedder(vectors.shape[1]))
    made = make_and_check(whole, benchmark, cache, stages)
    sample = np.linspace(0, len(vectors) - 1, min(_CHECKED, len(vectors))).astype(int)
    again = made.embedder.embed([benchmark.prompts[i] for i in sample])
    agreement = 0.0
    if again.shape[1] == vectors.shape[1]:
        agreement = float(np.median((again * vectors[sample]).sum(axis=1)))
    if agreement < _AGREEMENT:
        raise ConfigError(
            f"the given vectors are not those of {config.kind} {config.model}: the median cosine "
            f"over {len(sample)} prompts is {agreement:.2f}; name the embedder that made them, or "
            f"set benchrouter.embedder.kind to precomputed."
        )
    return made


def without_unknown_prompts(
    benchmark: Benchmark, embedded: EmbeddedBenchmark
) -> tuple[Benchmark, EmbeddedBenchmark]:
    """Leave out samples whose vector is zero: at distance 1 of everything, they mean nothing."""
    known = np.asarray(embedded.vectors.any(axis=1))
    if known.all():
        return benchmark, embedded
    return benchmark.rows(known), replace(embedded, vectors=embedded.vectors[known])


def finished(
    vectors: NDArray[np.float32], made: MadeEmbedder, n_new: int, cache: Path | None
) -> EmbeddedBenchmark:
    """Return embedded prompts, with a warning of those that the embedder knows nothing of."""
    empty = int((~vectors.any(axis=1)).sum())
    if empty == len(vectors):
        raise SourceError(
            "the embedder found nothing that it knows in any prompt; see that the sources' prompt "
            "column holds text."
        )
    warnings = list(made.warnings)
    if empty:
        nothing = f"the embedder found nothing that it knows in {empty} prompts"
        warnings.append(f"{nothing}; they are left out.")
    if isinstance(made.embedder, PrecomputedEmbedder):
        warnings.append(
            "vectors were given without the embedder that made them: named tasks are decided, "
            "other requests go to the best model on average."
        )
    return EmbeddedBenchmark(vectors, made.embedder, n_new, cache, warnings, made.measured)
