"""Labels: what builds read of them, the journal, and labels that come from elsewhere."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from labelling.conftest import Lab, prompt
from litellm_benchrouter.errors import LabellingError, SourceError
from litellm_benchrouter.labelling.journal import Journal, writing
from litellm_benchrouter.sources.tasks import labels_path, prompt_key, read_labels

INPUTS = ["Who?", "Where \u2028 is it?", "Who?", "When?\t"]
MODELS = ("ant", "bee")


def line(prompt: str, model: str, score: Any, **more: Any) -> dict[str, Any]:
    return {"prompt_sha256": prompt_key(prompt), "model": model, "score": score} | more


LINE = line("Who?", "ant", 1.0, event="given")
CELL = (LINE["prompt_sha256"], "ant")


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


# the journal


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_costs_that_line_alone_and_the_next_writer_cuts_it_off(tmp_path, cut):
    path = tmp_path / "labels.jsonl"
    with writing(path) as journal:
        journal.append(LINE)
        whole = path.read_bytes()
        journal.append({**LINE, "score": 0.0})
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    read, warnings = Journal(path), []
    assert (read.mended, read.cells[CELL].score) == (cut, 1.0)
    found = read_labels(path, INPUTS, MODELS, warnings=warnings)
    assert (found[0, 0], warnings) == (1, [])
    with writing(path) as journal:
        journal.append({**LINE, "model": "bee"})
    assert [json.loads(line)["model"] for line in path.read_text().splitlines()] == ["ant", "bee"]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (line("Who?", "ant", 87), "line 2: the score is 87. Give a number from 0 to 1"),
        (line("Who?", "ant", -0.1), "the score is -0.1"),
        (line("Who?", "ant", "good"), "the score is 'good'"),
        (line("Who?", "ant", [1]), "the score is [1]"),
        (line("Who?", "", 1), "line 2 names no model"),
        ({"prompt": "Who?", "model": "ant"}, "line 2 has no score"),
        ({"model": "ant", "score": 1}, "line 2 names no prompt"),
        ("nonsense", "line 2 is not a JSON object"),
        ("[]", "line 2 is not a JSON object"),
        (line("Who?", "ant", None, event="answer"), "without a text"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_written_over_it(tmp_path, bad, told):
    path = write(tmp_path, LINE, bad, LINE)
    content = path.read_bytes()
    readers = [lambda: writing(path).__enter__()]
    if "JSON" not in told and "text" not in told:  # a build passes those over
        readers.append(lambda: read_labels(path, INPUTS, MODELS))
    for reader in readers:
        with pytest.raises(SourceError) as refused:
            reader()
        assert told in str(refused.value)
        assert "labels.jsonl" in str(refused.value)
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == content


def test_a_full_disk_leaves_whole_lines_only(tmp_path):
    path = tmp_path / "labels.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with writing(path) as journal:
        journal.append(LINE)
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
        try:
            with pytest.raises(LabellingError, match=r"cannot write to .*File too large"):
                journal.append({**LINE, "score": 0.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        journal.append({**LINE, "score": 0.5})
    assert Journal(path).cells[CELL].score == 0.5


def test_a_last_line_without_its_line_feed_stays(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(LINE))
    with writing(path) as journal:
        journal.append({**LINE, "model": "bee"})
    assert set(Journal(path).cells) == {CELL, (CELL[0], "bee")}


# labels made elsewhere


def given(lab: Lab, content: str, name: str = "made.jsonl"):
    (lab.folder / name).write_text(content)
    return lab.label("--labels", lab.folder / name)


def rows(*labels: tuple[int, str, object]) -> str:
    return "".join(
        json.dumps({"prompt": prompt(i), "model": model, "score": score}) + "\n"
        for i, model, score in labels
    )


def test_labels_made_elsewhere_are_taken_in_once(lab: Lab):
    content = rows((3, "ant", 1), (3, "bee", 0.25), (4, "ant", False), (99, "ant", 1))
    ended = given(lab, content)
    assert ended.code == 0
    assert "3 labels added, 0 replaced, 0 known already" in ended.out
    assert "1 rows were left out: their prompts are not among the task's inputs" in ended.out
    before = lab.journal.read_bytes()
    assert "0 labels added, 0 replaced, 3 known already" in given(lab, content).out
    assert lab.journal.read_bytes() == before
    assert "0 labels added, 1 replaced, 2 known" in given(lab, content.replace("0.25", "0.5")).out
    assert [line["score"] for line in lab.events("given")] == [1, 0.25, 0, 0.5]
    assert lab.upstream.requests == []


def test_a_table_by_hash_with_other_names_of_models(lab: Lab):
    lab.configure(models={"ant": {"aliases": ["formica"]}, "eel": {}})
    ended = given(
        lab,
        f"prompt_sha256,model,score\n{prompt_key(prompt(0)).upper()},formica,true\n"
        f"{prompt_key(prompt(1))},eel,0.75\n",
        "made.csv",
    )
    assert ended.code == 0
    assert [(line["model"], line["score"]) for line in lab.lines] == [("ant", 1), ("eel", 0.75)]


def test_inputs_with_given_labels_are_asked_first_and_their_labels_stay(lab: Lab):
    given(lab, rows(*((i, "ant", 0.5) for i in range(20, 24))))
    document = lab.asking("--n", 4, "--models", "ant,bee").document
    keys = {prompt_key(prompt(i)) for i in range(20, 24)}
    assert set(lab.asked) == {(key, "bee") for key in keys}
    assert next(e for e in document["models"] if e["model"] == "ant")["mean_score"] == 0.5
    document = lab.asking("--rescore", "--metric", "exact").document
    assert document["rescored"] == 4
    assert next(e for e in document["models"] if e["model"] == "ant")["mean_score"] == 0.5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (rows((1, "ant", 2)), "made.jsonl, row 1: the score is '2'. Give a number from 0 to 1"),
        (rows((1, "ant", 1), (1, "ant", "good")), "row 2: the score is 'good'"),
        (rows((1, "eel", 1)), "row 1: 'eel' is no model of the benchmark or the configuration"),
        (rows((1, "ant", 1), (2, "ant", 1), (1, "ant", 0)), "rows 1 and 3 give ant 1 and 0 on"),
        (rows((77, "ant", 1)), "none of its 1 prompts is among the task's 24 inputs"),
        ('{"model": "ant", "score": 1}\n', "labels need prompt (or prompt_sha256), model and"),
        ('{"prompt": null, "model": "ant", "score": 1}\n', "row 1 names no prompt"),
        ('{"prompt": "a", "prompt_sha256": "b", "model": "ant", "score": 1}\n', "is not the SHA"),
        ("", "made.jsonl"),
    ],
)
def test_a_wrong_label_is_named_and_none_is_taken_in(lab: Lab, content, told):
    ended = given(lab, content)
    assert ended.code == 2
    assert told in ended.err
    assert not lab.journal.exists() or lab.journal.read_bytes() == b""


def test_a_journal_and_a_build_read_the_same_labels(tmp_path: Path):
    path = tmp_path / "t.jsonl"
    lines = [
        {"prompt_sha256": prompt_key("p").upper(), "model": "old-name", "score": "1"},
        {"prompt": "q", "model": " a ", "score": True},
        {"prompt": "p", "model": "b", "score": ""},
        {"prompt": "q", "model": "b", "score": float("nan")},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    cells = Journal(path, {"old-name": "a"}).cells
    assert {key: cell.score for key, cell in cells.items()} == {
        (prompt_key("p"), "a"): 1.0,
        (prompt_key("q"), "a"): 1.0,
        (prompt_key("p"), "b"): None,
        (prompt_key("q"), "b"): None,
    }
    scores = read_labels(path, ["p", "q"], ["a", "b"], aliases={"old-name": "a"})
    assert scores[:, 0].tolist() == [1.0, 1.0]
    assert np.isnan(scores[:, 1]).all()
