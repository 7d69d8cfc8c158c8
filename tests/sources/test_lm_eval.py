"""`kind: lm-eval` against what lm-evaluation-harness itself wrote, new and old."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from reading import by_sample, copied, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.lm_eval import read

MODELS = ["forest/birch-70b", "forest/cedar-13b", "forest/maple-7b"]
FIRST = {
    "lr_antonyms": "acc,none",
    "lr_tone": "acc,none",
    "lr_arithmetic": "exact_match,strict-match",
    "lr_units": "exact_match,first",
}


@pytest.fixture
def results(shared: Path) -> Path:
    return shared / "raw" / "lm-eval" / "results"


@pytest.fixture
def old(shared: Path) -> Path:
    return shared / "raw" / "lm-eval" / "results-0.4.5"


def folder(results: Path, model: str) -> Path:
    return results / model.replace("/", "__")


def totals(folder: Path) -> dict[str, dict[str, float]]:
    """The means that the tool states, of its most complete run."""
    files = [json.loads(file.read_bytes())["results"] for file in folder.glob("results_*.json")]
    return max(files, key=len)


def samples_file(folder: Path, task: str) -> Path:
    return sorted(folder.glob(f"samples_{task}_*.jsonl"))[0]


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(file: Path, changed: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in changed))


def test_the_means_are_those_of_the_tool_for_every_task_and_model(results: Path) -> None:
    found = {key: mean for key, mean in means(read(results)).items() if key[1] in MODELS}
    expected = {
        (task, model): totals(folder(results, model))[task][key]
        for model in MODELS
        for task, key in FIRST.items()
    }
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("wanted", [["flexible-extract"], ["strict-match"], ["maj@3", "none"]])
def test_the_filter_asked_for_is_read(results: Path, wanted: list[str]) -> None:
    table = read(results, filter=wanted)
    found = {key: mean for key, mean in means(table).items() if key[1] in MODELS}
    assert found
    for (task, model), mean in found.items():
        own = totals(folder(results, model))[task]
        metric = FIRST[task].split(",")[0]
        known = {filter: own.get(f"{metric},{filter}") for filter in {*wanted, "none"}}
        [expected] = [value for value in known.values() if value is not None]
        assert mean == pytest.approx(expected)
    missing = "lr_arithmetic" if "maj@3" in wanted else "lr_units"
    [words] = [words for words in table.dropped if words.startswith(f"files of {missing}")]
    assert table.dropped[words] == 3 + (missing == "lr_arithmetic")


def test_a_task_whose_metrics_are_not_numbers_for_a_sample_has_no_scores(results: Path) -> None:
    table = read(results)
    assert not [task for task, _ in means(table) if task == "lr_story"]
    assert table.dropped["results of lr_story without a metric for the score"] == 30
    assert not {"metric:brier_score", "metric:chrf", "metric:word_perplexity"} & set(
        table.scores.columns
    )


def test_a_task_takes_the_first_of_the_metrics_asked_for_that_it_has(results: Path) -> None:
    table = read(results, metric=["acc_norm", "acc"])
    model = "forest/maple-7b"
    assert (
        means(table)["lr_antonyms", model]
        == totals(folder(results, model))["lr_antonyms"]["acc_norm,none"]
    )
    assert means(table)["lr_tone", model] == pytest.approx(0.7222, abs=1e-4)
    assert table.dropped["results of lr_units without acc_norm, acc"] == 45
    with pytest.raises(SourceError, match=r"no metric f2; choose among .*acc_norm"):
        read(results, metric="f2")


def test_of_two_runs_the_fuller_is_read_and_of_equal_ones_the_newer(
    results: Path, tmp_path: Path
) -> None:
    maple = copied(folder(results, "forest/maple-7b"), tmp_path)
    assert len(list(maple.glob("samples_lr_tone_*"))) == 2
    table = read(maple)
    assert table.dropped["runs of which a fuller or newer one is there"] == 1
    assert by_sample(table, "forest/maple-7b").keys() >= {f"lr_tone/{i}" for i in range(18)}
    full = samples_file(maple, "lr_tone")
    newer = maple / "samples_lr_tone_2027-01-01T00-00-00.000001.jsonl"
    write(newer, [row | {"acc": 0.25} for row in rows(full)])
    for file in maple.glob("results_*05-16*.json"):
        (maple / "results_2027-01-01T00-00-00.000001.json").write_bytes(file.read_bytes())
    assert means(read(maple))["lr_tone", "forest/maple-7b"] == 0.25


def test_the_bare_question_is_the_prompt_unless_the_request_is_asked_for(results: Path) -> None:
    bare, sent = prompts(read(results)), prompts(read(results, prompt="request"))
    own = rows(samples_file(folder(results, "forest/birch-70b"), "lr_antonyms"))
    assert len(own) == 20
    for row in own:
        key = f"lr_antonyms/{row['doc_id']}"
        assert sent[key] == row["arguments"]["gen_args_0"]["arg_0"]
        assert bare[key] == f"{row['doc']['question']}\nAnswer:"
    field = prompts(read(results, prompt="doc.question"))
    assert field["lr_tone/0"].startswith("Review: The soup")
    assert bare["lr_tone/0"] == sent["lr_tone/0"] != field["lr_tone/0"]


def test_a_question_that_holds_the_delimiter_is_not_cut(results: Path, tmp_path: Path) -> None:
    birch = copied(folder(results, "forest/birch-70b"), tmp_path)
    file = samples_file(birch, "lr_antonyms")
    changed = rows(file)
    question = "Here is a word:\n\nhot\n\nWhich is its opposite?"
    request = changed[0]["arguments"]["gen_args_0"]
    request["arg_0"] = request["arg_0"].replace(changed[0]["doc"]["question"], question)
    changed[0]["doc"]["question"] = question
    write(file, changed)
    assert prompts(read(birch))["lr_antonyms/0"] == f"{question}\nAnswer:"


def test_of_a_chat_the_last_user_message_is_the_prompt(results: Path, tmp_path: Path) -> None:
    birch = copied(folder(results, "forest/birch-70b"), tmp_path)
    file = samples_file(birch, "lr_arithmetic")
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    changed = rows(file)
    changed[0]["arguments"]["gen_args_0"]["arg_0"] = [json.dumps(chat)]
    write(file, changed)
    assert prompts(read(birch))["lr_arithmetic/0"] == "1 + 1?"


def test_references_are_texts_also_in_multiple_choice(results: Path) -> None:
    samples = read(results).samples
    own = {row["sample_id"]: row["reference"] for row in samples.to_dicts()}
    assert own["lr_antonyms/0"] == "cold"
    assert own["lr_arithmetic/0"] == "72"


def test_the_log_likelihood_is_that_of_the_most_likely_option(results: Path) -> None:
    table = read(results)
    found = by_sample(table, "forest/cedar-13b", "log_likelihood")
    for row in rows(samples_file(folder(results, "forest/cedar-13b"), "lr_antonyms")):
        own = max(float(likelihood) for likelihood, _ in row["filtered_resps"])
        assert found[f"lr_antonyms/{row['doc_id']}"] == pytest.approx(own)
    assert {task for task, _ in means(table, "log_likelihood")} == {"lr_antonyms", "lr_tone"}


@pytest.mark.parametrize("wanted", [None, "flexible-extract"])
def test_filters_that_an_old_row_does_not_name_are_told_by_their_order(
    old: Path, wanted: str | None
) -> None:
    found = means(read(old, filter=wanted))
    own = totals(folder(old, "forest/maple-7b"))
    expected = {
        ("lr_arithmetic", "forest/maple-7b"): own["lr_arithmetic"][
            f"exact_match,{wanted or 'strict-match'}"
        ],
        ("lr_tone", "forest/maple-7b"): own["lr_tone"]["acc,none"],
    }
    assert found == pytest.approx(expected)


def test_the_oldest_form_is_one_indented_list_beside_a_results_json(
    old: Path, tmp_path: Path
) -> None:
    maple = folder(old, "forest/maple-7b")
    [stated] = maple.glob("results_*.json")
    document = json.loads(stated.read_bytes())
    for key in ("model_name", "model_name_sanitized", "model_source"):
        del document[key]
    (tmp_path / "results.json").write_text(json.dumps(document))
    oldest = rows(samples_file(maple, "lr_arithmetic"))
    for row in oldest:
        del row["doc_hash"], row["prompt_hash"], row["target_hash"]
        row["arguments"] = [list(request.values()) for request in row["arguments"].values()]
    name = "pretrained__forest__maple-7b_lr_arithmetic.jsonl"
    (tmp_path / name).write_text(json.dumps(oldest, indent=2))
    expected = read(maple)
    table = read(tmp_path)
    assert means(table) == {
        key: mean for key, mean in means(expected).items() if key[0] == "lr_arithmetic"
    }
    assert_frame_equal(table.samples, expected.samples.filter(task="lr_arithmetic"))


def test_without_a_results_file_the_folder_names_the_model(results: Path, tmp_path: Path) -> None:
    copied(results, tmp_path, lambda file: "__" in file.parent.name and file.suffix == ".jsonl")
    assert {model for _, model in means(read(tmp_path))} == set(MODELS)


def test_of_a_metric_of_which_less_is_better_the_negative_is_taken(
    results: Path, tmp_path: Path
) -> None:
    birch = copied(folder(results, "forest/birch-70b"), tmp_path)
    file = samples_file(birch, "lr_tone")
    write(file, [row | {"brier_score": 0.125} for row in rows(file)])
    model = "forest/birch-70b"
    assert means(read(birch))["lr_tone", model] == pytest.approx(0.7222, abs=1e-4)
    assert means(read(birch, metric="brier_score"))["lr_tone", model] == -0.125


def test_the_same_number_for_another_document_is_not_mixed_up(
    results: Path, tmp_path: Path
) -> None:
    copied(results, tmp_path, lambda file: "lr_arithmetic" in file.name or file.suffix == ".json")
    file = samples_file(folder(tmp_path, "forest/cedar-13b"), "lr_arithmetic")
    changed = rows(file)
    changed[0] |= {"doc_hash": "another", "exact_match": 1.0}
    write(file, changed)
    table = read(tmp_path)
    assert table.dropped["results whose sample id had another prompt"] == 1
    assert "lr_arithmetic/0" not in by_sample(table, "forest/cedar-13b")


TEMPLATES = {
    "chatml": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "llama3": "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "[INST] {} [/INST]",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{} [/INST]",
    "phi": "<|system|>\nBe brief.<|end|>\n<|user|>\n{}<|end|>\n<|assistant|>\n",
    "deepseek": "<｜begin▁of▁sentence｜><｜User｜>{}<｜Assistant｜>",
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("is_in_turns", [True, False])
def test_of_a_chat_that_a_template_made_one_text_the_question_alone_is_the_prompt(
    tmp_path: Path, template: str, is_in_turns: bool
) -> None:
    turn = TEMPLATES[template]
    stamp = "2025-01-02T03-04-05.000001"
    shots = [f"Question: What is {i} + {i}?\nAnswer:" for i in range(3)]
    changed = []
    for i in range(4):
        own = f"Question: Bob has {i} apples; how many?\nAnswer:"
        if is_in_turns:
            sent = "".join(turn.format(shot) + "4\n" for shot in shots) + turn.format(own)
        else:
            sent = turn.format("\n\n".join([*(f"{shot} 4" for shot in shots), own]))
        doc = {"question": f"Bob has {i} apples; how many?", "answer": "4"}
        changed.append({"doc_id": i, "doc": doc, "arguments": [[sent, {}]], "acc": i % 2})
    write(tmp_path / f"samples_t_{stamp}.jsonl", changed)
    results = {"configs": {"t": {}}, "n-shot": {"t": 3}, "model_name": "m"}
    (tmp_path / f"results_{stamp}.json").write_text(json.dumps(results))
    assert list(prompts(read(tmp_path)).values()) == [
        f"Question: Bob has {i} apples; how many?\nAnswer:" for i in range(4)
    ]
    sent = changed[0]["arguments"][0][0]
    assert prompts(read(tmp_path, prompt="request"))["t/0"] == sent


def test_samples_that_are_named_json_are_read_alike(shared: Path, tmp_path: Path) -> None:
    original = shared / "raw" / "lm-eval" / "results"
    folder = copied(original, tmp_path / "results")
    for file in sorted(folder.rglob("samples_*.jsonl")):  # as the Open LLM Leaderboard names them
        file.rename(file.with_suffix(".json"))
    assert means(read(folder)) == means(read(original))
