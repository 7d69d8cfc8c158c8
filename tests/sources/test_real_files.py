"""The readers against files that the tools wrote themselves: kept ones, and where a tool is
installed those that it writes now. Each mean is compared with the number that the tool states.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from reading import by_sample, copied, means, prompts, python_with, run

from litellm_benchrouter.sources import code_tools, harnesses, judgments, openai_evals
from litellm_benchrouter.sources.record import SourceTable

REAL = Path(__file__).with_name("real")
PACKAGES = {
    "evalplus": "evalplus",
    "fastchat": "fschat",
    "lighteval": "lighteval",
    "openai_evals": "evals",
    "opencompass": "opencompass",
}
OF_RECORD = sorted(folder for tool in PACKAGES for folder in (REAL / tool).glob("[0-9]*"))


def of_models(table: SourceTable) -> dict[str, float]:
    """The mean score of each model over all tasks."""
    return dict(table.scores.group_by("model").mean().select("model", "score").iter_rows())


def shown(text: str) -> dict[str, float]:
    """The last number of each line of a table that FastChat prints, by model."""
    lines = re.findall(r"^(\S+) +(?:\S+ +)*([\d.]+)$", text, re.MULTILINE)
    return {model: float(number) for model, number in lines}


def check_lighteval(folder: Path) -> None:
    table = harnesses.lighteval(folder / "out")
    [results] = folder.glob("out/results/acme/parrot/*.json")
    stated = json.loads(results.read_bytes())["results"]
    of_task = {name.removeprefix("custom|"): stated[name] for name in stated if name != "all"}
    assert means(table) == {
        ("choices|1", "acme/parrot"): pytest.approx(of_task["choices|1"]["acc"]),
        ("sums|0", "acme/parrot"): pytest.approx(of_task["sums|0"]["em"]),
    }
    assert 0 < of_task["choices|1"]["acc"] < 1 and of_task["sums|0"]["em"] == pytest.approx(4 / 6)
    f1 = means(table, "metric:f1")["sums|0", "acme/parrot"]
    assert f1 == pytest.approx(of_task["sums|0"]["f1"])
    questions = {f"What is {i} + 1?" for i in range(6)}
    assert set(prompts(table).values()) == questions | {
        f"Question: {question}\nAnswer:" for question in questions
    }
    assert not table.dropped and not table.warnings


def check_opencompass(folder: Path) -> None:
    table = harnesses.opencompass(folder / "outputs" / "default")
    stated = {}
    for file in folder.rglob("results/*/*.json"):
        document = json.loads(file.read_bytes())
        [value] = [document[key] for key in document if re.match(r"accuracy|score$", key)]
        stated[file.stem, file.parent.name] = value / 100
    assert means(table) == pytest.approx(stated)
    assert {("exact", "parrot"), ("plain", "parrot"), ("detailed", "chat")} <= stated.keys()
    assert all(0 < value < 1 for value in stated.values())
    asked = prompts(table)
    assert asked["detailed/3"] == asked["options/3"].removeprefix("H:") == "What is 3 + 1?"
    assert not table.dropped and not table.warnings


def check_openai_evals(folder: Path) -> None:
    files = {file.stem: file for file in (folder / "logs").glob("*.jsonl")}
    assert files.keys() == {"match", "fuzzy", "graded"}
    for name, file in files.items():
        [report] = [row["final_report"] for row in map(json.loads, file.read_text().splitlines())
                    if "final_report" in row]  # fmt: skip
        stated = report["score" if name == "graded" else "accuracy"]
        assert 0 < stated < 1
        table = openai_evals.read(file)
        assert means(table) == {(f"{name}.dev.v0", "parrot"): pytest.approx(stated)}
        assert set(prompts(table).values()) == {f"What is {i} + 1?" for i in range(6)}
        assert not table.dropped and not table.warnings
    assert len(means(openai_evals.read(folder / "logs"))) == 3  # each by a metric that it has
    graded = openai_evals.read(files["fuzzy"], metric="f1_score")
    assert means(graded) == {("fuzzy.dev.v0", "parrot"): pytest.approx(4 / 6)}


def check_evalplus(folder: Path) -> None:
    for metric, heading in (("base", r"\(base tests\)"), ("plus", r"\(base \+ extra tests\)")):
        table = code_tools.evalplus(folder, metric="base" if metric == "base" else None)
        stated = {}
        for task in ("humaneval", "mbpp"):
            text = (folder / f"shown_{task}.txt").read_text()
            [number] = re.findall(rf"{heading}\W.*?pass@1:\s+([\d.]+)", text, re.DOTALL)
            stated[task, "acme/ant"] = float(number)
        assert means(table) == pytest.approx(stated, abs=0.0005)  # it prints three digits
        assert set(stated.values()) == {0.833 if metric == "base" else 0.333}
        assert prompts(table)["Mbpp/902"] == 'def plain(x):\n    """Return x."""\n'
        assert not table.dropped and not table.warnings


def check_fastchat(folder: Path) -> None:
    bench = folder / "data" / "mt_bench"
    _, first, second, both = re.split("#+ .+ #+\n", (folder / "shown_single.txt").read_text())
    for turn, text in ((1, first), (2, second)):
        rated = of_models(judgments.mt_bench(bench, turn=turn))
        stated = shown(text)
        assert stated.keys() == {"ant", "bee", "gpt-3.5-turbo"}
        assert {m: 1 + 9 * score for m, score in rated.items()} == pytest.approx(stated, abs=1e-5)
    table = judgments.mt_bench(bench)
    rated = {model: 1 + 9 * score for model, score in of_models(table).items()}
    # Of ant's last question only one turn could be judged, which FastChat weighs as half a one.
    for model in ("bee", "gpt-3.5-turbo"):
        assert rated[model] == pytest.approx(shown(both)[model], abs=1e-5)
    assert by_sample(table, "bee")["84"] is None
    pairs = judgments.arena(bench)
    won = of_models(pairs)
    stated = shown((folder / "shown_pairwise-baseline.txt").read_text())
    assert {model: won[model] for model in ("ant", "bee")} == pytest.approx(stated, abs=1e-5)
    assert means(pairs)["math", "bee"] == 0.5  # of two questions one could be judged
    failed = "judgments that failed, which are missing and not wrong"
    assert not any("question.jsonl" in words or "_answer" in words for words in table.dropped)
    assert table.dropped[failed] == 3 and pairs.dropped[failed] == 2


CHECKS = {
    "evalplus": check_evalplus,
    "fastchat": check_fastchat,
    "lighteval": check_lighteval,
    "openai_evals": check_openai_evals,
    "opencompass": check_opencompass,
}


def test_two_versions_are_kept_of_each_tool_that_has_them() -> None:
    tools = [folder.parent.name for folder in OF_RECORD]
    assert {tool: tools.count(tool) for tool in PACKAGES} == {
        tool: 1 if tool == "fastchat" else 2 for tool in PACKAGES
    }


@pytest.mark.parametrize("folder", OF_RECORD, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_file_that_the_tool_wrote(folder: Path, tmp_path: Path) -> None:
    for file in sorted(copied(folder, tmp_path).rglob("*%7C*")):
        file.rename(file.with_name(file.name.replace("%7C", "|")))
    CHECKS[folder.parent.name](tmp_path)


@pytest.mark.parametrize("tool", PACKAGES)
def test_what_the_tool_writes_now(tool: str, tmp_path: Path) -> None:
    python = python_with(PACKAGES[tool])
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    run(tmp_path, python, str(REAL / tool / "program.py"), **offline)
    CHECKS[tool](tmp_path)
