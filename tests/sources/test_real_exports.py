"""The readers against what tools of today wrote: what `real` keeps, and what they write now.

Each folder of `real` has a `program.py`, which runs the tool on invented inputs and writes folders
of results, `stated.json`: the means that the tool itself states, with the folder, the task and the
model of each, and `prompts.json`: what was asked. They are kept for each version, and written anew
where the tool is installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from reading import means, prompts, python_with, run

from litellm_benchrouter.sources import read

REAL = Path(__file__).parent / "real"


class Tool(NamedTuple):
    """The reader, the package that has the tool, and its versions or the dates of its code.

    Without a package, the environment names a checkout of its code, and the Python that runs it.
    """

    kind: str
    package: str
    versions: tuple[str, ...]
    settings: Mapping[str, str] = {}
    within: float = 1e-9  # how exactly the tool states its means
    by_hand: tuple[str, ...] = ()  # versions whose files no program here writes anew


TOOLS = {
    "embedllm": Tool("embedllm", "", ("2025-09",)),
    "langfuse": Tool("langfuse", "langfuse", ("4", "5"), within=5e-4, by_hand=("server-4.16",)),
    "langsmith": Tool("langsmith", "langsmith", ("0.15",), {"LANGSMITH_TRACING": "false"}),
    "llmrouterbench": Tool("llmrouterbench", "", ("2026-01",)),
    "ragas": Tool("ragas", "ragas", ("0.1", "0.4"), {"RAGAS_DO_NOT_TRACK": "true"}),
    "routerarena": Tool("routerarena", "", ("2025-11",)),
    "swebench": Tool("swe-bench", "swebench", ("4", "5")),
}
RUNS = [(name, version) for name, tool in TOOLS.items() for version in tool.versions]
OF_RECORD = RUNS + [(name, version) for name, tool in TOOLS.items() for version in tool.by_hand]


def python_for_code_of(name: str) -> str:
    """Return the Python that runs a tool's code, or skip the test where there is no checkout."""
    variable = name.upper()
    if not os.environ.get(variable):
        pytest.skip(
            f"needs a checkout of {name} (set {variable} to its path, and {variable}_PYTHON to the "
            "path of a Python that has what it imports)"
        )
    return os.environ.get(f"{variable}_PYTHON", sys.executable)


def compare(tool: Tool, folder: Path) -> None:
    """Hold what the reader makes of each folder of results against what the tool states."""
    stated: dict[str, dict[tuple[str, str], float]] = {}
    for results, task, model, mean in json.loads((folder / "stated.json").read_bytes()):
        stated.setdefault(results, {})[task, model] = mean
    asked = json.loads((folder / "prompts.json").read_bytes())
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(stated)
    for results, expected in stated.items():
        table = read(tool.kind, folder / results, {})
        assert means(table) == pytest.approx(expected, abs=tool.within), results
        assert set(prompts(table).values()) == set(asked[results])
    assert len({mean for of_folder in stated.values() for mean in of_folder.values()}) > 1


@pytest.mark.parametrize(("name", "version"), OF_RECORD)
def test_what_is_kept_of_a_tool_is_read_as_it_states(name: str, version: str) -> None:
    compare(TOOLS[name], REAL / name / version)


@pytest.mark.parametrize(("name", "version"), RUNS)
def test_what_the_tool_writes_now_is_read_as_it_states(
    name: str, version: str, tmp_path: Path
) -> None:
    tool = TOOLS[name]
    program = (REAL / name / "program.py").read_text()
    python = python_with(tool.package, version) if tool.package else python_for_code_of(name)
    run(tmp_path, python, "-c", program, **tool.settings)
    compare(tool, tmp_path)
