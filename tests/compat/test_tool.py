"""`tools/compat.py`, as far as it can be run without installing anything."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("compat_tool", ROOT / "tools" / "compat.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compat_tool", module)  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_the_oldest_release_is_that_of_pyproject_and_the_docs_have_it(tool: ModuleType) -> None:
    docs = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert f"`litellm>={tool.oldest()}`" in docs
    assert f"\n| {tool.oldest()}." in docs


def test_a_row_counts_what_passed_and_names_what_failed(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "def test_left_out(): pytest.skip('why')\n"
    )
    row = tool.tested(tool.Row("litellm"), Path(sys.executable), [str(tmp_path / "test_x.py")])
    assert (row.passed, row.skipped, row.problem) == (1, 1, "")
    assert [name.rpartition("::")[2] for name in row.failed] == ["test_bad"]
    assert row.litellm == version("litellm")


def test_tests_that_cannot_be_run_are_a_problem(tool: ModuleType) -> None:
    row = tool.tested(tool.Row("litellm"), Path(sys.executable), ["tests/no_such_folder"])
    assert (row.passed, row.failed) == (0, [])
    assert row.problem
