"""`manifest.json`: one form, sealed, and nothing in it that leaves the version's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from litellm_benchrouter.artifact.files import verify_files
from litellm_benchrouter.artifact.manifest import read_manifest
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.directory import Store


@pytest.fixture
def version(tiny_folder: Path) -> Path:
    """Return the folder of a version, under a name that says nothing about it."""
    store = Store(tiny_folder / "router_artifacts")
    current = store.current()
    assert current is not None
    return store.folder(current).rename(tiny_folder / "a-version")


def test_a_manifest_has_one_form(version):
    manifest = read_manifest(version)
    written = (version / "manifest.json").read_bytes()
    assert manifest.to_bytes() == written == tiny.as_written(json.loads(written))
    assert manifest.sealed() == manifest


def test_the_seal_is_what_the_specification_says(version):
    before = (version / "manifest.json").read_bytes()
    tiny.write_manifest(version, tiny.read_document(version))
    assert (version / "manifest.json").read_bytes() == before


def test_every_file_of_the_version_is_listed(version):
    listed = set(read_manifest(version).files)
    there = {p.relative_to(version).as_posix() for p in version.rglob("*") if p.is_file()}
    assert listed == there - {"manifest.json"}


@pytest.mark.parametrize(
    "key",
    [
        *("schema_version", "version", "digest", "created_at", "files", "embedder", "parameters"),
        *("models", "tasks", "named_tasks", "counts", "index", "sources", "warnings", "libraries"),
        "build_seconds",
    ],
)
def test_a_key_that_is_missing_is_refused(version, key):
    document = tiny.read_document(version)
    del document[key]
    (version / "manifest.json").write_bytes(tiny.as_written(document))
    with pytest.raises(ArtifactError, match=key):
        read_manifest(version)


CHANGES: dict[str, Any] = {
    "created_at": "2001-01-01T00:00:00+00:00",
    "warnings": ["all is well"],
    "build_seconds": {"index": 1e9},
    "libraries": {},
    "counts": {},
    "parameters": {"k": 1},
    "named_tasks": ["another"],
    "sources": [{}],
    "digest": "0" * 64,
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_value_that_was_changed_is_refused(version, key):
    document = tiny.read_document(version) | {key: CHANGES[key]}
    (version / "manifest.json").write_bytes(tiny.as_written(document))
    with pytest.raises(ArtifactError, match=r"manifest\.json was changed after it was written"):
        read_manifest(version)


@pytest.mark.parametrize("change", [b" ", b"\n", b"\0"])
def test_white_space_that_was_added_is_refused(version, change):
    path = version / "manifest.json"
    path.write_bytes(path.read_bytes() + change)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(version)


def test_a_version_that_is_not_its_content_is_refused_with_both(version):
    document = tiny.read_document(version)
    said, true = "0123456789abcdef", document["version"]
    (version / "manifest.json").write_bytes(tiny.as_written(document | {"version": said}))
    with pytest.raises(ArtifactError, match=rf"says version {said}, its content is {true}"):
        read_manifest(version)


def test_a_folder_named_after_another_version_is_refused_with_both(version):
    true = read_manifest(version).version
    folder = version.rename(version.with_name("0123456789abcdef"))
    with pytest.raises(ArtifactError, match=rf"version {true}, its folder is named 0123456789abc"):
        read_manifest(folder)


@pytest.mark.parametrize("found", [0, 2, 99, None, "1", True, 1.0, [1]])
def test_an_unknown_schema_version_is_refused_with_both_values(version, found):
    document = tiny.read_document(version) | {"schema_version": found}
    tiny.write_manifest(version, document)
    with pytest.raises(VersionError) as error:
        read_manifest(version)
    assert f"schema_version {found!r}" in str(error.value)
    assert "reads 1" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.npy", "/etc/passwd", "a/../../secret.npy", "embedder/../../secret.npy"),
        *("..", ".", "", "./task.npy", "a//b", "a/", ".hidden", "embedder/.hidden", "a\\..\\b"),
        *("C:secret.npy", "task.npy\n", "~/secret.npy", "a\0b", "ä.npy"),
    ],
)
def test_a_file_name_that_leaves_the_folder_is_refused_before_it_is_opened(version, name):
    document = tiny.read_document(version)
    document["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    tiny.write_manifest(version, document)
    with pytest.raises(ArtifactError, match="could leave the version's folder"):
        read_manifest(version)


def test_a_manifest_cut_off_anywhere_is_refused(version):
    path = version / "manifest.json"
    whole = path.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            read_manifest(version)


def test_a_manifest_with_any_bit_flipped_is_refused(version):
    path = version / "manifest.json"
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            read_manifest(version)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "1", '"text"', "{", "[" * 100_000, "\xff", "NaN"]
)
def test_what_is_no_manifest_is_refused(version, text):
    (version / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(version)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_refused(version, number):
    path = version / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"sigma": 0.09', f'"sigma": {number}'.encode()))
    assert number in path.read_text()
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(version)


def test_a_missing_manifest_is_refused_with_the_reason(version):
    (version / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read \(No such file"):
        read_manifest(version)


def test_the_version_depends_on_what_decides_and_on_nothing_else(version):
    manifest = read_manifest(version)
    for change in (
        {"created_at": ""},
        {"warnings": ["x"]},
        {"build_seconds": {}},
        {"libraries": {}},
        {"sources": []},
        {"counts": {}},
    ):
        assert manifest.model_copy(update=change).content_id == manifest.version
    for change in (
        {"files": {}},
        {"parameters": {}},
        {"models": []},
        {"tasks": []},
        {"index": {}},
        {"embedder": {}},
        {"named_tasks": []},
        {"schema_version": 2},
    ):
        assert manifest.model_copy(update=change).content_id != manifest.version


def test_a_file_of_another_content_is_refused_with_both_digests(version):
    path = version / "embedder" / "x.bin"
    assert not path.exists()
    manifest = read_manifest(version)
    path = version / "task.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(
        ArtifactError, match=rf"task\.npy has SHA-256 .*{manifest.files['task.npy'].sha256[:12]}"
    ):
        verify_files(version, manifest)


def test_a_manifest_from_before_the_optional_fields_is_read(tiny_folder: Path):
    folder = next((tiny_folder / "router_artifacts" / "versions").iterdir())
    document = tiny.read_document(folder)
    for model in document["models"]:
        for later in ("mean_input_tokens", "mean_output_tokens", "price_source"):
            del model[later]
    tiny.write_manifest(folder, document)
    folder = folder.rename(folder.with_name(document["version"]))
    assert read_manifest(folder).models[0].facts.mean_output_tokens is None
