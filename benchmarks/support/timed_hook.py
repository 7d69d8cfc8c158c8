"""The hook with a stopwatch on its steps: a callback for a proxy, and for calls outside of one."""

from __future__ import annotations

import functools
import json
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from litellm_benchrouter.embedders.lexical import LexicalEmbedder
from litellm_benchrouter.embedders.static import StaticEmbedder
from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.routing.estimates import GuardedScorer
from litellm_benchrouter.routing.router import BenchRouter, Weighing

FILE = "BENCHROUTER_TIMES"
"""Variable with the file that a proxy writes its times to."""

ASYNC_STEPS = {
    "ranking": (BenchRouterHook, "async_filter_deployments"),
    "noting who is asked": (BenchRouterHook, "async_pre_call_deployment_hook"),
    "headers": (BenchRouterHook, "async_post_call_response_headers_hook"),
}
STEPS = {
    "decision": (BenchRouter, "decide"),
    "embedding": (LexicalEmbedder, "embed"),
    "search": (BenchRouter, "_search"),
    "estimate": (GuardedScorer, "estimate"),
    "weighing": (Weighing, "decide"),
}
_WRITTEN_EVERY = 200  # requests
_LAST = 1_000  # calls of a step that count: the first ones prepare what is remembered

_times: defaultdict[str, list[float]] = defaultdict(list)


def medians() -> dict[str, float]:
    """Median milliseconds of each step, of its last calls."""
    return {step: 1e3 * float(np.median(times[-_LAST:])) for step, times in _times.items()}


def _timed(step: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = call(*args, **kwargs)
        _times[step].append(time.perf_counter() - start)
        return result

    return timed


def _timed_async(step: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = await call(*args, **kwargs)
        _times[step].append(time.perf_counter() - start)
        if step == "headers" and len(_times[step]) % _WRITTEN_EVERY == 0 and FILE in os.environ:
            Path(os.environ[FILE]).write_text(json.dumps(medians()), encoding="utf-8")
        return result

    return timed


for name, (owner, method) in STEPS.items():
    setattr(owner, method, _timed(name, getattr(owner, method)))
setattr(StaticEmbedder, "embed", _timed("embedding", StaticEmbedder.embed))  # noqa: B010
for name, (owner, method) in ASYNC_STEPS.items():
    setattr(owner, method, _timed_async(name, getattr(owner, method)))

handler = BenchRouterHook()
"""What the proxy's configuration names."""
