"""Builders that are killed, that meet, and that run out of disk: what serves is always whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from proxy.harness import eventually

from litellm_benchrouter.artifact.artifact import read_artifact
from litellm_benchrouter.artifact.store import Store
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import VersionError

# The builder goes on building other versions until it is killed; delays are counted in builds, so
# that some kills come in the middle of one and some builds end, however slow the machine.
KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from litellm_benchrouter.artifact.artifact import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.artifact.store import Store

config = load_config(Path("config.yaml"))
store = Store(config.artifacts)
draw = random.Random(0)
started = time.monotonic()
if not os.fork():  # here, a build would leave threads that a fork does not take along
    build(config.model_copy(update={"seed": 999}))
    os._exit(0)
os.wait()
seconds = time.monotonic() - started
for kill in range(int(sys.argv[1])):
    builder = os.fork()
    if not builder:
        for seed in range(1_000_000):
            build(config.model_copy(update={"seed": 1_000_000 * kill + seed}))
    time.sleep(seconds * draw.uniform(0.2, 4.0))
    os.kill(builder, signal.SIGKILL)
    os.waitpid(builder, 0)
    current, previous = store.current(), store.previous()
    for version in (current, previous):
        read_artifact(store.folder(version))
    left = len(list((store.root / "versions").glob(".building-*")))
    versions = len(store.versions())
    print(json.dumps({"current": current, "left": left, "versions": versions}), flush=True)
"""


def killed_builds_leave_verified_versions(tmp_path: Path, n: int) -> None:
    config = tiny.write(tmp_path)
    first = build(load_config(config)).manifest.version
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(n)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    kills = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(kills) == n
    assert n < 20 or any(kill["left"] for kill in kills)  # of a few, none may come in the middle
    assert len({kill["current"] for kill in kills} - {first}) > 1
    # One more than are kept: killed between publishing and pruning.
    assert all(kill["versions"] <= 6 for kill in kills)

    store = Store(tmp_path / "router_artifacts")
    for version in store.versions():
        read_artifact(store.folder(version))
    last = build(load_config(config)).manifest.version
    assert store.current() == last
    assert store.rollback()[1] == kills[-1]["current"]
    assert not list(store.root.glob("versions/.*"))
    assert not list(store.root.glob(".current-*"))


def test_a_build_killed_at_any_time_leaves_verified_versions_and_the_next_one_tidies_up(tmp_path):
    killed_builds_leave_verified_versions(tmp_path, 6)


@pytest.mark.long
def test_fifty_killed_builds_leave_verified_versions(tmp_path):
    killed_builds_leave_verified_versions(tmp_path, 50)


def test_of_two_builders_the_second_ends_with_the_reason_and_the_first_goes_on(tmp_path):
    tiny.write(tmp_path)
    store = Store(tmp_path / "router_artifacts")
    command = [*tiny.COMMAND, "build", "--config", "config.yaml", "--json"]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: list((store.root / "versions").glob(".building-*")) or first.poll(), 60)
        os.kill(first.pid, signal.SIGSTOP)  # or it could end before the second begins
        assert first.poll() is None
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"Error: another build is writing to {store.root}; wait")
        assert store.current() is None
    finally:
        os.kill(first.pid, signal.SIGCONT)
        printed, _ = first.communicate(timeout=60)
    assert first.returncode == 0
    assert store.current() == json.loads(printed)["version"]


def test_a_builder_that_lost_its_lock_with_its_process_does_not_stop_the_next(tmp_path):
    tiny.write(tmp_path)
    store = Store(tmp_path / "router_artifacts")
    command = [*tiny.COMMAND, "build", "--config", "config.yaml"]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    eventually(lambda: list((store.root / "versions").glob(".building-*")) or first.poll(), 60)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert store.current() in store.versions()


FULL = """
import resource, sys
from litellm_benchrouter.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv[1:] = ["rollback", "--artifacts", "router_artifacts"]
main()
"""


@pytest.mark.parametrize("n_bytes", [0, 10, 120])
def test_where_the_disk_is_full_a_rollback_changes_nothing_and_says_why(tmp_path, n_bytes):
    tiny.write(tmp_path)
    for seed in (0, 1):
        build(load_config(tiny.configure(tmp_path, seed=seed)))
    store = Store(tmp_path / "router_artifacts")
    before = store.current(), store.previous()
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(n_bytes)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: cannot write to router_artifacts (")
    assert ended.stderr.endswith("; the version that served still does.\n")
    assert (store.current(), store.previous()) == before
    assert store.rollback() == before  # there is room again


def test_a_directory_that_vanishes_while_a_build_runs_ends_in_one_sentence(tmp_path):
    tiny.write(tmp_path)
    root = tmp_path / "router_artifacts"
    store = Store(root)
    first = subprocess.Popen(
        [*tiny.COMMAND, "build", "--config", "config.yaml"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: list((root / "versions").glob(".building-*")) or first.poll(), 60)
        os.kill(first.pid, signal.SIGSTOP)
        shutil.rmtree(root)
    finally:
        os.kill(first.pid, signal.SIGCONT)
        _, said = first.communicate(timeout=60)
    assert first.returncode == 1
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    with pytest.raises(VersionError):
        store.find("0")
    assert build(load_config(tmp_path / "config.yaml")).manifest.version == store.current()
