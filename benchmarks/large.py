"""A benchmark of a million samples: what it costs to build, to open and to ask.

Each step runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from support.vectors import PreparedVectors, benchmark_config, synthetic
from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.paper.neighbors import nearest
from litellm_benchrouter.progress import bars
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.versions import Versions

_QUERIES, _EXACT = 2_000, 200
_BARS = {"open": 2.0, "p50": 1.0, "p99": 3.0, "recall": 0.95}


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--dimension", default=384, show_default=True)
@click.option("--models", "n_models", default=50, show_default=True)
@click.option("--workers", default=4, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False))
def main(rows: int, dimension: int, n_models: int, workers: int, json_path: Path | None) -> None:
    """Build, open, ask, and share among workers."""
    found: dict[str, Any] = {"rows": rows, "dimension": dimension, "models": n_models}
    with tempfile.TemporaryDirectory(prefix="benchrouter-large-") as name:
        folder = Path(name)
        found["write"] = _apart(_write, folder, rows, rows, dimension, n_models)
        found["build"] = _apart(_build, folder)
        found["size_mb"] = _sizes(_served(folder))
        found["one"] = _apart(_ask, folder)
        found["shared"] = _shared(folder, workers)
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _show(found, workers)


def _apart(step: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """Run a step in a new process; return what it found, its seconds and its largest memory."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_step, args=(queue, step, arguments))
    process.start()
    while True:
        try:
            found: dict[str, Any] = queue.get(timeout=1)
            break
        except Exception:
            if not process.is_alive():
                raise click.ClickException(f"{step.__name__} failed") from None
    process.join()
    return found


