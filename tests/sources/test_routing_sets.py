"""EmbedLLM, LLMRouterBench and RouterArena: several runs, answers that are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import by_sample, means, prompts
from written import PLAIN, WRITERS, each, put

from litellm_benchrouter.sources import read


def test_the_split_of_embedllm_is_the_name_of_the_file(tmp_path: Path) -> None:
    table = read("embedllm", WRITERS["embedllm"](tmp_path), {})
    assert dict(table.samples.select("sample_id", "split").iter_rows()) == {
        **{"0": "train", "1": "train"},
        **{"2": "test", "3": "test"},
    }


def test_the_newest_run_of_llmrouterbench_counts_and_null_is_missing(tmp_path: Path) -> None:
    folder = WRITERS["llmrouterbench"](tmp_path)
    file = next(folder.rglob("sums-test-bee-2-*.json"))
    document = json.loads(file.read_text())
    document["records"][0] |= {"score": None, "cost": 0.0}
    put(file.with_name("sums-test-bee-2-20260402_120000.json"), document)
    put(file.with_name("sums-test-bee-2-20260403_120000.json"), document | {"demo": True})
    table = read("llmrouterbench", folder, {})
    assert by_sample(table, "bee-2")["sums/test/0"] is None
    assert by_sample(table, "bee-2", "cost_usd")["sums/test/0"] is None
    assert table.dropped["files of which a newer one is there"] == 1
    assert table.dropped["files of trial runs"] == 1
    sent = read("llmrouterbench", folder, {"prompt": "prompt"})
    assert all(text.startswith("Question: ") for text in prompts(sent).values())


def test_predictions_of_routers_are_results_of_the_models_that_they_chose(tmp_path: Path) -> None:
    rows = [
        {"global index": f"{task}_{key[1]}", "prompt": prompt, "prediction": model,
         "generated_result": {"generated_answer": "?", "success": key != "q4",
                              "token_usage": {"input_tokens": 12, "output_tokens": 3}},
         "cost": 0.001, "accuracy": None if key == "q3" else float(label)}
        for model, key, task, prompt, _, label in each()
    ]  # fmt: skip
    table = read("routerarena", put(tmp_path / "router.json", rows), {})
    assert means(table) == {key: mean for key, mean in PLAIN.items() if key[0] == "sums"}
    assert table.dropped["answers that were not evaluated"] == 2
    words = "answers that were not generated, which are missing and not wrong"
    assert table.dropped[words] == 2
    assert by_sample(table, "bee-2", "prompt_tokens")["sums_1"] == 12


@pytest.mark.parametrize("kind", ["embedllm", "llmrouterbench", "routerarena"])
def test_tokens_and_costs_are_those_of_the_source(kind: str, tmp_path: Path) -> None:
    table = read(kind, WRITERS[kind](tmp_path), {})
    if kind != "embedllm":
        assert set(means(table, "cost_usd").values()) == {0.001}
        assert set(means(table, "completion_tokens").values()) == {3}
