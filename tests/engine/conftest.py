"""One Ray cluster for all tests of the engine, as a user's: started and ended outside of ours."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from proxy.harness import reserved_port

_READY_SECONDS = 60.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs, and the process that started it."""

    address: str
    pid: int

    def workers(self) -> dict[int, str]:
        """Return the cluster's Python workers: process id -> what it says that it does."""
        return {pid: title for pid, title in self.processes().items() if title.startswith("ray::")}

    def processes(self) -> dict[int, str]:
        """Return all of the cluster's processes: process id -> command."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if self._owns(int(folder.name)):
                    title = (folder / "cmdline").read_bytes()
                    found[int(folder.name)] = title.replace(b"\0", b" ").decode()
            except (OSError, ValueError):  # it has ended meanwhile, or is no process
                continue
        return found

    def _owns(self, pid: int) -> bool:
        while pid > 1:
            if pid == self.pid:
                return True
            stat = Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
        return False


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Run a cluster with two processors and a small object store."""
    if find_spec("ray") is None:
        pytest.skip("needs ray, which `.[dev]` brings")
    with (
        pytest.MonkeyPatch.context() as patch,
        # Short: its sockets' paths may have 107 characters.
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryFile() as log,
        reserved_port() as port,
    ):
        # Before this process imports Ray, which reads them then.
        for variable, value in {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }.items():
            patch.setenv(variable, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        options = {
            "port": port,
            "node-ip-address": "127.0.0.1",
            "num-cpus": 2,
            "object-store-memory": 200_000_000,
            "include-dashboard": "false",
            "temp-dir": name,
        }
        command += [f"--{key}={value}" for key, value in options.items()]
        head = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(head, port)
            yield Cluster(f"127.0.0.1:{port}", head.pid)
        finally:
            family = Cluster("", head.pid).processes()
            head.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(_STOP_SECONDS)
            for pid in family:  # what has not ended with it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            head.wait()


def _wait(head: subprocess.Popen[bytes], port: int) -> None:
    """Wait for the cluster's worker starter, which is there last."""
    end = time.monotonic() + _READY_SECONDS
    while not any("RuntimeEnv" in title for title in Cluster("", head.pid).workers().values()):
        assert head.poll() is None, "the cluster has ended"
        assert time.monotonic() < end, "the cluster has not started"
        time.sleep(0.1)


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """Return this process's environment without what Ray reads."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
