"""JSONL is read some rows after the other, whatever its values turn out to be further on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources import frames
from litellm_benchrouter.sources.frames import read_frame
from litellm_benchrouter.sources.table import read

BATCH = 100
N = 1_000


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH", BATCH)


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def long_rows() -> list[dict[str, Any]]:
    return [
        {"sample_id": f"s{i // 2}", "task": "t", "prompt": f"p{i // 2}", "model": "ab"[i % 2]}
        | {"score": (i % 7) / 8}
        for i in range(N)
    ]


def wide_rows() -> list[dict[str, Any]]:
    return [{"task": "t", "prompt": f"p{i}", "a": (i % 5) / 4, "b": (i % 7) / 8} for i in range(N)]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (0.5, 0.5),
        (True, 1.0),
        ("0.5", 0.5),
        (float("nan"), None),
        ([1], None),
        ({"a": 1}, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("is_wide", [False, True])
def test_a_value_of_another_type_in_the_last_line_changes_no_other(
    tmp_path: Path, is_wide: bool, last: object, expected: float | None
) -> None:
    rows = wide_rows() if is_wide else long_rows()
    rows[-1]["b" if is_wide else "score"] = last
    table = read(written(tmp_path / "x.jsonl", rows))
    scores = {(row["model"], row["sample_id"]): row["score"] for row in table.scores.to_dicts()}
    by_prompt = dict(zip(table.samples["prompt"], table.samples["sample_id"], strict=True))
    for row in rows[:-1]:
        models = "ab" if is_wide else row["model"]
        for model in models:
            stated = row[model] if is_wide else row["score"]
            assert scores[model, by_prompt[row["prompt"]]] == stated
    assert scores.get(("b", by_prompt[rows[-1]["prompt"]])) == expected
    is_refused = expected is None and last is not None
    assert table.dropped.get("scores that are not numbers", 0) == is_refused
    assert table.dropped.get("empty scores", 0) == (last is None)


def test_columns_that_come_late_and_numbers_for_names_are_read(tmp_path: Path) -> None:
    rows = long_rows()
    for i, row in enumerate(rows):
        row["model"] = 7 if i % 2 else "a"
        if i > 900:
            row["cost_usd"] = 0.25
    table = read(written(tmp_path / "x.jsonl", rows))
    assert sorted(table.scores["model"].unique()) == ["7", "a"]
    assert table.scores["cost_usd"].count() == 99


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"task": "t", "prompt"', "line 801 is not JSON"),
        ("[1]", "line 801 is not an object"),
    ],
)
@pytest.mark.parametrize("make", [long_rows, wide_rows])
def test_a_fault_far_into_the_file_is_counted_by_its_line(
    tmp_path: Path, make: Any, line: str, says: str
) -> None:
    path = written(tmp_path / "x.jsonl", make())
    lines = path.read_text().splitlines()
    lines[800] = line
    path.write_text("\n".join(lines))
    [fault] = [words for words in read(path).dropped if words.startswith("file x.jsonl")]
    assert says in fault
    with pytest.raises(SourceError, match=says):
        read_frame(path)


def test_blank_lines_and_a_byte_order_mark_count_as_lines_and_are_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", long_rows())
    plain = read(path).scores
    path.write_text("\n \r\n" + path.read_text().replace("\n", "\n\n"), encoding="utf-8")
    assert read(path).scores.equals(plain)
    path.write_text("\ufeff" + path.read_text().lstrip(), encoding="utf-8")
    assert read(path).scores.equals(plain)
