"""Real LiteLLM proxies over a fake provider on loopback, asked in turns."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from proxy.database import Database
from proxy.harness import MASTER_KEY, ProxyProcess, deployment, eventually
from proxy.upstream import FakeUpstream
from redis_server import redis_server
from rich.progress import Progress

from litellm_benchrouter.cli.demo import PROMPTS

__all__ = [
    "MODELS",
    "FakeUpstream",
    "Measured",
    "ProxyProcess",
    "Turn",
    "ask_in_turns",
    "body",
    "deployment",
    "eventually",
    "postgres",
    "provider",
    "redis_server",
]

MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b")
"""Of the demo's benchmark, which the proxies route by."""

_TICKS = os.sysconf("SC_CLK_TCK")
_WORDS, _DIMENSION = 4_096, 384
_METHOD, _MODEL = "x-benchrouter-method", "x-litellm-model-id"


@dataclass(frozen=True)
class Turn:
    """What one proxy did in one turn.

    Attributes
    ----------
    times : list of float
        Milliseconds of each request.
    seconds : float
        Of the whole turn.
    cpu : float
        Seconds of processor time that the proxy's process took, user and system.
    methods, models : Counter
        How the hook decided, where it said so, and who answered.
    """

    times: list[float]
    seconds: float
    cpu: float
    methods: Counter[str]
    models: Counter[str]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds of processor time a request."""
        return 1e3 * self.cpu / len(self.times)


Measured = dict[tuple[int, str], list[Turn]]
"""By how many requests were under way at once, and by proxy: one turn a round."""

Body = Callable[[int], dict[str, Any]]
"""The body of the n-th request of a turn."""


def body(number: int) -> dict[str, Any]:
    """Return the n-th request: no two have the same prompt."""
    prompt = PROMPTS[number % len(PROMPTS)][0]
    return {"model": "smart", "messages": [{"role": "user", "content": f"{number}: {prompt}"}]}


def ask_in_turns(
    proxies: Mapping[str, ProxyProcess],
    body: Body,
    *,
    concurrency: Sequence[int],
    rounds: int,
    requests: int,
) -> Measured:
    """Ask all proxies in short turns, there and back (A B C C B A ...), all with the same requests.

    Whatever else the machine does then slows all of them.
    """
    measured: Measured = {}
    with Progress(transient=True) as progress:
        for at_once in concurrency:
            bar = progress.add_task(f"{at_once} at once", total=rounds * len(proxies))
            for proxy in proxies.values():  # connections, and code paths that this load reaches
                asyncio.run(_ask(proxy, body, 2 * at_once, at_once))
            for number in range(rounds):
                for name in tuple(proxies)[:: -1 if number % 2 else 1]:
                    turn = asyncio.run(_ask(proxies[name], body, requests, at_once))
                    measured.setdefault((at_once, name), []).append(turn)
                    progress.advance(bar)
    return measured


async def _ask(proxy: ProxyProcess, body: Body, n: int, at_once: int) -> Turn:
    """Keep `at_once` requests under way until n were sent."""
    times: list[float] = []
    methods: Counter[str] = Counter()
    models: Counter[str] = Counter()
    numbers = count()

    async def worker(client: httpx.AsyncClient) -> None:
        for number in numbers:
            if number >= n:
                return
            asked = time.perf_counter()
            response = await client.post("/v1/chat/completions", json=body(number))
            response.raise_for_status()
            times.append((time.perf_counter() - asked) * 1e3)
            models[response.headers.get(_MODEL, "")] += 1
            if _METHOD in response.headers:
                methods[response.headers[_METHOD]] += 1

    async with httpx.AsyncClient(
        base_url=proxy.base_url,
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
        limits=httpx.Limits(max_connections=at_once),
        timeout=60,
        trust_env=False,
    ) as client:
        cpu, start = _cpu_seconds(proxy.pid), time.perf_counter()
        await asyncio.gather(*(worker(client) for _ in range(at_once)))
        seconds = time.perf_counter() - start
        return Turn(times, seconds, _cpu_seconds(proxy.pid) - cpu, methods, models)


@contextmanager
def postgres() -> Iterator[Database]:
    """Run a PostgreSQL with LiteLLM's tables; the query engine stays where the tests keep it."""
    cache = Path(__file__).parents[2] / ".pytest_cache" / "d" / "query-engine"
    cache.mkdir(parents=True, exist_ok=True)
    with Database(cache) as database:
        yield database


@contextmanager
def provider() -> Iterator[str]:
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
    with FakeUpstream(_embedding()) as upstream:
        pipe.send(upstream.base_url)
        pipe.recv()


def _embedding() -> Callable[[str], list[float]]:
    """Return vectors as long as a small encoder's, near each other for texts that share words."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=_WORDS)
    directions = np.random.default_rng(0).normal(size=(_WORDS, _DIMENSION))

    @cache
    def embed(text: str) -> list[float]:
        vector = (words.transform([text]) @ directions)[0]
        unit: list[float] = (vector / max(np.linalg.norm(vector), 1e-9)).tolist()
        return unit

    return embed


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads."""
    # The second field, the name, is in parentheses and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
