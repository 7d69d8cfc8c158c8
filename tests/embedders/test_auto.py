"""Embedder kind `auto`: what is tried, what is taken, and what stays at the next build."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import yaml

from litellm_benchrouter.building import auto
from litellm_benchrouter.building.auto_rule import Tried, choose
from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.embedder_quality import describe, measure_quality
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.store.directory import Store

MODELS = ("ant", "bee", "cat", "dog")
WORDS = {
    "capitals": "What is the capital of France and how many people live there",
    "code": "def add return list python function that reverses element write",
    "speed": "A train travels 60 miles in hours What is its average speed car",
    "translate": "Translate into German French the weather is fine was bad",
}
Run = Callable[..., Any]


def write(folder: Path, *, n: int = 100, **embedder: Any) -> Path:
    """Write a benchmark whose prompts tell the task, and a configuration; return its path."""
    generator = np.random.default_rng(0)
    with (folder / "results.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sample_id", "task", "prompt", *MODELS])
        for i in range(n):
            task = list(WORDS)[i % len(WORDS)]
            words = generator.choice(WORDS[task].split(), size=8)
            skill = np.where(np.arange(len(MODELS)) == i % len(WORDS), 0.9, 0.4)
            labels = (generator.random(len(MODELS)) < skill).astype(int)
            table.writerow([f"s{i:03d}", task, " ".join(words), *labels])
    block = {
        "sources": [{"path": "results.csv"}],
        "publish": {"require": "nothing"},
        "routing": {"alphas": [0.0, 0.1], "repeats": 2},
        "embedder": {"kind": "auto", "dimensions": 16} | embedder,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": block}), encoding="utf-8")
    return path


def measured(version: Path) -> dict[str, Any]:
    """Return what a version's manifest says of the choice."""
    found: dict[str, Any] = tiny.read_document(version)["embedder_measured"]["auto"]
    return found


# The rule


def tried(kind: str, p50_ms: float, unseen: float | None, requests: float | None) -> Tried:
    def part(behind: float | None) -> dict[str, float] | None:
        return None if behind is None else {"behind": behind}

    return Tried(kind, None, 8, p50_ms, part(unseen), part(requests))


FAST = tried("lexical", 0.2, 0.03, 0.0)
NEAR = tried("static", 0.9, 0.004, 0.002)
SLOW = tried("onnx", 9.0, 0.0, 0.009)
SLOWEST = tried("sentence-transformers", 24.0, 0.0, 0.009)
ALL = (FAST, NEAR, SLOW, SLOWEST)


def taken(
    *found: Tried, serves: str | None = None, limit_ms: float = 200.0, by: float = 0.01
) -> str:
    return choose(found, tolerance=by, serves=serves, limit_ms=limit_ms).kind


def test_the_fastest_that_is_level_on_both_protocols_is_taken() -> None:
    assert taken(*ALL) == "static", "lexical loses three points on new tasks"
    assert taken(FAST, SLOW, SLOWEST) == "onnx"
    assert taken(FAST, SLOW, by=0.05) == "lexical"


def test_a_millisecond_makes_none_the_faster_one() -> None:
    assert taken(FAST, NEAR, SLOW, by=0.05) == "static", "as fast, and it loses less"
    assert taken(tried("lexical", 0.1, None, None), tried("static", 0.05, None, None)) == "lexical"


def test_where_none_is_best_on_both_the_smallest_loss_is_the_measure() -> None:
    one, other = tried("static", 0.4, 0.0, 0.06), tried("onnx", 9.0, 0.04, 0.0)
    assert taken(one, other) == "onnx"
    assert taken(one, other, by=0.02) == "static"


def test_what_serves_stays_while_it_is_level_and_goes_when_it_is_not() -> None:
    assert taken(*ALL, serves="sentence-transformers") == "sentence-transformers"
    assert taken(*ALL, serves="lexical") == "static"


def test_what_needs_more_than_a_decision_may_take_is_out_unless_all_do() -> None:
    best = tried("sentence-transformers", 240.0, 0.0, 0.0)
    assert taken(FAST, best) == "lexical"
    assert taken(best, limit_ms=100.0) == "sentence-transformers"


# Quality


