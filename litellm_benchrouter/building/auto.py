"""`embedder.kind: auto`: try what is installed on the benchmark itself, and build with the best."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.auto_kept import (
    AUTO,
    FILE,
    Trial,
    key_of,
    read,
    settings_of,
    write,
)
from litellm_benchrouter.building.auto_rule import RULE, Chosen, Tried, choose
from litellm_benchrouter.building.embedder_quality import (
    Quality,
    condensed,
    describe,
    measure_quality,
)
from litellm_benchrouter.building.encoder_check import MadeEmbedder, make_and_check
from litellm_benchrouter.building.sample import sample_rows
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import Embedder, embed_with_cache
from litellm_benchrouter.errors import ArtifactError, BenchRouterError, EmbedderError
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.store.opening import open_store

SAMPLES = 3_000
"""Prompts that candidates are tried on; of a larger benchmark a sample, drawn by hash."""

_TIMED, _TIMED_SECONDS, _WARM = 100, 30.0, 3


def choose_embedder(
    config: BenchRouterConfig, benchmark: Benchmark, cache: Path | None, stages: Silent
) -> MadeEmbedder:
    """Try the candidates, and return the one to build with and what was measured of each.

    Parameters
    ----------
    config : BenchRouterConfig
        With an embedder of kind `auto`.
    benchmark : Benchmark
    cache : Path or None
        Keeps models, vectors and figures: an unchanged benchmark is not tried again.
    stages : Silent or Bars

    Returns
    -------
    MadeEmbedder
        `measured["auto"]` goes into the manifest; `known` holds the vectors of the sample.

    Raises
    ------
    EmbedderError
        If no candidate works.
    """
    rows, _ = sample_rows(benchmark.prompts, SAMPLES, config.seed)
    kept = None if cache is None else cache / FILE
    key = key_of(config, benchmark)
    trial = read(kept, key) or _try(config, benchmark, rows, cache, stages)
    settings = settings_of(config)
    serves = _serves(config, settings)
    chosen = choose(
        trial.tried,
        tolerance=config.embedder.tolerance,
        serves=serves,
        limit_ms=config.serving.time_limit_ms,
    )
    if kept is not None and trial.made:
        write(kept, key, trial)
    made = trial.made.get(chosen.kind) or make_and_check(
        _candidate(config, chosen.kind), benchmark, cache, stages
    )
    warnings = list(made.warnings)
    if all(each.unseen is None and each.requests is None for each in trial.tried):
        warnings.append(
            "the benchmark is too small to compare embedders on it: embedder kind auto goes by "
            "their times alone."
        )
    if serves not in (None, chosen.kind):
        why = next((each["reason"] for each in trial.failed if each["kind"] == serves), "")
        warnings.append(
            f"the embedder changes from {serves} to {chosen.kind}: {serves} "
            + (f"does not work any more ({why})" if why else "is no longer level with the best")
            + "; `benchrouter inspect` shows the figures."
        )
    measured = (made.measured or {}) | {
        AUTO: _document(trial, chosen, settings, len(benchmark), serves)
    }
    return replace(made, warnings=warnings, measured=measured)


def _try(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    rows: NDArray[np.intp],
    cache: Path | None,
    stages: Silent,
) -> Trial:
    """Make every candidate, embed the sample, and measure what its vectors are worth."""
    made: dict[str, MadeEmbedder] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    failed: list[dict[str, str]] = []
    prompts = [benchmark.prompts[row] for row in rows]
    for kind in config.embedder.candidates:
        try:
            found = make_and_check(_candidate(config, kind), benchmark, cache, stages)
            with stages.stage(f"trying {kind}", len(prompts)) as advance:
                embedded, n_new = embed_with_cache(found.embedder, prompts, cache, advance)
        except Exception as error:  # of whatever class: a broken installation raises anything
            failed.append({"kind": kind, "reason": _reason(error)})
            continue
        vectors[kind] = embedded
        made[kind] = replace(found, n_new=found.n_new + n_new, known=(rows, embedded))
    if not made:
        reasons = " ".join(f"{each['kind']}: {each['reason']}" for each in failed)
        raise EmbedderError(f"no candidate of benchrouter.embedder works. {reasons}")
    # The same prompts for all: those that each of them knows something of.
    known = np.flatnonzero(np.all([each.any(axis=1) for each in vectors.values()], axis=0))
    part = condensed(benchmark, rows[known])
    quality: dict[str, Quality] = {}
    with stages.stage("comparing embedders", len(made)) as advance:
        for name, embedded in vectors.items():
            quality[name] = measure_quality(config, part, embedded[known])
            advance(1)
    embedders = {name: each.embedder for name, each in made.items()}
    times = _milliseconds(embedders, prompts, stages)
    return Trial(_beside(embedders, quality, times, config.seed), failed, len(known), made)


def _beside(
    embedders: Mapping[str, Embedder],
    quality: Mapping[str, Quality],
    times: Mapping[str, float],
    seed: int,
) -> list[Tried]:
    """Put what was measured of each candidate beside that of the others."""
    unseen = describe({k: each.unseen for k, each in quality.items() if each.unseen}, seed)
    requests = describe({k: each.requests for k, each in quality.items() if each.requests}, seed)
    found = []
    for kind, embedder in embedders.items():
        precision = embedder.identity().get("precision")
        found.append(
            Tried(
                kind=kind,
                precision=None if precision is None else str(precision),
                dimension=embedder.dimension,
                p50_ms=times[kind],
                unseen=unseen.get(kind),
                requests=requests.get(kind),
            )
        )
    return found


def _milliseconds(
    embedders: Mapping[str, Embedder], prompts: Sequence[str], stages: Silent
) -> dict[str, float]:
    """Return the median time of one prompt on one thread.

    Every prompt goes to every embedder in turn, so what else the machine does falls on all of them.
    """
    rows = np.unique(np.linspace(0, len(prompts) - 1, min(_TIMED, len(prompts))).astype(int))
    times: dict[str, list[float]] = {kind: [] for kind in embedders}
    started = time.perf_counter()
    with stages.stage("timing embedders", len(rows)) as advance, threadpool_limits(limits=1):
        for embedder in embedders.values():
            for row in rows[:_WARM]:
                embedder.embed([prompts[row]])
        for row in rows:
            for kind, embedder in embedders.items():
                before = time.perf_counter()
                embedder.embed([prompts[row]])
                times[kind].append(1e3 * (time.perf_counter() - before))
            advance(1)
            if time.perf_counter() - started > _TIMED_SECONDS:
                break
    return {kind: round(float(np.median(each)), 3) for kind, each in times.items()}


def _document(
    trial: Trial, chosen: Chosen, settings: dict[str, Any], of: int, serves: str | None
) -> dict[str, Any]:
    """Return what the manifest keeps."""
    return {
        "rule": RULE,
        "settings": settings,
        "n_samples": trial.n_samples,
        "of_samples": of,
        "candidates": [
            asdict(each) | {"loss": each.loss, "level": each.kind in chosen.level}
            for each in trial.tried
        ],
        "failed": trial.failed,
        "served_before": serves,
        "chosen": chosen.kind,
        "because": chosen.because,
    }


def _candidate(config: BenchRouterConfig, kind: Any) -> BenchRouterConfig:
    return config.model_copy(update={"embedder": config.embedder.of_kind(kind)})


def _serves(config: BenchRouterConfig, settings: dict[str, Any]) -> str | None:
    """Return the kind that the same settings chose for the version which serves."""
    store = open_store(config)
    with suppress(ArtifactError, OSError):
        current = store.current()
        if current is not None:
            measured = store.manifest(current).embedder_measured or {}
            found = measured.get(AUTO, {})
            if found.get("settings") == settings:
                return str(found["chosen"])
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, BenchRouterError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}."
