"""How many requests are routed by the benchmark where more arrive than can be decided.

An embedder that holds a thread for 15 ms, as an encoder or a provider does, and the executor's two
threads: so many decisions a second are its capacity, which is measured first, in the same run. Then
requests arrive at even distances, at several times that rate, and are counted by what decided.
A request waits for nothing but its decision: what a client would wait more than without the plugin.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import PROMPTS, copy_files
from litellm_benchrouter.config import ServingConfig, load_config
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.routing.decision import GIVEN_UP
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.executor import Executor

_AT_ONCE = 8  # while the capacity is measured: enough that no thread waits for work


class Slow:
    """An embedder that takes a time of its own, in which others can run."""

    kind = "of the benchmark"

    def __init__(self, real: Embedder, seconds: float) -> None:
        self._real, self._seconds = real, seconds
        self.dimension = real.dimension

    def embed(self, texts, *, progress=None):
        """Wait, and embed."""
        time.sleep(self._seconds)
        return self._real.embed(texts)


@dataclass(frozen=True)
class Load:
    """What became of the requests of one rate.

    Attributes
    ----------
    seconds : float
        From the first arrival to the last.
    kinds : Counter
        By `Decision.kind`.
    waits : list of float
        Seconds that each request waited.
    """

    seconds: float
    kinds: Counter[str]
    waits: list[float]

    @property
    def routed(self) -> float:
        """Requests a second that the benchmark decided."""
        return sum(n for kind, n in self.kinds.items() if kind not in GIVEN_UP) / self.seconds


@click.command()
@click.option("--times", multiple=True, type=float, default=(1, 1.2, 3, 10), show_default=True)
@click.option("--embed-ms", default=15.0, show_default=True, help="What the embedder takes.")
@click.option("--seconds", default=5.0, show_default=True, help="Of each load.")
@click.option("--time-limit-ms", default=200.0, show_default=True)
def main(times: tuple[float, ...], embed_ms: float, seconds: float, time_limit_ms: float) -> None:
    """Measure the capacity, then offer several times as much."""
    with tempfile.TemporaryDirectory(prefix="benchrouter-overload-") as folder:
        copy_files(Path(folder))
        artifact = read_artifact(build(load_config(Path(folder) / "config.yaml")).folder)
        router = BenchRouter(replace(artifact, embedder=Slow(artifact.embedder, embed_ms / 1000)))
        asyncio.run(_measure(router, times, seconds, time_limit_ms))


async def _measure(
    router: BenchRouter, times: tuple[float, ...], seconds: float, time_limit_ms: float
) -> None:
    models = sorted(router.models)
    router.prepare(models)
    table = Table(
        *("offered", "requests/s", "routed/s", "of capacity", "overload", "other", "p50 (ms)"),
        *("p99 (ms)", "breaker"),
        box=SIMPLE,
    )
    for column in table.columns[1:]:
        column.justify = "right"
    capacity = 0.0
    for factor in (None, *times):
        limit = 3.6e6 if factor is None else time_limit_ms  # nothing is refused, or it would spin
        executor = Executor(ServingConfig(time_limit_ms=limit))
        executor.pace(router).prepared((None, *models))
        if factor is None:
            load = await _in_turn(executor, router, models, seconds)
            capacity = load.routed
        else:
            load = await _at_rate(executor, router, models, factor * capacity, seconds)
        executor.stop()
        p50, p99 = 1000 * np.percentile(load.waits, [50, 99])
        n = sum(load.kinds.values())
        failed = sum(n for kind, n in load.kinds.items() if kind in GIVEN_UP)
        table.add_row(
            "capacity" if factor is None else f"{factor:g} x",
            *(f"{n / load.seconds:.0f}", f"{load.routed:.1f}", f"{load.routed / capacity:.3f}"),
            *(f"{load.kinds['overload'] / n:.1%}", f"{(failed - load.kinds['overload']) / n:.1%}"),
            *(f"{p50:.1f}", f"{p99:.1f}", executor.breaker.state.value),
        )
    console = Console()
    console.print(table)
    console.print(
        f"Two threads; time limit {time_limit_ms:g} ms. Overload: "
        f"went to the best model on average at once. Other: late or failed.",
        highlight=False,
    )


async def _in_turn(
    executor: Executor, router: BenchRouter, models: list[str], seconds: float
) -> Load:
    """Keep a few requests under way."""
    kinds: Counter[str] = Counter()
    waits: list[float] = []
    started = time.perf_counter()

    async def worker(number: int) -> None:
        while time.perf_counter() - started < seconds:
            await _ask(executor, router, models, len(waits) + number, kinds, waits)

    await asyncio.gather(*(worker(number) for number in range(_AT_ONCE)))
    return Load(time.perf_counter() - started, kinds, waits)


async def _at_rate(
    executor: Executor, router: BenchRouter, models: list[str], rate: float, seconds: float
) -> Load:
    """Let requests arrive at even distances, whatever became of those before."""
    kinds: Counter[str] = Counter()
    waits: list[float] = []
    asked = []
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        asked.append(asyncio.create_task(_ask(executor, router, models, number, kinds, waits)))
    offered = time.perf_counter() - started
    await asyncio.gather(*asked)
    return Load(offered, kinds, waits)


async def _ask(
    executor: Executor,
    router: BenchRouter,
    models: list[str],
    number: int,
    kinds: Counter[str],
    waits: list[float],
) -> None:
    started = time.perf_counter()
    prompt = f"{number}: {PROMPTS[number % len(PROMPTS)][0]}"
    decision = await executor.run(router, prompt, None, models)
    waits.append(time.perf_counter() - started)
    kinds[decision.kind] += 1


if __name__ == "__main__":
    main()
