"""Protocol `proof`: worlds with the stated truth, and what a build does in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny

from evaluation.cases import prepared_of
from litellm_benchrouter.config import PublishConfig, RoutingConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.proof import (
    PARTS,
    WRONG,
    Outcome,
    _summary,
    decide,
    run_proof,
)
from litellm_benchrouter.evaluation.worlds import KINDS, LEAST_EFFECT, Likeness, draw_world
from litellm_benchrouter.paper.benchmark import MISSING, task_accuracy
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.views.tables import protocol_table

N_TASKS, N_MODELS = 9, 4


def case(n: int = 540, *, effect: float = 0.15, missing: float = 0.1, seed: int = 0) -> TaskFolds:
    """Return tasks with clusters of vectors, effects of tasks, near-duplicates and gaps."""
    generator = np.random.default_rng(seed)
    task = np.arange(n) % N_TASKS
    chance = np.array([0.6, 0.55, 0.5, 0.3]) + effect * generator.normal(size=(N_TASKS, N_MODELS))
    scores = (generator.random((n, N_MODELS)) < chance[task]).astype(np.float32)
    scores[generator.random(scores.shape) < missing] = np.nan
    centres = generator.normal(size=(N_TASKS, 12))
    vectors = centres[task] + 0.7 * generator.normal(size=(n, 12))
    prompts = [f"{'abcdefghi'[d]} is number {i}" for i, d in enumerate(task)]
    for i in range(0, n - N_TASKS, 90):  # each is repeated in its task
        prompts[i + N_TASKS], vectors[i + N_TASKS] = prompts[i], vectors[i]
    prepared = prepared_of(scores, vectors, task=task.tolist(), prompts=prompts, seed=seed)
    return replace(prepared, routing=RoutingConfig(alphas=[0.0, 0.1], repeats=2))


@pytest.fixture(scope="module")
def prepared() -> TaskFolds:
    return case()


@pytest.fixture(scope="module")
def likeness(prepared: TaskFolds) -> Likeness:
    return Likeness.of(prepared)


@pytest.mark.parametrize("kind", KINDS)
def test_worlds_are_like_the_benchmark(prepared, likeness, kind):
    world = draw_world(likeness, prepared, kind, np.random.default_rng(1))
    drawn, given = world.prepared.benchmark, prepared.benchmark
    assert drawn.task is given.task and world.prepared.sample_group is prepared.sample_group
    assert np.array_equal(drawn.correctness == MISSING, given.correctness == MISSING)
    assert np.array_equal(np.isnan(drawn.scores), drawn.correctness == MISSING)
    twice = [np.flatnonzero(prepared.sample_group == g) for g in range(len(given))]
    twice = [rows for rows in twice if len(rows) > 1]
    assert len(twice) == 6
    for a, b in twice:
        known = (drawn.correctness[[a, b]] != MISSING).all(axis=0)
        assert (drawn.correctness[a] == drawn.correctness[b])[known].all()
        assert world.p[a] == pytest.approx(world.p[b], abs=1e-6)
    observed = task_accuracy(world.prepared.labels, given.task, N_TASKS)
    expected = task_accuracy(world.p, given.task, N_TASKS)
    assert np.abs(observed - expected).mean() < 0.08
    assert (world.p >= 0.0199).all() and (world.p <= 0.9801).all()


def test_worlds_have_the_stated_truth(prepared, likeness):
    worlds = {
        kind: draw_world(likeness, prepared, kind, np.random.default_rng(2)) for kind in KINDS
    }
    best = int(likeness.strength.argmax())

    def oracle(p: Any) -> float:
        return float((p.max(axis=1) - p[:, best]).mean())

    assert oracle(worlds["null"].p) == oracle(worlds["null"].p_new) == 0
    assert np.ptp(worlds["null"].p.mean(axis=0)) > 0.1
    assert np.ptp(worlds["equal"].p, axis=1).max() == 0
    assert oracle(worlds["tasks"].p) > 0.01
    assert oracle(worlds["tasks"].p_new) == 0
    assert oracle(worlds["gains"].p_new) > 0.02
    cells = task_accuracy(worlds["gains"].p_new, prepared.benchmark.task, N_TASKS)
    learned = cells - task_accuracy(worlds["null"].p, prepared.benchmark.task, N_TASKS)
    assert learned.std() == pytest.approx(likeness.learnable_effect, rel=0.3)


def test_the_effect_of_tasks_is_found_without_the_noise_of_sampling():
    for seed in range(3):
        effects = np.random.default_rng(seed).normal(0, 0.15, (N_TASKS, N_MODELS))  # as in `case`
        effects -= effects.mean(axis=1, keepdims=True)
        effects -= effects.mean(axis=0)
        true = np.sqrt((effects**2).mean() * N_TASKS / (N_TASKS - 1))
        assert Likeness.of(case(n=1800, seed=seed)).task_effect == pytest.approx(true, rel=0.15)
    none = [Likeness.of(case(n=180, effect=0.0, seed=seed)) for seed in range(4)]
    assert np.mean([each.task_effect for each in none]) < 0.04
    assert none[0].learnable_effect >= LEAST_EFFECT


def test_levels_are_shrunk_to_the_task_where_samples_do_not_differ():
    def spread(sure: float) -> tuple[float, float]:
        generator = np.random.default_rng(0)
        hard = generator.random(600) < 0.5
        chance = np.where(hard, 0.5 - sure, 0.5 + sure)
        scores = generator.random((600, 4)) < chance[:, None]
        task = (np.arange(600) % 3).tolist()
        prepared = prepared_of(scores, generator.normal(size=(600, 4)), task=task)
        level = Likeness.of(prepared).level
        return float(level.std()), float(level[~hard].mean() - level[hard].mean())

    assert spread(0.0)[0] < 0.08
    assert spread(0.4)[1] > 0.5


def test_the_truth_of_an_outcome_is_counted():
    # served, lower, bound, gain, possible
    rows = [
        Outcome(True, 0.01, 0.01, 0.02, 0.1),
        Outcome(True, 0.01, 0.01, -2 * WRONG, 0.1),  # loses, and claims a gain
        Outcome(True, 0.03, 0.03, 0.02, 0.1),  # claims too much
        Outcome(False, 0.0, -0.02, -0.01, 0.1),  # BMA answers: nothing is lost
    ]
    summary = _summary(rows)
    assert summary == pytest.approx(
        {
            "runs": 4,
            "served": 0.75,
            "served_wrongly": 0.25,
            "overclaimed": 0.5,
            "gain": 0.03 / 4,
            "lower": 0.05 / 4,
            "possible": 0.1,
            "coverage": 0.5,
        }
    )
    assert _summary([])["runs"] == 0
    assert set(_summary([])) == set(summary)


def test_little_is_served_wrongly_where_nothing_is_to_gain_and_gains_are_found():
    document = run_proof(case(effect=0.2), PublishConfig(), Progress(), runs=4)
    assert list(document["worlds"]) == list(KINDS)
    for parts in document["worlds"].values():
        assert list(parts) == list(PARTS)
        for row in parts.values():
            assert row["runs"] == 4
            assert 0 <= row["served_wrongly"] <= row["served"] <= 1
            assert row["possible"] >= row["gain"] - 1e-6
    for kind in ("null", "equal"):
        for row in document["worlds"][kind].values():
            assert row["served_wrongly"] <= 1 / 4
            assert row["served"] <= 2 / 4
    known = document["worlds"]["gains"]
    assert known["requests"]["served"] >= 0.5 and known["requests"]["gain"] > 0.02
    assert known["named"]["served"] >= 0.5 and known["named"]["gain"] > 0.02
    table = protocol_table(document)
    assert len(table.rows) == len(KINDS) * len(PARTS)
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_a_build_that_loses_is_caught(prepared, likeness):
    """Serve whatever is picked, by labels that tell nothing, and the protocol has to say so."""
    world = draw_world(likeness, prepared, "null", np.random.default_rng(3))
    outcomes = decide(world, PublishConfig())
    assert set(outcomes) == set(PARTS)
    requests = outcomes["requests"]
    assert not requests.served and requests.gain < -WRONG  # what the gate held back
    assert _summary([requests._replace(served=True)])["served_wrongly"] == 1


def test_the_document_is_the_same_by_seed_alone():
    def run(seed: int) -> str:
        prepared = case(n=180, seed=seed)
        return json.dumps(run_proof(prepared, PublishConfig(), Progress(), runs=1))

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_large_benchmarks_are_simulated_by_a_part_of_their_samples():
    document = run_proof(case(n=540), PublishConfig(), Progress(), runs=1, most=180)
    assert document["protocol"]["n_samples"] == 180
    assert document["worlds"]["null"]["requests"]["runs"] == 1


def test_parts_that_cannot_be_proved_are_null():
    generator = np.random.default_rng(0)
    scores = generator.random((80, 3)) < 0.5
    prepared = prepared_of(
        scores, generator.normal(size=(80, 4)), task=(np.arange(80) % 2).tolist(), k=5
    )
    parts = run_proof(prepared, PublishConfig(), Progress(), runs=1)["worlds"]["null"]
    assert parts["requests"]["runs"] == parts["named"]["runs"] == 1
    assert parts["unseen"] == {"runs": 0} | dict.fromkeys(list(parts["unseen"])[1:])


def test_a_tiny_benchmark_is_an_error_in_one_sentence():
    with pytest.raises(
        ConfigError, match=r"^protocol proof: 50 samples are needed, there are 20\."
    ):
        run_proof(case(n=20, missing=0.0), PublishConfig(), Progress(), runs=1)


def test_the_command_prints_the_table_and_writes_the_document(benchrouter, tmp_path):
    config = tiny.write(tmp_path)
    at, page = tmp_path / "proof.json", tmp_path / "proof.html"
    ended = benchrouter(
        *("evaluate", "--config", config, "--protocol", "proof", "--runs", 2),
        *("--json", at, "--html", page),
    )
    assert ended.code == 0, ended.err
    assert "Nothing to gain" in ended.out and "New tasks" in ended.out
    document = json.loads(at.read_text())
    assert document["protocol"]["name"] == "proof"
    assert document["protocol"]["runs"] == 2
    assert document["worlds"]["tasks"]["requests"]["runs"] == 2
    assert "proof-wrong" in page.read_text(encoding="utf-8")


def test_the_command_refuses_a_tiny_benchmark(benchrouter, tmp_path):
    config = tiny.write(tmp_path, n=24)
    ended = benchrouter("evaluate", "--config", config, "--protocol", "proof")
    assert ended.code == 2
    assert "protocol proof: 50 samples are needed, there are 24" in " ".join(ended.err.split())