def _step(queue: Any, step: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    started = time.perf_counter()
    found = step(*arguments)
    found["seconds"] = time.perf_counter() - started
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["private_peak_mb"] = found.pop("private", None)
    queue.put(found)


def _write(folder: Path, n: int, of: int, dimension: int, n_models: int) -> dict[str, Any]:
    """Write the first n rows of a benchmark whose models differ by cluster."""
    generator = np.random.default_rng(2)
    vectors, cluster = synthetic(of, dimension)
    skill = 0.2 + 0.6 * generator.random((int(cluster.max()) + 1, n_models), dtype=np.float32)
    labels = np.empty((of, n_models), dtype=np.int8)
    for start in range(0, of, 50_000):
        chance = skill[cluster[start : start + 50_000]]
        drawn = generator.random(chance.shape, dtype=np.float32)
        labels[start : start + 50_000] = drawn < chance
    tasks = [f"task-{c % 50:02d}" for c in cluster[:n]]
    benchmark_config(folder, vectors[:n], labels[:n], tasks=tasks)
    # Prompts like the rows, whose vectors are not in the index.
    asked = vectors[generator.integers(of, size=_QUERIES)]
    asked = asked + 0.03 * generator.normal(size=asked.shape)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    np.save(folder / "asked.npy", asked.astype(np.float32))
    return {}


def _config(folder: Path) -> BenchRouterConfig:
    from litellm_benchrouter.config import parse_config

    block = {
        "sources": [{"path": "benchmark.parquet", "embeddings": "vectors.npy"}],
        "embedder": {"kind": "precomputed"},
        "index": {"min_recall": _BARS["recall"]},
    }
    return parse_config(block, folder=folder)


def _build(folder: Path) -> dict[str, Any]:
    with bars() as progress:
        built = build(_config(folder), progress=progress, force=True)
        return {
            "stages": {name: round(seconds, 2) for name, seconds in progress.seconds.items()},
            "index": built.manifest.index,
            "counts": built.manifest.counts,
            "unchanged": built.unchanged,
        }


def _served(folder: Path) -> Path:
    versions = Versions(folder / "router_artifacts")
    version = versions.current()
    assert version is not None
    return versions.folder(version)


def _sizes(version: Path) -> dict[str, float]:
    return {path.name: path.stat().st_size / 1e6 for path in sorted(version.glob("*.*"))}


def _ask(folder: Path) -> dict[str, Any]:
    """Open the version as a proxy does, and take decisions without the embedding."""
    version, asked = _served(folder), np.load(folder / "asked.npy")
    started = time.perf_counter()
    artifact = read_artifact(version)
    router = BenchRouter(artifact)
    router.prepare(list(router.models), None)
    opened = time.perf_counter() - started
    from dataclasses import replace

    with threadpool_limits(limits=1):
        router = BenchRouter(replace(artifact, embedder=PreparedVectors(asked)))
        milliseconds = np.empty(_QUERIES)
        for _ in range(2):  # the first round brings pages into memory
            for i in range(_QUERIES):
                start = time.perf_counter()
                decision = router.decide("a prompt")
                milliseconds[i] = 1e3 * (time.perf_counter() - start)
    exact = nearest(asked[:_EXACT], artifact.embeddings, 20)
    listed = artifact.index.search(asked[:_EXACT], 20)
    pairs = zip(exact.index, listed.index, strict=True)
    hits = [len(set(one.tolist()) & set(other.tolist())) for one, other in pairs]
    return {
        "open": opened,
        "p50": float(np.percentile(milliseconds, 50)),
        "p99": float(np.percentile(milliseconds, 99)),
        "recall": float(np.mean(hits)) / 20,
        "method": decision.method,
    }


def _shared(folder: Path, workers: int) -> dict[str, list[float]]:
    """Read the PSS of one process that serves, and of several together, in MB."""
    context = multiprocessing.get_context("spawn")
    pss = {}
    for n in (1, workers):
        barrier, ended, queue = context.Barrier(n + 1), context.Event(), context.Queue()
        started = [
            context.Process(target=_serve, args=(folder, barrier, ended, queue)) for _ in range(n)
        ]
        for process in started:
            process.start()
        barrier.wait(timeout=300)
        pss[str(n)] = [_pss(process.pid or 0) for process in started]
        ended.set()
        for process in started:
            process.join()
    return pss


def _serve(folder: Path, barrier: Any, ended: Any, queue: Any) -> None:
    from dataclasses import replace

    artifact = read_artifact(_served(folder))
    router = BenchRouter(replace(artifact, embedder=PreparedVectors(np.load(folder / "asked.npy"))))
    for _ in range(_QUERIES):
        router.decide("a prompt")
    barrier.wait(timeout=300)
    ended.wait(timeout=300)


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise KeyError("Pss")


def _show(found: dict[str, Any], workers: int) -> None:
    console = Console(highlight=False)
    console.print(
        f"{found['rows']:,} x {found['dimension']}, {found['models']} models; index "
        f"{found['build']['index']}"
    )
    table, build = Table("stage", "seconds"), found["build"]
    table.columns[1].justify = "right"
    for stage, seconds in build["stages"].items():
        table.add_row(stage, f"{seconds:.1f}")
    table.add_row("all", f"{build['seconds']:.1f}")
    table.add_row("largest memory, MB", f"{build['peak_mb']:.0f}")
    console.print(table)
    sizes = found["size_mb"]
    console.print("Files, MB: " + ", ".join(f"{k} {v:.0f}" for k, v in sizes.items() if v >= 1))
    one = found["one"]
    for name, unit in (("open", "s"), ("p50", "ms"), ("p99", "ms"), ("recall", "")):
        bar = _BARS[name]
        met = one[name] >= bar if name == "recall" else one[name] <= bar
        console.print(f"{name}: {one[name]:.3f} {unit} (bar {bar:g}): {'met' if met else 'MISSED'}")
    alone, several = found["shared"]["1"], found["shared"][str(workers)]
    console.print(
        f"Memory (PSS): one process {sum(alone):.0f} MB, {workers} together {sum(several):.0f} MB"
    )


if __name__ == "__main__":
    main()
