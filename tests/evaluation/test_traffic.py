"""Protocol `traffic`: what may be learned from, what is measured, and how the race is paid."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from evaluation.cases import prepared_of
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.traffic import run_traffic
from litellm_benchrouter.evaluation.traffic_split import METHODS, TrafficSplit
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.views import without_nan
from litellm_benchrouter.views.tables import protocol_table

N_TASKS, N_MODELS = 6, 4
NUMBERS = (10, 40)


def case(n: int = 480, *, own: float = 0.0, seed: int = 0) -> TaskFolds:
    """Return tasks with clusters of vectors; on each half of the tasks another model is best."""
    generator = np.random.default_rng(seed)
    task = np.arange(n) % N_TASKS
    chance = np.full((N_TASKS, N_MODELS), 0.5)
    chance[:, 0] += 0.1
    chance[:, 1] += np.where(np.arange(N_TASKS) % 2, own, -own)
    scores = (generator.random((n, N_MODELS)) < chance[task]).astype(np.float32)
    centres = generator.normal(size=(N_TASKS, 12))
    vectors = centres[task] + 0.7 * generator.normal(size=(n, 12))
    prompts = [f"{'abcdef'[d]} {'ghijkl'[d]} is number {i}" for i, d in enumerate(task)]
    for i in range(0, n - N_TASKS, 60):  # each is repeated in its task
        prompts[i + N_TASKS], vectors[i + N_TASKS] = prompts[i], vectors[i]
    return prepared_of(scores, vectors, task=task.tolist(), prompts=prompts, seed=seed)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return run_traffic(case(own=0.3), Progress(), n_labels=(*NUMBERS, 1000), splits=3)


def test_the_document(document):
    assert document["n_labels"] == [10, 40, 1000]
    assert list(document["methods"]) == list(METHODS)
    for name, rows in document["methods"].items():
        assert list(rows) == ["10", "40", "1000"]
        for n, row in rows.items():
            gains = [split["gain"][name][n] for split in document["by_split"]]
            assert row["by_split"] == pytest.approx(gains, nan_ok=True)
            if n != "1000":  # more than there is traffic
                assert row["gain"] == pytest.approx(np.mean(gains))
                low, high = row["gain_over_splits_95"]
                assert low <= row["gain"] <= high
            else:
                assert np.isnan(row["gain"])
    for split in document["by_split"]:
        assert len(split["traffic"]) == N_TASKS // 2
        assert split["n_benchmark"] + split["n_traffic"] == 480
        assert split["asked"]["40"] == {"prompts": 40, "answers": 160}
    plain = without_nan(document)
    json.dumps(plain, allow_nan=False)
    assert len(protocol_table(plain).rows) == 3 * len(METHODS)


def test_own_labels_find_what_the_benchmark_cannot(document):
    gains = {name: rows["40"]["gain"] for name, rows in document["methods"].items()}
    assert gains["default"] > gains["benchmark"] + 0.02


def test_labels_of_what_is_measured_change_nothing():
    """Picks for prompts without labels stay, whatever their labels and those of their copies."""
    prepared = case(own=0.3)
    split = TrafficSplit.draw(prepared, 0, 0.0, 0.3)
    left = np.flatnonzero(~np.isin(split.group, split.group[:30]))
    rows = split.traffic[left]
    flipped = prepared.benchmark.correctness.copy()
    flipped[rows] = 1 - flipped[rows]
    from dataclasses import replace

    other = replace(prepared, benchmark=replace(prepared.benchmark, correctness=flipped))
    again = TrafficSplit.draw(other, 0, 0.0, 0.3)
    for name in METHODS:
        picks = split._picks(name, split.labels[:30], left)
        assert (picks == again._picks(name, again.labels[:30], left)).all(), name


def test_a_weight_of_cost_is_chosen_on_labels_and_tried_on_the_other_prompts():
    """A model at a tenth of the price is better than BMA on half of the tasks, as vectors tell."""
    generator = np.random.default_rng(0)
    n = 1_200
    task = np.arange(n) % N_TASKS
    chance = np.full((N_TASKS, 3), 0.2)
    chance[:, 0] = 0.8
    chance[:, 1] = np.where(np.arange(N_TASKS) % 2, 0.95, 0.2)
    scores = generator.random((n, 3)) < chance[task]
    vectors = 3 * np.eye(N_TASKS)[task] + 0.1 * generator.normal(size=(n, N_TASKS))
    prompts = [f"{'abcdef'[d]} {'ghijkl'[d]} is number {i}" for i, d in enumerate(task)]
    facts = {
        f"model-{m}": ModelFacts(mean_cost_usd=usd) for m, usd in enumerate((0.010, 0.001, 0.005))
    }

    def run(facts: Any) -> dict[str, Any]:
        prepared = prepared_of(
            scores, vectors, task=task.tolist(), prompts=prompts, facts=facts, k=5
        )
        return run_traffic(prepared, Progress(), n_labels=(40, 100, 200), splits=2)

    document = run(facts)
    assert list(document["trade_off"]) == ["100", "200"]  # below it labels say too little
    for n_labels, row in document["trade_off"].items():
        splits = [split["trade_off"][n_labels] for split in document["by_split"]]
        assert row["saved"] == pytest.approx(np.mean([each["saved"] for each in splits]))
        assert row["worst_gain"] == min(each["gain"] for each in splits)
        for each in splits:
            assert (each["policy"] is None) == (each["saved"] == 0)
    assert document["trade_off"]["200"]["saved"] > 0.05
    assert document["trade_off"]["200"]["gain"] > -0.05
    saved = f"{100 * document['trade_off']['200']['saved']:.1f}"
    assert saved in protocol_table(without_nan(document)).rows[-1]
    assert set(run({})["trade_off"].values()) == {None}  # nothing tells what they cost


def test_traffic_shares_no_group_and_no_task_with_the_benchmark():
    prepared = case()
    for seed in range(4):
        split = TrafficSplit.draw(prepared, seed, 0.0, 0.3)
        task, group = prepared.benchmark.task, prepared.sample_group
        assert not set(task[split.prior_rows]) & set(task[split.traffic])
        assert not set(group[split.prior_rows]) & set(group[split.traffic])
    assert (split.traffic != np.sort(split.traffic)).any()  # in random order


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 1.0])
def test_a_share_of_the_traffic_is_like_the_benchmark(share):
    prepared = case()
    split = TrafficSplit.draw(prepared, 1, share, 0.4)
    task, group = prepared.benchmark.task, prepared.sample_group
    like = np.isin(task[split.traffic], task[split.prior_rows])
    assert like.mean() == pytest.approx(share, abs=0.02)
    assert not set(group[split.prior_rows]) & set(group[split.traffic])


def test_a_race_pays_no_more_answers_than_asking_everybody():
    document = run_traffic(case(own=0.3), Progress(), n_labels=NUMBERS, splits=2, racing=True)
    for split in document["by_split"]:
        for n in NUMBERS:
            asked = split["asked"][str(n)]
            assert asked["answers"] <= n * N_MODELS
            assert asked["prompts"] >= n
    assert document["protocol"]["racing"] is True


def test_the_same_seed_measures_the_same():
    def run():
        return run_traffic(case(), Progress(), n_labels=(20,), splits=2, racing=True)

    assert json.dumps(without_nan(run())) == json.dumps(without_nan(run()))


def test_what_is_too_small_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="needs 50 samples on each side"):
        run_traffic(case(60), Progress())
    one = prepared_of(np.ones((60, 2)), np.ones((60, 3)))
    with pytest.raises(ConfigError, match="needs 2 of them; the benchmark has 1"):
        run_traffic(one, Progress())


def test_the_command_checks_its_numbers(tmp_path, benchrouter):
    path = tmp_path / "results.csv"
    path.write_text("task,prompt,model,score\na,why is it so,m,1\n")
    for labels, words in (("30,x", "is not a list"), ("0", "has a size below 1")):
        command = ("evaluate", "--source", path, "--protocol", "traffic", "--labels", labels)
        ended = benchrouter(*command)
        assert ended.code == 2
        assert f"--labels: '{labels}' {words}" in ended.err