def test_vectors_that_tell_the_tasks_apart_are_ahead_by_more_than_chance() -> None:
    generator = np.random.default_rng(0)
    task = (np.arange(400) % 4).astype(np.int32)
    labels = generator.random((400, 4)) < np.where(np.eye(4, dtype=bool)[task], 0.95, 0.3)
    benchmark = Benchmark(
        sample_ids=[f"s{i}" for i in range(400)],
        prompts=[f"p{i}" for i in range(400)],
        task=task,
        tasks=list(WORDS),
        models=list(MODELS),
        correctness=labels.astype(np.uint8),
        scores=labels.astype(np.float32),
    )
    noise = generator.normal(size=(400, 8)).astype(np.float32)
    config = BenchRouterConfig.model_validate({"routing": {"alphas": [0.0], "repeats": 1}})
    found = {
        "telling": measure_quality(config, benchmark, normalize(noise + 9 * np.eye(8)[task])),
        "noise": measure_quality(config, benchmark, normalize(noise)),
    }
    document = describe({name: each.requests for name, each in found.items() if each.requests}, 0)

    assert document["telling"]["behind"] == 0.0
    assert document["telling"]["gain"] > 0.3
    assert document["noise"]["behind_95"][0] > 0.2
    assert all(each.unseen is not None for each in found.values())


# A build


def test_the_table_the_json_and_the_manifest_say_what_was_measured(
    tmp_path: Path, small_model: Path, benchrouter: Run
) -> None:
    config = write(tmp_path, model=str(small_model))
    shown = benchrouter("build", "--config", config)

    assert (shown.code, shown.err) == (0, "")
    version = Store(tmp_path / "router_artifacts").current()
    found = measured(tmp_path / "router_artifacts" / "versions" / str(version))
    kinds = ["lexical", "static", "onnx", "sentence-transformers"]
    assert [each["kind"] for each in found["candidates"]] == kinds and found["failed"] == []
    assert all(each["p50_ms"] > 0 for each in found["candidates"])
    assert all(0 <= each[part]["accuracy"] <= 1 for each in found["candidates"] for part in PARTS)
    assert found["n_samples"] == found["of_samples"] == 100
    assert "Embedders on all prompts" in shown.out
    for kind in kinds:
        assert kind in shown.out
    assert f"Embedder {found['chosen']}: {found['because']}." in shown.out

    inspected = benchrouter("inspect", "--config", config)
    assert f"Embedder {found['chosen']}: {found['because']}." in inspected.out
    document = benchrouter("inspect", "--config", config, "--json").document
    assert document["embedder_measured"]["auto"] == found
    assert document["embedder"]["kind"] == found["chosen"], "serving knows no auto"

    again = benchrouter("build", "--config", config, "--json").document
    assert again["unchanged"] is True
    kept = again["manifest"]["embedder_measured"]["auto"]
    assert kept["candidates"] == found["candidates"], "nothing is measured again"
    assert kept["because"].startswith("it serves already")


PARTS = ("unseen", "requests")


@pytest.mark.parametrize("kind", ["lexical", "static", "sentence-transformers"])
@pytest.mark.parametrize("cached", [True, False])
def test_the_sample_is_not_embedded_again_and_the_version_is_that_of_the_embedder_by_name(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cached: bool
) -> None:
    monkeypatch.setattr(auto, "SAMPLES", 60)
    # A process that has opened a version embeds on one thread; torch's last bits then differ.
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    options = {"model": str(small_model), "cache": cached, "batch_size": 1}
    (tmp_path / "auto").mkdir()
    chosen = build(load_config(write(tmp_path / "auto", candidates=[kind], **options)))
    (tmp_path / "named").mkdir()
    named = build(load_config(write(tmp_path / "named", kind=kind, **options)))

    assert measured(chosen.folder)["n_samples"] == 60
    assert chosen.manifest.counts["embedded_now"] == 100
    assert chosen.manifest.version == named.manifest.version
    assert chosen.manifest.embedder["fingerprint"] == named.manifest.embedder["fingerprint"]


def test_a_rebuild_stays_with_what_serves_though_another_would_now_be_taken(
    tmp_path: Path, small_model: Path, benchrouter: Run
) -> None:
    config = load_config(write(tmp_path, model=str(small_model), candidates=["lexical", "static"]))
    first = build(config)
    serves = measured(first.folder)["chosen"]
    other = {"lexical": "static", "static": "lexical"}[serves]
    kept = config.artifacts / "cache" / "auto.json"
    figures = json.loads(kept.read_text())
    for each in figures["tried"]:  # as another hour on another machine might have measured them
        each["p50_ms"] = 9.0 if each["kind"] == serves else 0.1
        for part in PARTS:
            each[part]["behind"] = 0.005 if each["kind"] == serves else 0.0
    kept.write_text(json.dumps(figures))

    again = build(config)
    assert again.unchanged and again.manifest.version == first.manifest.version

    for each in figures["tried"]:
        each["unseen"]["behind"] = 0.05 if each["kind"] == serves else 0.0
    kept.write_text(json.dumps(figures))
    changed = build(config)
    assert measured(changed.folder)["chosen"] == changed.manifest.embedder["kind"] == other
    assert measured(changed.folder)["served_before"] == serves
    (warning,) = (w for w in changed.manifest.warnings if "embedder changes" in w)
    assert warning.startswith(f"the embedder changes from {serves} to {other}: {serves} is no")


