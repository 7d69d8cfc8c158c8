"""What a version must have shown before it serves, and what happens where it has not."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from evaluation.cases import prepared_of

from litellm_benchrouter.artifact.manifest import read_manifest
from litellm_benchrouter.artifact.verdict import TITLES, losses, points, sentence
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.building.embed import embed_benchmark, load_benchmark
from litellm_benchrouter.building.gains import TEST_SHARE
from litellm_benchrouter.building.proof import (
    MOST_HELD_OUT,
    NO_GAIN,
    NOT_SHOWN,
    held_out_groups,
)
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import BenchRouterConfig, load_config, parse_config
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.cost import run_cost
from litellm_benchrouter.evaluation.task import run_task
from litellm_benchrouter.guarded.fit import fit_request
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.validation.folds import TaskFolds, prepare
from litellm_benchrouter.validation.methods import DEFAULT
from litellm_benchrouter.validation.request_methods import request_scores

BEST_EVERYWHERE = (0.7, 0.65, 0.65, 0.65, 0.65)
ALL_ALIKE = (0.6, 0.6, 0.6, 0.6, 0.6)


def demo(
    folder: Path, chance: tuple[float, ...] | None = None, seed: int = 0, **block: Any
) -> Path:
    """Write the demo's benchmark, its labels drawn anew by chance; return the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_files(folder)
    if chance is not None:
        path = folder / "benchmark.csv"
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        generator = np.random.default_rng(seed)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            for row in rows[1:]:
                writer.writerow([*row[:3], *(generator.random(5) < chance).astype(int)])
    return configured(folder, **block)


def configured(folder: Path, **block: Any) -> Path:
    path = folder / "config.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["benchrouter"] |= block
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def verdict_of(built: Built) -> dict[str, Any]:
    assert built.manifest.verdict is not None
    return built.manifest.verdict


@pytest.fixture
def losing(tmp_path: Path) -> Path:
    """Return a configuration with which the paper's S1 loses to the best model on average."""
    return demo(tmp_path, BEST_EVERYWHERE, method="paper")


# Refused


def test_a_version_that_loses_is_refused_with_the_table_and_the_old_one_serves_on(
    losing, benchrouter
):
    old = build(load_config(configured(losing.parent, method="guarded"))).manifest.version
    configured(losing.parent, method="paper")
    ended = benchrouter("build", "--config", losing)
    store = Store(losing.parent / "router_artifacts")
    (refused,) = set(store.versions()) - {old}
    assert ended.code == 1
    assert store.current() == old
    assert re.search(r"Requests +│ s1 .* not shown to be .* [-−]\d\.\d points │", ended.out)
    assert "is current" not in ended.out
    assert ended.err.count("\n") == 1
    assert f"version {refused} was not made current: it is not shown to be no worse" in ended.err
    assert f"version {old} still serves" in ended.err
    assert "--force" in ended.err
    manifest = read_manifest(store.folder(refused))
    assert not manifest.may_serve
    assert (manifest.verdict["passes"], manifest.verdict["forced"]) == (False, False)


def test_a_refused_version_can_be_looked_at(losing, benchrouter):
    document = benchrouter("build", "--config", losing, "--json").document
    assert (document["published"], document["verdict"]["passes"]) == (False, False)
    assert Store(losing.parent / "router_artifacts").current() is None
    ended = benchrouter("inspect", "--config", losing, "--version", document["version"])
    assert ended.code == 0
    assert "Verdict: is not shown to be no worse than the best model on average:" in ended.out
    shown = benchrouter("inspect", "--config", losing, "--version", document["version"], "--json")
    assert shown.document["verdict"] == document["verdict"]


