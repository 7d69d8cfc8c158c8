"""How long the event loop of a proxy stands still while a new version is loaded beside it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from support.vectors import benchmark_config, random_labels, synthetic

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.progress import bars
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.store.versions import Versions

_TICK = 0.001  # seconds
_ROUNDS = 5


@click.command()
@click.option("--rows", default=36_000, show_default=True, help="Benchmark samples.")
@click.option("--dimension", default=384, show_default=True)
@click.option("--models", "n_models", default=18, show_default=True)
def main(rows: int, dimension: int, n_models: int) -> None:
    """Load a version with each engine, five times, under an event loop that looks at the clock."""
    table = Table("engine", "index, MB", "load, seconds", "longest gap, ms", "median gap, ms")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("nothing is loaded", "", "", *_shown(asyncio.run(_gaps(None, 1.0))[0]))
    vectors, _ = synthetic(rows, dimension)
    labels = random_labels(rows, n_models)
    for engine in ("hnswlib", "faiss"):
        with tempfile.TemporaryDirectory(prefix="benchrouter-loading-") as folder:
            config = benchmark_config(Path(folder), vectors, labels, index={"engine": engine})
            with bars() as progress:
                built = build(config, progress=progress, force=True)
            size = sum(path.stat().st_size for path in built.folder.glob("index.*")) / 1e6
            measured = [asyncio.run(_gaps(config, 0.2)) for _ in range(_ROUNDS)]
        gaps = np.concatenate([gaps for gaps, _ in measured])
        seconds = float(np.median([spent for _, spent in measured]))
        table.add_row(engine, f"{size:.1f}", f"{seconds:.2f}", *_shown(gaps))
    Console().print(f"{rows:,} x {dimension}, {n_models} models, method guarded", table)


async def _gaps(config: BenchRouterConfig | None, at_least: float) -> tuple[np.ndarray, float]:
    """Return how much later than asked the loop woke, in ms, and the seconds that a load took."""
    gaps: list[float] = []
    ended = asyncio.Event()

    async def tick() -> None:
        last = time.perf_counter()
        while not ended.is_set():
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            gaps.append(now - last - _TICK)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    if config is not None:
        assert Versions(config.artifacts).current() is not None
        serving = VersionLoader(config, Executor(config.serving))
        await asyncio.to_thread(serving.refresh)
        assert serving.router is not None, "the version could not be loaded"
    spent = time.perf_counter() - started
    await asyncio.sleep(at_least)
    ended.set()
    await ticking
    return np.array(gaps) * 1e3, spent


def _shown(gaps: np.ndarray) -> tuple[str, str]:
    return f"{gaps.max():.1f}", f"{np.median(gaps):.2f}"


if __name__ == "__main__":
    main()