def test_other_settings_choose_afresh(tmp_path: Path, small_model: Path) -> None:
    options = {"model": str(small_model), "candidates": ["lexical", "static"]}
    build(load_config(write(tmp_path, **options)))
    found = measured(build(load_config(write(tmp_path, **options, tolerance=0.02))).folder)
    assert found["served_before"] is None


def test_a_benchmark_that_grew_is_measured_again(tmp_path: Path) -> None:
    build(load_config(write(tmp_path, candidates=["lexical"])))
    grown = build(load_config(write(tmp_path, candidates=["lexical"], n=101)))
    assert measured(grown.folder)["n_samples"] == 101


def test_a_candidate_that_does_not_load_is_named_and_the_others_go_on(
    tmp_path: Path, benchrouter: Run
) -> None:
    config = write(tmp_path, model="nobody/no-such-model")
    shown = benchrouter("build", "--config", config)

    assert shown.code == 0
    found = measured(load_config(config).artifacts / "versions" / str(current(config)))
    assert found["chosen"] == "lexical" and found["because"] == "no other candidate could be tried"
    assert [each["kind"] for each in found["failed"]] == ["static", "onnx", "sentence-transformers"]
    assert all("nobody/no-such-model" in each["reason"] for each in found["failed"])
    flat = "".join(shown.out.split())
    assert "doesnotwork:cannotfindthefilesof'nobody/no-such-model'" in flat.replace("│", "")


def test_an_installation_that_is_broken_is_one_more_reason(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        """As torch, where a library that it links against is gone."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "model2vec.distill":
                raise OSError("libgomp.so.1: cannot open shared object file\nmore")

    import sys

    monkeypatch.delitem(sys.modules, "model2vec.distill", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    config = write(tmp_path, model=str(small_model), candidates=["static", "lexical"])
    found = measured(build(load_config(config)).folder)
    assert found["failed"] == [
        {"kind": "static", "reason": "OSError: libgomp.so.1: cannot open shared object file."}
    ]


def test_where_nothing_works_every_reason_is_told(tmp_path: Path, benchrouter: Run) -> None:
    config = write(tmp_path, model="nobody/no-such-model", candidates=["static", "onnx"])
    before = tiny.tree(tmp_path)
    ended = benchrouter("build", "--config", config)
    assert ended.code == 1
    assert ended.err.startswith("Error: no candidate of benchrouter.embedder works. static: cannot")
    assert " onnx: cannot find the files of 'nobody/no-such-model'" in ended.err
    assert tiny.tree(tmp_path).keys() == before.keys()


def test_a_benchmark_too_small_to_compare_on_is_said_to_be(tmp_path: Path) -> None:
    made = build(load_config(write(tmp_path, n=24, candidates=["lexical"])))
    assert any("too small to compare embedders" in w for w in made.manifest.warnings)


# What else reads the configuration


def test_evaluate_takes_what_a_build_would_take(tmp_path: Path, benchrouter: Run) -> None:
    config = write(tmp_path, candidates=["lexical"])
    file = tmp_path / "evaluation.json"
    ended = benchrouter("evaluate", "--config", config, "--protocol", "task", "--json", file)
    assert ended.code == 0
    document = json.loads(file.read_text())
    assert document["protocol"]["embedder"]["kind"] == "lexical"


def test_given_vectors_have_an_embedder_of_their_own(tmp_path: Path, benchrouter: Run) -> None:
    config = write(tmp_path)
    np.save(tmp_path / "vectors.npy", np.ones((100, 4)))
    ended = benchrouter("build", "--config", config, "--embeddings", tmp_path / "vectors.npy")
    assert (ended.code, "kind is 'auto', and vectors are given" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("embedder", "words"),
    [
        (
            {"kind": "onnx", "candidates": ["onnx"]},
            "`candidates` needs kind auto, and kind is onnx",
        ),
        ({"tolerance": 0.1}, "`tolerance` needs kind auto, and kind is lexical"),
        ({"kind": "auto", "candidates": ["onnx", "onnx"]}, "names one twice: onnx, onnx"),
        ({"kind": "auto", "candidates": ["litellm"]}, "candidates[0]` is 'litellm'"),
        ({"kind": "auto", "candidates": []}, "candidates` is []"),
    ],
)
def test_a_wrong_list_is_refused_with_its_key(
    tmp_path: Path, embedder: dict[str, Any], words: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": {"embedder": embedder}}))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert words in str(error.value)


def test_the_choice_is_the_same_version_as_its_embedder_by_name(tmp_path: Path) -> None:
    manifest = build(load_config(write(tmp_path, candidates=["lexical"]))).manifest
    named = build(load_config(write(tmp_path, kind="lexical"))).manifest
    assert named.version == manifest.version


def current(config: Path) -> str | None:
    return Store(load_config(config).artifacts).current()
