"""`tools/compat.py`, as far as it can be run without installing anything."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

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


def test_what_pyproject_allows_is_what_was_tested_and_the_docs_have_it(tool: ModuleType) -> None:
    docs = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    oldest, newest = (Version(release) for release in (tool.TESTED[0], tool.TESTED[-1]))
    allowed = f"litellm>={oldest.major}.{oldest.minor},<{newest.major}.{newest.minor + 1}"

    dependencies = tool.PROJECT["dependencies"] + tool.PROJECT["optional-dependencies"]["proxy"]
    assert [text.replace("[proxy]", "") for text in dependencies if text.startswith("litellm")] == [
        allowed
    ] * 2
    assert f"`{allowed}`" in docs
    assert all(f"\n| {release} |" in docs for release in tool.TESTED)
    assert all((ROOT / path).exists() for path in tool.TESTS)


def test_the_pythons_that_are_declared_are_those_that_pip_is_told(tool: ModuleType) -> None:
    declared = [
        text.rpartition(".")[2]
        for text in tool.PROJECT["classifiers"]
        if text.startswith("Programming Language :: Python :: 3.")
    ]
    first, last = int(declared[0]), int(declared[-1])
    assert declared == [str(minor) for minor in range(first, last + 1)]
    assert tool.PROJECT["requires-python"] == f">=3.{first},<3.{last + 1}"


def test_a_row_counts_what_passed_and_names_what_failed(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "def test_left_out(): pytest.skip('why')\n"
    )
    row = tool.tested(tool.Row("?"), Path(sys.executable), [str(tmp_path / "test_x.py")])
    assert (row.passed, row.skipped, row.problem) == (1, 1, "")
    assert [name.rpartition("::")[2] for name in row.failed] == ["test_bad"]
    assert row.litellm == version("litellm")


def test_tests_that_cannot_be_run_are_a_problem(tool: ModuleType) -> None:
    row = tool.tested(tool.Row("?"), Path(sys.executable), ["tests/no_such_folder"])
    assert (row.passed, row.failed) == (0, [])
    assert row.problem
