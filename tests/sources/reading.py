"""What the readers' tests share: means of a table, copies of output to damage, tools to run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from litellm_benchrouter.sources.record import SourceTable


def means(table: SourceTable, column: str = "score") -> dict[tuple[str, str], float]:
    """Mean of a column over the samples that have it, by task and model; no entry where none."""
    rows = table.scores.join(table.samples, on="sample_id").drop_nulls(column)
    grouped = rows.group_by("task", "model").agg(pl.col(column).mean())
    return {(task, model): mean for task, model, mean in grouped.iter_rows()}


def by_sample(table: SourceTable, model: str, column: str = "score") -> dict[str, Any]:
    """The values of a model by sample id."""
    rows = table.scores.filter(model=model)
    return dict(zip(rows["sample_id"], rows[column], strict=True))


def prompts(table: SourceTable) -> dict[str, str]:
    """The prompts by sample id."""
    return dict(zip(table.samples["sample_id"], table.samples["prompt"], strict=True))


def copied(source: Path, target: Path, keep: Callable[[Path], bool] = lambda _: True) -> Path:
    """Copy the contents of files, not their modes: the originals may be read-only."""
    for file in sorted(source.rglob("*")):
        if file.is_file() and keep(file):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return target


def tool(name: str, install: str) -> str:
    """Return the path of a command, or skip the test."""
    command = shutil.which(name)
    if command is None:
        pytest.skip(f"needs {name} on the PATH ({install})")
    return command


def run(folder: Path, *command: str, expected: int = 0, **settings: str) -> None:
    """Run a command in a folder, with settings added to the environment."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == expected, ran.stdout + ran.stderr


def written_by(name: str, folder: Path, program: str, **settings: str) -> None:
    """Run a program on the Python that a tool's command belongs to, or skip the test."""
    python = Path(tool(name, f"pip install {name}")).with_name("python")
    run(folder, str(python), "-c", program, **settings)


def python_with(package: str, version: str = "") -> str:
    """Return the first Python on the PATH that has a package, in a version if one is named, or
    skip the test.

    For tools without a command of their own: their environment's `bin` is on the PATH.
    """
    name = f"{package}-{version}.*" if version else f"{package}-*."
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        installed = folder.parent.glob(f"lib/python3*/site-packages/{name}dist-info")
        if (folder / "python").exists() and any(installed):
            return str(folder / "python")
    pytest.skip(
        f"needs {f'{package} {version}'.strip()} beside a Python on the PATH "
        "(tests/sources/real/README.md)"
    )
