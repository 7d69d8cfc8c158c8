"""The readers against the tools of today: each is run for real, offline, where it is installed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from reading import means, prompts, run, tool, written_by

from litellm_benchrouter.sources import (
    evaluators,
    helm,
    inspect_ai,
    lm_eval,
    promptfoo,
    tracing,
)


def test_helm(tmp_path: Path) -> None:
    command = tool("helm-run", "pip install crfm-helm, which brings torch")
    entry = ("--run-entries", "simple_mcqa:model=simple/model1", "--suite", "s", "-m", "10")
    run(tmp_path, command, *entry, "-n", "1", "--disable-cache", HF_HUB_OFFLINE="1")
    table = helm.read(tmp_path / "benchmark_output")
    [stats] = (tmp_path / "benchmark_output").glob("runs/s/simple_mcqa*/stats.json")
    [own] = [
        stat["mean"]
        for stat in json.loads(stats.read_bytes())
        if stat["name"]["name"] == "exact_match" and "perturbation" not in stat["name"]
    ]
    assert means(table) == pytest.approx({("simple_mcqa", "simple/model1"): own})
    assert table.samples.height == 10
    assert table.dropped == {"log-likelihoods that are zero throughout a task": 10}


def test_lm_eval(tmp_path: Path) -> None:
    command = tool("lm_eval", "pip install lm-eval")
    documents = [
        {"question": f"What is {i} + 1?", "choices": [str(i + 1), str(i + 2)], "answer": i % 2}
        for i in range(8)
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    task = {
        "task": "sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "docs.jsonl")}},
        "test_split": "test",
        "fewshot_split": "test",
        "num_fewshot": 1,
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "answer",
        "doc_to_choice": "{{choices}}",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "sums.yaml").write_text(json.dumps(task))  # JSON is YAML
    run(
        tmp_path,
        *(command, "--model", "dummy", "--tasks", "sums", "--include_path", str(tmp_path)),
        *("--log_samples", "--output_path", "out"),
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_HOME=str(tmp_path / "cache"),
    )
    table = lm_eval.read(tmp_path / "out")
    [results] = (tmp_path / "out").rglob("results_*.json")
    own = json.loads(results.read_bytes())
    expected = {("sums", own["model_name"]): own["results"]["sums"]["acc,none"]}
    assert means(table) == pytest.approx(expected)
    assert prompts(table) == {
        f"sums/{i}": f"{document['question']}\nAnswer:" for i, document in enumerate(documents)
    }


INSPECT_TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match

output = ModelOutput.from_content("mockllm/model", "3")
output.usage = ModelUsage(input_tokens=5, output_tokens=1, total_tokens=6)


@task
def sums():
    return Task(
        dataset=[Sample(input=f"What is {i} + 1?", target=str(i + 1), id=i) for i in range(6)],
        model=get_model("mockllm/model", custom_outputs=[output] * 12),
        scorer=match(),
        epochs=2,
    )
"""


def test_inspect(tmp_path: Path) -> None:
    command = tool("inspect", "pip install inspect-ai")
    (tmp_path / "tasks.py").write_text(INSPECT_TASK)
    run(tmp_path, command, "eval", "tasks.py", "--display", "plain", "--log-dir", "logs")
    table = inspect_ai.read(tmp_path / "logs")
    [log] = (tmp_path / "logs").glob("*.eval")
    with zipfile.ZipFile(log) as archive:  # which the reader has taught Zstandard
        stated = json.loads(archive.read("header.json"))
    own = stated["results"]["scores"][0]["metrics"]["accuracy"]["value"]
    assert own == pytest.approx(1 / 6)
    assert means(table) == pytest.approx({("sums", stated["eval"]["model"]): own})
    assert table.samples.height == 6


def test_promptfoo(tmp_path: Path) -> None:
    command = tool("promptfoo", "npm install -g promptfoo, with Node 22")
    answers = [("2 + 2", "Say 2 + 2"), ("2 + 2", "4"), ("4", "Say 4")]
    config = {
        "description": "sums",
        "prompts": ["Say {{question}}"],
        "providers": [{"id": "echo", "label": "parrot"}],
        "tests": [
            {"vars": {"question": question}, "assert": [{"type": "equals", "value": value}]}
            for question, value in answers
        ],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    run(
        tmp_path,
        *(command, "eval", "-c", "config.json", "-o", "results.json", "--no-cache", "--no-share"),
        *("--no-table", "--no-progress-bar"),
        expected=100,  # a test failed, as one is meant to
        PROMPTFOO_DISABLE_TELEMETRY="1",
        PROMPTFOO_DISABLE_UPDATE="1",
        PROMPTFOO_DISABLE_REMOTE_GENERATION="1",
        PROMPTFOO_CONFIG_DIR=str(tmp_path / "settings"),
    )
    table = promptfoo.read(tmp_path / "results.json")
    # Two of the tests have the same prompt and variables: they are repetitions of one sample.
    assert means(table) == {("sums", "parrot"): 0.75}
    assert set(prompts(table).values()) == {"Say 2 + 2", "Say 4"}


def test_deepeval(tmp_path: Path) -> None:
    program = """
from deepeval.test_run.api import LLMApiTestCase
from deepeval.test_run.test_run import TestRun
from deepeval.tracing.api import MetricData
run = TestRun(testFile="t.py", hyperparameters={"model": "ant"})
for i in range(5):
    case = LLMApiTestCase(name=f"case {i}", input=f"What is {i} + 1?", expectedOutput=str(i + 1))
    score = {"name": "Correctness [GEval]", "threshold": 0.5, "success": i > 1, "score": i / 4}
    case.update_metric_data(MetricData(**score))
    run.add_test_case(case)
run.calculate_test_passes_and_fails()
with open("run.json", "w") as file:
    run.save(file)
"""
    written_by("deepeval", tmp_path, program, DEEPEVAL_TELEMETRY_OPT_OUT="YES")
    own = json.loads((tmp_path / "run.json").read_bytes())
    table = evaluators.deepeval(tmp_path / "run.json", task="sums")
    share = own["testPassed"] / (own["testPassed"] + own["testFailed"])
    assert means(table) == {("sums", "ant"): pytest.approx(share)}
    assert share == pytest.approx(3 / 5)
    graded = evaluators.deepeval(tmp_path / "run.json", task="sums", metric="Correctness")
    assert means(graded) == {("sums", "ant"): pytest.approx(0.5)}


def test_braintrust(tmp_path: Path) -> None:
    program = """
from braintrust import Eval
data = [{"input": f"What is {i} + 1?", "expected": str(i + 1), "metadata": {"model": "ant"}}
        for i in range(4)]
def score(input, output, expected):
    return {"name": "Match", "score": output == expected}
result = Eval("sums", data=data, task=lambda _: "3", no_send_logs=True, scores=[score])
open("result.json", "w").write(result.as_json())
"""
    written_by("braintrust", tmp_path, program)
    own = json.loads((tmp_path / "result.json").read_bytes())
    stated = own["summary"]["comparison"]["scores"]["Match"]["score"]
    table = tracing.braintrust(tmp_path / "result.json")
    assert means(table) == {("result", "ant"): pytest.approx(stated)}
    assert stated == pytest.approx(1 / 4)
