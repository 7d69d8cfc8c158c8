"""Excel's .xlsx files, written by XlsxWriter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.table import read

xlsxwriter = pytest.importorskip("xlsxwriter", reason="needs xlsxwriter, which `.[test]` brings")
pytest.importorskip("fastexcel", reason="needs fastexcel, which the extra `excel` brings")

HEAD = ("id", "task", "prompt", "ant", "bee")


def written(path: Path, **sheets: Sequence[Sequence[object]]) -> Path:
    """Write rows to sheets; a row without cells stays empty."""
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def test_cells_are_read_as_a_csv_would_be(tmp_path: Path) -> None:
    rows = [HEAD, (1, "t", "p", 1, 0.25), (2, "t", "q", 0, "N/A"), (), (3, "t", "a\nb", 1, "PASS")]
    path = written(tmp_path / "results.xlsx", Results=rows, Empty=())
    table = read(path, models=["ant", "bee"], words={"pass": 1})
    assert table.samples["prompt"].to_list() == ["p", "q", "a\nb"]
    scores = table.results.with_columns(pl.col("model").cast(pl.String)).sort("model", "row")
    assert scores.select("model", "score").rows() == [
        *[("ant", 1), ("ant", 0), ("ant", 1)],
        *[("bee", 0.25), ("bee", 1)],
    ]
    assert table.dropped["scores that are not numbers"] == 1
    long = [("task", "prompt", "model", "score"), ("t", "p", "ant", 1), ("t", "p", "bee", 0)]
    results = read(written(tmp_path / "long.xlsx", A=long)).results
    assert results["score"].to_list() == [1, 0]


def test_of_several_sheets_one_is_named(tmp_path: Path) -> None:
    rows = [HEAD, (1, "t", "p", 1, 0), (2, "t", "q", 0, 1)]
    path = written(tmp_path / "a.xlsx", May=rows, June=[*rows, (3, "t", "r", 1, 1)], Notes=[("x",)])
    with pytest.raises(SourceError, match=r"sheets 'May', 'June'. Name one with .*sheet: May"):
        read(path)
    assert read(path, sheet="June").samples.height == 3
    with pytest.raises(SourceError, match="no sheet 'july'; it has 'May', 'June', 'Notes'"):
        read(path, sheet="july")


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    twice = [("task", "prompt", "ant", "ant"), ("t", "p", 1, 0)]
    with pytest.raises(SourceError, match='the column "ant" twice'):
        read(written(tmp_path / "a.xlsx", A=twice))
    with pytest.raises(SourceError, match="holds no rows"):
        read(written(tmp_path / "none.xlsx", A=()))
    unnamed = [("task", "prompt", "ant", "bee", ""), ("t", "p", 1, 0, 7)]
    assert set(read(written(tmp_path / "b.xlsx", A=unnamed)).results["model"]) == {"ant", "bee"}
    (tmp_path / "c.xlsx").write_text("no workbook")
    with pytest.raises(SourceError, match=r"c\.xlsx cannot be read as Excel"):
        read(tmp_path / "c.xlsx")


def test_without_its_library_a_file_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.xlsx", A=[HEAD, (1, "t", "p", 1, 0)])
    monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
    with pytest.raises(SourceError, match=r'pip install "litellm-benchrouter\[excel\]"'):
        read(path)
