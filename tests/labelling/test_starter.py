"""The starter set, and `benchrouter label --starter` before a fake provider."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from proxy.harness import deployment
from proxy.upstream import BROKEN, FakeUpstream

from litellm_benchrouter.labelling import asking
from litellm_benchrouter.labelling.metrics import parse_metric
from litellm_benchrouter.labelling.starter import RESULTS, starter_rows
from litellm_benchrouter.sources import read

ROWS = starter_rows()


def answer_of(row: dict[str, Any]) -> str:
    """Return what a model would say that says the reference."""
    reference = row["reference"]
    if row["metric"].startswith("json:"):
        return f"```json\n{json.dumps(reference)}\n```"
    first = reference[0] if isinstance(reference, list) else reference
    return f"ANSWER: {first}" if "answer" in row["metric"] else str(first)


def score(row: dict[str, Any], answer: str) -> float:
    metric = parse_metric(row["metric"], "starter")
    assert metric.score is not None, "a check asks no judge"
    return metric.score(answer, row["reference"])


def test_the_set_is_of_many_tasks_languages_and_levels():
    assert 300 <= len(ROWS) == len({row["prompt"] for row in ROWS}) <= 500
    assert all(25 <= n <= 30 for n in Counter(row["task"] for row in ROWS).values())
    assert len({row["language"] for row in ROWS}) >= 12
    levels = Counter(row["level"] for row in ROWS)
    assert set(levels) == {1, 2, 3}
    assert min(levels.values()) > len(ROWS) / 4


def test_each_reference_passes_its_own_check():
    assert [row["prompt"] for row in ROWS if score(row, answer_of(row)) != 1] == []


@pytest.mark.parametrize("wrong", ["", "I am not sure.", "-987654", "{}", '{"call": {}}'])
def test_no_check_lets_what_answers_nothing_pass(wrong):
    assert [row["prompt"] for row in ROWS if score(row, wrong) != 0] == []


def test_the_answers_of_other_prompts_fail():
    for row in ROWS:
        kind = (row["task"], row["metric"])
        others = [o for o in ROWS if (o["task"], o["metric"]) == kind and o is not row]
        passing = [other for other in others if score(row, answer_of(other)) == 1]
        same = [other for other in passing if other["reference"] == row["reference"]]
        assert len(passing) == len(same), row["prompt"]


def test_no_two_prompts_are_near_duplicates():
    grams = [{p[i : i + 3] for i in range(len(p) - 2)} for p in (r["prompt"] for r in ROWS)]
    alike = [
        (ROWS[i]["prompt"], ROWS[j]["prompt"])
        for i in range(len(ROWS))
        for j in range(i)
        if 2 * len(grams[i] & grams[j]) >= len(grams[i] | grams[j])
    ]
    assert alike == []


# label --starter


LEVELS = {"ant": {1, 2, 3}, "bee": {1, 2}, "cow": {1}}
"""The levels that a model has right, but for translations and puzzles, which only cow knows."""
N_FIRST = 100
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5}


def knows(model: str, row: dict[str, Any]) -> bool:
    at_home = row["task"] in ("translation", "puzzles")
    return model == "cow" if at_home else row["level"] in LEVELS[model]


def speak(model: str, prompt: str) -> str:
    row = next((row for row in ROWS if row["prompt"] == prompt), None)
    return answer_of(row) if row is not None and knows(model, row) else "I do not know."


@pytest.fixture(scope="module")
def oracle() -> Iterator[FakeUpstream]:
    with FakeUpstream(speak=speak) as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path, oracle: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a proxy's YAML with three models and one that embeds; nothing else is there."""
    monkeypatch.setattr(asking, "FIRST_DELAY", 0.01)
    models = [deployment("smart", m, oracle.base_url, params=PRICES) for m in LEVELS]
    models.append(deployment("vectors", "text-embedding-9", oracle.base_url))
    path = tmp_path / "proxy.yaml"
    path.write_text(yaml.safe_dump({"model_list": models}))
    oracle.reset()
    yield path
    oracle.reset()


@pytest.fixture
def label(proxy: Path, benchrouter: Callable[..., Any]) -> Callable[..., Any]:
    proxy.write_text(proxy.read_text() + "benchrouter:\n  seed: 1\n")

    def run(*more: object) -> Any:
        return benchrouter("label", "--config", proxy, "--starter", "--yes", "--json", *more)

    return run


