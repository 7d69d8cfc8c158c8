"""`kind: helm` against what crfm-helm itself wrote, and against damaged copies of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from reading import by_sample, copied, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.helm import read

UNITS = "rt_units,data_augmentation=lower:num_train_trials=2"
TONE = "rt_words:subject=tone,method=multiple_choice_separate_original"
ANTONYMS = "rt_words:subject=antonyms,method=multiple_choice_joint"
MAIN = {
    "rt_arithmetic": "quasi_exact_match",
    ANTONYMS: "exact_match",
    TONE: "exact_match",
    UNITS: "f1_score",
}


@pytest.fixture
def suite(shared: Path) -> Path:
    return shared / "raw" / "helm" / "benchmark_output" / "runs" / "v1"


def load(file: Path) -> Any:
    return json.loads(file.read_bytes())


def folder(suite: Path, task: str, model: str) -> Path:
    separator = "," if ":" in task else ":"
    return suite / f"{task}{separator}model={model.replace('/', '_')}"


def own_mean(run: Path, metric: str) -> float:
    """The mean in the tool's stats.json that is of no perturbation."""
    [found] = [
        stat["mean"]
        for stat in load(run / "stats.json")
        if stat["name"]["name"] == metric and "perturbation" not in stat["name"]
    ]
    return float(found)


def test_the_means_are_those_of_the_tool_for_every_task_and_model(suite: Path) -> None:
    table = read(suite)
    expected = {
        (task, model): own_mean(folder(suite, task, model), metric)
        for task, metric in MAIN.items()
        for model in ("forest/birch-70b", "forest/cedar-13b", "forest/maple-7b")
    }
    assert means(table) == pytest.approx(expected)
    for task, model in expected:  # and so are those of a metric that is not the main one
        own = own_mean(folder(suite, task, model), "exact_match")
        assert means(table, "metric:exact_match")[task, model] == pytest.approx(own)


def test_perturbed_rows_are_left_out_and_trials_averaged(suite: Path) -> None:
    table = read(suite)
    assert table.dropped == {"rows with a perturbed prompt": 3 * 22}
    assert table.scores.select("sample_id", "model").is_unique().all()
    units = table.samples.filter(task=UNITS)
    assert units.height == 11
    assert set(units["split"]) == {"valid"}
    assert set(table.samples.filter(task=TONE)["split"]) == {"test"}
    rows = load(folder(suite, UNITS, "forest/maple-7b") / "per_instance_stats.json")
    trials = [
        stat["mean"]
        for row in rows
        if row["instance_id"] == "id4" and "perturbation" not in row
        for stat in row["stats"]
        if stat["name"]["name"] == "f1_score"
    ]
    assert len(trials) == 2
    assert by_sample(table, "forest/maple-7b")[f"{UNITS}/id4"] == pytest.approx(sum(trials) / 2)


def test_prompts_references_and_ids_are_those_of_the_instances(suite: Path) -> None:
    table = read(suite)
    for task in MAIN:
        instances = load(folder(suite, task, "forest/cedar-13b") / "instances.json")
        originals = [i for i in instances if "perturbation" not in i]
        samples = {row["sample_id"]: row for row in table.samples.filter(task=task).to_dicts()}
        assert len(samples) == len(originals)
        for instance in originals:
            sample = samples[f"{task}/{instance['id']}"]
            right = [r for r in instance["references"] if r["tags"] == ["correct"]]
            assert sample["prompt"] == instance["input"]["text"]
            assert sample["reference"] == right[0]["output"]["text"]


def test_log_likelihoods_are_those_of_the_completions(suite: Path) -> None:
    found = by_sample(read(suite), "forest/birch-70b", "log_likelihood")
    for state in load(folder(suite, ANTONYMS, "forest/birch-70b") / "scenario_state.json")[
        "request_states"
    ]:
        own = state["result"]["completions"][0]["logprob"]
        assert found[f"{ANTONYMS}/{state['instance']['id']}"] == pytest.approx(own)


def test_where_options_are_scored_apart_the_likelihood_is_that_of_the_option_chosen(
    suite: Path,
) -> None:
    run = folder(suite, TONE, "forest/birch-70b")
    found = by_sample(read(suite), "forest/birch-70b", "log_likelihood")
    of_option: dict[str, list[float]] = {}
    for state in load(run / "scenario_state.json")["request_states"]:
        option = state["instance"]["references"][state["reference_index"]]["output"]["text"]
        start, total, at = len(state["request"]["prompt"]) - len(option), 0.0, 0
        for token in state["result"]["completions"][0]["tokens"]:
            if at >= start:
                total += token["logprob"]
            at += len(token["text"])
        of_option.setdefault(state["instance"]["id"], []).append(total)
    for row in load(run / "per_instance_stats.json"):
        [chosen] = [s["mean"] for s in row["stats"] if s["name"]["name"] == "predicted_index"]
        own = of_option[row["instance_id"]][int(chosen)]
        assert found[f"{TONE}/{row['instance_id']}"] == pytest.approx(own)


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_suite_its_runs_or_the_whole_output_may_be_given(suite: Path, above: int) -> None:
    given = [suite, *suite.parents][above]
    assert_frame_equal(read(given).scores, read(suite).scores)


