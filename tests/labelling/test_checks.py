"""Checks of answers: a JSON schema, calls of tools, and a command of the operator's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from labelling.conftest import Lab
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.labelling import checks
from litellm_benchrouter.labelling.metrics import parse_metric

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def scored(
    metric: str, folder: Path, answer: str, prompt: str = "p", reference: Any = None
) -> float | None:
    return parse_metric(metric, "--metric", folder).score_of(prompt, answer, reference)


def script(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport json, sys, time\n{body}")
    path.chmod(0o700)
    return f"command:./{path.name}"


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"age": 3}', 1),
        ('It is\n```json\n{"age": 3}\n```', 1),
        ('{"age": "three"}', 0),
        ('{"name": 3}', 0),
        ("I do not know.", 0),
        ("", 0),
    ],
)
def test_an_answer_follows_a_schema(tmp_path: Path, answer: str, right: float) -> None:
    (tmp_path / "person.json").write_text(json.dumps(PERSON))
    assert scored("schema:person.json", tmp_path, answer) == right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ({"name": "weather", "arguments": {"city": "Oslo"}}, 1),
        ([{"name": "weather", "arguments": '{"city": "Oslo"}'}], 1),
        ({"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}, 1),
        ({"name": "weather", "arguments": {}}, 0),
        ({"name": "clock", "arguments": {}}, 0),
        ([], 0),
        ("weather in Oslo", 0),
    ],
)
def test_an_answer_calls_tools_that_there_are(tmp_path: Path, answer: Any, right: float) -> None:
    (tmp_path / "tools.json").write_text(json.dumps([WEATHER]))
    assert scored("tools:tools.json", tmp_path, json.dumps(answer)) == right
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [WEATHER]}))
    assert scored("tools:tools.json", tmp_path, json.dumps(answer)) == right


def test_another_file_is_another_metric(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(PERSON))
    first = parse_metric("schema:person.json", "--metric", tmp_path).name
    file.write_text(json.dumps({"type": "object"}))
    assert first != parse_metric("schema:person.json", "--metric", tmp_path).name
    assert first.startswith("schema:person.json (")


@pytest.mark.parametrize(
    ("body", "score"),
    [
        ("", 1),
        ("sys.exit(1)", 0),
        ("sys.exit(2)", None),
        ("print('3 of 4 tests'); print(0.75)", 0.75),
        ("print('all well')", 1),
        ("print(7)", None),
        ("sys.exit(json.load(sys.stdin) != "
         "{'prompt': 'p\\u00e9', 'answer': 'a', 'reference': [1]})", 1),
    ],
)  # fmt: skip
def test_a_command_says_what_an_answer_is_worth(
    tmp_path: Path, body: str, score: float | None
) -> None:
    metric = script(tmp_path / "check", body)
    assert scored(metric, tmp_path, "a", "pé", [1]) == score


def test_a_command_that_takes_too_long_ends_with_all_that_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_SECONDS", 1.0)
    began = "import subprocess; child = subprocess.Popen(['sleep', '600'])\n"
    body = f"{began}open('pid', 'w').write(str(child.pid)); time.sleep(600)"
    assert scored(script(tmp_path / "check", body), tmp_path, "a") is None
    child = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("schema:", "lacks what follows the colon"),
        ("schema:none.json", r"cannot read .*none\.json \(No such file"),
        ("schema:broken.json", r"broken\.json is no JSON"),
        ("schema:wrong.json", r"wrong\.json is no JSON schema"),
        ("tools:wrong.json", r"wrong\.json holds no list of tools"),
        ("command:./none --strict", r"'\./none --strict' is no command that can be run"),
        ("command:nobody-has-this-program", "is no command"),
        ("command:'", "No closing quotation"),
    ],
)
def test_what_cannot_check_is_refused_before_anybody_is_asked(
    tmp_path: Path, metric: str, said: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"type": 3}')
    with pytest.raises(ConfigError, match=rf"(?s)^--metric.*{said}"):
        parse_metric(metric, "--metric", tmp_path)


def test_answers_are_labelled_by_a_command_and_those_without_a_score_are_tried_again(
    lab: Lab,
) -> None:
    mark = lab.folder / "mended"
    body = (
        "given = json.load(sys.stdin)\n"
        "assert given['prompt'].startswith('Who is number')\n"
        f"import os\nif 'cat' in given['answer'] and not os.path.exists({str(mark)!r}):\n"
        "    sys.exit(3)\n"
        "sys.exit(0 if 'ant' in given['answer'] else 1)\n"
    )
    script(lab.folder / "check", body)
    task = {"inputs": "new.txt", "embeddings": "new.npy", "metric": "command:./check"}
    lab.configure(tasks={"new": task})
    arguments = lab.arguments("--yes", "--json", "--n", 3, inputs=False)
    document = lab.run_here(*arguments).document
    means = {entry["model"]: (entry["labels"], entry["mean_score"]) for entry in document["models"]}
    assert (means["ant"], means["bee"], means["cat"][0]) == ((3, 1.0), (3, 0.0), 0)
    asked = len(lab.asked)
    mark.touch()
    document = lab.run_here(*arguments).document
    assert {entry["model"]: entry["labels"] for entry in document["models"]}["cat"] == 3
    assert len(lab.asked) == asked, "no answer is paid for twice"
    assert os.environ.get("PWD") != str(lab.folder), "the command ran where the configuration is"
