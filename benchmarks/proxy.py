"""Latency and throughput of the real LiteLLM proxy with the hook and without it, in one run.

Four proxies serve the same deployments of a fake provider on loopback: one without a callback, one
with a callback that does nothing, which shows what LiteLLM itself spends on having one, one with
the hook, and one with the hook that keeps every prompt. They are asked in short turns, there and
back (A B C D D C B A ...), and compared within each round, so that whatever else the machine does
slows all of them. And they are started several times: of the same proxy, two processes differ by
some percent for as long as they live. The processor time of a proxy's process, which says how many
requests a core can serve, is disturbed less than the clock.

With `--feedback` the last of them explores half of the requests instead, and notes all of them in a
PostgreSQL, which LiteLLM itself is not told of.

With `--stickiness` the requests are the turns of eight conversations, which the hook keeps with
their models: by its worker's own memory, or by a Redis that all proxies have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from support.proxies import (
    MODELS,
    Measured,
    ProxyProcess,
    ask_in_turns,
    body,
    deployment,
    eventually,
    postgres,
    provider,
    redis_server,
)
from support.timing import spread

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config

_HOOK = "litellm_benchrouter.hook.handler"
_COLLECTING, _FEEDBACK = "the hook, collecting", "the hook, with feedback"
_CALLBACKS = {"none": None, "empty": "empty.handler", "the hook": _HOOK}
_EMPTY = """
from litellm.integrations.custom_logger import CustomLogger

