"""Versions behind a URL, whatever is behind it: the same commands, verified copies, few of them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import Ended

from litellm_benchrouter.artifact.manifest import read_manifest
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.store.mirror import Mirror
from litellm_benchrouter.store.versions import How
from objects.conftest import elsewhere, mirror, of_copies


def built(config: BenchRouterConfig, seed: int = 0) -> str:
    return build(config.model_copy(update={"seed": seed})).manifest.version


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tiny.tree(folder).items() if content is not None}


def test_a_build_is_published_behind_the_url_and_read_on_another_machine(
    config: BenchRouterConfig,
) -> None:
    version = built(config)
    other = elsewhere(config)
    assert (other.current(), other.versions()) == (version, [version])
    folder = other.fetch(version)
    assert folder.is_relative_to(other.root)
    assert files_of(folder) == files_of(config.artifacts / "versions" / version)
    assert read_artifact(folder).manifest.version == version
    assert [each.how for each in other.history()] == [How.BUILD]


def test_the_same_input_gives_the_same_version_as_in_a_directory(
    config: BenchRouterConfig, tmp_path: Path
) -> None:
    local = config.at(str(tmp_path / "local"), tmp_path)
    assert (built(config), mirror(config).current()) == (
        built(local),
        Store(local.artifacts).current(),
    )
    assert build(config).unchanged


def test_a_rollback_on_one_machine_is_seen_on_the_next_look_of_another(
    config: BenchRouterConfig,
) -> None:
    first, second = built(config), built(config, seed=1)
    other = elsewhere(config)
    assert (other.current(), other.previous()) == (second, first)
    assert mirror(config).rollback() == (second, first)
    assert other.current() == first
    other.verify(second)
    other.publish(second)
    assert mirror(config).current() == second
    hows = [each.how.value for each in mirror(config).history()]
    assert hows == ["build", "build", "rollback", "publish"]


def test_prune_keeps_the_last_versions_behind_the_url_and_those_a_rollback_needs(
    config: BenchRouterConfig,
) -> None:
    config = config.model_copy(update={"keep_versions": 3})
    versions = [built(config, seed) for seed in range(5)]
    store = elsewhere(config)
    assert store.versions() == sorted(versions[2:], key=store.versions().index)
    assert set(store.versions()) == set(versions[2:])
    assert set(store.prune(1)) == set(versions[2:3])
    assert set(store.versions()) == set(versions[3:])  # the current and the one before it
    with pytest.raises(VersionError, match="holds no version"):
        store.publish(versions[0])


@of_copies
def test_few_copies_stay_here_and_what_versions_share_is_downloaded_once(
    config: BenchRouterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [built(config, seed) for seed in range(4)]
    other = elsewhere(config)
    downloads: list[str] = []
    plain = Mirror._download

    def noted(self: Mirror, name: str, *rest: Any) -> None:
        downloads.append(name)
        plain(self, name, *rest)

    monkeypatch.setattr(Mirror, "_download", noted)
    for version in versions:
        other.fetch(version)
        other.keep(version)
    names = [name.split("/", 2)[2] for name in downloads]
    assert names.count("embeddings.npy") == names.count("correctness.npy") == 1
    assert names.count("smoother_u.npy") == len(versions)  # the seed is in it
    copies = {path.name for path in (other.root / "versions").iterdir()}
    assert copies == set(versions[-3:])
    assert other.cached() == versions[-1]


def remote_file(config: BenchRouterConfig, name: str) -> tuple[Any, str]:
    files, base = mirror(config)._remote._connected()
    return files, f"{base}/{name}"


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_file_that_is_not_what_the_manifest_says_is_never_used(
    config: BenchRouterConfig, damage: str, benchrouter: Callable[..., Ended]
) -> None:
    version = built(config)
    files, path = remote_file(config, f"versions/{version}/smoother_p.npy")
    content = bytearray(files.cat_file(path))
    if damage == "gone":
        files.rm(path)
    else:
        content[-1] ^= 1
        files.pipe_file(path, bytes(content[: -9 if damage == "cut" else None]))
    other = elsewhere(config)
    with pytest.raises(ArtifactError, match=rf"{version}/smoother_p\.npy (has|is not there)"):
        other.fetch(version)
    assert list((other.root / "versions").iterdir()) == []  # nor is half of it left
    with pytest.raises(ArtifactError, match=r"smoother_p\.npy"):
        other.verify(version)
    ended = benchrouter("verify", "--config", config.artifacts.parent.parent / "config.yaml")
    assert ended.code == 1
    assert "smoother_p.npy" in ended.err

    assert not build(config).unchanged  # the same build mends it
    assert other.fetch(version).is_dir()


@of_copies
def test_a_damaged_copy_is_replaced_by_what_is_behind_the_url(config: BenchRouterConfig) -> None:
    version = built(config)
    other = elsewhere(config)
    array = other.fetch(version) / "task.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + b"\1")
    assert (other.fetch(version) / "task.npy").read_bytes() == whole


@of_copies
def test_what_killed_downloads_left_is_removed_by_the_next(config: BenchRouterConfig) -> None:
    version = built(config)
    other = elsewhere(config)
    left = other.root / "versions" / ".fetching-killed"
    left.mkdir(parents=True)
    (left / "embeddings.npy").write_bytes(b"half")
    other.fetch(version)
    assert not left.exists()


def test_an_upload_that_was_killed_is_no_version_and_is_removed_after_a_day(
    config: BenchRouterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = built(config)
    files, path = remote_file(config, f"versions/{'0' * 16}/embeddings.npy")
    files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    files.pipe_file(path, b"half")
    store = elsewhere(config)
    assert store.versions() == [version]
    store.prune(1)
    assert files.exists(path)  # it may be in progress
    at = time.time() + 2 * 86400
    monkeypatch.setattr("litellm_benchrouter.store.mirror.time.time", lambda: at)
    store.prune(1)
    files.invalidate_cache()
    assert not files.exists(path)
    assert store.versions() == [version]


def test_a_build_does_not_publish_over_what_somebody_else_published_meanwhile(
    config: BenchRouterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = built(config), built(config, seed=1)
    plain = Mirror.add

    def slow(self: Mirror, *arguments: Any) -> bool:
        if self.root == config.artifacts:
            elsewhere(config).rollback()  # an operator, while the build runs
        return plain(self, *arguments)

    monkeypatch.setattr(Mirror, "add", slow)
    with pytest.raises(ArtifactError, match=r"published .* since this build began"):
        built(config, seed=2)
    store = elsewhere(config)
    assert store.current() == first
    assert len(store.versions()) == 3  # it is there to be published by hand
    assert second in store.versions()


def test_a_version_published_by_force_says_so_behind_the_url_and_in_every_copy(
    config: BenchRouterConfig, benchrouter: Callable[..., Ended]
) -> None:
    passing = build(config).manifest
    store = mirror(config)
    losing = passing.model_copy(
        update={"verdict": (passing.verdict or {}) | {"passes": False}}
    ).sealed()
    with store.building() as folder:
        shutil.copytree(store.folder(passing.version), folder, dirs_exist_ok=True)
        (folder / "manifest.json").write_bytes(losing.to_bytes())
        assert store.add(folder, losing)
    other = elsewhere(config)
    other.fetch(losing.version)
    yaml = config.artifacts.parent.parent / "config.yaml"
    refused = benchrouter("publish", losing.version, "--config", yaml)
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert store.current() == passing.version
    assert benchrouter("publish", "--force", losing.version, "--config", yaml).code == 0
    assert other.current() == losing.version
    assert (other.manifest(losing.version).verdict or {})["forced"]
    assert (read_manifest(other.fetch(losing.version)).verdict or {})["forced"]


@of_copies
def test_many_workers_of_one_machine_share_one_download(
    config: BenchRouterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = built(config)
    downloads: list[str] = []
    plain = Mirror._download

    def noted(self: Mirror, name: str, *rest: Any) -> None:
        downloads.append(name)
        plain(self, name, *rest)

    monkeypatch.setattr(Mirror, "_download", noted)
    workers = [elsewhere(config) for _ in range(4)]
    threads = [threading.Thread(target=worker.fetch, args=(version,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == len(set(downloads)) > 0


@of_copies
def test_a_folder_that_cannot_be_written_is_named(config: BenchRouterConfig) -> None:
    version = built(config)
    other = elsewhere(config, "blocked")
    other.root.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"cannot write to .*blocked"):
        other.fetch(version)
    other.root.unlink()


def test_commands_take_a_url(config: BenchRouterConfig, benchrouter: Callable[..., Ended]) -> None:
    first, second = built(config), built(config, seed=1)
    yaml = config.artifacts.parent.parent / "config.yaml"
    listed = benchrouter("versions", "--config", yaml, "--json").document
    assert (listed["current"], listed["previous"]) == (second, first)
    assert listed["artifacts"] == config.artifacts_url
    assert benchrouter("rollback", "--config", yaml).code == 0
    assert benchrouter("inspect", "--config", yaml, "--json").document["version"] == first
    assert benchrouter("explain", "--task", "new", "--config", yaml).code == 0
    assert benchrouter("verify", "--all", "--config", yaml).code == 0
    assert benchrouter("publish", second[:8], "--config", yaml).code == 0
    url = config.artifacts_url
    named = benchrouter("versions", "--artifacts", url, "--config", yaml, "--json").document
    assert named["current"] == second
    checks = benchrouter("doctor", "--config", yaml, "--json").document["findings"]
    assert {each["check"]: each["status"] for each in checks}["store"] == "ok"
