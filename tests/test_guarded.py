"""The default method in the router: when it leaves the best model on average, and when not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.routing.router import BenchRouter

MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"


def built(folder: Path, **block: object) -> BenchRouter:
    path = folder / "config.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["benchrouter"] |= block
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return BenchRouter(read_artifact(build(load_config(path)).folder))


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> BenchRouter:
    folder = tmp_path_factory.mktemp("guarded")
    copy_files(folder)
    return built(folder)


def test_the_default_method_routes_a_prompt_like_those_of_the_benchmark(router: BenchRouter):
    decision = router.decide(MATH)
    assert (decision.pick, decision.method) == ("mathsmith-8b", "guarded")
    assert decision.reason.startswith("right with probability 0.9")
    assert router.decide(MATH, models=["atlas-70b", "spark-3b"]).pick == "atlas-70b"


def test_a_prompt_far_from_the_benchmark_goes_to_the_best_on_average(router: BenchRouter):
    decision = router.decide("Monday percent NULL queue bicycle x")
    assert (decision.pick, decision.method) == ("atlas-70b", "bma")
    assert "farther from the benchmark" in decision.reason
    assert decision.kind == "far"
    assert decision.distance > router.artifact.guarded.far


def test_where_routing_gains_nothing_the_best_on_average_answers(tmp_path: Path):
    copy_files(tmp_path)
    path = tmp_path / "benchmark.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    generator = np.random.default_rng(0)
    chance = np.array([0.8, 0.6, 0.5, 0.5, 0.4])  # the same on every task
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows[1:]:
            writer.writerow([*row[:3], *(generator.random(5) < chance).astype(int)])
    noise = built(tmp_path)
    decision = noise.decide(MATH)
    assert (decision.pick, decision.method) == ("atlas-70b", "bma")
    assert "not shown to be a gain" in decision.reason
    assert decision.kind == "gate"
    assert noise.artifact.manifest.guarded["request"]["routes"] is False
    assert noise.decide("", task="report-queries").pick == "atlas-70b"

    # Nothing could come of comparing the prompt, so that it is not embedded ...
    assert not noise.compares(noise.models)
    assert (decision.embedder, decision.embed_seconds, decision.distance) == (None, None, None)
    # ... but where a cheaper model may be as good, it is.
    saving = Terms(Policy.parse("within:0.05"))
    assert noise.compares(noise.models, saving)
    assert noise.decide(MATH, terms=saving).embedder == "lexical"


def test_a_benchmark_that_is_too_small_proves_nothing(tmp_path: Path):
    copy_files(tmp_path)
    path = tmp_path / "benchmark.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *lines[1:280:7]]) + "\n", encoding="utf-8")
    small = built(tmp_path)
    decision = small.decide(MATH)
    assert decision.method == "bma"
    assert "too few samples" in decision.reason
    assert decision.kind == "no_evidence"
    assert small.decide("", task="report-queries").method == "bma"
    assert small.artifact.guarded is None


def test_the_paper_method_takes_its_settings_literally(tmp_path: Path):
    copy_files(tmp_path)
    paper = built(tmp_path, method="paper")
    assert paper.decide(MATH).method == "s1"
    assert paper.artifact.guarded is None
    assert paper.artifact.manifest.guarded is None


def test_the_manifest_says_what_was_chosen_and_how_the_others_did(router: BenchRouter):
    chosen = router.artifact.manifest.guarded
    assert chosen["request"]["routes"] is True
    assert chosen["request"]["ece"] < 0.1
    assert {"s3", "s1_k200", "mean+ridge0.1"} <= set(chosen["unseen"]["gains"])


def test_the_version_that_is_read_back_decides_as_the_one_that_was_built(router: BenchRouter):
    again = BenchRouter(read_artifact(router.artifact.folder))
    for prompt in (MATH, "Translate into Dutch: the tiles arrive on Monday morning.", "hello"):
        assert again.decide(prompt) == router.decide(prompt)


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_a_benchmark_of_few_tasks_is_routed_by_request_and_not_by_new_task(
    tmp_path: Path, n_tasks: int
):
    copy_files(tmp_path)
    path = tmp_path / "benchmark.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines[1:] if line.split(",")[1] in ("code", "math")[:n_tasks]]
    generator = np.random.default_rng(1)
    extra = [
        f"more-{i},code,Review change {generator.integers(1000)} of module {i},1,1,0,0,0"
        for i in range(20)
    ]
    path.write_text("\n".join([lines[0], *kept, *extra]) + "\n", encoding="utf-8")
    few = built(tmp_path)
    assert few.decide(MATH).pick in few.models
    assert few.artifact.manifest.guarded["unseen"]["candidate"] is None
    assert few.decide("", task="report-queries").method == "bma"
