"""`benchrouter check`: what a build would take files for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from litellm_benchrouter.cli import cli
from litellm_benchrouter.config import load_config
from litellm_benchrouter.sources import read

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="reads the tools' own files beside")

WIDE = "id,task,prompt,ant,bee\n" + "".join(
    f"{n},t{n % 2},question {n},{n % 2},{(n + 1) % 3 == 0:d}\n" for n in range(12)
)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["check", *map(str, arguments)])
    return result.exit_code, result.output


def checked(*arguments: object) -> tuple[int, dict[str, Any]]:
    code, output = run(*arguments, "--json")
    return code, json.loads(output)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    path = tmp_path / "wide.csv"
    path.write_text(WIDE)
    return path


def test_a_table_is_taken_as_a_build_takes_it(wide: Path) -> None:
    code, document = checked(wide)
    assert code == 0
    assert document["kind"] == "table"
    assert document["columns"] == {
        "id": "not read",
        "task": "task",
        "prompt": "prompt",
        "ant": "model",
        "bee": "model",
    }
    assert document["samples"] == 12
    assert document["scale"] == [0, 1]
    assert document["models"] == [
        {"name": "ant", "scores": 12, "mean": 0.5},
        {"name": "bee", "scores": 12, "mean": pytest.approx(1 / 3)},
    ]
    assert document["tasks"] == [{"name": "t0", "samples": 6}, {"name": "t1", "samples": 6}]
    assert document["dropped"] == {'values in the unknown column "id"': 12}
    code, text = run(wide)
    assert code == 0
    assert "12 samples, 2 tasks, 2 models; scores from 0 to 1" in text
    assert 'Left out: 12 values in the unknown column "id"' in text


def test_the_block_that_it_prints_reads_what_it_showed(tmp_path: Path, wide: Path) -> None:
    wide.write_text(WIDE.replace(",1", ",yes").replace(",0", ",no"))
    code, document = checked(wide, "--option", "words={yes: 1, no: 0}", "--threshold", ".4")
    assert code == 0
    path = tmp_path / "proxy.yaml"
    path.write_text(document["yaml"])
    (source,) = load_config(path).sources
    assert source.threshold == 0.4
    again = read(source.kind, source.path, source.reader_options)
    assert again.samples.height == document["samples"] == 12


def test_what_a_build_refuses_is_said_with_exit_code_2(tmp_path: Path, wide: Path) -> None:
    wide.write_text(WIDE.replace(",1", ",90"))
    code, document = checked(wide)
    assert code == 2
    assert "scores go up to 90" in document["problem"]
    assert document["scale"] == [0, 90]
    code, text = run(wide, tmp_path / "none.csv")
    assert code == 2
    assert "A build refuses it: wide.csv: scores go up to 90" in text
    assert "none.csv" in text
    (tmp_path / "empty").mkdir()
    code, text = run(tmp_path / "empty")
    assert code == 2
    assert "none of the formats (alpaca-eval," in text


@pytest.mark.parametrize("option", ["words", "=1", "words={"])
def test_an_option_that_is_none_is_a_mistake_of_the_user(wide: Path, option: str) -> None:
    result = CliRunner().invoke(cli, ["check", str(wide), "--option", option])
    assert result.exit_code != 0
    assert "--option" in str(result.exception)


@pytest.mark.parametrize("threshold", ["nan", "1e999"])
def test_a_threshold_is_a_finite_number(wide: Path, threshold: str) -> None:
    result = CliRunner().invoke(cli, ["check", str(wide), "--threshold", threshold])
    assert "no finite number" in str(result.exception)


def test_many_models_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    names = [f"m{n:02d}" for n in range(20)]
    rows = [f"t,question {n}," + ",".join(str((n + m) % 2) for m in range(20)) for n in range(4)]
    path.write_text("\n".join(["task,prompt," + ",".join(names), *rows]))
    code, text = run(path)
    assert code == 0
    assert "and 9 more" in text
    assert len(checked(path)[1]["models"]) == 20


def test_a_folder_of_tables_is_told_from_one_of_nothing(tmp_path: Path, wide: Path) -> None:
    assert f"or a pattern of files: {tmp_path}/*.csv." in checked(tmp_path)[1]["problem"]
    wide.unlink()
    assert "pattern" not in checked(tmp_path)[1]["problem"]
    (tmp_path / "samples.csv").write_text("sample_id,task,prompt\n1,t,p\n")
    (tmp_path / "scores.csv").write_text("sample_id,model,score\n2,m,1\n")
    assert "left out: scores of unknown samples: 1" in checked(tmp_path)[1]["problem"]


def test_a_model_with_blanks_around_its_name_is_shown_as_one(wide: Path) -> None:
    wide.write_text(WIDE.replace("ant,bee", "ant ,bee"))
    assert checked(wide)[1]["columns"]["ant "] == "model"


def test_what_another_reader_finds_in_a_folder_is_said(tmp_path: Path) -> None:
    said = {"metadata": {"model": "m"}}
    rows = [{"input": f"q{n}", "scores": {"ok": n % 2}} | said for n in range(4)]
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged: dict[str, Any] = {
        "inputs": {"question": "q"},
        "feedback_stats": {"ok": {"avg": 1}},
    } | said
    (tmp_path / "judged.jsonl").write_text(json.dumps(judged))
    code, document = checked(tmp_path)
    assert (code, document["kind"]) == (0, "braintrust")
    assert "It can be read as langsmith (1 scores), too" in " ".join(document["warnings"])
    judged["feedback_stats"] |= {"kind": {"avg": 0}}
    (tmp_path / "judged.jsonl").write_text(json.dumps(judged))
    _, document = checked(tmp_path)
    assert "It can be read as langsmith (an option has to be chosen), too" in str(document)


KINDS = {
    "raw/promptfoo/units.json": "promptfoo",
    "raw/routerbench_mbpp_test.csv": "routerbench",
    "raw/helm": "helm",
    "raw/inspect/logs": "inspect",
    "raw/inspect/json": "inspect",
    "raw/lm-eval": "lm-eval",
    "cases/data/lm-eval-chat-template": "lm-eval",
    "cases/data/semicolon.csv": "table",
    "cases/data/json.json": "table",
    "cases/data/utf16.csv": "table",
}


@needs_shared
@pytest.mark.parametrize("path", KINDS)
def test_the_format_of_a_tool_is_found_out(path: str) -> None:
    code, document = checked(SHARED / path)
    assert (code, document["kind"]) == (0, KINDS[path])
    assert document["models"]
    assert yaml.safe_load(document["yaml"])["benchrouter"]["sources"][0]["kind"] == KINDS[path]
