"""A Redis server of a test's own, which can be killed, stopped in its tracks, and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from proxy.harness import reserved_port

_START_LIMIT = 30.0


class RedisServer:
    """Redis on a port of loopback, with nothing written to disk."""

    def __init__(self, program: str, port: int, *options: str) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        where = ("--port", str(port), "--bind", "127.0.0.1")
        self._command = [program, *where, "--save", "", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_LIMIT
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stand_still(self) -> None:
        """Let it accept connections, as the kernel does for it, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a Redis server; skip the test where the program is missing."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which Debian has as a package")
    with reserved_port() as port:
        server = RedisServer(program, port, *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()
