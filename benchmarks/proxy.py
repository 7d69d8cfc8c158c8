"""Latency and throughput of the real LiteLLM proxy with the hook and without it, in one run.

Three proxies serve the same deployments of a fake provider on loopback: one without a callback,
one with a callback that does nothing, which shows what LiteLLM itself spends on having one, and one
with the hook. They are asked in turns, so that whatever else the machine does slows all of them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from litellm_benchrouter.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.demo.run import PROMPTS, copy_files

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from proxy.harness import MASTER_KEY, ProxyProcess, deployment, eventually
from proxy.upstream import FakeUpstream

_MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b")
_CALLBACKS = {
    "none": None,
    "empty": "empty.handler",
    "the hook": "litellm_benchrouter.hook.handler",
}
_EMPTY = """
from litellm.integrations.custom_logger import CustomLogger

handler = CustomLogger()
"""
_ROUNDS = 4  # of each proxy, in turns
_WARM_UP = 20


@click.command()
@click.option("--concurrency", multiple=True, type=int, default=(1, 8, 32), show_default=True)
@click.option("--requests", default=400, show_default=True, help="Of each proxy and concurrency.")
@click.option("--seconds", default=40.0, show_default=True, help="At most, of the same.")
def main(concurrency: tuple[int, ...], requests: int, seconds: float) -> None:
    """Ask all proxies, with several requests at once, and compare them."""
    measured: dict[tuple[int, str], list[tuple[list[float], float]]] = {}
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-proxy-")))
        api_base = stack.enter_context(_upstream())
        proxies = {
            name: stack.enter_context(_proxy(root / name.replace(" ", "-"), api_base, callback))
            for name, callback in _CALLBACKS.items()
        }
        progress = stack.enter_context(Progress(transient=True))
        for at_once in concurrency:
            bar = progress.add_task(f"{at_once} at once", total=_ROUNDS * len(proxies))
            for _ in range(_ROUNDS):
                for name, proxy in proxies.items():
                    times, spent = asyncio.run(
                        _ask(proxy.base_url, requests // _ROUNDS, at_once, seconds / _ROUNDS)
                    )
                    measured.setdefault((at_once, name), []).append((times, spent))
                    progress.advance(bar)
    _show(measured)


@contextmanager
def _upstream() -> Iterator[str]:
    """Run the fake provider in a process of its own, so that it does not slow the client."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection) -> None:
    with FakeUpstream() as upstream:
        pipe.send(upstream.base_url)
        pipe.recv()


@contextmanager
def _proxy(folder: Path, api_base: str, callback: str | None) -> Iterator[ProxyProcess]:
    folder.mkdir()
    copy_files(folder)
    (folder / "empty.py").write_text(_EMPTY, encoding="utf-8")
    config: dict[str, Any] = {
        "model_list": [
            deployment("smart", model, api_base, benchrouter_model=model) for model in _MODELS
        ],
        "benchrouter": {"sources": [{"path": "benchmark.csv"}]},
    }
    if callback is not None:
        config["litellm_settings"] = {"callbacks": [callback]}
    proxy = ProxyProcess(config, folder)
    build(load_config(folder / "config.yaml"))
    with proxy:
        for _ in range(_WARM_UP):
            _one(proxy)
        if callback == _CALLBACKS["the hook"]:
            eventually(lambda: "x-benchrouter-artifact" in _one(proxy))
        yield proxy


def _one(proxy: ProxyProcess) -> httpx.Headers:
    return proxy.http.post("/v1/chat/completions", json=_body(0)).raise_for_status().headers


def _body(number: int) -> dict[str, Any]:
    prompt = PROMPTS[number % len(PROMPTS)][0]
    return {"model": "smart", "messages": [{"role": "user", "content": f"{number}: {prompt}"}]}


async def _ask(base_url: str, n: int, at_once: int, seconds: float) -> tuple[list[float], float]:
    """Keep `at_once` requests under way until n were sent; return milliseconds of each, and all."""
    times: list[float] = []
    numbers = count()

    async def worker(client: httpx.AsyncClient, start: float) -> None:
        for number in numbers:
            asked = time.perf_counter()
            if number >= n or asked - start > seconds:
                return
            response = await client.post("/v1/chat/completions", json=_body(number))
            response.raise_for_status()
            times.append((time.perf_counter() - asked) * 1e3)

    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
        limits=httpx.Limits(max_connections=at_once),
        timeout=60,
        trust_env=False,
    ) as client:
        start = time.perf_counter()
        await asyncio.gather(*(worker(client, start) for _ in range(at_once)))
        return times, time.perf_counter() - start


def _show(measured: dict[tuple[int, str], list[tuple[list[float], float]]]) -> None:
    table = Table(
        "at once", "callback", "requests", "p50 (ms)", "p99 (ms)", "requests/s", "relative"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for at_once in dict.fromkeys(key[0] for key in measured):
        rates = {}
        for name in _CALLBACKS:
            rounds = measured[at_once, name]
            times = np.concatenate([one for one, _ in rounds])
            rates[name] = len(times) / sum(spent for _, spent in rounds)
            p50, p99 = np.percentile(times, [50, 99])
            table.add_row(
                *(str(at_once), name, str(len(times)), f"{p50:.1f}", f"{p99:.1f}"),
                *(f"{rates[name]:.1f}", f"{rates[name] / rates['none']:.2f}"),
            )
        table.add_section()
    console = Console()
    console.print(table)
    console.print(
        "One worker each; the provider answers without delay. Proxy, provider and client share "
        "this machine, and an idle proxy waits.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