def written(proxy: Path) -> list[dict[str, Any]]:
    file = proxy.parent / RESULTS
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_all_models_are_asked_the_same_prompts_and_a_table_is_written(proxy, label, oracle):
    ended = label("--n", 40, "--limit-usd", 5)
    assert (ended.code, ended.err) == (0, "")
    assert Counter(oracle.models) == dict.fromkeys(LEVELS, 40)
    rows = written(proxy)
    assert Counter(row["model"] for row in rows) == dict.fromkeys(LEVELS, 40)
    by_prompt = {row["prompt"]: row for row in ROWS}
    assert len({by_prompt[row["prompt"]]["task"] for row in rows}) > 8, "at random"
    for row in rows:
        asked = by_prompt[row["prompt"]]
        assert (row["task"], row["score"]) == (asked["task"], float(knows(row["model"], asked)))
        assert row["cost_usd"] == pytest.approx(3.7e-5)
    document = ended.document
    assert document["results"]["file"] == str(proxy.parent / RESULTS)
    assert document["spent_usd_now"] == pytest.approx(120 * 3.7e-5)
    table = read("table", proxy.parent / RESULTS, {})
    assert (table.samples.height, table.results.height) == (40, 120)
    oracle.reset()
    label("--n", 43)
    assert Counter(oracle.models) == dict.fromkeys(LEVELS, 3), "what is there is not asked again"


def test_of_more_than_the_limit_pays_for_whole_prompts_are_asked(proxy, label):
    whole = label("--dry-run").document
    assert whole["calls"] == 3 * len(ROWS)
    part = label("--dry-run", "--limit-usd", whole["expected_usd"] / 2).document
    assert 0.4 * len(ROWS) < part["inputs"] < 0.6 * len(ROWS)
    assert part["calls"] == 3 * part["inputs"]
    assert 0 < part["expected_usd"] <= whole["expected_usd"] / 2
    assert f"{part['inputs']} of {len(ROWS)} prompts" in part["warnings"][0]
    refused = label("--limit-usd", 1e-5)
    assert refused.code == 2
    assert "is below the estimate" in refused.err
    assert not (proxy.parent / RESULTS).exists()


def test_a_model_that_fails_does_not_take_prompts_from_the_others(proxy, label, oracle):
    oracle.tell("bee", BROKEN, after=3)
    document = label("--n", 20, "--retries", 0, "--concurrency", 1).document
    assert document["results"]["models"] == ["ant", "cow"]
    assert any("bee has answered 3 prompts" in warning for warning in document["warnings"])
    assert Counter(row["model"] for row in written(proxy)) == {"ant": 20, "cow": 20}
    oracle.reset()
    document = label("--n", 20).document
    assert set(oracle.models) == {"bee"}
    assert document["results"] | {"file": ""} == {"file": "", "prompts": 20, "models": [*LEVELS]}


def test_a_prompt_that_only_some_answered_is_left_out_and_completed_later(proxy, label, oracle):
    oracle.tell("cow", BROKEN, times=1, after=4)
    document = label("--n", 20, "--retries", 0, "--concurrency", 1).document
    assert document["results"]["prompts"] == 19
    assert any(warning.startswith("1 prompts that only some") for warning in document["warnings"])
    assert label("--n", 20).document["results"]["prompts"] == 20


def test_inputs_of_ones_own_do_not_go_with_the_starter_set(label, benchrouter, proxy):
    assert label("--task", "x").code == 2
    assert label("--metric", "exact").code == 2
    ended = benchrouter("label", "--config", proxy)
    assert ended.code == 2
    assert "--starter" in ended.err


def test_from_nothing_to_a_first_artifact_that_routes(proxy, benchrouter, oracle):
    """By the commands of README.md, with some of the prompts."""
    started = benchrouter("init", "--config", proxy)
    assert (started.code, started.err) == (0, "")
    labelled = benchrouter(
        "label", "--config", proxy, "--starter", "--limit-usd", 5, "--yes", "--n", N_FIRST
    )
    assert labelled.code == 0, labelled.err
    assert f"{N_FIRST} prompts with the scores of 3 models" in " ".join(labelled.out.split())
    built = benchrouter("build", "--config", proxy)
    assert built.code == 0, built.err
    inspected = benchrouter("inspect", "--config", proxy, "--json").document
    assert {model["name"] for model in inspected["models"]} == set(LEVELS)
    explained = benchrouter("explain", "--config", proxy, 'Translate "good day" into Dutch.',
                            "--json").document  # fmt: skip
    assert explained["pick"] == "ant", "best on average"
    assert set(explained["ranking"]) == set(LEVELS)
