"""The artifact directory: one version serves, and nothing that fails changes which."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import tiny

from litellm_benchrouter.artifact.manifest import read_manifest
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.directory import Store

ABSENT = "0123456789abcdef"


@pytest.fixture
def store(tiny_folder: Path) -> Store:
    """Return a store with one version, which serves."""
    return Store(tiny_folder / "router_artifacts")


@pytest.fixture
def current(store: Store) -> str:
    """Return the version that serves."""
    version = store.current()
    assert version is not None
    return version


def test_nothing_serves_before_anything_was_published(tmp_path):
    store = Store(tmp_path / "nowhere")
    assert store.current() is None
    assert store.versions() == []
    assert not store.root.exists()


@pytest.mark.parametrize(
    "text",
    ["", "latest", "../../etc", "/etc/passwd", ABSENT.upper(), f"{ABSENT}{ABSENT}", "\xff", "\0"],
)
def test_a_current_that_holds_no_id_is_refused(store, text):
    (store.root / "CURRENT").write_text(text, encoding="latin-1")
    with pytest.raises(VersionError):
        store.current()


def test_a_current_that_names_a_version_that_is_not_there_is_refused_with_the_way_out(store):
    (store.root / "CURRENT").write_text(ABSENT)
    with pytest.raises(VersionError, match=rf"names version {ABSENT}.*publish one that is"):
        store.current()


@pytest.mark.parametrize("version", ["..", "", "a/b", "versions", ABSENT[:-1]])
def test_only_ids_lead_to_folders(store, version):
    with pytest.raises(VersionError, match=r"is not a version id\. Give its 16 hexadecimal digits"):
        store.folder(version)


def test_versions_are_listed_oldest_first_and_unfinished_ones_are_not(store, current):
    for age, name in ((20, "a" * 16), (10, "b" * 16)):
        folder = store.folder(name)
        folder.mkdir()
        (folder / "manifest.json").touch()
        os.utime(folder / "manifest.json", (age, age))
    store.folder("c" * 16).mkdir()  # without a manifest
    (store.root / "versions" / ".building-x").mkdir()
    assert store.versions() == ["b" * 16, "a" * 16, current]


def test_publishing_a_version_that_is_not_there_is_refused_and_lists_those_that_are(store, current):
    with pytest.raises(VersionError, match=rf"no version {ABSENT}; it holds {current}\."):
        store.publish(ABSENT)
    assert store.current() == current


def test_publishing_says_whether_another_version_served(store, current):
    assert not store.publish(current)
    (store.root / "CURRENT").unlink()
    assert store.publish(current)
    (store.root / "CURRENT").write_text("broken")
    assert store.publish(current)
    assert store.current() == current
    assert {path.name for path in store.root.glob(".*")} == {".lock", ".publishing"}


def test_other_users_can_read_what_was_published(store, current):
    store.publish(current)
    assert (store.root / "CURRENT").stat().st_mode & 0o777 == 0o644
    assert store.folder(current).stat().st_mode & 0o777 == 0o755


def test_a_build_gets_an_empty_folder_that_is_gone_after(store):
    with store.building() as folder:
        assert list(folder.iterdir()) == []
        (folder / "x").touch()
    assert not folder.exists()


def test_the_next_build_removes_what_killed_ones_left(store, current):
    left = store.root / "versions" / ".building-killed"
    (left / "embedder").mkdir(parents=True)
    (left / "embedder" / "x").touch()
    (store.root / ".current-killed").touch()
    with store.building() as folder:
        assert not left.exists()
        assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, current]
    assert not (store.root / ".current-killed").exists()
    assert store.current() == current


def test_a_failure_leaves_no_directory_that_was_not_there_before(tmp_path):
    store = Store(tmp_path / "new" / "router_artifacts")
    with pytest.raises(ZeroDivisionError), store.building() as folder:
        (folder / "x").touch()
        raise ZeroDivisionError
    assert not store.root.exists()


def test_a_failure_keeps_what_the_next_build_can_use(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.building():
        store.cache.mkdir()
        (store.cache / "vectors").touch()
        raise ZeroDivisionError
    assert (store.cache / "vectors").exists()


def test_a_second_build_at_once_is_refused_and_the_first_goes_on(store, current):
    with store.building() as folder:
        with (
            pytest.raises(ArtifactError, match="another build is writing to"),
            Store(store.root).building(),
        ):
            pytest.fail("both build")
        assert folder.exists()
    assert store.current() == current
    with store.building():
        pass


def test_a_second_builder_exits_1_with_the_reason(tiny_folder, store, current):
    with store.building():
        ended = subprocess.run(
            [*tiny.COMMAND, "build", "--config", "config.yaml"],
            cwd=tiny_folder,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"Error: another build is writing to {store.root.resolve()}; wait for it to end and try "
        f"again.\n"
    )
    assert store.current() == current


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtifactError, match=r"cannot write to .*file.*the version that served"),
        Store(tmp_path / "file").building(),
    ):
        pytest.fail("built in a file")


def test_a_full_disk_is_told_with_its_reason(store):
    with pytest.raises(ArtifactError, match="No space left on device"), store.building():
        raise OSError(28, "No space left on device", "embeddings.npy")
    # numpy's own error has a text and no number
    with pytest.raises(ArtifactError, match="10 requested and 3 written"), store.building():
        raise OSError("10 requested and 3 written")


def fill(folder: Path, content: dict[str, bytes | None]) -> None:
    """Write what `tiny.tree` returned, as a build with the same input does."""
    for name, data in content.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)


def test_an_equal_version_that_is_there_already_stays(store, current):
    inode = store.folder(current).stat().st_ino
    with store.building() as folder:
        fill(folder, tiny.tree(store.folder(current)))
        assert not store.add(folder, read_manifest(folder))
    assert store.folder(current).stat().st_ino == inode
    assert store.versions() == [current]


@pytest.mark.parametrize("damaged", ["task.npy", "manifest.json"])
def test_an_equal_version_whose_files_are_damaged_is_replaced(store, current, damaged):
    whole = tiny.tree(store.folder(current))
    with store.building() as folder:
        fill(folder, whole)
        (store.folder(current) / damaged).write_bytes(b"damaged")
        assert store.add(folder, read_manifest(folder))
    assert tiny.tree(store.folder(current)) == whole
    assert [path.name for path in (store.root / "versions").iterdir()] == [current]
    read_artifact(store.folder(current))
