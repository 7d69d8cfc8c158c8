"""Damage to every file of a version: what the manifest vouches for, and what it does not.

The golden version has every file that there is. Whatever is wrong is refused by the file's name,
before hnswlib is given anything, by those who serve a version and by those who verify it.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact, verify_artifact
from litellm_benchrouter.errors import ArtifactError, BenchRouterError
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.store.directory import Store

GOLDEN = Path(__file__).parents[1] / "data" / "schema-1"
ARRAYS = {
    "embeddings.npy": ("float32", (96, 12)),
    "correctness.npy": ("uint8", (96, 5)),
    "scores.npy": ("float32", (96, 5)),
    "task.npy": ("int32", (96,)),
    "task_accuracy.npy": ("float64", (4, 5)),
    "smoother_u.npy": ("float64", (4, 4)),
    "smoother_p.npy": ("float64", (4, 4, 5)),
    "left_out_scores.npy": ("float32", (96, 5)),
}
GUARDED = ("task_accuracy", "task_weights", "task_bias", "ridge_weights", "stack", "average")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Return a copy of the golden version, under a name that says nothing about it."""
    store = Store(GOLDEN)
    return Path(shutil.copytree(store.folder(store.current() or ""), tmp_path / "version"))


@pytest.fixture
def no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when hnswlib would be given anything."""
    monkeypatch.setattr(HnswIndex, "load", lambda *_, **__: pytest.fail("hnswlib was called"))


def refusals(version: Path, *, vouch: bool = True) -> str:
    """Return why a version is refused; `vouch` lets the manifest say what the files now are."""
    if vouch:
        tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(BenchRouterError) as verifying:
        verify_artifact(version)
    with pytest.raises(BenchRouterError) as reading:
        read_artifact(version)
    assert str(verifying.value) == str(reading.value)
    return str(reading.value)


# What the manifest does not vouch for


def test_every_file_cut_off_anywhere_or_missing_is_refused_by_name(version, no_loader):
    for name in tiny.read_document(version)["files"]:
        path = version / name
        whole = path.read_bytes()
        for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
            path.write_bytes(whole[:cut])
            assert f"{name} has {cut} bytes, the manifest says {len(whole)}" in refusals(
                version, vouch=False
            )
        path.unlink()
        assert f"{name} cannot be read (No such file" in refusals(version, vouch=False)
        path.write_bytes(whole)


def test_a_thousand_flipped_bits_are_refused_by_the_name_of_their_file(version, no_loader):
    files = sorted(path for path in version.rglob("*") if path.is_file())
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


def test_a_file_that_the_manifest_does_not_list_is_not_opened(version, no_loader):
    """Or a file could be exchanged unseen by leaving it out of the manifest."""
    for name in [*tiny.read_document(version)["files"]]:
        document = tiny.read_document(version)
        record = document["files"].pop(name)
        tiny.write_manifest(version, document)
        assert f"{name} is not in the manifest" in refusals(version, vouch=False)
        document["files"][name] = record
        tiny.write_manifest(version, document)


def test_a_file_that_neither_the_manifest_nor_the_folder_has_is_missed(version):
    for name in ("index.hnsw", "task.npy", "embedder/lexical_rows.npy", "left_out_scores.npy"):
        folder = Path(shutil.copytree(version, version.with_name(Path(name).name)))
        document = tiny.read_document(folder)
        del document["files"][name]
        (folder / name).unlink()
        tiny.write_manifest(folder, document)
        with pytest.raises(BenchRouterError, match=r"build"):
            read_artifact(folder)


def test_a_pipe_in_place_of_a_file_does_not_hold_the_loader_up(version, no_loader):
    (version / "task.npy").unlink()
    os.mkfifo(version / "task.npy")
    assert "task.npy is not a file" in refusals(version, vouch=False)


def test_hidden_files_of_a_network_file_system_are_passed_over(version):
    (version / ".nfs0001").write_bytes(b"x")
    (version / "embedder" / ".DS_Store").write_bytes(b"x")
    read_artifact(version)


def test_files_of_one_version_with_the_manifest_of_another_are_refused(version, no_loader):
    other = version.with_name("other")
    shutil.copytree(version, other)
    np.save(other / "task.npy", np.load(version / "task.npy")[:-1])
    tiny.write_manifest(other, tiny.read_document(other))
    shutil.copy(other / "manifest.json", version / "manifest.json")
    assert "task.npy has 512 bytes, the manifest says 508" in refusals(version, vouch=False)


# What the manifest vouches for

Change = Callable[[NDArray[Any]], NDArray[Any]]


def with_value(value: float, row: int = 0) -> Change:
    def changed(array: NDArray[Any]) -> NDArray[Any]:
        array[row] = value
        return array

    return changed


def changed(version: Path, name: str, change: Change) -> str:
    np.save(version / name, change(np.array(np.load(version / name))))
    return refusals(version)


@pytest.mark.parametrize("name", ARRAYS)
def test_another_type_or_shape_is_refused_with_both(version, no_loader, name):
    dtype, shape = ARRAYS[name]
    whole = (version / name).read_bytes()
    rows = (shape[0] - 1, *shape[1:])
    wanted = f"the manifest says {dtype} of shape {shape}"
    said = changed(version, name, lambda array: array[:-1])
    assert f"{name} holds {dtype} of shape {rows}, {wanted}" in said
    (version / name).write_bytes(whole)
    said = changed(version, name, lambda array: np.nan_to_num(array).astype(np.int16))
    assert f"{name} holds int16 of shape {shape}, {wanted}" in said


VALUES: list[tuple[str, Change, str]] = [
    *(
        (name, with_value(value), f"{name} holds infinite numbers")
        for name in ("scores.npy", "task_accuracy.npy", "smoother_u.npy", "smoother_p.npy")
        for value in (np.inf, -np.inf)
    ),
    *(
        ("embeddings.npy", with_value(value, row), f"unit length .*row {row % 96} first")
        for value in (np.nan, np.inf, -np.inf, 1e30, 0.0)
        for row in (0, -1)
    ),
    ("embeddings.npy", lambda array: array[:, :-1], r"\(96, 11\), .*\(96, 12\)"),
    ("correctness.npy", with_value(7), "correctness.npy holds values besides 0, 1 and 255"),
    ("task.npy", with_value(-1), "task.npy names a task"),
    ("task.npy", with_value(4), "task.npy names a task"),
]


@pytest.mark.parametrize(("name", "change", "said"), VALUES)
def test_values_that_cannot_be_are_refused(version, no_loader, name, change, said):
    message = changed(version, name, change)
    assert re.search(said, message), message


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("damage", ["cut", "int32", "nan"])
def test_parts_of_the_guarded_method_are_checked(version, no_loader, name, damage):
    with np.load(version / "guarded.npz") as file:
        arrays = dict(file)
    shape = arrays[name].shape
    match damage:
        case "cut":
            arrays[name] = arrays[name][:-1]
        case "int32":
            arrays[name] = arrays[name].astype(np.int32)
        case "nan":
            arrays[name].flat[0] = np.nan
    np.savez(version / "guarded.npz", **arrays)
    said = refusals(version)
    assert "guarded.npz holds" in said
    assert name in said
    assert ("not finite" in said) == (damage == "nan")
    assert (f"the manifest says float64 of shape {shape}" in said) == (damage != "nan")


@pytest.mark.parametrize("change", [lambda array: array[:-1], lambda array: array.astype("i2")])
@pytest.mark.parametrize("name", ["lexical_hashes.npy", "lexical_rows.npy"])
def test_the_embedder_is_checked_where_it_is_loaded(version, name, change):
    path = version / "embedder" / name
    np.save(path, change(np.load(path)))
    tiny.write_manifest(version, tiny.read_document(version))
    verify_artifact(version)  # where the embedder need not be installed
    with pytest.raises(BenchRouterError, match="the lexical embedder in"):
        read_artifact(version)


NEW = json.loads((next((GOLDEN / "versions").iterdir()) / "named_tasks.json").read_bytes())["new"]
TASKS = {
    "": "cannot be read",
    **dict.fromkeys(("null", "[]", '{"new": 1}', '{"new": {}}'), "does not hold task decisions"),
    json.dumps({"new": NEW | {"n_inputs": "many"}}): "does not hold task decisions",
    json.dumps({"new": NEW | {"s1": [1.0]}}): "does not hold task decisions",
    json.dumps({"new": NEW | {"p": [float("nan")] * 5}}): "cannot be read",
    json.dumps({"new": NEW | {"p": [float("inf")] * 5}}): "cannot be read",
    json.dumps({"new": NEW | {"p": [9.5] * 5}}).replace("9.5", "1e999"): "an infinite number",
    json.dumps({"other": NEW}): "holds the tasks ['other'], the manifest says ['new']",
}


@pytest.mark.parametrize("text", TASKS)
def test_decisions_that_cannot_be_are_refused(version, no_loader, text):
    (version / "named_tasks.json").write_text(text)
    said = refusals(version)
    assert "named_tasks.json" in said
    assert TASKS[text] in said


@pytest.mark.parametrize("ids", ['["a"]', "null", "{}"])
def test_ids_of_other_samples_are_refused_when_they_are_read(version, ids):
    (version / "sample_ids.json").write_text(ids)
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(ArtifactError, match=r"sample_ids\.json does not hold 96 ids"):
        verify_artifact(version)
    with pytest.raises(ArtifactError, match=r"sample_ids\.json does not hold 96 ids"):
        _ = read_artifact(version).sample_ids


@pytest.mark.parametrize(
    ("section", "key"), [("counts", "samples"), ("embedder", "dimension"), ("index", "ef")]
)
@pytest.mark.parametrize("value", [0, -1, 0.5, 1e300, None, "many"])
def test_a_manifest_with_an_impossible_count_is_refused(version, no_loader, section, key, value):
    document = tiny.read_document(version)
    document[section][key] = value
    tiny.write_manifest(version, document)
    refusals(version, vouch=False)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x93NUMPY" * 9])
def test_what_is_no_array_is_refused(version, no_loader, content):
    (version / "smoother_p.npy").write_bytes(content)
    assert "smoother_p.npy is not a .npy file" in refusals(version)


def test_an_array_of_objects_is_never_unpickled(version, no_loader, tmp_path):
    mark = tmp_path / "mark"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    np.save(version / "task.npy", np.array([Trap()] * 96, dtype=object), allow_pickle=True)
    assert "task.npy is not a .npy file" in refusals(version)
    (version / "task.npy").write_bytes(pickle.dumps(Trap()))
    assert "task.npy is not a .npy file" in refusals(version)
    assert not mark.exists()


def test_an_index_of_another_version_is_refused(version, tiny_built):
    (index,) = tiny_built.rglob("index.hnsw")
    shutil.copy(index, version / "index.hnsw")
    assert "index.hnsw holds 80 rows of dimension 8, the manifest says 96" in refusals(version)
