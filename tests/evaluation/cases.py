"""Benchmarks for the tests of the protocols: small ones by hand, and the shared ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from litellm_benchrouter.config import RoutingConfig
from litellm_benchrouter.paper.benchmark import MISSING, Benchmark, ModelFacts
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.merge import SourceJudgement, merge
from litellm_benchrouter.validation.folds import TaskFolds, prepare


def prepared_of(
    scores: ArrayLike,
    vectors: ArrayLike,
    *,
    task: Sequence[int] | None = None,
    models: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    facts: Mapping[str, ModelFacts] | None = None,
    prompts: Sequence[str] | None = None,
    k: int = 1,
    seed: int = 0,
) -> TaskFolds:
    """Prepare a benchmark; correctness is score > 0.5, NaN is missing.

    The prompts are of different words: those that differ in numbers alone make one family of tasks.
    """
    scores = np.asarray(scores, dtype=np.float32)
    n, n_models = scores.shape
    numbers = np.zeros(n, dtype=np.int32) if task is None else np.asarray(task, dtype=np.int32)
    correctness = np.where(np.isnan(scores), MISSING, scores > 0.5).astype(np.uint8)
    benchmark = Benchmark(
        sample_ids=[str(i) for i in range(n)],
        prompts=prompts or ["prompt " + spelled(i) for i in range(n)],
        task=numbers,
        tasks=tuple(f"task {d}" for d in range(numbers.max() + 1)),
        models=tuple(models or [f"model-{m}" for m in range(n_models)]),
        correctness=correctness,
        scores=scores,
        facts=facts or {},
        columns={
            name: np.asarray(values, dtype=np.float32) for name, values in (columns or {}).items()
        },
        split=split,
    )
    vectors = normalize(np.asarray(vectors, dtype=np.float32))
    return prepare(benchmark, vectors, RoutingConfig(k=k), seed=seed, progress=Progress())


def spelled(i: int) -> str:
    """Return a word for a number."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(i))


def random_case(
    seed: int, *, n: int = 60, n_models: int = 4, k: int = 5, missing: float = 0.1
) -> TaskFolds:
    """Prepare random labels with some missing, on random vectors, in three tasks."""
    generator = np.random.default_rng(seed)
    scores = (generator.random((n, n_models)) < generator.random(n_models)).astype(np.float32)
    scores[generator.random((n, n_models)) < missing] = np.nan
    scores[np.isnan(scores).all(axis=1), 0] = 1.0
    return prepared_of(
        scores,
        generator.normal(size=(n, 6)),
        task=generator.integers(3, size=n).tolist(),
        columns={"cost_usd": generator.random((n, n_models)) * (1 + np.arange(n_models)) / 1e3},
        k=k,
        seed=seed,
    )


def shared_case(shared: Path, name: str, *, k: int) -> TaskFolds:
    """Prepare a shared set with its own vectors."""
    folder = shared / "data" / name
    table = read("table", folder, {})
    benchmark, report = merge([(table, SourceJudgement(name))], aliases={}, facts={})
    vectors = np.load(folder / "embeddings.npy")[[row for _, row in report.source_row]]
    return prepare(benchmark, normalize(vectors), RoutingConfig(k=k), seed=0, progress=Progress())
