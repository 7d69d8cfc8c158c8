"""From the configured sources to vectors and their index: read, embedded, indexed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import BenchRouterConfig, SourceConfig, TaskConfig
from litellm_benchrouter.costs import with_known_prices
from litellm_benchrouter.embedders import Embedder, embed_with_cache, make_embedder
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.embedders.cache import allocate_vectors
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.index import Graph, build_index
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources import SourceTable, read
from litellm_benchrouter.sources.merge import MergeReport, SourceJudgement, merge
from litellm_benchrouter.store.copies import copy_here

_CHECKED = 16  # prompts embedded to see whether given vectors are the embedder's
_BLOCK = 16_384  # rows in memory at once where they need not be

_AGREEMENT = 0.98  # float16 and another BLAS stay far above it, another model far below


@dataclass
class EmbeddedBenchmark:
    """The benchmark's vectors and what made them."""

    vectors: NDArray[np.float32]  # shape (n, d), rows of unit length
    embedder: Embedder
    n_new: int  # prompts that were embedded now; the others were given or cached
    cache: Path | None
    warnings: list[str]


def load_benchmark(
    config: BenchRouterConfig, progress: Progress, engine: Engine = LOCAL
) -> tuple[Benchmark, MergeReport]:
    """Read the configured sources and merge them into one benchmark.

    Raises ConfigError where no source is configured, or one wrongly, and SourceError where one
    cannot be read, or nothing useful remains.
    """
    if not config.sources:
        raise ConfigError("benchrouter.sources is empty; name at least one benchmark.")
    for number, source in enumerate(config.sources):
        if source.url is not None:
            with _of_source(number):
                copy_here(source.url, config.storage_options, source.path, progress)
    with progress.stage("reading sources", len(config.sources)) as advance:
        tables = []
        read_tables = engine.read(_read, list(enumerate(config.sources)))
        for source, table in zip(config.sources, read_tables, strict=True):
            judgement = SourceJudgement(
                name=source.name or source.path.name,
                threshold=source.threshold,
                thresholds=source.thresholds,
            )
            tables.append((table, judgement))
            advance(1)
    facts = {name: model.facts for name, model in config.models.items()}
    benchmark, report = merge(tables, aliases=config.aliases, facts=facts)
    config.family_of(benchmark.tasks)  # refuses a task in two families before the long work
    report.warnings.extend(config.families_without_tasks(benchmark.tasks))
    return with_known_prices(benchmark, config.aliases), report


def _read(numbered: tuple[int, SourceConfig]) -> SourceTable:
    number, source = numbered
    with _of_source(number):
        return read(source.kind, source.path, source.reader_options)


@contextmanager
def _of_source(number: int) -> Iterator[None]:
    """Say of what goes wrong in which source it is."""
    try:
        yield
    except (ConfigError, SourceError) as error:
        raise type(error)(f"benchrouter.sources[{number}]: {error}") from error


