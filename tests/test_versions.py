"""Which version serves, what a rollback returns to, and which versions stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tiny

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ArtifactError, ConfigError, VersionError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.store.versions import How


@pytest.fixture(scope="session")
def three_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which three versions were built, one after the other."""
    folder = tmp_path_factory.mktemp("three")
    tiny.write(folder)
    for seed in range(3):
        build(load_config(tiny.configure(folder, seed=seed)))
    return folder


@pytest.fixture
def store(three_built: Path, tmp_path: Path) -> Store:
    """Return a copy to change; the copy keeps the times."""
    shutil.copytree(three_built, tmp_path / "three")
    return Store(tmp_path / "three" / "router_artifacts")


@pytest.fixture
def ids(store: Store) -> list[str]:
    """Return the three versions, in the order in which they were built."""
    return [each.version for each in store.history()]


def with_verdict(store: Store, version: str, **verdict: Any) -> str:
    """Give a version a verdict; return its id, which may be another one then."""
    folder = store.folder(version)
    document = tiny.read_document(folder) | {"verdict": verdict}
    tiny.write_manifest(folder, document)
    sealed: str = tiny.read_document(folder)["version"]
    folder.rename(store.folder(sealed))
    return sealed


# What serves, and what served


def test_every_build_that_changes_something_is_in_the_history(store, ids):
    assert [each.how for each in store.history()] == [How.BUILD] * 3
    assert len(set(ids)) == 3
    assert (store.current(), store.previous()) == (ids[2], ids[1])
    build(load_config(store.root.parent / "config.yaml"))  # the same again
    assert len(store.history()) == 3


def test_rollbacks_go_further_back_and_publishing_goes_forward_again(store, ids):
    assert store.rollback() == (ids[2], ids[1])
    assert store.rollback() == (ids[1], ids[0])
    with pytest.raises(VersionError, match=rf"served before {ids[0]} and was not rolled back"):
        store.rollback()
    assert store.current() == ids[0]
    store.publish(ids[2])
    assert store.rollback() == (ids[2], ids[0])
    assert store.current() == ids[0]


def test_what_was_rolled_back_is_not_returned_to(store, ids):
    store.rollback()
    config = load_config(tiny.configure(store.root.parent, seed=3))
    fourth = build(config).manifest.version
    assert (store.current(), store.previous()) == (fourth, ids[1])


def test_a_version_that_is_gone_is_passed_over(store, ids):
    shutil.rmtree(store.folder(ids[1]))
    assert store.rollback() == (ids[2], ids[0])


