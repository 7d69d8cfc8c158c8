"""Where the hook's time goes: each of its steps between the requests of a proxy, and alone.

The same requests are decided in a real LiteLLM proxy that answers several at once, and by the hook
alone, one after the other. Between two decisions a proxy runs some ten milliseconds of its own
code, so that nothing of ours is in the processor's caches any more: a step there costs what its
code and data take to come from memory, which the same step in a loop never shows. The clock also
counts what other threads of the proxy took meanwhile, most of all where hnswlib lets them go on.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import support.one_thread
import support.timed_hook
from peers_run.our_hook import by_the_hook
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
from support.timed_hook import FILE, medians
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter

_INDENT = {"decision": 1, "embedding": 2, "search": 2, "estimate": 2, "weighing": 2}
_ORDER = ("ranking", *_INDENT, "noting who is asked", "headers")


@click.command()
@click.option("--concurrency", default=8, show_default=True)
@click.option("--requests", default=2_000, show_default=True)
def main(concurrency: int, requests: int) -> None:
    """Time the steps of the hook in a proxy, and alone."""
    with tempfile.TemporaryDirectory(prefix="benchrouter-profile-") as folder:
        root = Path(folder)
        config = _prepared(root)
        artifact = read_artifact(build(load_config(root / "config.yaml")).folder)
        with provider() as api_base:
            config["model_list"] = [
                deployment("smart", model, api_base, benchrouter_model=model) for model in MODELS
            ]
            there = _in_a_proxy(config, root, concurrency, requests)
    with threadpool_limits(limits=1), by_the_hook(BenchRouter(artifact)) as ask:
        for number in range(requests):
            ask(body(number)["messages"][0]["content"])
    _show(there, medians())


def _prepared(root: Path) -> dict[str, Any]:
    copy_files(root)
    shutil.copy(support.timed_hook.__file__, root)
    config = {
        "benchrouter": {
            "sources": [{"path": "benchmark.csv"}],
        },
        "litellm_settings": {"callbacks": ["timed_hook.handler"]},
    }
    (root / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return config


def _in_a_proxy(
    config: dict[str, Any], root: Path, concurrency: int, requests: int
) -> dict[str, float]:
    times = root / "times.json"
    with ProxyProcess(config, root, env={FILE: str(times)}) as proxy:

        def decides() -> bool:
            response = proxy.http.post("/v1/chat/completions", json=body(0))
            return "x-benchrouter-artifact" in response.raise_for_status().headers

        eventually(decides)
        ask_in_turns({"hook": proxy}, body, concurrency=(concurrency,), rounds=1, requests=requests)
    return dict(json.loads(times.read_text(encoding="utf-8")))


def _show(there: dict[str, float], alone: dict[str, float]) -> None:
    table = Table("step", "in the proxy (ms)", "alone (ms)", "ratio", box=SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for step in _ORDER:
        here = alone.get(step, np.nan)
        known = not np.isnan(here)
        table.add_row(
            "  " * _INDENT.get(step, 0) + step,
            f"{there[step]:.3f}",
            f"{here:.3f}" if known else "",
            f"{there[step] / here:.1f}" if known else "",
        )
    console = Console()
    console.print(table)
    console.print(
        f"Medians. Load average {os.getloadavg()[0]:.1f}. An indented step is part of the one "
        "above it that is less indented.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