def test_force_publishes_the_same_version_and_the_manifest_says_so(losing, benchrouter):
    refused = build(load_config(losing))
    assert not refused.published
    ended = benchrouter("build", "--config", losing, "--force", "--json")
    assert (ended.code, ended.document["version"]) == (0, refused.manifest.version)
    assert ended.document["verdict"]["forced"] is True
    store = Store(losing.parent / "router_artifacts")
    assert store.versions() == [store.current()] == [refused.manifest.version]
    forced = read_artifact(refused.folder).manifest
    assert forced.verdict == verdict_of(refused) | {"forced": True}
    assert not list(refused.folder.glob(".*"))

    again = benchrouter("build", "--config", losing)  # it was decided about already
    assert again.code == 0
    assert "is current already, nothing changed" in again.out
    assert "published by --force all the same" in again.out
    assert read_manifest(refused.folder) == forced


def test_a_refused_version_is_published_later_by_force_only(losing, benchrouter):
    refused = build(load_config(losing))
    ended = benchrouter("publish", "--config", losing, refused.manifest.version)
    assert ended.code == 1
    assert "Add --force" in ended.err
    ended = benchrouter("publish", "--config", losing, "--force", refused.manifest.version)
    assert ended.code == 0
    assert Store(losing.parent / "router_artifacts").current() == refused.manifest.version
    assert verdict_of(refused) | {"forced": True} == read_artifact(refused.folder).manifest.verdict


def test_force_changes_nothing_for_a_version_that_passes(tmp_path):
    verdict = verdict_of(build(load_config(demo(tmp_path)), force=True))
    assert (verdict["passes"], verdict["forced"]) == (True, False)


def test_the_tolerance_decides_what_still_passes(losing):
    verdict = verdict_of(build(load_config(losing)))
    lower = {part: verdict[part]["lower"] for part in TITLES}
    worst = min(lower, key=lower.__getitem__)
    assert -0.2 < lower[worst] < -0.005
    assert set(losses(verdict)) == set(lower)
    above = configured(losing.parent, publish={"tolerance": round(0.001 - lower[worst], 3)})
    made = build(load_config(above))
    assert made.published
    assert verdict_of(made)[worst]["claim"] == "no worse"
    below = configured(losing.parent, publish={"tolerance": round(-lower[worst] - 0.001, 3)})
    made = build(load_config(below))
    assert not made.published
    assert set(losses(verdict_of(made))) == {worst}
    assert verdict_of(made)[worst]["claim"] == "not shown to be no worse"


def test_a_gain_can_be_required(tmp_path):
    require = {"require": "gains"}
    made = build(load_config(demo(tmp_path / "null", BEST_EVERYWHERE, publish=require)))
    verdict = verdict_of(made)
    assert set(verdict["served"].values()) == {"bma"}
    assert not made.published
    assert sentence(verdict).endswith("; a gain is required")
    assert build(load_config(demo(tmp_path / "gains", publish=require))).published


def test_nothing_is_published_too_where_nothing_is_required(losing):
    made = build(load_config(configured(losing.parent, publish={"require": "nothing"})))
    assert made.published
    verdict = verdict_of(made)
    assert (verdict["passes"], verdict["required"], verdict["forced"]) == (True, "nothing", False)
    assert sentence(verdict).endswith("; nothing better is required")


