"""EvalPlus, SWE-bench and BFCL: older layouts, missing prompts, counts that do not agree."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from reading import by_sample, means
from written import MEANS, PLAIN, QUESTIONS, RIGHT, WRITERS, each, put, put_lines

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.rows import UndecidedError


def test_evalplus_counts_base_tests_and_several_solutions(tmp_path: Path) -> None:
    folder = WRITERS["evalplus"](tmp_path)
    base = read("evalplus", folder, {"metric": "base"})
    assert set(means(base).values()) == {1}
    file = next(folder.glob("humaneval/acme*"))
    document = json.loads(file.read_text())
    (one,) = document["eval"]["HumanEval/1"]
    document["eval"]["HumanEval/1"] += [
        {**one, "plus_status": "fail"},
        {**one, "plus_status": None},
    ]
    put(file, document)
    table = read("evalplus", folder, {})
    assert by_sample(table, "acme/ant-7b")["HumanEval/1"] == 0.5  # pass@1 of 1 of 2
    assert table.dropped["results without plus tests"] == 1


def test_two_runs_of_a_model_with_evalplus_are_asked_about(tmp_path: Path) -> None:
    folder = WRITERS["evalplus"](tmp_path)
    file = next(folder.glob("humaneval/acme*"))
    put(file.with_name(file.name.replace("0.0", "0.8")), json.loads(file.read_text()))
    with pytest.raises(UndecidedError, match=r"are both of acme/ant-7b on HumanEval\. Keep one"):
        read("evalplus", folder, {})


def test_evalplus_before_0_3_and_results_in_a_folder_of_the_model(tmp_path: Path) -> None:
    folder = WRITERS["evalplus"](tmp_path)
    for file in folder.rglob("*_eval_results.json"):
        document = json.loads(file.read_text())
        document["eval"] = {
            key: {"nfiles": 1, "base": [[s["base_status"], []] for s in solutions],
                  "plus": [[s["plus_status"], [True]] for s in solutions]}
            for key, solutions in document["eval"].items()
        }  # fmt: skip
        name = file.name.removesuffix("_vllm_temp_0.0_eval_results.json")
        put(file.parent / f"{name}_temp_0.8" / "eval_results.json", document)
        file.unlink()
    assert means(read("evalplus", folder, {})) == MEANS["evalplus"]


def test_results_of_code_without_prompts_ask_for_the_problems(tmp_path: Path) -> None:
    folder = WRITERS["evalplus"](tmp_path)
    for file in folder.glob("*Plus*.jsonl"):
        file.rename(tmp_path / file.name)  # a folder above, where it is found
    assert means(read("evalplus", folder, {})) == MEANS["evalplus"]
    for file in tmp_path.glob("Mbpp*.jsonl"):
        file.unlink()
    table = read("evalplus", folder, {})
    assert table.dropped["results of problems that the questions do not have"] == 4
    for file in tmp_path.glob("*Plus*.jsonl"):
        file.rename(tmp_path / "problems.jsonl")
    with pytest.raises(UndecidedError, match=r"hold no prompts\. Put EvalPlus's HumanEvalPlus"):
        read("evalplus", folder, {})
    table = read("evalplus", folder, {"questions": "../problems.jsonl"})
    assert table.samples["task"].unique().to_list() == ["humaneval"]


def instances(right: bool) -> dict[str, list[str]]:
    return {
        model: [f"{QUESTIONS[k][0]}__{QUESTIONS[k][0]}-{k[1]}" for k in QUESTIONS
                if (k in keys) == right]
        for model, keys in RIGHT.items()
    }  # fmt: skip


def test_patches_that_fail_count_as_wrong_and_a_broken_machine_as_missing(tmp_path: Path) -> None:
    folder = WRITERS["swe-bench"](tmp_path)
    file = folder / "bee-2.nightly.json"
    report = json.loads(file.read_text())
    first, second = report["unresolved_ids"]
    report |= {"unresolved_ids": [], "error_ids": [first, second], "infra_failure_ids": [second],
               "incomplete_ids": ["sums__sums-9"]}  # fmt: skip
    put(file, report)
    table = read("swe-bench", folder, {})
    scores = by_sample(table, "bee-2")
    assert (scores[first], scores[second]) == (0, None)
    assert table.dropped["failures of the machine, which are missing and not wrong"] == 1
    assert table.dropped["instances that were not run"] == 1
    (warning,) = table.warnings
    assert "count as wrong, as in SWE-bench: bee-2 (1)" in warning


def test_the_logs_of_instances_and_the_results_of_the_board_of_swe_bench(tmp_path: Path) -> None:
    prompts = [
        {"instance_id": f"{task}__{task}-{key[1]}", "problem_statement": prompt}
        for key, (task, prompt, _) in QUESTIONS.items()
    ]
    (tmp_path / "data").mkdir()
    pl.DataFrame(prompts).write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    for model, key, task, *_, label in each():
        name = f"{task}__{task}-{key[1]}"
        report = {name: {"patch_is_None": False, "patch_exists": True,
                         "patch_successfully_applied": True, "resolved": bool(label)}}  # fmt: skip
        put(tmp_path / "logs" / "run" / model.replace("/", "__") / name / "report.json", report)
    questions = {"questions": "../data"}
    assert means(read("swe-bench", tmp_path / "logs", questions)) == MEANS["swe-bench"]
    for model, solved in instances(right=True).items():
        document = {"no_generation": [], "no_logs": [], "resolved": solved}
        folder = tmp_path / "evaluation" / "verified" / f"20260401_{model[-5:]}" / "results"
        put(folder / "results.json", document)
    options = {**questions, "task": "swe"}
    table = read("swe-bench", tmp_path / "evaluation", options)
    assert means(table) == {("swe", "20260401_nt-7b"): 0.75, ("swe", "20260401_bee-2"): 0.5}
    # Those whose agent is SWE-bench's own have a file of all instances, older ones their logs.
    for model, solved in instances(right=True).items():
        details = {name: {"cost": 0.1, "api_calls": 9, "resolved": True} for name in solved}
        details |= {
            name: {"cost": 0.1, "api_calls": 9, "resolved": False}
            for name in instances(right=False)[model]
        }
        folder = tmp_path / "evaluation" / "bash-only" / f"mini_{model[-5:]}"
        put(folder / "per_instance_details.json", details)
        for name, report in details.items():
            folder = tmp_path / "evaluation" / "lite" / f"old_{model[-5:]}" / "logs" / name
            put(folder / "report.json", {name: {"resolved": report["resolved"]}})
    table = read("swe-bench", tmp_path / "evaluation", options)
    assert means(table) == {
        ("swe", f"{run}_{model}"): mean
        for run in ("20260401", "mini", "old")
        for model, mean in (("nt-7b", 0.75), ("bee-2", 0.5))
    }


def test_failures_of_the_machine_are_missing_in_single_reports_too(tmp_path: Path) -> None:
    questions = [
        {"instance_id": f"a__a-{i}", "problem_statement": f"Problem {i}"} for i in range(2)
    ]
    put_lines(tmp_path / "SWE-bench_Lite.jsonl", questions)
    for i, is_failure in enumerate((True, False)):
        report = {f"a__a-{i}": {"resolved": False, "infra_failure": is_failure}}
        put(tmp_path / "run" / "ant" / f"a__a-{i}" / "report.json", report)
    table = read("swe-bench", tmp_path, {})
    assert by_sample(table, "ant") == {"a__a-0": None, "a__a-1": 0.0}
    assert table.dropped["failures of the machine, which are missing and not wrong"] == 1


def test_passes_of_bfcl_come_from_the_questions_where_there_are_no_results(tmp_path: Path) -> None:
    folder = WRITERS["bfcl"](tmp_path)
    for file in folder.glob("result/**/*.json"):
        file.unlink()
    assert means(read("bfcl", folder, {})) == MEANS["bfcl"]
    for file in folder.glob("data/*.json"):
        file.unlink()
    with pytest.raises(UndecidedError, match=r"list failures only\. Give the folder with `result`"):
        read("bfcl", folder, {})


def test_ids_whose_prompt_nobody_failed_are_left_out_of_all_models(tmp_path: Path) -> None:
    folder = WRITERS["bfcl"](tmp_path)
    for file in folder.glob("data/*.json"):
        file.unlink()
    table = read("bfcl", folder, {})
    failed = {key for model in RIGHT for key in QUESTIONS if key not in RIGHT[model]}
    assert set(table.samples["sample_id"]) == {f"{QUESTIONS[key][0]}_{key[1]}" for key in failed}
    assert table.dropped["questions whose prompt is in no file"] == len(QUESTIONS) - len(failed)
    assert set(table.scores.group_by("model").len()["len"]) == {len(failed)}


def test_a_score_file_of_bfcl_whose_counts_do_not_agree_is_left_out(tmp_path: Path) -> None:
    folder = WRITERS["bfcl"](tmp_path)
    file = next(folder.glob("score/bee-2/**/*sums_score.json"))
    lines = file.read_text().splitlines()
    file.write_text(lines[0] + "\n")  # the failure is gone: cut off
    table = read("bfcl", folder, {})
    assert ("sums", "bee-2") not in means(table)
    assert any("states 1 of 2 correct, but 2 of 2 are" in words for words in table.dropped)


def test_version_3_of_bfcl_is_read_and_version_4_goes_before_it(tmp_path: Path) -> None:
    folder = WRITERS["bfcl"](tmp_path)
    for file in sorted(folder.rglob("BFCL_v4*")):
        rows = file.read_text()
        flat = file.parent.parent if file.parent.name == "non_live" else file.parent
        (flat / file.name.replace("v4", "v3")).write_text(rows)
        if "words" in file.name and "data" not in file.parts:
            file.unlink()
    table = read("bfcl", folder, {})
    assert means(table) == MEANS["bfcl"]
    assert table.dropped == {"score files of which a newer version is there": 2}
    assert set(means(table, "prompt_tokens").values()) == {12}


def test_nothing_of_these_tools_is_said_so(tmp_path: Path) -> None:
    put_lines(tmp_path / "x_score.json", [{"accuracy": 1.0, "correct_count": 1, "total_count": 1}])
    for kind in ("bfcl", "evalplus", "swe-bench"):
        with pytest.raises(SourceError, match=str(tmp_path)):
            read(kind, tmp_path, {})
    assert PLAIN