def test_what_helm_run_leaves_without_helm_summarize_is_enough(suite: Path, tmp_path: Path) -> None:
    summaries = ("instances.json", "schema.json")
    copied(suite, tmp_path / "v1", lambda file: file.name not in summaries)
    table, full = read(tmp_path / "v1", metric=["f1_score", "exact_match"]), read(suite)
    assert_frame_equal(table.samples, full.samples)
    assert means(table)[UNITS, "forest/maple-7b"] == pytest.approx(0.5682, abs=1e-4)


def test_without_a_schema_the_main_metric_is_guessed_in_the_stated_order(
    suite: Path, tmp_path: Path
) -> None:
    copied(suite, tmp_path, lambda file: file.name != "schema.json")
    guessed, full = means(read(tmp_path)), means(read(suite), "metric:exact_match")
    assert guessed == pytest.approx(full)


def test_the_metric_asked_for_is_taken_and_an_unknown_one_names_those_there(suite: Path) -> None:
    chosen = read(suite, metric=["f1_score", "quasi_exact_match"])
    assert means(chosen)[UNITS, "forest/cedar-13b"] == pytest.approx(0.6364, abs=1e-4)
    assert chosen.dropped[f"results of {TONE} without f1_score, quasi_exact_match"] == 36
    with pytest.raises(SourceError, match=r"no metric bleu_9; choose among exact_match, "):
        read(suite, metric="bleu_9")


def test_the_negative_is_taken_of_a_metric_of_which_less_is_better(
    suite: Path, tmp_path: Path
) -> None:
    copied(suite, tmp_path)
    schema = load(tmp_path / "schema.json")
    for metric in schema["metrics"]:
        metric["lower_is_better"] = metric["name"] == "f1_score"
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    found = means(read(tmp_path))
    assert found[UNITS, "forest/birch-70b"] == pytest.approx(-0.9091, abs=1e-4)
    assert found[TONE, "forest/birch-70b"] == pytest.approx(0.75)


def test_the_whole_request_has_the_shots_and_not_the_option_it_scores(suite: Path) -> None:
    whole = prompts(read(suite, prompt="request"))
    state = load(folder(suite, "rt_arithmetic", "forest/birch-70b") / "scenario_state.json")
    for request in state["request_states"]:
        own = request["request"]["prompt"]
        assert whole[f"rt_arithmetic/{request['instance']['id']}"] == own
        assert "Question:" in own
    assert {p for key, p in whole.items() if key.startswith(TONE)} == {
        p for key, p in prompts(read(suite)).items() if key.startswith(TONE)
    }


def test_models_that_were_sent_other_requests_share_the_samples(
    suite: Path, tmp_path: Path
) -> None:
    copied(suite, tmp_path, lambda file: file.parent == suite or "arithmetic" in str(file))
    states = folder(tmp_path, "rt_arithmetic", "forest/maple-7b") / "scenario_state.json"
    states.write_text(states.read_text().replace("Answer with a number.\\n\\n", "Reply.\\n\\n"))
    table = read(tmp_path, prompt="request")
    assert table.dropped == {}
    assert table.scores.height == 3 * 12


def test_a_model_is_named_by_its_name_and_not_by_where_it_was_served(suite: Path) -> None:
    spec = load(folder(suite, "rt_arithmetic", "forest/maple-7b") / "run_spec.json")
    assert spec["adapter_spec"]["model_deployment"] == "grove/maple-7b"
    models = {"forest/birch-70b", "forest/cedar-13b", "forest/maple-7b"}
    assert set(read(suite).scores["model"]) == models


def test_log_likelihoods_that_are_all_zero_are_absent(suite: Path, tmp_path: Path) -> None:
    run = folder(suite, "rt_arithmetic", "forest/maple-7b")
    copied(suite, tmp_path)
    file = tmp_path / run.name / "per_instance_stats.json"
    rows = load(file)
    for row in rows:
        for stat in row["stats"]:
            if stat["name"]["name"] == "logprob":
                stat["mean"] = 0.0
    file.write_text(json.dumps(rows))
    table = read(tmp_path)
    assert ("rt_arithmetic", "forest/maple-7b") not in means(table, "log_likelihood")
    assert ("rt_arithmetic", "forest/birch-70b") in means(table, "log_likelihood")
    assert table.dropped["log-likelihoods that are zero throughout a task"] == 12


def test_a_run_in_two_suites_is_taken_from_the_last(suite: Path, tmp_path: Path) -> None:
    run = folder(suite, "rt_arithmetic", "forest/cedar-13b")
    for name in ("v9", "v10"):
        copied(run, tmp_path / name / run.name)
    rows = load(tmp_path / "v9" / run.name / "per_instance_stats.json")
    for row in rows:
        row["stats"] = [s | {"mean": 0.0} for s in row["stats"]]
    (tmp_path / "v9" / run.name / "per_instance_stats.json").write_text(json.dumps(rows))
    table = read(tmp_path)
    assert means(table) == {("rt_arithmetic", "forest/cedar-13b"): 1.0}
    assert table.dropped == {"runs that a later suite repeats": 1}
