"""A version on disk: read back as it was written, and refused when it is anything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import load_config
from litellm_benchrouter.paper.benchmark import average_accuracy, labels, task_accuracy
from litellm_benchrouter.paper.neighbors import nearest, normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.store.directory import Store


def version_in(folder: Path) -> Path:
    store = Store(folder / "router_artifacts")
    current = store.current()
    assert current is not None
    return store.folder(current)


@pytest.fixture
def version(tiny_folder: Path) -> Path:
    """Return the folder of a version, under a name that says nothing about it."""
    return version_in(tiny_folder).rename(tiny_folder / "a-version")


def test_what_was_written_is_read_back(tiny_built):
    artifact = read_artifact(version_in(tiny_built))
    benchmark, report = load_benchmark(load_config(tiny_built / "config.yaml"), Progress())
    vectors = normalize(np.load(tiny_built / "vectors.npy"))[[r for _, r in report.source_row]]
    accuracy = task_accuracy(labels(benchmark.correctness), benchmark.task, len(benchmark.tasks))

    assert artifact.models == tiny.MODELS
    assert artifact.tasks == tiny.TASKS
    assert artifact.sample_ids == benchmark.sample_ids
    np.testing.assert_array_equal(artifact.embeddings, vectors)
    np.testing.assert_array_equal(artifact.correctness, benchmark.correctness)
    np.testing.assert_array_equal(artifact.task, benchmark.task)
    np.testing.assert_array_equal(artifact.task_accuracy, accuracy)
    np.testing.assert_array_equal(artifact.average, average_accuracy(accuracy))
    assert artifact.scores is None  # 0 and 1 tell no more than the labels
    queries = normalize(np.load(tiny_built / "new.npy"))
    np.testing.assert_allclose(
        artifact.index.search(queries, 5).distance,
        nearest(queries, vectors, 5).distance,
        atol=1e-6,
    )


def test_arrays_are_mapped_and_cannot_be_written(tiny_built):
    artifact = read_artifact(version_in(tiny_built))
    for array in (artifact.embeddings, artifact.correctness, artifact.task):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_no_prompt_is_in_an_artifact(demo_built):
    benchmark, _ = load_benchmark(load_config(demo_built / "config.yaml"), Progress())
    inputs = (demo_built / "report-queries.txt").read_text().splitlines()
    words = {word for prompt in benchmark.prompts for word in prompt.split() if len(word) > 7}
    words.remove("created_at")  # a key of the manifest, too
    stored = b"".join(
        path.read_bytes() for path in version_in(demo_built).rglob("*") if path.is_file()
    )
    assert (len(benchmark.prompts), len(inputs)) == (288, 20)
    assert len(words) > 50
    for text in (*benchmark.prompts, *inputs, *words):
        assert text.encode() not in stored


def test_sample_ids_are_read_when_they_are_asked_for(version):
    artifact = read_artifact(version)
    assert artifact.sample_ids == json.loads((version / "sample_ids.json").read_bytes())
