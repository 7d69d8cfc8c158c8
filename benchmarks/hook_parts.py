"""What each part of the hook costs a busy proxy: one proxy, with parts of the hook switched off.

Two processes of the same proxy differ by some percent for as long as they live, as much as what is
looked for here. So it is one proxy that is asked in short turns, and between them a switch is
thrown. The processor time is that of all threads of the proxy's process, as the kernel counts it in
nanoseconds; a process that decides is not in it.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np
import support.one_thread  # before litellm
import support.switched_hook
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from support.proxies import (
    MODELS,
    ProxyProcess,
    ask_in_turns,
    body,
    deployment,
    eventually,
    provider,
)
from support.switched_hook import OFF, PORT, STATES, read_at_random
from support.timing import elapsed_ms, spread

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config

_HOST = "127.0.0.1"

Measured = dict[str, list[tuple[float, float]]]
"""By state of the switch: milliseconds of the processor a request, and requests a second."""


@click.command()
@click.option("--concurrency", default=8, show_default=True)
@click.option("--starts", default=3, show_default=True, help="Of the proxy.")
@click.option("--rounds", default=20, show_default=True, help="Turns of each state and start.")
@click.option("--requests", default=64, show_default=True, help="Of each turn.")
def main(concurrency: int, starts: int, rounds: int, requests: int) -> None:
    """Ask a proxy with parts of the hook, and compare."""
    measured: Measured = defaultdict(list)
    for _ in range(starts):
        with _proxy() as (proxy, switch):
            for number in range(rounds):
                for state in list(STATES)[:: -1 if number % 2 else 1]:
                    switch.send(state.encode())
                    switch.recv(64)
                    measured[state].append(_turn(proxy, concurrency, requests))
    _show(measured)
    reading = [elapsed_ms(partial(read_at_random, number)) for number in range(200)]
    Console().print(f"To read 1 MB at random: {np.median(reading):.2f} ms alone.", highlight=False)


@contextmanager
def _proxy() -> Iterator[tuple[ProxyProcess, socket.socket]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-parts-")))
        api_base = stack.enter_context(provider())
        copy_files(folder)
        shutil.copy(support.switched_hook.__file__, folder)
        config = {
            "model_list": [
                deployment("smart", model, api_base, benchrouter_model=model) for model in MODELS
            ],
            "benchrouter": {
                "sources": [{"path": "benchmark.csv"}],
                "serving": {"decide_in": "process", "log_level": "info"},
            },
            "litellm_settings": {"callbacks": ["switched_hook.handler"]},
        }
        port = folder / "port"
        proxy = ProxyProcess(config, folder, env={PORT: str(port)})
        build(load_config(folder / "config.yaml"))
        stack.enter_context(proxy)

        def decides() -> bool:
            proxy.http.post("/v1/chat/completions", json=body(0)).raise_for_status()
            return " decides\n" in proxy.log

        eventually(decides)
        _turn(proxy, 8, 256)
        switch = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        switch.connect((_HOST, int(port.read_text(encoding="utf-8"))))
        yield proxy, switch


def _turn(proxy: ProxyProcess, concurrency: int, requests: int) -> tuple[float, float]:
    """Ask; return milliseconds of the processor a request, and requests a second."""
    before = _nanoseconds(proxy.pid)
    measured = ask_in_turns(
        {"": proxy}, body, concurrency=(concurrency,), rounds=1, requests=requests
    )
    asked = requests + 2 * concurrency  # those that warm up the connections
    spent = (_nanoseconds(proxy.pid) - before) / asked / 1e6
    return spent, measured[concurrency, ""][0].rate


def _nanoseconds(pid: int) -> int:
    """Return what the threads of a process have had of the processor."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
        except OSError:  # it has ended
            continue
    return total


def _show(measured: Measured) -> None:
    table = Table("", "CPU (ms)", "relative", "requests/s", "relative", box=SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    off = np.array(measured[OFF])
    for state, name in STATES.items():
        turns = np.array(measured[state])
        (cpu, rate), relative = np.median(turns, axis=0), turns / off
        table.add_row(
            name, f"{cpu:.2f}", _relative(relative[:, 0]), f"{rate:.0f}", _relative(relative[:, 1])
        )
    console = Console()
    console.print(table)
    console.print(
        "Medians. Relative: to the same proxy with the hook switched off, within each round; "
        "± half of the width of the middle half, over the square root of the rounds.",
        highlight=False,
    )


def _relative(ratios: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    middle, half = spread(list(ratios))
    return f"{middle:.3f} ±{half / len(ratios) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
