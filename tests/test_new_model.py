"""A model that is added later: a second source with a few of its scores, nothing else changed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tiny

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter

N = 240


def add(folder: Path, n: int, chance: float, *, sample_id: bool = True, seed: int = 0) -> Path:
    """Write a second source, with scores of the model `eel` on n of the samples."""
    rows = list(csv.DictReader((folder / "benchmark.csv").read_text().splitlines()))
    generator = np.random.default_rng(seed)
    with (folder / "eel.csv").open("w", newline="") as file:
        table = csv.writer(file)
        head = ["sample_id"] * sample_id + ["task", "prompt", "eel"]
        table.writerow(head)
        for row in generator.choice(np.array(rows), size=n, replace=False):
            score = int(generator.random() < chance)
            table.writerow([*(row[name] for name in head[:-1]), score])
    old = {"path": "benchmark.csv", "embeddings": "vectors.npy"}
    return tiny.configure(folder, method="guarded", sources=[old, {"path": "eel.csv"}])


def router_of(built: Built) -> BenchRouter:
    return BenchRouter(read_artifact(built.folder))


@pytest.fixture
def before(tmp_path: Path) -> Built:
    return build(load_config(tiny.write(tmp_path, n=N, method="guarded")))


def test_its_scores_are_taken_in_without_embedding_anything(before: Built, tmp_path: Path):
    built = build(load_config(add(tmp_path, 30, 0.5)))
    manifest = built.manifest
    assert manifest.counts["embedded_now"] == 0
    assert manifest.counts["samples"] == before.manifest.counts["samples"] == N
    assert [model.name for model in manifest.models] == [*tiny.MODELS, "eel"]
    labels = {model.name: model.n_labels for model in manifest.models}
    assert labels["eel"] == 30
    old, new = read_artifact(before.folder), read_artifact(built.folder)
    np.testing.assert_array_equal(new.embeddings, old.embeddings)
    np.testing.assert_array_equal(new.correctness[:, :4], old.correctness)
    np.testing.assert_array_equal(new.task_accuracy[:, :4], old.task_accuracy)
    assert (new.correctness[:, 4] != 255).sum() == 30
    assert np.isfinite(new.task_accuracy).all()


def test_prompts_do_as_well_as_sample_ids(tmp_path: Path):
    tiny.write(tmp_path, n=N, method="guarded")
    rows = list(csv.reader((tmp_path / "benchmark.csv").read_text().splitlines()))
    with (tmp_path / "benchmark.csv").open("w", newline="") as file:
        csv.writer(file).writerows(row[1:] for row in rows)
    manifest = build(load_config(add(tmp_path, 30, 0.5, sample_id=False))).manifest
    assert manifest.counts["samples"] == N
    assert {model.name: model.n_labels for model in manifest.models}["eel"] == 30


def test_prompts_that_nobody_has_seen_need_vectors(tmp_path: Path, benchrouter):
    tiny.write(tmp_path, n=N, method="guarded")
    config = add(tmp_path, 30, 0.5)
    with (tmp_path / "eel.csv").open("a") as file:
        file.write("t1,east,Something else?,1\n")
    ended = benchrouter("build", "--config", config)
    assert ended.code == 2
    assert "benchrouter.sources[1].embeddings is missing" in ended.err


@pytest.mark.parametrize("seed", range(3))
def test_twenty_lucky_answers_do_not_make_it_the_best_on_average(
    before: Built, tmp_path: Path, seed: int
):
    star = router_of(before).best_on_average(tiny.MODELS, "").pick
    router = router_of(build(load_config(add(tmp_path, 20, 0.6, seed=seed))))
    assert router.best_on_average(router.models, "").pick == star
    for task in tiny.TASKS:
        # named after what the benchmark measured: one or two answers measure nothing
        assert router.decide("", task=task).pick == router_of(before).decide("", task=task).pick


def test_a_model_that_answers_everything_is_taken_up(before: Built, tmp_path: Path):
    router = router_of(build(load_config(add(tmp_path, 50, 1.0))))
    assert router.best_on_average(router.models, "").pick == "eel"
    average = {model.name: model.average_accuracy for model in router.artifact.manifest.models}
    assert 0.6 < (average["eel"] or 0) < 1.0


def test_the_gate_says_of_the_others_what_it_said_before(before: Built, tmp_path: Path):
    manifest = build(load_config(add(tmp_path, 20, 0.6))).manifest
    assert before.manifest.guarded is not None
    assert manifest.guarded is not None
    old, new = before.manifest.guarded["request"], manifest.guarded["request"]
    assert new["routes"] == old["routes"]
    assert new["gate_gain"] == pytest.approx(old["gate_gain"], abs=0.02)


def test_without_its_source_the_version_is_the_old_one(before: Built, tmp_path: Path):
    add(tmp_path, 20, 0.6)
    config = tiny.configure(tmp_path, method="guarded")
    assert build(load_config(config)).manifest.version == before.manifest.version
