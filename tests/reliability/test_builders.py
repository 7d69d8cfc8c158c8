"""Builders that are killed, that meet, and that run out of disk: what serves is always whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import VersionError
from litellm_benchrouter.store.directory import Store

# The builder goes on building other versions until it is killed: by itself, at one of the moments
# that an audit hook is told of, such as opening a file or renaming a folder. They are counted in
# those of a build, so that a build ends before each kill and some kills come in the middle of one,
# however slow the machine.
KILLED = """
import itertools, json, os, random, signal, sys
from pathlib import Path
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.store.directory import Store

config = load_config(Path("config.yaml"))
store = Store(config.artifacts)
draw = random.Random(0)
moments, last = itertools.count(), None

def note(event, arguments):
    if next(moments) == last:
        os.kill(os.getpid(), signal.SIGKILL)

def begin():  # in a fork, as a build leaves threads, and its imports are no part of the next one
    global moments
    sys.addaudithook(note)
    build(config.model_copy(update={"seed": 1_000_000 * (kill + 1)}))
    moments = itertools.count()

kill = -1
reader, writer = os.pipe()
if not os.fork():
    begin()
    build(config.model_copy(update={"seed": 999}))
    os.write(writer, str(next(moments)).encode())
    os._exit(0)
os.wait()
of_a_build = int(os.read(reader, 100))
for kill in range(int(sys.argv[1])):
    at = int(of_a_build * draw.uniform(0.2, 4.0))
    builder = os.fork()
    if not builder:
        begin()
        last = at
        for seed in range(1, 1_000_000):
            build(config.model_copy(update={"seed": 1_000_000 * (kill + 1) + seed}))
    assert os.waitstatus_to_exitcode(os.waitpid(builder, 0)[1]) == -signal.SIGKILL
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
    assert any(kill["left"] for kill in kills)  # some came in the middle
    assert len({kill["current"] for kill in kills} - {first}) == n  # and builds ended before each
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


# A builder that stops itself once, when it writes the first file of a version.
STOPPED = """
import os, signal, sys
from litellm_benchrouter.cli import main

stopped = False

def stop(event, arguments):
    global stopped
    if event == "open" and not stopped and ".building-" in str(arguments[0]):
        stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)

sys.addaudithook(stop)
main()
"""


@contextmanager
def stopped_builder(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a builder that stands still in the middle of a build; what is left of it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, "build", "--config", "config.yaml", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as builder:
        try:
            seen = os.waitid(os.P_PID, builder.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            assert seen is not None
            assert seen.si_code == os.CLD_STOPPED, builder.communicate()
            yield builder
        finally:
            builder.kill()


def go_on(builder: subprocess.Popen[str]) -> tuple[str, str]:
    """Let a stopped builder go on to its end; return what it printed and said."""
    builder.send_signal(signal.SIGCONT)
    return builder.communicate()


def test_of_two_builders_the_second_ends_with_the_reason_and_the_first_goes_on(tmp_path):
    tiny.write(tmp_path)
    store = Store(tmp_path / "router_artifacts")
    command = [*tiny.COMMAND, "build", "--config", "config.yaml", "--json"]
    with stopped_builder(tmp_path, "--json") as first:
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"Error: another build is writing to {store.root}; wait")
        assert store.current() is None
        printed, _ = go_on(first)
        assert first.returncode == 0
    assert store.current() == json.loads(printed)["version"]


def test_a_builder_that_lost_its_lock_with_its_process_does_not_stop_the_next(tmp_path):
    tiny.write(tmp_path)
    store = Store(tmp_path / "router_artifacts")
    command = [*tiny.COMMAND, "build", "--config", "config.yaml"]
    with stopped_builder(tmp_path) as first:
        first.kill()
        first.communicate()
    assert first.returncode == -signal.SIGKILL
    assert list((store.root / "versions").glob(".building-*"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert [path.name for path in (store.root / "versions").iterdir()] == [store.current()]


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
    with stopped_builder(tmp_path) as first:
        shutil.rmtree(root)
        _, said = go_on(first)
    assert first.returncode == 1
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    with pytest.raises(VersionError):
        store.find("0")
    assert build(load_config(tmp_path / "config.yaml")).manifest.version == store.current()
