"""Memory of a proxy's workers with the hook and without it, for one worker and for several.

RSS counts a page in every process that has it; PSS counts it once, divided among those that share
it, so the sum of PSS is what the machine pays. The arrays of a version are mapped from its files,
and so is a large index; a small one is copied into every worker by hnswlib.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from support.proxies import FakeUpstream, ProxyProcess, deployment, eventually

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config

_HOOK = "litellm_benchrouter.hook.handler"
_REQUESTS = 40  # for each worker: so many that each has decided


@click.command()
@click.option("--rows", default=20_000, show_default=True, help="Benchmark samples.")
@click.option("--workers", default=4, show_default=True, help="Compared with one.")
def main(rows: int, workers: int) -> None:
    """Start proxies one after the other and read what the kernel counts."""
    table = Table(
        "workers", "hook", "processes", "PSS (MB)", "RSS (MB)", "PSS a worker", box=SIMPLE
    )
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-memory-")))
        upstream = stack.enter_context(FakeUpstream())
        _write(root, rows)
        config = _config(upstream.base_url)
        (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        version = build(load_config(root / "config.yaml")).folder
        files = {path.name: path.stat().st_size / 1e6 for path in version.rglob("*.*")}
        for hooked in (False, True):
            config["litellm_settings"] = {"callbacks": [_HOOK] if hooked else []}
            for n in (1, workers):
                with ProxyProcess(config, root, workers=n) as proxy:
                    pids = _settled(proxy, n, hooked)
                    pss, rss = (sum(_read(pid, key) for pid in pids) for key in ("Pss", "Rss"))
                table.add_row(
                    *(str(n), "yes" if hooked else "no", str(len(pids))),
                    *(f"{pss:.0f}", f"{rss:.0f}", f"{pss / n:.0f}"),
                )
    console = Console()
    console.print(table)
    index = sum(size for name, size in files.items() if name.startswith("index."))
    mapped = sum(size for name, size in files.items() if name.endswith(".npy"))
    console.print(
        f"The version: {mapped:.1f} MB of mapped arrays and {index:.1f} MB of index.",
        highlight=False,
    )


def _write(folder: Path, rows: int) -> None:
    """Write prompts of random words, each task with words of its own."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(letters[word]) for word in generator.integers(0, 26, (8_000, 6))])
    models = [f"model-{m:02d}" for m in range(10)]
    lines = [",".join(["task", "prompt", *models])]
    for row in range(rows):
        task = row % 20
        text = " ".join(words[(400 * task + generator.integers(0, 600, 20)) % len(words)])
        labels = (generator.random(10) < 0.5 + 0.3 * (np.arange(10) == task % 10)).astype(int)
        lines.append(",".join([f"t{task:02d}", text, *map(str, labels)]))
    (folder / "benchmark.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _config(api_base: str) -> dict[str, Any]:
    return {
        "model_list": [
            deployment("smart", f"model-{m:02d}", api_base, benchrouter_model=f"model-{m:02d}")
            for m in range(10)
        ],
        "benchrouter": {
            "sources": [{"path": "benchmark.csv"}],
            "routing": {"alphas": [0.0], "repeats": 1},
        },
    }


def _settled(proxy: ProxyProcess, workers: int, hooked: bool) -> list[int]:
    """Send requests until every worker must have decided; return the ids of all processes."""

    def ask() -> bool:
        body = {"model": "smart", "messages": [{"role": "user", "content": "what is to be done?"}]}
        # A connection of its own for each: workers take turns by connection.
        headers = {"connection": "close"}
        answer = proxy.http.post("/v1/chat/completions", json=body, headers=headers)
        return not hooked or "x-benchrouter-artifact" in answer.raise_for_status().headers

    eventually(ask, within=120)
    while not all(ask() for _ in range(_REQUESTS * workers)):
        pass
    time.sleep(1)
    return [proxy.pid, *_descendants(proxy.pid)]


def _descendants(pid: int) -> list[int]:
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return [*children, *(each for child in children for each in _descendants(child))]


def _read(pid: int, key: str) -> float:
    """Megabytes of a process, by the kernel's own sum over its mappings."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


if __name__ == "__main__":
    main()
