"""`kind: mixinstruct`, on rows written by hand in the schema of LLM-Blender's data."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import by_sample, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.mixinstruct import _ranks, read

MODELS = ["alpaca-native", "flan-t5-xxl", "vicuna-13b-1.1"]
VERDICTS = ["A is better", "B is better", "Same good", "Same bad"]


def row(key: str, **changes: Any) -> dict[str, Any]:
    number = sum(key.encode())
    return {
        "id": key,
        "instruction": "Answer in one word. ",
        "input": f"What is {key}?",
        "output": f"It is {number}.",
        "candidates": [
            {
                "decoding_method": "top_p_sampling",
                "model": model,
                "text": f"{number + m}",
                "scores": {
                    "logprobs": -10.0 - m,
                    "rougeL": 0.1 * m,
                    "bleu": 20.0 * m,
                    "bertscore": 0.6 + 0.01 * m,
                    "bartscore": -3.0 - m,
                },
            }
            for m, model in enumerate(MODELS)
        ],
        "cmp_results": "null",
        **changes,
    }


ROWS = [
    row("unified_chip2/1"),
    row("laion/unified_chip2/2", instruction=""),
    row("dolly_15k/open_qa/3"),
    row("itwgpt4/4", output=["first", "second"]),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "test_data_prepared.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    return file


def test_the_task_is_the_data_set_that_an_id_starts_with(data: Path) -> None:
    samples = read(data).samples
    assert samples["task"].to_list() == ["unified_chip2", "unified_chip2", "dolly_15k", "itwgpt4"]
    assert samples["sample_id"].to_list() == [r["id"] for r in ROWS]


def test_prompt_reference_and_split_are_kept(data: Path) -> None:
    table = read(data)
    assert prompts(table)["unified_chip2/1"] == "Answer in one word. What is unified_chip2/1?"
    assert prompts(table)["laion/unified_chip2/2"] == "What is laion/unified_chip2/2?"
    assert table.samples["reference"][3] == "first"
    assert set(table.samples["split"]) == {"test"}


def test_bertscore_is_the_score_and_every_metric_is_kept(data: Path) -> None:
    table = read(data)
    assert by_sample(table, "vicuna-13b-1.1") == dict.fromkeys((r["id"] for r in ROWS), 0.62)
    assert by_sample(table, "flan-t5-xxl", "metric:bleu")["itwgpt4/4"] == 20.0
    assert by_sample(table, "flan-t5-xxl", "log_likelihood")["itwgpt4/4"] == -11.0
    assert set(table.scores.columns) == {
        *("sample_id", "model", "score", "log_likelihood"),
        *("metric:rougeL", "metric:bleu", "metric:bertscore", "metric:bartscore"),
    }
    assert table.dropped == {}


def test_another_metric_can_be_the_score(data: Path) -> None:
    table = read(data, metric="bartscore")
    assert set(by_sample(table, "alpaca-native").values()) == {-3.0}
    with pytest.raises(SourceError, match=r"no metric bleurt; choose among .*bertscore"):
        read(data, metric="bleurt")


def test_scores_of_a_ranker_become_its_column(tmp_path: Path) -> None:
    ranked = row("unified_chip2/1")
    for m, candidate in enumerate(ranked["candidates"]):
        candidate["scores"]["pairranker"] = float(m)
    (tmp_path / "val_data_prepared.jsonl").write_text(json.dumps(ranked))
    table = read(tmp_path, rankers=["pairranker"])
    assert by_sample(table, "vicuna-13b-1.1", "ranker:pairranker") == {"unified_chip2/1": 2.0}
    assert "metric:pairranker" not in table.scores.columns


def test_a_zero_that_no_answer_can_have_is_missing(tmp_path: Path) -> None:
    zeros = row("unified_chip2/1")
    zeros["candidates"][1]["scores"] |= {"logprobs": 0.0, "bartscore": 0.0, "bleu": 0.0}
    (tmp_path / "a.jsonl").write_text(json.dumps(zeros))
    table = read(tmp_path, metric="bartscore")
    assert by_sample(table, "flan-t5-xxl") == {"unified_chip2/1": None}
    assert by_sample(table, "flan-t5-xxl", "log_likelihood") == {"unified_chip2/1": None}
    assert by_sample(table, "flan-t5-xxl", "metric:bleu") == {"unified_chip2/1": 0.0}
    assert table.dropped == {
        "bartscore of exactly 0": 1,
        "logprobs of exactly 0": 1,
        "candidates without bartscore": 1,
    }


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]),
        st.sampled_from(VERDICTS),
    )
)
def test_ranks_are_those_of_the_matrix_of_verdicts(verdicts: dict[tuple[int, int], str]) -> None:
    models = [f"m{i}" for i in range(5)]
    C = np.zeros((5, 5))
    for (a, b), verdict in verdicts.items():
        step = {"A is better": (1, -1), "B is better": (-1, 1), "Same good": (0.5, 0.5)}
        one, other = step.get(verdict, (-0.5, -0.5))
        C[a, b] += one
        C[b, a] += other
    score = (C - C.T).sum(axis=1)
    rank = 1 + (score[None, :] > score[:, None]).sum(axis=1)
    stated = {f"m{a},m{b}": verdict for (a, b), verdict in verdicts.items()}
    expected = {model: -float(r) for model, r in zip(models, rank, strict=True)} if stated else {}
    assert _ranks(models, json.dumps(stated), Counter()) == expected


def test_pairwise_verdicts_give_a_rank_that_can_be_the_score(tmp_path: Path) -> None:
    verdicts = {
        "alpaca-native,flan-t5-xxl": "B is better",
        "flan-t5-xxl,vicuna-13b-1.1": "A is better",
        "alpaca-native,gpt-9": "A is better",
    }
    rows = [row("itwgpt4/1", cmp_results=json.dumps(verdicts)), row("itwgpt4/2")]
    (tmp_path / "test_data_prepared.json").write_text(json.dumps(rows, indent=1))
    table = read(tmp_path, metric="gpt_rank")
    assert by_sample(table, "flan-t5-xxl") == {"itwgpt4/1": -1.0, "itwgpt4/2": None}
    assert by_sample(table, "alpaca-native")["itwgpt4/1"] == -2.0
    assert table.dropped == {
        "verdicts of cmp_results on no two candidates": 1,
        "candidates without gpt_rank": 3,
    }


def test_a_split_that_is_there_in_both_forms_is_read_once(data: Path) -> None:
    damaged = [r | {"candidates": []} for r in ROWS]
    data.with_suffix(".json").write_text(json.dumps(damaged))
    assert means(read(data.parent)) == means(read(data))


def test_broken_lines_are_named_and_the_others_stay(data: Path) -> None:
    lines = data.read_text().splitlines()
    lines[1] = lines[1][:200]
    lines[2] = "[1, 2]"
    lines.append(json.dumps(row("dolly_15k/qa/9", candidates="none")))
    data.write_text("\n".join(lines))
    table = read(data)
    assert table.samples["sample_id"].to_list() == ["unified_chip2/1", "itwgpt4/4"]
    assert dict(table.dropped) == {
        f"file {data.name}: line 2 is not JSON (Unterminated string starting at)": 1,
        f"file {data.name}: line 3 is not an object": 1,
        f"file {data.name}: line 5 has no list at candidates": 1,
    }


def test_empty_prompts_are_counted(data: Path) -> None:
    with data.open("a") as file:
        file.write(json.dumps(row("sharegpt/5", instruction=" ", input="")) + "\n")
        file.write(json.dumps(row("sharegpt/6")))
    table = read(data)
    assert table.samples["source_row"].to_list() == [0, 1, 2, 3, 5]
    assert table.n_rows == 6
    assert table.dropped == {"empty prompts": 1, "scores of samples left out": 3}


def test_a_large_file_is_read_without_holding_it(tmp_path: Path) -> None:
    file = tmp_path / "train_data_prepared.jsonl"
    with file.open("w") as out:
        for i in range(400):
            long = row(f"itwgpt4/{i}")
            for candidate in long["candidates"]:
                candidate["text"] = "word " * 5000
            out.write(json.dumps(long) + "\n")
    tracemalloc.start()
    try:
        table = read(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table.scores.height == 1200
    assert peak < file.stat().st_size / 5
