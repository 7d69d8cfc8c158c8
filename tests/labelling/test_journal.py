"""The journal, and labels that come from elsewhere."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest

from labelling.conftest import Lab, prompt
from litellm_benchrouter.errors import LabellingError, SourceError
from litellm_benchrouter.labelling.journal import Journal, writing
from litellm_benchrouter.sources.tasks import prompt_key, read_labels

LINE = {"prompt_sha256": "ab", "model": "ant", "score": 1.0, "event": "given"}


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
    assert Journal(path).cells["ab", "ant"].score == 0.5


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_cut_off_by_the_next_writer_and_passed_over_by_readers(tmp_path, cut):
    path = tmp_path / "labels.jsonl"
    with writing(path) as journal:
        journal.append(LINE)
        whole = path.read_bytes()
        journal.append({**LINE, "score": 0.0})
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    read = Journal(path)
    assert (read.mended, read.cells["ab", "ant"].score) == (cut, 1.0)
    with writing(path) as journal:
        journal.append({**LINE, "model": "bee"})
    assert [json.loads(line)["model"] for line in path.read_text().splitlines()] == ["ant", "bee"]
    assert path.read_bytes().startswith(whole)


def test_a_last_line_without_its_line_feed_stays(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(LINE))
    with writing(path) as journal:
        journal.append({**LINE, "model": "bee"})
    assert set(Journal(path).cells) == {("ab", "ant"), ("ab", "bee")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 2 is not a JSON object"),
        ("[]", "line 2 is not a JSON object"),
        ('{"model": "ant", "score": 1}', "line 2 names no prompt"),
        ('{"prompt": "a", "model": "ant"}', "line 2 has no score"),
        ('{"prompt": "a", "model": "ant", "score": 3}', "line 2: the score is 3"),
        ('{"prompt": "a", "model": "ant", "score": null, "event": "answer"}', "without a text"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_written_over_it(tmp_path, line, told):
    path = tmp_path / "labels.jsonl"
    content = f"{json.dumps(LINE)}\n{line}\n{json.dumps(LINE)}\n"
    path.write_text(content)
    with pytest.raises(SourceError, match=told), writing(path):
        pass
    assert path.read_text() == content


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