def test_a_damaged_version_is_not_returned_to(store, ids):
    (store.folder(ids[1]) / "task.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"task\.npy has 0 bytes"):
        store.rollback()
    assert store.current() == ids[2]


def test_without_a_history_the_version_built_before_is_returned_to(store, ids):
    (store.root / "HISTORY").unlink()
    assert store.previous() == ids[1]
    failing = with_verdict(store, ids[1], passes=False)
    os.utime(store.folder(failing) / "manifest.json", (1, 1))
    assert store.previous() == ids[0]  # nothing says that the other ever served
    (store.root / "HISTORY").write_bytes(b"\xff" * 100)
    assert store.previous() == ids[0]


def test_a_current_that_is_lost_or_broken_is_left_by_a_rollback(store, ids):
    shutil.rmtree(store.folder(ids[2]))
    assert store.rollback() == (ids[2], ids[1])
    (store.root / "CURRENT").write_text("broken")
    assert store.rollback() == (None, ids[1])
    assert store.current() == ids[1]


def test_a_version_that_serves_unknown_to_the_history_is_written_down(store, ids):
    (store.root / "HISTORY").unlink()
    (store.root / "CURRENT").write_text(ids[0])
    store.publish(ids[2])
    assert [(each.version, each.how) for each in store.history()] == [
        *((ids[0], How.FOUND), (ids[2], How.PUBLISH))
    ]
    assert store.previous() == ids[0]


def test_a_line_about_a_publication_that_failed_does_no_harm(store, ids):
    """The line comes first, and a crash may come between."""
    (store.root / "CURRENT").write_text(ids[1])
    assert store.previous() == ids[0]
    store.publish(ids[0])
    assert store.previous() == ids[1]


def test_publishing_while_another_command_does_is_refused_with_the_reason(store, ids, monkeypatch):
    monkeypatch.setattr("litellm_benchrouter.store.directory._PUBLISH_SECONDS", 0)
    with store._publisher, pytest.raises(ArtifactError, match="another command is writing to"):
        Store(store.root).publish(ids[0])
    assert store.current() == ids[2]


def test_an_operator_can_roll_back_while_a_build_runs(store, ids):
    with store.building():
        assert Store(store.root).rollback() == (ids[2], ids[1])


# Ids by their beginning


def test_the_beginning_of_an_id_will_do_where_it_is_the_only_one(store, ids):
    for version in ids:
        assert store.find(version) == store.find(version[:10]) == version
    target = store.folder(ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1"))
    shutil.copytree(store.folder(ids[0]), target)
    with pytest.raises(VersionError, match=rf"{ids[0][:15]} begins .* and .*; give more"):
        store.find(ids[0][:15])
    for given in ("", "latest", "../..", ids[0].upper() + "X", f"{ids[0]}0"):
        with pytest.raises(VersionError, match="is not a version id"):
            store.find(given)


# Retention


def test_a_build_keeps_as_many_versions_as_it_is_told(tmp_path):
    tiny.write(tmp_path)
    built = [
        build(load_config(tiny.configure(tmp_path, seed=seed, keep_versions=3))).manifest.version
        for seed in range(5)
    ]
    store = Store(tmp_path / "router_artifacts")
    assert store.versions() == built[2:]
    assert (store.current(), store.previous()) == (built[4], built[3])
    assert [each.version for each in store.history()] == built


def test_five_versions_are_kept_by_default_and_none_is_not_a_number(tmp_path):
    config = load_config(tiny.write(tmp_path))
    assert config.keep_versions == 5
    with pytest.raises(ConfigError, match=r"benchrouter\.keep_versions"):
        load_config(tiny.configure(tmp_path, keep_versions=0))


def test_the_current_and_the_previous_version_always_stay(store, ids):
    assert store.prune(1) == [ids[0]]
    assert store.versions() == ids[1:]
    store.rollback()
    assert store.prune(1) == [ids[2]]  # there is none to return to any more
    assert (store.current(), store.previous()) == (ids[1], None)


def test_what_was_published_again_counts_as_recent(store, ids):
    store.publish(ids[0])
    store.publish(ids[1])
    assert store.last_used() == [ids[1], ids[0], ids[2]]
    assert store.prune(2) == [ids[2]]


def test_pruning_removes_what_killed_builds_left_and_is_refused_while_one_runs(store, ids):
    left = store.root / "versions" / ".building-killed"
    left.mkdir()
    (left / "x").touch()
    with (
        store.building(),
        pytest.raises(ArtifactError, match="another build is writing to"),
    ):
        Store(store.root).prune(1)
    assert store.versions() == ids
    assert not left.exists()
    left.mkdir()
    assert store.prune(5) == []
    assert not left.exists()


def test_nothing_is_pruned_where_it_is_not_known_what_serves(store, ids):
    (store.root / "CURRENT").write_text("broken")
    with pytest.raises(VersionError):
        store.prune(1)
    assert store.versions() == ids
    assert Store(store.root / "nowhere").prune(1) == []
    assert not (store.root / "nowhere").exists()


def test_decisions_go_on_with_a_version_that_was_removed(demo_built, tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(demo_built, folder)
    config = load_config(folder / "config.yaml")
    store = Store(config.artifacts)
    first = store.current() or ""
    router = BenchRouter(read_artifact(store.folder(first)))
    prompts = (folder / "report-queries.txt").read_text().splitlines()[:10]
    before = [router.decide(prompt) for prompt in prompts]
    for seed in (1, 2):
        build(config.model_copy(update={"seed": seed, "keep_versions": 1}))
    assert not store.folder(first).exists()
    fresh = BenchRouter(router.artifact)  # nothing remembered: every file is read again
    assert [fresh.decide(prompt) for prompt in prompts] == before
    assert fresh.decide("", task="report-queries").artifact == first


# The commands


@pytest.fixture
def run(store, benchrouter):
    def run(command: str, *arguments: object) -> Any:
        return benchrouter(command, *arguments, "--config", store.root.parent / "config.yaml")

    return run


def test_versions_shows_what_serves_and_what_a_rollback_returns_to(run, ids):
    shown = run("versions")
    assert shown.code == 0
    lines = [line for line in shown.out.splitlines() if any(v in line for v in ids)]
    assert [v for line in lines for v in ids if v in line] == ids[::-1]
    assert ["current" in line for line in lines] == [True, False, False]
    assert ["previous" in line for line in lines] == [False, True, False]

    document = run("versions", "--json").document
    assert (document["current"], document["previous"]) == (ids[2], ids[1])
    assert document["problem"] is None
    assert [each["version"] for each in document["history"]] == ids
    first = document["versions"][0]
    assert (first["version"], first["samples"], first["models"]) == (ids[2], 80, 4)
    assert first["published_by"] == "build"


def test_versions_names_what_is_damaged_and_goes_on(run, store, ids):
    (store.folder(ids[0]) / "manifest.json").write_text("{")
    (store.root / "CURRENT").write_text("broken")
    shown = run("versions")
    assert shown.code == 0
    assert f"{ids[0]}/manifest.json is not JSON" in shown.out.replace("\n", "")
    assert "'broken' is not a version" in shown.out
    assert run("versions", "--json").document["current"] is None


def test_versions_of_an_empty_directory_are_none(benchrouter, tmp_path):
    ended = benchrouter("versions", "--artifacts", tmp_path / "nowhere")
    assert (ended.code, ended.out) == (
        *(0, f"{tmp_path}/nowhere holds no version. Run `benchrouter build`.\n"),
    )
    shown = benchrouter("versions", "--artifacts", tmp_path / "nowhere", "--json").document
    assert (shown["current"], shown["versions"]) == (None, [])


def test_publish_takes_the_beginning_of_an_id_and_says_what_it_did(run, store, ids):
    ended = run("publish", ids[0][:8])
    assert ended.out == f"Version {ids[0]} serves now, before it {ids[2]}\n"
    assert store.current() == ids[0]
    assert run("publish", ids[0]).out == f"Version {ids[0]} serves already, nothing changed\n"
    assert run("publish", ids[1], "--json").document == {
        "before": ids[0],
        "current": ids[1],
        "changed": True,
    }


def test_publish_refuses_a_version_whose_files_differ(run, store, ids):
    (store.folder(ids[0]) / "task.npy").write_bytes(b"damaged")
    ended = run("publish", ids[0])
    assert (ended.code, ended.out) == (1, "")
    assert "task.npy has 7 bytes, the manifest says" in ended.err
    assert ended.err.count("\n") == 1
    assert store.current() == ids[2]


def test_publish_refuses_what_did_not_pass_its_evaluation_unless_forced(run, store, ids):
    failing = with_verdict(store, ids[0], passes=False)
    ended = run("publish", failing)
    assert (ended.code, ended.out) == (1, "")
    assert "did not pass its own evaluation" in ended.err
    assert "--force" in ended.err
    assert store.current() == ids[2]
    assert "fails" in run("versions").out
    assert run("publish", failing, "--force").code == 0
    assert store.current() == failing


def test_publish_takes_what_passed(run, store, ids):
    passing = with_verdict(store, ids[0], passes=True)
    assert run("publish", passing).code == 0
    assert "passes" in run("versions").out


def test_rollback_says_what_it_did_and_where_there_is_nothing_to_return_to(run, store, ids):
    assert run("rollback").out == f"Version {ids[1]} serves now, before it {ids[2]}\n"
    assert run("rollback", "--json").document["current"] == ids[0]
    ended = run("rollback")
    assert (ended.code, ended.out) == (1, "")
    assert "`benchrouter publish VERSION` takes any that it holds" in ended.err
    assert ended.err.count("\n") == 1


def test_prune_says_what_it_removed(run, store, ids):
    assert run("prune").out == "Nothing to remove; 3 versions stay\n"
    assert run("prune", "--keep", 1).out == f"Removed {ids[0]}; 2 versions stay\n"
    assert run("prune", "--keep", 1, "--json").document == {"removed": [], "kept": ids[:0:-1]}
    assert run("prune", "--keep", 0).code == 2


def test_verify_is_content_with_what_was_built(run, ids):
    ended = run("verify")
    assert (ended.code, ended.err) == (0, "")
    assert ids[2] in ended.out
    assert ids[1] not in ended.out
    shown = run("verify", "--all", "--json").document["versions"]
    assert [each["version"] for each in shown] == ids
    assert all(each["problems"] == [] for each in shown)
    assert run("verify", "--version", ids[0][:9]).code == 0
    assert run("verify", "--version", ids[0], "--all").code == 2


def test_verify_names_every_file_that_differs(run, store, ids):
    folder = store.folder(ids[1])
    content = bytearray((folder / "index.hnsw").read_bytes())
    content[100] ^= 1
    (folder / "index.hnsw").write_bytes(content)
    (folder / "task.npy").unlink()
    (folder / "notes.txt").write_text("mine")
    ended = run("verify", "--version", ids[1])
    assert ended.code == 1
    for said in (
        f"{folder}/index.hnsw has SHA-256",
        f"{folder}/task.npy cannot be read (No such file or directory)",
        f"{folder}/notes.txt is not in the manifest",
    ):
        assert said in ended.err
    assert len(run("verify", "--all", "--json").document["versions"][1]["problems"]) == 3
    assert run("verify").code == 0  # the current one is well


def test_verify_looks_into_files_that_the_manifest_vouches_for(run, store, ids):
    folder = store.folder(ids[2])
    (folder / "sample_ids.json").write_text(json.dumps(["s000"]))
    tiny.write_manifest(folder, tiny.read_document(folder))
    moved = folder.rename(store.folder(tiny.read_document(folder)["version"]))
    (store.root / "CURRENT").write_text(moved.name)
    ended = run("verify")
    assert ended.code == 1
    assert f"{moved}/sample_ids.json does not hold 80 ids" in ended.err


@pytest.mark.parametrize("command", ["versions", "publish", "rollback", "prune", "verify"])
def test_every_command_explains_itself(benchrouter, command):
    assert benchrouter(command, "--help").out.startswith("Usage: ")


def test_a_directory_that_cannot_be_written_is_one_sentence(store, ids):
    """As a proxy's read-only mount: the lock is where a folder is, so that root fails, too."""
    (store.root / ".publishing").unlink(missing_ok=True)
    (store.root / ".publishing").mkdir()
    ended = subprocess.run(
        [*tiny.COMMAND, "rollback", "--artifacts", store.root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: cannot write to {store.root} (")
    assert ended.stderr.count("\n") == 1
    assert store.current() == ids[2]
