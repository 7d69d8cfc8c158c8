"""Files with labelled inputs of a task: what is read, passed over, and refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.tasks import labels_path, read_labels

INPUTS = ["Who?", "Where \u2028 is it?", "Who?", "When?\t"]
MODELS = ("ant", "bee")


def line(prompt: str, model: str, score: Any, **more: Any) -> dict[str, Any]:
    key = hashlib.sha256(prompt.encode()).hexdigest()
    return {"prompt_sha256": key, "model": model, "score": score} | more


def write(folder: Path, *lines: object, end: str = "\n") -> Path:
    path = folder / "labels.jsonl"
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in lines]
    path.write_text("\n".join(texts) + end, encoding="utf-8")
    return path


def test_scores_stand_at_their_input_and_model_and_equal_inputs_share_them(tmp_path: Path):
    path = write(
        tmp_path,
        line("Who?", "ant", 1, answer="me", tokens=3),
        line(INPUTS[1], "bee", 0.25),
        {"prompt": "When?\t", "model": "ant", "score": False},
    )
    found = read_labels(path, INPUTS, MODELS)
    assert found.dtype == np.float32
    expected = [[1, np.nan], [np.nan, 0.25], [1, np.nan], [0, np.nan]]
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


def test_the_last_line_of_an_input_and_model_counts_and_null_takes_a_score_back(tmp_path: Path):
    path = write(
        tmp_path,
        *(line("Who?", "ant", 0), line("Who?", "ant", 1)),
        *(line("When?\t", "bee", 1), line("When?\t", "bee", None)),
    )
    found = read_labels(path, INPUTS, MODELS)
    assert found[0, 0] == 1
    assert np.isnan(found[3]).all()


def test_a_csv_and_a_parquet_file_say_the_same(tmp_path: Path):
    rows = [line("Who?", "ant", 1.0), line("When?\t", "bee", 0.5), line("Who?", "bee", None)]
    expected = read_labels(write(tmp_path, *rows), INPUTS, MODELS)
    pl.DataFrame(rows).write_csv(tmp_path / "labels.csv")
    pl.DataFrame(rows).write_parquet(tmp_path / "labels.parquet")
    for name in ("labels.csv", "labels.parquet"):
        found = read_labels(tmp_path / name, INPUTS, MODELS)
        np.testing.assert_array_equal(found, expected)


def test_other_names_of_a_model_are_its_own(tmp_path: Path):
    path = write(tmp_path, line("Who?", "openai/ant", 1))
    assert read_labels(path, INPUTS, MODELS, aliases={"openai/ant": "ant"})[0, 0] == 1


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_last_line_that_was_cut_off_costs_that_line_alone(tmp_path: Path, cut: int):
    warnings: list[str] = []
    torn = json.dumps(line("Who?", "bee", 1))[:cut]
    path = write(tmp_path, line("Who?", "ant", 1), torn, end="")
    found = read_labels(path, INPUTS, MODELS, warnings=warnings)
    assert found[0, 0] == 1
    assert np.isnan(found[:, 1]).all()
    assert warnings == []


def test_lines_within_the_file_that_are_no_json_are_passed_over_with_a_warning(tmp_path: Path):
    warnings: list[str] = []
    path = write(tmp_path, '{"prompt_sha256": "ab{', line("Who?", "ant", 1), "[1]", "")
    assert read_labels(path, INPUTS, MODELS, warnings=warnings)[0, 0] == 1
    assert len(warnings) == 1
    assert "2 lines are not JSON objects (line 1 first)" in warnings[0]


def test_labels_of_unknown_models_and_inputs_are_counted_and_warned_of(tmp_path: Path):
    warnings: list[str] = []
    path = write(
        tmp_path,
        *(line("Who?", "eel", 1), line("Where?", "ant", 1), line("who?", "ant", 1)),
    )
    assert np.isnan(read_labels(path, INPUTS, MODELS, warnings=warnings)).all()
    assert "1 labels are of models that the benchmark does not know (eel)" in warnings[0]
    assert "2 labels are of prompts that are not among the task's inputs" in warnings[1]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (line("Who?", "ant", 87), "line 1: the score is 87. Give a number from 0 to 1"),
        (line("Who?", "ant", -0.1), "the score is -0.1"),
        (line("Who?", "ant", "good"), "the score is 'good'"),
        (line("Who?", "ant", [1]), "the score is [1]"),
        (line("Who?", "", 1), "names no model"),
        ({"prompt": "Who?", "model": "ant"}, "has no score"),
        ({"model": "ant", "score": 1}, "names no prompt"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(
    tmp_path: Path, bad: dict[str, Any], said: str
):
    with pytest.raises(SourceError) as refused:
        read_labels(write(tmp_path, bad), INPUTS, MODELS)
    assert said in str(refused.value)
    assert "labels.jsonl, line 1" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_without_a_column_that_is_needed_is_refused(tmp_path: Path):
    pl.DataFrame({"prompt": ["Who?"], "model": ["ant"]}).write_csv(tmp_path / "labels.csv")
    with pytest.raises(SourceError, match="row 1 has no score"):
        read_labels(tmp_path / "labels.csv", INPUTS, MODELS)


def test_an_empty_file_holds_no_labels(tmp_path: Path):
    assert np.isnan(read_labels(write(tmp_path, end=""), INPUTS, MODELS)).all()


def test_the_name_of_a_task_cannot_lead_out_of_the_folder(tmp_path: Path):
    assert labels_path(tmp_path, "contract-qa") == tmp_path / "labels" / "contract-qa.jsonl"
    for name in ("../../etc/x", "a/b", ".."):
        assert labels_path(tmp_path, name).parent == tmp_path / "labels"
