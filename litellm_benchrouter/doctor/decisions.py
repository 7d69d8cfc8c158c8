"""Does the embedder embed, and does a decision come in time?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import numpy as np

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor.deployments import offers
from litellm_benchrouter.doctor.finding import Finding, fail, ok, warn
from litellm_benchrouter.embedders import HostedEmbedder, PrecomputedEmbedder
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.routing.router import BenchRouter

PROMPTS = (
    "What is the capital of Portugal?",
    "Write a Python function that returns the n-th prime number.",
    "A train leaves at 9:40 and arrives at 13:05. How long does it travel?",
    "Translate into French: the meeting was moved to next Thursday.",
    "Summarise in one sentence. " + "The committee met and postponed its decision. " * 60,
)
_ROUNDS = 8
_MOST_SECONDS = 3.0


def check(
    config: BenchRouterConfig, proxy: Mapping[str, Any], artifact: Artifact
) -> Iterator[Finding]:
    """Embed some prompts and take decisions about them, warm; a provider is not asked."""
    kind, identity = artifact.embedder.kind, artifact.manifest.embedder
    if kind == HostedEmbedder.kind:
        yield _hosted(config)
        return
    try:
        vectors = artifact.embedder.embed(PROMPTS)
    except BenchRouterError as error:
        yield fail("embedder", str(error), "benchrouter build --config FILE")
        return
    if kind == PrecomputedEmbedder.kind:
        yield warn(
            "embedder",
            "precomputed: no prompt can be embedded, so only named tasks are routed",
            "choose another embedder.kind to route by prompt",
        )
    elif not np.isfinite(vectors).all() or not vectors.any():
        yield fail("embedder", f"{kind} gives no vectors", "benchrouter build --config FILE")
    else:
        yield ok("embedder", f"{kind} gives vectors of {identity['dimension']} numbers")
    yield _in_time(config, proxy, artifact)


def _hosted(config: BenchRouterConfig) -> Finding:
    waits, limit = config.embedder.time_limit_ms, config.serving.time_limit_ms
    found = f"{config.embedder.model} is not asked, as it costs; decisions wait {waits:g} ms for it"
    if waits >= limit:
        return warn(
            "embedder",
            f"{found}, and has {limit:g} ms in all",
            "set embedder.time_limit_ms below serving.time_limit_ms",
        )
    return ok("embedder", found)


def _in_time(config: BenchRouterConfig, proxy: Mapping[str, Any], artifact: Artifact) -> Finding:
    router, limit = BenchRouter(artifact), config.serving.time_limit_ms
    chosen = list(offers(config, proxy, artifact.models).values()) or [list(artifact.models)]
    for models in chosen:
        router.decide(PROMPTS[0], models=models)
    times: list[float] = []
    started = time.perf_counter()
    for turn in range(_ROUNDS * len(PROMPTS)):
        before = time.perf_counter()
        router.decide(PROMPTS[turn % len(PROMPTS)], models=chosen[turn % len(chosen)])
        times.append(1000 * (time.perf_counter() - before))
        if time.perf_counter() - started > _MOST_SECONDS:
            break
    middle, worst = median(times), max(times)
    found = (
        f"{middle:.2g} ms in the median and {worst:.2g} ms at worst of {len(times)}; the limit is "
        f"{limit:g} ms"
    )
    remedy = "raise serving.time_limit_ms, or choose a faster embedder (static, lexical)"
    if middle > limit:
        return fail("decisions", f"{found}: most are late", remedy)
    if worst > limit:
        return warn("decisions", f"{found}: some are late", remedy)
    return ok("decisions", found)
