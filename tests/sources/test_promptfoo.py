"""`kind: promptfoo` against what promptfoo itself wrote, and against damaged copies of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from reading import by_sample, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.promptfoo import read

MODELS = ["forest/birch-70b", "forest/cedar-13b", "forest/maple-7b"]


@pytest.fixture
def results(shared: Path) -> Path:
    return shared / "raw" / "promptfoo"


def load(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def totals(file: Path, metric: str) -> dict[str, float]:
    """The mean over the tests without an error, from what the tool sums up for each model."""
    counted: dict[str, float] = {}
    number: dict[str, int] = {}
    for prompt in load(file)["results"]["prompts"]:
        stated, model = prompt["metrics"], prompt["provider"]
        passed = {"score": stated["score"], "success": stated["testPassCount"]}
        counted[model] = counted.get(model, 0) + passed[metric]
        tests = stated["testPassCount"] + stated["testFailCount"]
        number[model] = number.get(model, 0) + tests
    return {model: total / number[model] for model, total in counted.items()}


@pytest.mark.parametrize("metric", ["score", "success"])
@pytest.mark.parametrize("task", ["antonyms", "tone", "arithmetic", "units"])
def test_the_means_are_those_of_the_tool(results: Path, task: str, metric: str) -> None:
    file = results / f"{task}.json"
    found = means(read(file, metric=metric))
    own = totals(file, metric)
    if task == "units":  # one sample of maple has an error in both of its repetitions
        assert read(file).dropped == {"results with an error, which are missing and not wrong": 2}
    assert found == pytest.approx({(task, model): own[model] for model in MODELS})


def test_an_error_is_missing_and_a_failed_assertion_is_wrong(results: Path) -> None:
    table = read(results / "units.json")
    missing = [key for key, s in by_sample(table, "forest/maple-7b").items() if s is None]
    assert [prompts(table)[key] for key in missing] == ["How many minutes are there in 9 hours?"]
    assert 0.0 in by_sample(read(results / "tone.json"), "forest/maple-7b").values()


def test_a_test_that_failed_is_wrong_whatever_the_mean_of_its_assertions(tmp_path: Path) -> None:
    rows = [
        {"provider": {"id": model}, "prompt": {"raw": "p"}, "score": score} | stated
        for model, score, stated in (
            *(("a", 0.75, {"success": False}), ("b", 0.4, {"success": True})),
            ("old", 0.75, {}),  # a version that does not say whether the test passed
        )
    ]
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"results": {"results": rows}}))
    read_as = {
        metric: [next(iter(by_sample(read(file, **options), m).values())) for m in "ab"]
        for metric, options in {"default": {}, "score": {"metric": "score"}}.items()
    }
    assert read_as == {"default": [0.0, 1.0], "score": [0.75, 0.4]}
    assert list(by_sample(read(file), "old").values()) == [0.75]


def test_repetitions_are_averaged(results: Path) -> None:
    table = read(results / "units.json")
    assert table.samples.height == 15
    rows = load(results / "units.json")["results"]["results"]
    own: dict[str, list[float]] = {}
    for row in rows:
        if row["provider"]["label"] == "forest/birch-70b":
            own.setdefault(row["prompt"]["raw"], []).append(row["success"])
    assert {len(scores) for scores in own.values()} == {2}
    scores = by_sample(table, "forest/birch-70b")
    for key, prompt in prompts(table).items():
        assert scores[key] == pytest.approx(sum(own[prompt]) / 2)


def test_jsonl_holds_the_same_rows_and_a_row_in_two_files_is_read_once(results: Path) -> None:
    one, other = read(results / "units.json"), read(results / "units.jsonl")
    assert_frame_equal(one.scores, other.scores, check_column_order=False)
    assert_frame_equal(one.samples, other.samples)
    everything = read(results)
    assert everything.dropped["results that another file holds"] == 90
    expected: dict[tuple[str, str], float] = {}
    for task in ("antonyms", "tone", "arithmetic", "units"):
        expected |= means(read(results / f"{task}.json"))
    assert means(everything) == pytest.approx(expected)


def test_each_template_gives_samples_of_its_own_unless_a_variable_is_the_prompt(
    results: Path,
) -> None:
    apart = read(results / "arithmetic.json")
    together = read(results / "arithmetic.json", prompt="vars.question")
    assert (apart.samples.height, together.samples.height) == (24, 12)
    assert means(apart) == pytest.approx(means(together))
    careful = [prompt for prompt in prompts(apart).values() if prompt.startswith("You are careful")]
    assert len(careful) == 12
    assert {p.removeprefix("You are careful.\n") for p in careful} == set(
        prompts(together).values()
    )


def test_the_task_comes_from_the_metadata_the_description_the_file_or_the_option(
    results: Path, tmp_path: Path
) -> None:
    document = load(results / "tone.json")
    document["config"]["description"] = "mood of reviews"
    for row in document["results"]["results"]:
        row["metadata"], row["testCase"]["metadata"] = {}, {}
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(document))
    assert set(read(file).samples["task"]) == {"mood of reviews"}
    del document["config"]
    file.write_text(json.dumps(document))
    assert set(read(file).samples["task"]) == {"reviews"}
    assert set(read(file, task="feelings").samples["task"]) == {"feelings"}
    assert set(read(results / "tone.json").samples["task"]) == {"tone"}


def test_references_costs_and_tokens_are_kept(results: Path) -> None:
    table = read(results / "antonyms.json")
    assert set(table.samples["reference"]) <= {"A", "B", "C", "D"}
    rows = load(results / "antonyms.json")["results"]["results"]
    for column, value in {
        "cost_usd": lambda row: row["cost"],
        "prompt_tokens": lambda row: row["tokenUsage"]["prompt"],
        "completion_tokens": lambda row: row["tokenUsage"]["completion"],
    }.items():
        own = [value(row) for row in rows if row["provider"]["label"] == MODELS[1]]
        assert means(table, column)["antonyms", MODELS[1]] == pytest.approx(sum(own) / len(own))


def test_a_metric_of_the_assertions_can_be_the_score(results: Path) -> None:
    table = read(results / "units.json", metric="number")
    stated = load(results / "units.json")["results"]["prompts"]
    for prompt in stated:
        metrics = prompt["metrics"]
        weight = metrics["namedScoreWeights"]["number"]
        own = metrics["namedScores"]["number"] / weight
        assert means(table)["units", prompt["provider"]] == pytest.approx(own)
    with pytest.raises(SourceError, match=r"no metric letters; choose among number, unit, score"):
        read(results / "units.json", metric="letters")


def test_of_a_chat_the_last_user_message_is_the_prompt(results: Path, tmp_path: Path) -> None:
    document = load(results / "tone.json")
    chat = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "Good or bad?"}]},
    ]
    for row in document["results"]["results"]:
        row["prompt"]["raw"] = json.dumps(chat)
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(document))
    assert set(prompts(read(file)).values()) == {"Good or bad?"}


def test_a_version_without_a_failure_reason_tells_errors_by_what_was_not_graded(
    results: Path, tmp_path: Path
) -> None:
    document = load(results / "units.json")
    for row in document["results"]["results"]:
        del row["failureReason"]
    file = tmp_path / "units.json"
    file.write_text(json.dumps(document))
    assert means(read(file)) == means(read(results / "units.json"))
