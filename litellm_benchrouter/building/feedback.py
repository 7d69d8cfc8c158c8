"""Feedback on explored requests: a direct model of what it adds to the served estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from litellm_benchrouter.artifact.contents import Contents
from litellm_benchrouter.building.embed import EmbeddedBenchmark
from litellm_benchrouter.building.gains import rounded
from litellm_benchrouter.embedders import embed_with_cache
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.guarded.direct import FEWEST_EVENTS, fit_direct, left_out_errors
from litellm_benchrouter.guarded.formulas import K, centred
from litellm_benchrouter.paper.benchmark import Benchmark, labels
from litellm_benchrouter.paper.neighbors import Index
from litellm_benchrouter.sources.traffic import ExploredEvents


def learn_feedback(
    explored: ExploredEvents,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    index: Index,
    contents: Contents,
    warnings: list[str],
) -> Contents:
    """Fit the direct model on residuals to what is served; say in the verdict what it is worth."""
    guarded, own = contents.guarded, contents.own_labels
    if guarded is None or embedded.embedder.kind == PrecomputedEmbedder.kind:
        return contents
    column: Mapping[str, int] = {model: m for m, model in enumerate(benchmark.models)}
    rows_known = [i for i, model in enumerate(explored.models) if model in column]
    if len(rows_known) < FEWEST_EVENTS:
        warnings.append(_too_few(len(rows_known)))
        return contents
    # No cache on disk: what is erased must be gone.
    vectors, _ = embed_with_cache(
        embedded.embedder, [explored.prompts[i] for i in rows_known], None
    )
    usable = np.flatnonzero(vectors.any(axis=1))
    rows, vectors = [rows_known[i] for i in usable], vectors[usable]
    model = np.array([column[explored.models[i]] for i in rows], dtype=np.intp)
    score = np.array([explored.scores[i] for i in rows], dtype=np.float64)
    near = index.search(vectors, min(K, len(benchmark)))
    predictor = guarded.request.predict(
        vectors, labels(benchmark.correctness)[near.index], benchmark.task[near.index]
    )
    served = centred(predictor) if own is None else own.model.predict(vectors, predictor)
    residual = score - served[np.arange(len(rows)), model]
    n_models = len(benchmark.models)
    if len(rows) < FEWEST_EVENTS:
        warnings.append(_too_few(len(rows)))
        return contents
    error, without = left_out_errors(residual, model, vectors, n_models)
    decides = error < without
    verdict = contents.verdict
    if verdict is not None:
        part = {"events": len(rows), "served": decides, "error": error, "error_without": without}
        verdict = verdict | {"feedback": rounded(part)}
    if not decides:
        warnings.append(
            f"{len(rows):,} scored answers to explored requests decide nothing: those left out "
            "are not predicted better with the others than without. More may do."
        )
        return replace(contents, verdict=verdict)
    direct = fit_direct(residual, model, vectors, n_models, on_labels=own is not None)
    return replace(contents, direct=direct, verdict=verdict)


def _too_few(n: int) -> str:
    return f"{n:,} scored answers to explored requests decide nothing: {FEWEST_EVENTS} are needed."
