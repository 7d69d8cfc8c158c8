"""Times of calls, ratios within rounds, and what the machine was."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LIBRARIES = (
    *("litellm-benchrouter", "litellm", "numpy", "scikit-learn", "hnswlib", "faiss-cpu"),
    *("onnxruntime", "tokenizers", "model2vec", "sentence-transformers", "torch"),
)


def elapsed_ms(call: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def percentiles(times: NDArray[np.float64] | Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    p50, p99 = np.percentile(times, [50, 99])
    return float(p50), float(p99)


def spread(ratios: Sequence[float]) -> tuple[float, float]:
    """Median of the rounds' ratios, and half of the width of their middle half."""
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return float(middle), float((high - low) / 2)


def machine() -> dict[str, object]:
    """What the figures were measured on: processor, cores, load and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
