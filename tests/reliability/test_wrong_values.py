"""Files that the manifest vouches for and that are wrong all the same: refused with both values."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.errors import ArtifactError, BenchRouterError
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.store.directory import Store

GOLDEN = Path(__file__).parents[1] / "data" / "schema-1"


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Return a copy of the golden version, which has every file that there is."""
    store = Store(GOLDEN)
    return Path(shutil.copytree(store.folder(store.current() or ""), tmp_path / "version"))


@pytest.fixture
def no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when hnswlib would be given anything."""
    monkeypatch.setattr(HnswIndex, "load", lambda *_, **__: pytest.fail("hnswlib was called"))


def refusal(version: Path) -> str:
    """Let the manifest vouch for the files as they are, and return why they are refused."""
    tiny.write_manifest(version, tiny.read_document(version))
    with pytest.raises(BenchRouterError) as error:
        read_artifact(version)
    return str(error.value)


def change(version: Path, name: str, with_array: Callable[[NDArray[Any]], NDArray[Any]]) -> str:
    array = np.array(np.load(version / name))
    np.save(version / name, with_array(array))
    return refusal(version)


FLOATS = ["scores.npy", "task_accuracy.npy", "smoother_u.npy", "smoother_p.npy"]


@pytest.mark.parametrize("name", ["scores.npy", "left_out_scores.npy"])
def test_rows_and_types_of_optional_arrays_are_checked_too(version, no_loader, name):
    assert "float64 of shape (96, 5), the manifest says float32" in change(
        version, name, lambda array: array.astype("f8")
    )
    assert "float32 of shape (95, 5), the manifest says float32 of shape (96, 5)" in change(
        version, name, lambda array: array[1:].astype("f4")
    )


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_refused(version, no_loader, name, value):
    def damage(array: NDArray[Any]) -> NDArray[Any]:
        array[0] = value
        return array

    assert f"{name} holds infinite numbers" in change(version, name, damage)


GUARDED = ["task_accuracy", "task_weights", "task_bias", "ridge_weights", "stack", "average"]


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
    said = refusal(version)
    assert "guarded.npz holds" in said
    assert name in said
    assert ("not finite" in said) == (damage == "nan")
    assert (f"the manifest says float64 of shape {shape}" in said) == (damage != "nan")


@pytest.mark.parametrize("damage", ["cut", "int16"])
@pytest.mark.parametrize("name", ["lexical_hashes.npy", "lexical_rows.npy"])
def test_the_embedder_is_checked(version, name, damage):
    def changed(array: NDArray[Any]) -> NDArray[Any]:
        return array[:-1] if damage == "cut" else array.astype(np.int16)

    assert "the lexical embedder in" in change(version, f"embedder/{name}", changed)


def test_other_task_names_than_the_manifests_are_refused_with_both(version, no_loader):
    document = json.loads((version / "named_tasks.json").read_bytes())
    (version / "named_tasks.json").write_text(json.dumps({"other": document["new"]}))
    assert "holds the tasks ['other'], the manifest says ['new']" in refusal(version)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_scores_of_a_named_task_that_are_no_numbers_are_refused(version, no_loader, number):
    text = (version / "named_tasks.json").read_text()
    first = json.loads(text)["new"]["s1"][0]
    (version / "named_tasks.json").write_text(text.replace(f"{first}", number, 1))
    assert number in (version / "named_tasks.json").read_text()
    assert "named_tasks.json" in refusal(version)


@pytest.mark.parametrize(
    ("section", "key"), [("counts", "samples"), ("embedder", "dimension"), ("index", "ef")]
)
@pytest.mark.parametrize("value", [0, -1, 0.5, 1e300, None, "many"])
def test_a_manifest_with_an_impossible_count_is_refused(version, no_loader, section, key, value):
    document = tiny.read_document(version)
    document[section][key] = value
    tiny.write_manifest(version, document)
    with pytest.raises(ArtifactError):
        read_artifact(version)


def test_a_file_that_the_manifest_does_not_list_is_not_opened(version, no_loader):
    """Or a file could be exchanged unseen by leaving it out of the manifest."""
    for name in [*tiny.read_document(version)["files"]]:
        document = tiny.read_document(version)
        record = document["files"].pop(name)
        tiny.write_manifest(version, document)
        with pytest.raises(ArtifactError, match=rf"{name} is not in the manifest"):
            read_artifact(version)
        document["files"][name] = record
        tiny.write_manifest(version, document)


def test_a_file_that_neither_the_manifest_nor_the_folder_has_is_missed(version):
    for name in ("index.hnsw", "task.npy", "embedder/lexical_rows.npy", "left_out_scores.npy"):
        folder = Path(shutil.copytree(version, version.with_name(Path(name).name)))
        document = tiny.read_document(folder)
        del document["files"][name]
        (folder / name).unlink()
        tiny.write_manifest(folder, document)
        with pytest.raises(BenchRouterError, match="build again"):
            read_artifact(folder)


def test_a_pipe_in_place_of_a_file_does_not_hold_the_loader_up(version, no_loader):
    (version / "task.npy").unlink()
    os.mkfifo(version / "task.npy")
    with pytest.raises(ArtifactError, match=r"task\.npy is not a file"):
        read_artifact(version)


def test_hidden_files_of_a_network_file_system_are_passed_over(version):
    (version / ".nfs0001").write_bytes(b"x")
    (version / "embedder" / ".DS_Store").write_bytes(b"x")
    read_artifact(version)
