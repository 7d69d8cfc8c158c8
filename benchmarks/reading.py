"""Seconds and memory that reading a large benchmark takes, each file in a process of its own.

The file is made here: prompts of some 30 random words, scores of 0 and 1. `wide` has a column a
model, `long` a row a sample and model, its prompt repeated in each. What is counted is the most
that the process had resident (the kernel's VmHWM), libraries and the finished benchmark included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.progress import Progress

_BLOCK = 100_000  # samples made at once
_TASKS = 20


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Samples of the file.")
@click.option("--models", default=50, show_default=True, help="Models of the file.")
@click.option("--form", type=click.Choice(["wide", "long"]), default="wide", show_default=True)
@click.option("--ending", type=click.Choice(["parquet", "csv", "jsonl"]), default="parquet")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the file; kept there.")
@click.option("--measure", type=click.Path(path_type=Path), hidden=True)
def main(
    rows: int, models: int, form: str, ending: str, keep: Path | None, measure: Path | None
) -> None:
    """Make a file, read it in a new process, and print what that took."""
    if measure is not None:
        click.echo(json.dumps(_read(measure)))
        return
    with tempfile.TemporaryDirectory(prefix="benchrouter-reading-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{form}-{rows}x{models}.{ending}"
        if not path.exists():
            _write(path, rows, models, form)
        command = [sys.executable, __file__, "--measure", str(path)]
        finished = subprocess.run(command, check=True, capture_output=True, text=True)
        size = path.stat().st_size / 1e6
    found = json.loads(finished.stdout)
    table = Table("file", "size (MB)", "samples x models", "seconds", "peak (GB)", box=SIMPLE)
    shape = f"{found['samples']:,} x {found['models']}"
    table.add_row(
        *(path.name, f"{size:,.0f}", shape),
        *(f"{found['seconds']:.1f}", f"{found['peak_gb']:.2f}"),
    )
    Console().print(table)


def _write(path: Path, rows: int, models: int, form: str) -> None:
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(letters[word]) for word in generator.integers(0, 26, (8_000, 6))])
    names = [f"model-{m:02d}" for m in range(models)]
    blocks = []
    for start in range(0, rows, _BLOCK):
        n = min(_BLOCK, rows - start)
        drawn = generator.integers(0, len(words), (n, 30))
        task = generator.integers(0, _TASKS, n)
        labels = generator.random((n, models)) < 0.5
        blocks.append(
            pl.DataFrame(
                {
                    "sample_id": [f"sample-{start + row:07d}" for row in range(n)],
                    "task": [f"task-{d:02d}" for d in task],
                    "prompt": [" ".join(words[row]) for row in drawn],
                    **{name: labels[:, m].astype(np.int8) for m, name in enumerate(names)},
                }
            )
        )
    frame = pl.concat(blocks)
    if form == "long":
        samples = frame.columns[:3]
        lazy = pl.concat(
            block.unpivot(names, index=samples, variable_name="model", value_name="score")
            .sort("sample_id", maintain_order=True)
            .lazy()
            for block in frame.iter_slices(_BLOCK // 10)
        )
    else:
        lazy = frame.lazy()
    sinks = {".parquet": lazy.sink_parquet, ".csv": lazy.sink_csv, ".jsonl": lazy.sink_ndjson}
    sinks[path.suffix](path)


def _read(path: Path) -> dict[str, float]:
    config = BenchRouterConfig.model_validate({"sources": [{"path": str(path)}]})
    start = time.perf_counter()
    benchmark, _ = load_benchmark(config, Progress())
    seconds = time.perf_counter() - start
    [peak] = [
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return {
        "seconds": seconds,
        "peak_gb": peak * 1024 / 1e9,
        "samples": len(benchmark),
        "models": len(benchmark.models),
    }


if __name__ == "__main__":
    main()
