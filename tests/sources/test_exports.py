"""Exports of evaluation libraries and tracing services: versions, and what they leave open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from reading import by_sample, means, prompts
from written import MODELS, PLAIN, WRITERS, each, put, put_csv, put_lines

from litellm_benchrouter.cli import cli
from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.rows import UndecidedError


def changed(path: Path, change: Any) -> None:
    """Apply a function to the JSON document in a file."""
    document = json.loads(path.read_text())
    path.write_text(json.dumps(change(document) or document))


def test_what_evaluate_of_deepeval_returns_is_read_as_json(tmp_path: Path) -> None:
    results = [
        {"name": key, "success": bool(label), "conversational": False, "input": prompt,
         "expected_output": reference, "metadata": {"task": task, "model": model},
         "metrics_data": [{"name": "Correctness [GEval]", "score": 0.9 * label}]}
        for model, key, task, prompt, reference, label in each()
    ]  # fmt: skip
    path = put(tmp_path / "result.json", {"test_results": results, "confident_link": None})
    assert means(read("deepeval", path, {})) == PLAIN
    scores = read("deepeval", path, {"metric": "correctness"})
    assert means(scores) == pytest.approx({key: 0.9 * mean for key, mean in PLAIN.items()})
    with pytest.raises(SourceError, match="no metric Speed; choose among success, Correctness"):
        read("deepeval", path, {"metric": "Speed"})


def test_a_metric_of_deepeval_that_failed_is_missing(tmp_path: Path) -> None:
    folder = WRITERS["deepeval"](tmp_path)

    def fail(run: Any) -> None:
        for case in run["testCases"]:
            case["metricsData"][0] |= {"error": "the judge timed out", "success": False}
            case["success"] = False

    changed(folder / "test_run_20260401_120000.json", fail)
    table = read("deepeval", folder, {})
    assert {model for _, model in means(table)} == {"bee-2"}
    assert table.dropped["results without success"] == 4
    toxic = read("deepeval", folder, {"metric": "Toxicity"})  # of which less is better
    assert set(means(toxic).values()) == {-0.1}


def test_conversations_of_deepeval_are_counted(tmp_path: Path) -> None:
    folder = WRITERS["deepeval"](tmp_path)
    changed(
        folder / "test_run_20260401_120000.json",
        lambda run: run["testCases"].append({"name": "talk", "turns": [], "metricsData": []}),
    )
    assert read("deepeval", folder, {}).dropped == {"conversations, and cases without an input": 1}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_ragas_before_0_2_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    for name in MODELS:
        rows = [
            {"question": prompt, "answer": "an answer", "contexts": ["about"],
             "ground_truth": reference, "faithfulness": 0.5, "exact_match": label, "model": name}
            for model, _, _, prompt, reference, label in each()
            if model == name
        ]  # fmt: skip
        file = tmp_path / f"{name[-3:]}.{form}"
        if form == "csv":
            put_csv(file, rows)
        elif form == "jsonl":
            put_lines(file, rows)
        else:
            pl.DataFrame(rows).write_parquet(file)
    table = read("ragas", tmp_path, {"task": "rag"})
    assert means(table) == {("rag", "acme/ant-7b"): 0.75, ("rag", "bee-2"): 0.5}
    faithful = read("ragas", tmp_path, {"task": "rag", "metric": "faithfulness"})
    assert set(means(faithful).values()) == {0.5}


def test_several_metrics_of_which_none_is_usual_are_asked_about(tmp_path: Path) -> None:
    rows = [{"user_input": f"q{i}", "response": "a", "model": "m", "tone": i, "speed": 1 - i}
            for i in (0, 1)]  # fmt: skip
    path = put_csv(tmp_path / "rag.csv", rows)
    with pytest.raises(UndecidedError, match=r"several metrics \(tone, speed\)\. Choose one with"):
        read("ragas", path, {})
    result = CliRunner().invoke(cli, ["check", str(path), "--json"])
    document = json.loads(result.output)
    assert (result.exit_code, document["kind"]) == (2, "ragas")
    assert "several metrics (tone, speed)" in document["problem"]
    result = CliRunner().invoke(cli, ["check", str(path), "--option", "metric=speed"])
    assert result.exit_code == 0, result.output


def test_a_single_file_that_names_no_model_asks_for_it(tmp_path: Path) -> None:
    rows = [{"user_input": f"q{i}", "response": "a", "accuracy": i} for i in (0, 1)]
    path = put_csv(tmp_path / "rag.csv", rows)
    with pytest.raises(UndecidedError, match=r"which model answered\. Set options: \{model: NAME"):
        read("ragas", path, {})
    assert means(read("ragas", path, {"model": "m"})) == {("rag", "m"): 0.5}


def test_an_empty_cell_is_missing_and_not_wrong(tmp_path: Path) -> None:
    rows = [{"user_input": f"q{i}", "response": "a", "accuracy": a} for i, a in ((0, 1), (1, ""))]
    table = read("ragas", put_csv(tmp_path / "rag.csv", rows), {"model": "m"})
    assert means(table) == {("rag", "m"): 1.0}
    assert table.dropped["results without accuracy"] == 1


def runs() -> list[dict[str, Any]]:
    """Runs of LangSmith: a root a result, and the call inside it."""
    rows: list[dict[str, Any]] = []
    for model, key, task, prompt, reference, label in each():
        root = {
            "id": f"r-{key}-{model}", "name": "target", "run_type": "chain", "error": None,
            "inputs": {"inputs": {"question": prompt}}, "outputs": {"answer": "?"},
            "extra": {"metadata": {"ls_model_name": model, "task": task}}, "parent_run_id": None,
            "reference_example_id": key, "reference_outputs": {"answer": reference},
            "feedback_stats": {"correctness": {"n": 1, "avg": float(label), "values": {}}},
            "prompt_tokens": 12, "completion_tokens": 3, "total_cost": "0.0004",
        }  # fmt: skip
        rows += [root, {**root, "id": "c", "run_type": "llm", "parent_run_id": root["id"]}]
    return rows


def test_runs_of_langsmith_are_read_as_jsonl_and_as_the_bulk_export(tmp_path: Path) -> None:
    path = put_lines(tmp_path / "runs.jsonl", runs())
    table = read("langsmith", path, {"prompt": "inputs.inputs.question"})
    assert means(table) == PLAIN
    assert table.dropped == {"runs inside another run": 8}
    assert means(table, "cost_usd")["sums", "bee-2"] == pytest.approx(0.0004)
    packed = [
        {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in runs()
    ]
    pl.DataFrame(packed).write_parquet(tmp_path / "export.parquet")
    bulk = read("langsmith", tmp_path / "export.parquet", {"prompt": "inputs.inputs.question"})
    assert (means(bulk), prompts(bulk)) == (means(table), prompts(table))


def test_a_run_of_langsmith_with_an_error_is_missing(tmp_path: Path) -> None:
    rows = runs()
    rows[0]["error"] = "RateLimitError: too many"
    table = read("langsmith", put_lines(tmp_path / "runs.jsonl", rows), {})
    assert means(table)["sums", "acme/ant-7b"] == 1.0
    assert table.results["score"].null_count() == 1
    assert sum(table.dropped[w] for w in table.dropped if w.startswith("results without")) == 1


def test_an_input_of_several_fields_is_asked_about(tmp_path: Path) -> None:
    rows = [
        {"inputs": {"left": "a", "right": "b"}, "outputs": {}, "feedback_stats": {"ok": {"avg": i}},
         "metadata": {"model": "m"}}
        for i in (0, 1)
    ]  # fmt: skip
    path = put_lines(tmp_path / "runs.jsonl", rows)
    with pytest.raises(UndecidedError, match=r"several fields \(left, right\).*inputs\.NAME"):
        read("langsmith", path, {})
    assert set(prompts(read("langsmith", path, {"prompt": "inputs.right"})).values()) == {"b"}


def test_the_root_of_a_trace_of_braintrust_has_what_the_calls_below_say(tmp_path: Path) -> None:
    table = read("braintrust", WRITERS["braintrust"](tmp_path), {})
    assert set(by_sample(table, "bee-2", "prompt_tokens").values()) == {12}
    assert set(by_sample(table, "bee-2", "cost_usd").values()) == {0.001}
    assert table.dropped == {"spans inside a trace": 8}


def test_braintrust_as_csv_with_json_in_its_cells(tmp_path: Path) -> None:
    rows = [
        {"id": key + model, "input": json.dumps({"question": prompt}), "output": "?",
         "expected": reference, "scores": json.dumps({"Correctness": label, "Tone": 0.4}),
         "metadata": json.dumps({"model": model, "task": task}), "error": ""}
        for model, key, task, prompt, reference, label in each()
    ]  # fmt: skip
    path = put_csv(tmp_path / "experiment.csv", rows)
    assert means(read("braintrust", path, {})) == PLAIN
    assert set(means(read("braintrust", path, {"metric": "Tone"})).values()) == {0.4}


def test_langfuse_as_traces_of_the_api_and_as_rows_of_blob_storage(tmp_path: Path) -> None:
    traces = [
        {"id": f"t-{key}-{model}", "name": "chat", "sessionId": None, "input": prompt, "tags": [],
         "metadata": {"task": task, "model": model}, "totalCost": 0.002, "latency": 0.5,
         "scores": [{"name": "correctness", "value": label, "dataType": "BOOLEAN"},
                    {"name": "tone", "value": None, "stringValue": "kind"}]}
        for model, key, task, prompt, _, label in each()
    ]  # fmt: skip
    path = put(tmp_path / "api" / "traces.json", {"data": traces, "meta": {"page": 1}})
    assert means(read("langfuse", path, {})) == PLAIN
    observations = [
        {"id": f"o-{key}-{model}", "trace_id": f"t-{key}-{model}", "type": "GENERATION",
         "input": json.dumps([{"role": "user", "content": prompt}]), "output": "?",
         "provided_model_name": model, "metadata": {"task": task}, "level": "DEFAULT",
         "usage_details": {"input": 12, "output": 3}, "total_cost": 0.002}
        for model, key, task, prompt, _, _ in each()
    ]  # fmt: skip
    scores = [
        {"id": f"s-{key}-{model}", "trace_id": f"t-{key}-{model}", "name": "correctness",
         "observation_id": None if key == "q1" else f"o-{key}-{model}", "value": label,
         "data_type": "NUMERIC", "string_value": None}
        for model, key, _, _, _, label in each()
    ]  # fmt: skip
    put_lines(tmp_path / "blob" / "observations_v2" / "1.jsonl", observations)
    words = [  # beside which Langfuse keeps the number 0
        {**score, "id": f"w-{score['id']}", "name": "verdict", "value": 0,
         "data_type": "CATEGORICAL", "string_value": "right"}
        for score in scores
    ]  # fmt: skip
    put_lines(tmp_path / "blob" / "scores" / "1.jsonl", scores + words)
    table = read("langfuse", tmp_path / "blob", {})
    assert means(table) == PLAIN
    assert set(means(table, "prompt_tokens").values()) == {12}
    assert "metric:verdict" not in table.results.columns
    assert table.dropped == {"scores, which are read with what they judge": 16}
    put_lines(tmp_path / "blob" / "scores" / "1.jsonl", words)
    with pytest.raises(SourceError, match="no result with a score"):
        read("langfuse", tmp_path / "blob", {})


def test_a_trace_of_langfuse_takes_the_model_of_its_generation(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for model, key, task, prompt, _, label in each():
        trace = f"t-{key}-{model}"
        rows += [
            {"id": trace, "name": "chat", "sessionId": "s", "input": prompt, "correctness": [label],
             "metadata": {"task": task}},
            {"id": f"o-{trace}", "traceId": trace, "type": "GENERATION", "input": "inner",
             "model": model, "level": "DEFAULT"},
        ]  # fmt: skip
    rows.append({**rows[-1], "level": "ERROR", "correctness": [0]})
    table = read("langfuse", put(tmp_path / "all.json", rows), {})
    assert means(table) == PLAIN
    assert table.dropped["results with an error, which are missing and not wrong"] == 1
    assert table.dropped["traces and generations without a score"] == 8


def test_of_several_files_with_one_name_the_model_is_asked_for(tmp_path: Path) -> None:
    for run in ("x/one", "x/two"):
        for model in ("ant", "bee"):
            put_lines(tmp_path / run / f"{model}.jsonl", [{"input": "q", "scores": {"ok": 1}}])
    with pytest.raises(UndecidedError, match="have the same name"):
        read("braintrust", tmp_path, {})


@pytest.mark.parametrize("name", ["latency_ms", "WER", "perplexity", "cost", "error_rate"])
def test_less_of_an_error_is_better_in_every_export(tmp_path: Path, name: str) -> None:
    rows = [{"input": "q", "metadata": {"model": "m"}, "scores": {name: 0.25}}]
    put_lines(tmp_path / "a.jsonl", rows)
    assert read("braintrust", tmp_path, {}).scores["score"].to_list() == [-0.25]