@pytest.mark.parametrize(
    ("publish", "message"),
    [
        ({"require": "luck"}, r"`benchrouter\.publish\.require` is 'luck'"),
        ({"tolerance": -0.1}, r"`benchrouter\.publish\.tolerance` is -0\.1"),
        ({"tolerence": 0.1}, r"unknown key `benchrouter\.publish\.tolerence`; known here: require"),
    ],
)
def test_what_publish_cannot_be(publish, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({"publish": publish}, folder=Path("/somewhere"))


# Served


def test_new_tasks_are_answered_by_the_best_on_average_where_no_candidate_gains(tmp_path):
    made = build(load_config(demo(tmp_path, ALL_ALIKE, seed=9)))
    verdict, chosen = verdict_of(made), made.manifest.guarded["unseen"]
    assert chosen["gains"]["s3"]["mean"] > 0  # and is not shown, for one of six that were tried
    assert min(gain["p"] for gain in chosen["gains"].values()) > 0.1
    assert verdict["unseen"]["candidate"] is chosen["candidate"] is None
    assert verdict["unseen"]["gain"] < 0 == verdict["unseen"]["expected_gain"]
    assert verdict["unseen"]["bma_because"].startswith("no candidate gains")
    assert verdict["unseen"]["claim"] == "the best model on average answers"
    assert verdict["served"]["unseen"] == "bma"
    decision = BenchRouter(read_artifact(made.folder)).decide("", task="report-queries")
    assert decision.method == "bma"
    assert "until the task has labels" in decision.reason


def test_the_gates_answer_with_the_best_on_average_and_the_verdict_says_so(tmp_path):
    made = build(load_config(demo(tmp_path, BEST_EVERYWHERE, seed=1)))
    verdict = verdict_of(made)
    for part in ("requests", "named"):
        assert verdict["served"][part] == verdict[part]["served"] == "bma"
        assert verdict[part]["expected_gain"] == verdict[part]["lower"] == 0.0
        assert verdict[part]["bma_because"] in (NOT_SHOWN, NO_GAIN)
    router = BenchRouter(read_artifact(made.folder))
    best = router.best_on_average(router.models, "").pick
    decisions = [router.decide("", task=task) for task in router.artifact.tasks]
    assert {d.pick for d in decisions} == {best}
    assert {d.kind for d in decisions} <= {"gate", "unsure"}
    assert sentence(verdict).startswith("is the best model on average")
    assert made.published


def test_a_gain_that_is_not_shown_leaves_the_gate_closed_for_any_models(tmp_path):
    built = build(load_config(demo(tmp_path, ALL_ALIKE, seed=4)))
    verdict = verdict_of(built)
    assert built.published
    assert verdict["served"]["requests"] == "bma"
    assert verdict["requests"]["gain"] > 0 == verdict["requests"]["lower"]
    assert verdict["requests"]["bma_because"] == NOT_SHOWN
    router = BenchRouter(read_artifact(built.folder))
    for models in (router.models, router.models[:2], router.models[1:]):
        best = router.best_on_average(models, "").pick
        for prompt in ("Sort a list in Python.", "What is 3 times 4?", "Say it politely."):
            assert router.decide(prompt, models=models).pick == best


def test_requests_that_cannot_be_embedded_are_not_said_to_be_routed(tmp_path):
    verdict = verdict_of(build(load_config(tiny.write(tmp_path, method="guarded"))))
    assert verdict["requests"]["gain"] > 0.1
    assert verdict["requests"]["expected_gain"] == 0.0
    assert verdict["served"] == {"requests": "bma", "named": "posterior", "unseen": "bma"}


def test_a_gain_is_shown_with_its_interval_and_the_costs_that_are_saved(tmp_path, benchrouter):
    ended = benchrouter("build", "--config", demo(tmp_path))
    assert ended.code == 0
    assert re.search(r"Requests +│ guarded .* gains: at least .* \+1\d\.\d points │", ended.out)
    assert re.search(r"of the cost of atlas-70b, .* \d\d % saved │ +\d\d to \d\d", ended.out)
    assert re.search(
        r"Tasks of the benchmark +│ posterior .* gains: at least .* \+1\d\.\d points │", ended.out
    )
    said = "Verdict: gains at least +14.2 points on requests and +15.0 points on tasks of the"
    assert said in " ".join(ended.out.split())


# Nothing to prove it on


@pytest.mark.parametrize("method", ["guarded", "paper"])
def test_a_tiny_benchmark_is_published_and_says_that_nothing_is_proved(
    tmp_path, benchrouter, method
):
    config = tiny.write(tmp_path, n=24, method=method)
    ended = benchrouter("build", "--config", config)
    assert ended.code == 0
    assert "there is nothing to prove it on: 50 samples are needed, there are 24." in ended.out
    store = Store(tmp_path / "router_artifacts")
    verdict = read_manifest(store.folder(store.current() or "")).verdict
    assert verdict["passes"] is True
    assert {verdict[part] for part in (*TITLES, "cost")} == {None}


def test_two_tasks_prove_requests_and_not_new_tasks(tmp_path):
    path = demo(tmp_path).parent / "benchmark.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines[1:] if line.split(",")[1] in ("code", "math")]
    path.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")
    verdict = verdict_of(build(load_config(tmp_path / "config.yaml")))
    assert verdict["unseen"] is None
    assert verdict["served"]["unseen"] == "bma"
    assert verdict["requests"]["n_samples"] == verdict["named"]["n_samples"] == len(kept)
    assert sentence(verdict).endswith(
        "new tasks are not proved: 3 tasks that are no variants of one another are needed, there "
        "are 2"
    )


def test_a_single_model_has_nothing_to_lose_to(tmp_path):
    path = demo(tmp_path).parent / "benchmark.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row[:4] for row in csv.reader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    verdict = verdict_of(build(load_config(tmp_path / "config.yaml")))
    assert verdict["unproven"]["requests"] == "2 models are needed, there is 1"
    assert verdict["passes"]


# What is kept


def test_the_same_input_gives_the_same_verdict_and_version(tmp_path):
    one, two = (build(load_config(demo(tmp_path / name))) for name in ("one", "two"))
    assert one.manifest.version == two.manifest.version
    assert one.manifest.verdict == two.manifest.verdict
    other = build(load_config(configured(tmp_path / "two", publish={"tolerance": 0.01})))
    assert other.manifest.version != one.manifest.version  # it was held to something else


def test_a_manifest_from_before_there_were_verdicts_is_read(tiny_folder):
    store = Store(tiny_folder / "router_artifacts")
    folder = store.folder(store.current() or "").rename(tiny_folder / "a-version")
    document = tiny.read_document(folder)
    del document["verdict"]
    tiny.write_manifest(folder, document)
    manifest = read_artifact(folder).manifest
    assert manifest.verdict is None
    assert manifest.may_serve
    assert "verdict" not in manifest.to_bytes().decode()


def test_of_many_tasks_some_are_held_out_at_even_distances():
    scores = np.random.default_rng(0).random((75, 2))
    task = np.repeat(np.arange(25), 3)
    groups = held_out_groups(prepared_of(scores, scores, task=task))
    assert len(set(groups)) == MOST_HELD_OUT
    assert (groups[0], groups[-1]) == (0, 24)
    assert np.diff(groups).max() <= 2
    assert held_out_groups(prepared_of(scores[:48], scores[:48], task=task[:48])) == []


def test_a_gain_of_nothing_has_no_minus_sign():
    assert [points(x) for x in (-1e-9, 0.0, -0.0004, -0.0006, 0.0123)] == [
        "+0.0", "+0.0", "+0.0", "-0.1", "+1.2",
    ]  # fmt: skip


# The numbers are those of `evaluate`


def measured(config: BenchRouterConfig, folder: Path) -> tuple[TaskFolds, dict[str, Any]]:
    """Return the benchmark that a build proves itself on, and two protocols on it."""
    silent = Progress()
    benchmark, report = load_benchmark(config, silent)
    benchmark, embedded = embed_benchmark(config, benchmark, report, None, folder / "cache", silent)
    prepared = prepare(
        benchmark, embedded.vectors, config.routing, seed=config.seed, progress=silent
    )
    split = {"test_share": TEST_SHARE, "given": False}
    return prepared, {
        "task": run_task(prepared, silent),
        "cost": run_cost(prepared, silent, runs=1, predictors={DEFAULT: request_scores}, **split),
    }


def check(verdict: dict[str, Any], documents: dict[str, Any], unseen: str, requests: str) -> None:
    task = documents["task"]["methods"][unseen]
    assert verdict["unseen"]["gain"] == pytest.approx(task["gain"], abs=1e-6)
    assert verdict["unseen"]["tasks_worse"] == task["tasks_worse"]
    worst = verdict["unseen"]["worst_task"]
    assert worst["gain"] == pytest.approx(task["worst_task_gain"], abs=1e-6)
    (row,) = (r for r in documents["task"]["tasks"] if r["task"] == worst["name"])
    assert (worst["pick"], worst["best_on_average"]) == (row["picks"][unseen], row["picks"]["bma"])
    cost = documents["cost"]["methods"][requests]["tuned"]["equal_quality"]
    names = {"saved": "saved", "lower": "lower", "saved_95": "saved_over_samples_95"}
    for key, name in names.items():
        assert verdict["cost"][key] == pytest.approx(cost[name], abs=1e-6)


def by_hand(prepared: TaskFolds, picks: np.ndarray) -> tuple[float, float]:
    """Gain over the best on average and its lower bound, of a benchmark without missing labels."""
    rows, labels, task = np.arange(len(picks)), prepared.labels, prepared.benchmark.task
    group = prepared.sample_group  # none of which is in two tasks
    difference = labels[rows, picks].astype(float) - labels[:, prepared.best]
    by_task = [difference[task == d] for d in range(prepared.n_tasks)]
    gain = float(np.mean([each.mean() for each in by_task]))
    errors = []
    for d, each in enumerate(by_task):
        sums = np.bincount(np.unique(group[task == d], return_inverse=True)[1], each - each.mean())
        errors.append((sums**2).sum() * len(sums) / (len(sums) - 1) / len(each) ** 2)
    variance = np.sum(errors) / prepared.n_tasks**2 + 1 / len(np.unique(group)) ** 2
    return gain, gain - 1.645 * float(np.sqrt(variance))


def test_the_numbers_are_those_that_evaluate_gives(tmp_path):
    config = load_config(demo(tmp_path))
    prepared, documents = measured(config, tmp_path)
    verdict = verdict_of(build(config))
    check(verdict, documents, DEFAULT, DEFAULT)
    fitted = fit_request(
        prepared.embeddings,
        prepared.labels,
        prepared.benchmark.task,
        prepared.n_tasks,
        prepared.neighbors,
        prepared.sample_group,
        seed=config.seed,
    )
    picks = fitted.guarded.loo_scores.argmax(axis=1)
    gain, lower = by_hand(prepared, picks)
    assert verdict["requests"]["gain"] == pytest.approx(gain, abs=1e-6)
    assert verdict["requests"]["lower"] == pytest.approx(lower, abs=1e-6)
    paper = config.model_copy(update={"method": "paper"})
    check(verdict_of(build(paper)), documents, "s3", "s1")


def test_on_llmrouter_the_papers_method_is_refused_and_the_old_version_serves_on(
    shared, tmp_path, benchrouter
):
    source = shared / "data" / "llmrouter"
    block = {
        "method": "paper",
        "sources": [{"path": str(source), "embeddings": str(source / "embeddings.npy")}],
        "embedder": {"kind": "precomputed"},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"benchrouter": block | {"publish": {"tolerance": 0.1}}}))
    old = build(load_config(config))
    assert old.published
    verdict = verdict_of(old)
    assert verdict["unseen"]["gain"] == pytest.approx(-0.007, abs=0.002)  # docs/guarded.md
    assert verdict["unseen"]["lower"] < verdict["unseen"]["gain"]
    assert verdict["requests"]["gain"] == pytest.approx(0.01, abs=0.01)
    assert verdict["cost"]["unit"] == "usd"

    config.write_text(yaml.safe_dump({"benchrouter": block}))
    ended = benchrouter("build", "--config", config, "--json")
    assert ended.code == 1
    refused = ended.document["verdict"]
    assert (refused["tolerance"], refused["passes"]) == (0.005, False)
    assert refused["unseen"] == verdict["unseen"] | {"claim": "not shown to be no worse"}
    assert "points on new tasks, 0.5 points are tolerated" in ended.err
    assert Store(tmp_path / "router_artifacts").current() == old.manifest.version
