"""The commands of the docs, run as they stand there."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from litellm_benchrouter.cli.demo import copy_files

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if _BLOCK.search(path.read_text(encoding="utf-8"))
]


def examples(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of the page's console blocks, and what it is said to print."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_commands_print_what_the_docs_say(page: Path, tmp_path: Path) -> None:
    copy_files(tmp_path)
    for command, output in examples(page):
        program, *arguments = shlex.split(command)
        assert program == "benchrouter", command
        ended = subprocess.run(
            [sys.executable, "-m", "litellm_benchrouter", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = ended.stdout
        if ended.returncode:
            printed += f"[exit code {ended.returncode}]\n"
        same = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        # What follows the last line that is shown may be anything.
        matches = doctest.OutputChecker().check_output(f"{output.rstrip()}...", printed, same)
        assert matches, f"{command}\n{printed}"


def test_there_are_commands_to_run() -> None:
    assert ROOT / "docs" / "tour.md" in PAGES
