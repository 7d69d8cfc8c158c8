"""lighteval, OpenCompass and OpenAI evals: older layouts, repeated runs, samples that failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from reading import by_sample, means
from written import MEANS, MODELS, WRITERS, each, put, put_lines

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.rows import UndecidedError


def test_lighteval_before_0_10_has_the_columns_example_and_metrics(tmp_path: Path) -> None:
    for model in MODELS:
        for task in ("sums", "words"):
            rows = [
                {"example": prompt, "instruction": "", "full_prompt": f"Q: 1+1? A: 2. Q: {prompt}",
                 "num_effective_few_shots": 1, "num_asked_few_shots": 1, "gold": [reference],
                 "predictions": ["?"], "choices": [reference, "none"], "gold_index": [0],
                 "metrics": {"acc": float(label), "acc_norm": 0.5}, "specifics": None}
                for name, _, of, prompt, reference, label in each()
                if name == model and of == task
            ]  # fmt: skip
            for stamp in ("2025-01-01T12-00-00.1", "2025-03-01T12-00-00.1"):
                at = tmp_path / "details" / model / stamp
                at.mkdir(parents=True) if not at.exists() else None
                if stamp < "2025-02":
                    rows_of_run = [
                        {**row, "metrics": {"acc": 0.0, "acc_norm": 0.0}} for row in rows
                    ]
                else:
                    rows_of_run = rows
                name = f"details_lighteval|{task}|1_{stamp}.parquet"
                pl.DataFrame(rows_of_run).write_parquet(at / name)
    table = read("lighteval", tmp_path, {})
    assert means(table) == {
        (f"{task.removesuffix('|0')}|1", model): mean
        for (task, model), mean in MEANS["lighteval"].items()
    }
    assert table.dropped == {"runs of which a newer one is there": 4}
    assert "1+1" not in "".join(table.samples["prompt"])
    norm = read("lighteval", tmp_path, {"metric": ["missing", "acc_norm"]})
    assert set(means(norm).values()) == {0.5}
    with pytest.raises(SourceError, match="no metric f1; choose among acc, acc_norm"):
        read("lighteval", tmp_path, {"metric": "f1"})


def test_tokens_of_lighteval_are_counted_and_perplexity_is_turned_around(tmp_path: Path) -> None:
    table = read("lighteval", WRITERS["lighteval"](tmp_path), {})
    assert set(means(table, "prompt_tokens").values()) == {12}
    assert set(means(table, "completion_tokens").values()) == {3}
    assert set(means(table, "metric:perplexity").values()) == {-3}


def test_details_of_opencompass_before_0_4_hold_their_prompts(tmp_path: Path) -> None:
    top = tmp_path / "default" / "20240401_120000"
    for model in MODELS:
        name = model.replace("/", "_")
        for task in ("sums", "words"):
            rows = [row for row in each() if row[0] == model and row[2] == task]
            details: dict[str, Any] = {"type": "GEN"} | {
                str(i): {"prompt": [{"role": "HUMAN", "prompt": "1+1?"},
                                    {"role": "BOT", "prompt": "2"},
                                    {"role": "HUMAN", "prompt": row[3]}],
                         "origin_prediction": "?", "predictions": "?", "references": row[4],
                         "correct": bool(row[5])}
                for i, row in enumerate(rows)
            }  # fmt: skip
            put(top / "results" / name / f"{task}.json", {"accuracy": 75.0, "details": details})
    table = read("opencompass", top, {})
    assert means(table) == MEANS["opencompass"]
    assert "1+1?" not in set(table.samples["prompt"])
    assert len(table.warnings) == 4
    assert "states an accuracy of 75.0, its details have 100.0" in table.warnings[0]


def test_predictions_of_opencompass_in_shards_and_repeated_runs(tmp_path: Path) -> None:
    folder = WRITERS["opencompass"](tmp_path)
    file = next(folder.rglob("predictions/bee-2/sums.json"))
    held = json.loads(file.read_text())
    for shard, key in enumerate(sorted(held)):
        put(file.with_name(f"sums_{shard}.json"), {"0": held[key]})
    file.unlink()
    results = next(folder.rglob("results/bee-2/sums.json"))
    document = json.loads(results.read_text())
    document["details"][0]["correct"] = [True, False, False, False]
    document.pop("accuracy")
    put(results, document)
    table = read("opencompass", folder, {})
    assert by_sample(table, "bee-2")["sums/0"] == 0.25
    later = results.parents[2].with_name("20260501_120000") / "results" / "bee-2" / "sums.json"
    put(later, {"accuracy": 0.0})
    table = read("opencompass", folder, {})
    assert table.warnings == ["Results without details are left out: bee-2/sums."]
    assert table.dropped["results of which later ones are there"] == 1


def test_results_of_opencompass_without_details_ask_for_them(tmp_path: Path) -> None:
    folder = WRITERS["opencompass"](tmp_path)
    for file in folder.rglob("results/*/*.json"):
        put(file, {"accuracy": 50.0})
    with pytest.raises(UndecidedError, match=r"averages only\. Run OpenCompass with --dump-eval"):
        read("opencompass", folder, {})


def accuracy_only(folder: Path, task: str, rows: list[tuple[str, str]], accuracy: float) -> Path:
    """As OpenCompass writes where the evaluator, such as AccEvaluator, gives no details."""
    details: dict[str, Any] = {"type": "GEN"} | {
        str(i): {"prompt": f"question {i}", "predictions": predicted, "references": reference}
        for i, (predicted, reference) in enumerate(rows)
    }
    document = {"accuracy": accuracy, "details": details}
    return put(folder / "results" / "parrot" / f"{task}.json", document)


def test_answers_of_opencompass_that_are_the_reference_are_right_if_the_accuracy_says_so(
    tmp_path: Path,
) -> None:
    rows = [("A", "A"), ("B", "C"), ("D", "D")]
    accuracy_only(tmp_path, "letters", rows, 200 / 3)
    accuracy_only(tmp_path, "words", rows, 100.0)  # compared in another way
    table = read("opencompass", tmp_path, {})
    assert by_sample(table, "parrot") == {
        "letters/0": 1, "letters/1": 0, "letters/2": 1,
        "words/0": None, "words/1": None, "words/2": None,
    }  # fmt: skip
    assert table.dropped == {"details that do not say what is correct": 3}


def test_the_prompt_of_options_that_opencompass_scored_holds_none_of_them(tmp_path: Path) -> None:
    inputs = {
        f"label: {o}": {"testing input": f"What is 1 + 1?\nIt is {o}"} for o in ("12", "1", "2")
    }
    first = {"origin_prompt": "What is 1 + 1?\nIt is 12", **inputs, "prediction": "2", "gold": "2"}
    put(tmp_path / "predictions" / "parrot" / "sums.json", {"0": first})
    details = {"type": "PPL", "0": {"predictions": "2", "references": "2", "correct": True}}
    put(tmp_path / "results" / "parrot" / "sums.json", {"accuracy": 100.0, "details": details})
    assert read("opencompass", tmp_path, {}).samples["prompt"].to_list() == [
        "What is 1 + 1?\nIt is"
    ]


def test_an_average_over_runs_that_opencompass_states_is_compared(tmp_path: Path) -> None:
    rows = [{"prompt": ["question"] * 3, "is_correct": [True, False, False]}]
    document = {"accuracy (3 runs average)": 66.7, "details": rows}
    put(tmp_path / "results" / "parrot" / "sums.json", document)
    table = read("opencompass", tmp_path, {})
    assert means(table) == {("sums", "parrot"): pytest.approx(1 / 3)}
    (warning,) = table.warnings
    assert "states an accuracy of 66.7, its details have 33.3" in warning


def event(sample: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"run_id": "r", "event_id": 1, "sample_id": f"e.dev.{sample}", "type": kind,
            "data": data, "created_by": "", "created_at": ""}  # fmt: skip


def test_samples_of_evals_with_an_error_are_missing_and_graders_prompts_are_not_read(
    tmp_path: Path,
) -> None:
    rows = [
        {"spec": {"completion_fns": ["m", "judge"], "eval_name": "e.dev.v0", "split": "dev"}},
        event(0, "sampling", prompt="first", sampled=["?"]),
        event(0, "sampling", prompt="Is this right? ...", sampled=["Y"]),
        event(0, "metrics", choice="Y", score=1.0),
        event(1, "sampling", prompt="second", sampled=["?"]),
        event(1, "metrics", choice="N", score=0.0),
        event(2, "sampling", prompt="third", sampled=[""]),
        event(2, "error", type="Timeout", message="too slow"),
        event(3, "sampling", prompt="fourth", sampled=["?"]),
        event(4, "match", correct=False, expected="?", picked=None),
    ]
    path = put_lines(tmp_path / "log.jsonl", rows[:-1])
    table = read("openai-evals", path, {})
    assert means(table) == {("e.dev.v0", "m"): 0.5}
    assert table.samples["prompt"].to_list() == ["first", "second", "third", "fourth"]
    assert table.dropped["samples without a score, which are missing"] == 2
    table = read("openai-evals", put_lines(path, rows), {"metric": "score", "model": "n"})
    assert means(table) == {("e.dev.v0", "n"): 0.5}
    assert any("sample e.dev.4 has no prompt" in words for words in table.dropped)
