"""A version on disk: read back as it was written, and refused when it is anything else."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.paper.benchmark import average_accuracy, labels, task_accuracy
from litellm_benchrouter.paper.neighbors import nearest, normalize
from litellm_benchrouter.progress import Silent
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


@pytest.fixture
def no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when hnswlib would be given anything."""

    def load(*_: object, **__: object) -> None:
        pytest.fail("the native loader was called")

    monkeypatch.setattr(HnswIndex, "load", load)


def test_what_was_written_is_read_back(tiny_built):
    artifact = read_artifact(version_in(tiny_built))
    benchmark, report = load_benchmark(load_config(tiny_built / "config.yaml"), Silent())
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


def test_every_file_cut_off_anywhere_is_refused_by_name(version, no_loader):
    for name in tiny.read_document(version)["files"]:
        path = version / name
        whole = path.read_bytes()
        for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
            path.write_bytes(whole[:cut])
            with pytest.raises(ArtifactError, match=name):
                read_artifact(version)
        path.write_bytes(whole)


def test_a_thousand_flipped_bits_are_refused_by_the_name_of_their_file(version, no_loader):
    files = [path for path in version.rglob("*") if path.is_file()]
    content = {path: path.read_bytes() for path in files}
    sizes = np.array([len(content[path]) for path in files], dtype=float)
    generator = np.random.default_rng(0)
    # Half of them anywhere, half of them in a file drawn first, so that small files are hit too.
    for weights in (sizes / sizes.sum(), np.full(len(files), 1 / len(files))):
        for which in generator.choice(len(files), size=500, p=weights):
            path = files[which]
            damaged = bytearray(content[path])
            damaged[generator.integers(len(damaged))] ^= 1 << int(generator.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(ArtifactError, match=path.name):
                read_artifact(version)
            path.write_bytes(content[path])


def test_every_missing_file_is_refused_by_name(version, no_loader):
    for name in tiny.read_document(version)["files"]:
        path = version / name
        aside = path.rename(path.with_name("aside"))
        with pytest.raises(ArtifactError, match=name):
            read_artifact(version)
        aside.rename(path)


def change(version: Path, name: str, with_array: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Change an array and let the manifest vouch for it."""
    path = version / name
    np.save(path, with_array(np.load(path)))
    tiny.write_manifest(version, tiny.read_document(version))


ARRAYS = [
    *("embeddings.npy", "correctness.npy", "task.npy", "task_accuracy.npy"),
    *("smoother_u.npy", "smoother_p.npy"),
]


@pytest.mark.parametrize("name", ARRAYS)
def test_another_number_of_rows_is_refused_with_both_shapes(version, no_loader, name):
    shape = np.load(version / name).shape
    change(version, name, lambda array: array[:-1])
    with pytest.raises(ArtifactError) as error:
        read_artifact(version)
    assert name in str(error.value)
    assert f"of shape {(shape[0] - 1, *shape[1:])}" in str(error.value)
    assert f"of shape {shape}" in str(error.value)


@pytest.mark.parametrize("name", ARRAYS)
def test_another_type_is_refused_with_both_types(version, no_loader, name):
    dtype = np.load(version / name).dtype
    change(version, name, lambda array: np.nan_to_num(array).astype(np.int16))
    with pytest.raises(ArtifactError, match=rf"{name} holds int16 .*says {dtype} "):
        read_artifact(version)


def test_another_dimension_is_refused(version, no_loader):
    change(version, "embeddings.npy", lambda array: array[:, :-1])
    with pytest.raises(ArtifactError, match=r"embeddings\.npy holds .*\(80, 7\).*\(80, 8\)"):
        read_artifact(version)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 0.0])
@pytest.mark.parametrize("row", [0, 79])
def test_a_vector_that_is_not_of_unit_length_is_refused(version, no_loader, value, row):
    def damage(array: NDArray[Any]) -> NDArray[Any]:
        array[row] = value
        return array

    change(version, "embeddings.npy", damage)
    with pytest.raises(ArtifactError, match=rf"embeddings\.npy holds rows .*row {row} first"):
        read_artifact(version)


def test_a_label_that_is_neither_right_wrong_nor_missing_is_refused(version, no_loader):
    change(version, "correctness.npy", lambda array: np.where(array == 1, 7, array).astype("u1"))
    with pytest.raises(ArtifactError, match=r"correctness\.npy holds values besides 0, 1 and 255"):
        read_artifact(version)


@pytest.mark.parametrize("task", [-1, len(tiny.TASKS)])
def test_a_task_that_is_not_listed_is_refused(version, no_loader, task):
    change(version, "task.npy", lambda array: np.where(array == 0, task, array).astype("i4"))
    with pytest.raises(ArtifactError, match=r"task\.npy names a task"):
        read_artifact(version)


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", '{"new": 1}', '{"new": {}}', '{"new": {"n_inputs": 1, "u": 0.1}}'),
        *('{"new": {"n_inputs": "many", "u": null, "s1": [], "s2": [], "s3": [], "p": []}}',),
        '{"new": {"n_inputs": 2, "u": 0, "s1": [1], "s2": [1], "s3": [1], "p": [1]}}',
    ],
)
def test_decisions_of_another_shape_are_refused(version, no_loader, text):
    (version / "named_tasks.json").write_text(text)
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"named_tasks\.json"):
        read_artifact(version)


def test_an_array_of_objects_is_never_unpickled(version, no_loader, tmp_path):
    mark = tmp_path / "mark"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    np.save(version / "task.npy", np.array([Trap()] * 80, dtype=object), allow_pickle=True)
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"task\.npy is not a \.npy file"):
        read_artifact(version)
    (version / "task.npy").write_bytes(pickle.dumps(Trap()))
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"task\.npy is not a \.npy file"):
        read_artifact(version)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x93NUMPY" * 9])
def test_what_is_no_array_is_refused_though_the_manifest_vouches_for_it(
    version, no_loader, content
):
    (version / "smoother_p.npy").write_bytes(content)
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"smoother_p\.npy is not a \.npy file"):
        read_artifact(version)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a version with four samples more."""
    return build(load_config(tiny.write(tmp_path_factory.mktemp("other"), n=84))).folder


def test_files_of_one_version_with_the_manifest_of_another_are_refused(other, version, no_loader):
    (version / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"has \d+ bytes, the manifest says \d+"):
        read_artifact(version)


def test_an_index_of_another_version_is_refused_though_the_manifest_vouches_for_it(other, version):
    (version / "index.hnsw").write_bytes((other / "index.hnsw").read_bytes())
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"index\.hnsw holds 84 rows of dimension 8.*says 80"):
        read_artifact(version)


def test_no_prompt_is_in_an_artifact(demo_built):
    benchmark, _ = load_benchmark(load_config(demo_built / "config.yaml"), Silent())
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