handler = CustomLogger()
"""
_WARM_UP = 100
_CONVERSATIONS = 8


@click.command()
@click.option("--stickiness", type=click.Choice(("none", "worker", "redis")), default="none")
@click.option("--feedback", is_flag=True, help="Note calls in PostgreSQL, in place of collecting.")
@click.option("--concurrency", multiple=True, type=int, default=(1, 8, 32), show_default=True)
@click.option("--starts", default=4, show_default=True, help="Of every proxy.")
@click.option("--rounds", default=8, show_default=True, help="Turns of each proxy and start.")
@click.option("--requests", default=64, show_default=True, help="Of each proxy and round.")
def main(
    stickiness: str,
    feedback: bool,
    concurrency: tuple[int, ...],
    starts: int,
    rounds: int,
    requests: int,
) -> None:
    """Ask all proxies, with several requests at once, and compare them."""
    Console().print(f"LiteLLM {version('litellm')}; stickiness: {stickiness}", highlight=False)
    more = _FEEDBACK if feedback else _COLLECTING
    measured: Measured = {}
    for _ in range(starts):
        for key, turns in _measure(stickiness, more, concurrency, rounds, requests).items():
            measured.setdefault(key, []).extend(turns)
    _show(measured, more)


def _measure(
    stickiness: str, more: str, concurrency: tuple[int, ...], rounds: int, requests: int
) -> Measured:
    """Start the proxies, and ask them."""
    asked = body if stickiness == "none" else _turn
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-proxy-")))
        api_base = stack.enter_context(provider())
        env = {}
        if stickiness == "redis":
            env["REDIS_URL"] = stack.enter_context(redis_server()).url
        traffic = {_COLLECTING: {"collect": {"share": 1.0}}}
        if more == _FEEDBACK:
            url = stack.enter_context(postgres()).environment["DATABASE_URL"]
            traffic = {more: {"collect": {}, "feedback": {}, "explore": 0.5, "database_url": url}}
        folders = {name: root / name.replace(" ", "-") for name in (*_CALLBACKS, more)}
        proxies = {
            name: stack.enter_context(
                _proxy(folder, api_base, name, stickiness, traffic.get(name), env)
            )
            for name, folder in folders.items()
        }
        return ask_in_turns(
            proxies, asked, concurrency=concurrency, rounds=rounds, requests=requests
        )


@contextmanager
def _proxy(
    folder: Path,
    api_base: str,
    name: str,
    stickiness: str,
    traffic: dict[str, Any] | None,
    env: dict[str, str],
) -> Iterator[ProxyProcess]:
    callback = _CALLBACKS.get(name, _HOOK)
    folder.mkdir()
    copy_files(folder)
    (folder / "empty.py").write_text(_EMPTY, encoding="utf-8")
    config: dict[str, Any] = {
        "model_list": [
            deployment("smart", model, api_base, benchrouter_model=model) for model in MODELS
        ],
        "benchrouter": {"sources": [{"path": "benchmark.csv"}]},
    }
    if traffic is not None:
        config["benchrouter"]["traffic"] = traffic
    if stickiness != "none":
        config["benchrouter"]["serving"] = {"stickiness": "session"}
    if callback is not None:
        config["litellm_settings"] = {"callbacks": [callback]}
    proxy = ProxyProcess(config, folder, env=env)
    build(load_config(folder / "config.yaml"))
    with proxy:
        for _ in range(_WARM_UP):
            _one(proxy)
        if callback == _HOOK:
            eventually(lambda: "x-benchrouter-artifact" in _one(proxy))
            if stickiness != "none":
                eventually(lambda: f"; memory: {stickiness}\n" in proxy.log)
        yield proxy


def _turn(number: int) -> dict[str, Any]:
    """Return the n-th request: a turn of one of the conversations, which grow in turn."""
    conversation, turns = number % _CONVERSATIONS, number // _CONVERSATIONS
    request = body(conversation)
    for _ in range(turns):
        request["messages"] += [
            {"role": "assistant", "content": "Done; shall I go on?"},
            {"role": "user", "content": "yes"},
        ]
    return request | {"metadata": {"session_id": f"conversation-{conversation}"}}


def _one(proxy: ProxyProcess) -> httpx.Headers:
    return proxy.http.post("/v1/chat/completions", json=body(0)).raise_for_status().headers


def _show(measured: Measured, more: str) -> None:
    table = Table(
        *("at once", "callback", "p50 (ms)", "added (ms)", "p99 (ms)", "requests/s", "relative"),
        *("CPU (ms)", "relative"),
        box=SIMPLE,
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for at_once in dict.fromkeys(key[0] for key in measured):
        bare = measured[at_once, "none"]
        for name in (*_CALLBACKS, more):
            turns = measured[at_once, name]
            pairs = list(zip(turns, bare, strict=True))
            times = np.concatenate([turn.times for turn in turns])
            p50, p99 = np.percentile(times, [50, 99])
            added = [
                np.median(a.times) - np.median(b.times) for a, b in zip(turns, bare, strict=True)
            ]
            rate = len(times) / sum(turn.seconds for turn in turns)
            cost = 1e3 * sum(turn.cpu for turn in turns) / len(times)
            table.add_row(
                *(str(at_once), name, f"{p50:.1f}", f"{np.median(added):.2f}", f"{p99:.1f}"),
                f"{rate:.1f}",
                _relative([a.rate / b.rate for a, b in pairs]),
                f"{cost:.2f}",
                _relative([a.cost / b.cost for a, b in pairs]),
            )
        table.add_section()
    console = Console()
    console.print(table)
    for at_once in dict.fromkeys(key[0] for key in measured):
        pairs = list(zip(measured[at_once, more], measured[at_once, "the hook"], strict=True))
        console.print(
            f"{more.capitalize()}, beside the hook alone, {at_once} at once: requests/s "
            f"{_relative([a.rate / b.rate for a, b in pairs])}, CPU "
            f"{_relative([a.cost / b.cost for a, b in pairs])}.",
            highlight=False,
        )
    console.print(
        "Relative: to the proxy without a callback, the median over the rounds ± half of the width "
        "of their middle half; added: likewise, to its p50. CPU: of the proxy's process, for one "
        "request. One worker each; the provider answers without delay. Proxy, provider and client "
        "share this machine.",
        highlight=False,
    )


def _relative(ratios: list[float]) -> str:
    middle, half = spread(ratios)
    return f"{middle:.3f} ±{half:.2f}"


if __name__ == "__main__":
    main()