def embed_benchmark(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    report: MergeReport,
    given: Path | None,
    cache: Path,
    progress: Progress,
    engine: Engine = LOCAL,
) -> tuple[Benchmark, EmbeddedBenchmark]:
    """Embed the benchmark's prompts, and leave out samples whose vector is zero.

    At distance 1 of everything, they mean nothing. `report` says which row of which source each
    sample was; `given` are vectors of the only source, in place of its `embeddings`. Raises
    ConfigError where given vectors do not fit the sources or the embedder, EmbedderError where the
    embedder cannot be made or fails, and SourceError where it knows nothing of any prompt.
    """
    files = [source.embeddings for source in config.sources]
    if given is not None:
        if len(files) != 1:
            raise ConfigError(
                f"--embeddings holds the vectors of one source, the configuration has "
                f"{len(files)}; give each source its own `embeddings:`."
            )
        files = [given]
    folder, n_new = cache if config.embedder.cache else None, 0
    if any(files):
        option = None if given is None else "--embeddings"
        vectors = _given(files, report, config, option, cache)
        embedder = _maker_of(config, vectors, benchmark, folder, progress)
    elif config.embedder.kind == PrecomputedEmbedder.kind:
        raise ConfigError(
            "benchrouter.embedder.kind is 'precomputed', but no vectors are given; give "
            "--embeddings FILE.npy or `embeddings:` of every source."
        )
    else:
        embedder = _make(config, benchmark, folder, progress)
        with progress.stage("embedding", len(benchmark)) as advance:
            vectors, n_new = embed_with_cache(
                embedder, benchmark.prompts, folder, progress=advance, embed=engine.embed
            )
    has_vector = np.asarray(vectors.any(axis=1))
    warnings = []
    if not has_vector.any():
        raise SourceError(
            "the embedder found nothing that it knows in any prompt; see that the sources' prompt "
            "column holds text."
        )
    if not has_vector.all():
        n_empty = int((~has_vector).sum())
        warnings.append(
            f"the embedder found nothing that it knows in {n_empty} prompts; they are left out."
        )
        benchmark, vectors = benchmark.rows(has_vector), vectors[has_vector]
    if isinstance(embedder, PrecomputedEmbedder):
        warnings.append(
            "vectors were given without the embedder that made them: named tasks are decided, "
            "other requests go to the best model on average."
        )
    return benchmark, EmbeddedBenchmark(vectors, embedder, n_new, folder, warnings)


def embed_task_inputs(
    name: str, task: TaskConfig, inputs: list[str], embedder: Embedder, cache: Path | None
) -> NDArray[np.float32]:
    """Embed a named task's example inputs; those that the embedder knows nothing of are zero.

    Raises ConfigError where its vectors do not fit, or none of its inputs is usable.
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
    vectors = allocate_vectors(len(places), widths[0], cache)
    for start in range(0, len(places), _BLOCK):
        of_source, row = places[start : start + _BLOCK].T
        for number, stored in loaded.items():
            own = np.flatnonzero(of_source == number)
            vectors[start + own] = normalize(stored[row[own]])
    return vectors


def _make(
    config: BenchRouterConfig, benchmark: Benchmark, cache: Path | None, progress: Progress
) -> Embedder:
    with progress.stage("making the embedder", 1):
        return make_embedder(config.embedder, benchmark.prompts, seed=config.seed, cache=cache)


def _maker_of(
    config: BenchRouterConfig,
    vectors: NDArray[np.float32],
    benchmark: Benchmark,
    cache: Path | None,
    progress: Progress,
) -> Embedder:
    """Return the embedder that made given vectors, after seeing that it did."""
    kind = config.embedder.kind
    if kind in (PrecomputedEmbedder.kind, "lexical"):
        # The lexical embedder is fitted here, so vectors from elsewhere cannot be its own.
        return PrecomputedEmbedder(vectors.shape[1])
    embedder = _make(config, benchmark, cache, progress)
    sample = np.linspace(0, len(vectors) - 1, min(_CHECKED, len(vectors))).astype(int)
    again = embedder.embed([benchmark.prompts[i] for i in sample])
    agreement = 0.0
    if again.shape[1] == vectors.shape[1]:
        agreement = float(np.median((again * vectors[sample]).sum(axis=1)))
    if agreement < _AGREEMENT:
        raise ConfigError(
            f"the given vectors are not those of {kind} {config.embedder.model}: the median cosine "
            f"over {len(sample)} prompts is {agreement:.2f}; name the embedder that made them, or "
            f"set benchrouter.embedder.kind to precomputed."
        )
    return embedder


def index_vectors(
    config: BenchRouterConfig, vectors: NDArray[np.float32], progress: Progress
) -> tuple[Graph, dict[str, float | str]]:
    """Build the index of a benchmark's vectors; see `build_index`."""
    with progress.stage("index", len(vectors)) as advance:
        return build_index(
            vectors, config.index, k=config.routing.k, seed=config.seed, progress=advance
        )
