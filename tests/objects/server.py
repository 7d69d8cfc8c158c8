"""An S3 server as a process of its own, and a relay in front of it that can be cut."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any, Self

import boto3
from botocore.config import Config
from proxy.harness import reserved_port

KEY, SECRET = "benchrouter-test", "qJ7-not-for-any-eyes-3f"
BUCKET = "models"

_STARTUP_LIMIT = 60.0

# S3 compares and replaces in one step; moto does one after the other, in threads.
_PROGRAM = """
import os, sys, threading
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication, MotoRequestHandler, create_backend_app
)
from werkzeug.serving import run_simple

one_at_a_time = threading.Lock()

class Server(DomainDispatcherApplication):
    def __call__(self, environ, start_response):
        if not {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & environ.keys():
            return super().__call__(environ, start_response)
        with one_at_a_time:
            return super().__call__(environ, start_response)

os.environ["MOTO_PORT"] = sys.argv[1]
run_simple(
    "127.0.0.1",
    int(sys.argv[1]),
    Server(create_backend_app),
    threaded=True,
    request_handler=MotoRequestHandler,
)
"""


class S3Server:
    """moto's server; a context manager. What it holds is gone when it ends."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "s3.log"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # undone when anything below fails
            self.port = stack.enter_context(reserved_port())
            self.url = f"http://127.0.0.1:{self.port}"
            command = [sys.executable, "-c", _PROGRAM, str(self.port)]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(self.kill)
            self._wait()
            with self._client() as client:
                client.create_bucket(Bucket=BUCKET)
            self._ended = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def read(self, key: str) -> bytes:
        with self._client() as client:
            return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def _client(self) -> contextlib.closing[Any]:
        """Another client than the one under test."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        return contextlib.closing(client)

    def _wait(self) -> None:
        deadline = time.monotonic() + _STARTUP_LIMIT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text())
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        raise TimeoutError(f"no S3 server after {_STARTUP_LIMIT} s")


class Relay:
    """Carries bytes between clients and a port; a context manager.

    Parameters
    ----------
    port : int
    at : int
        After so many bytes to the server (`sent`) or from it, `cut` is called, once.
    sent : bool
    cut : callable, optional
        Default: all connections are closed, and new ones as soon as they are made.
    mute : bool
        Whether connections are accepted and nothing ever comes back.

    Attributes
    ----------
    carried : int
        Bytes so far, of those that count.
    is_cut : bool
    """

    def __init__(
        self,
        port: int,
        at: int,
        *,
        sent: bool,
        cut: Callable[[], None] | None = None,
        mute: bool = False,
    ) -> None:
        self._port = port
        self._sent = sent
        self._action = cut or self.cut
        self._mute = mute
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.carried = 0
        self._at = at
        self.is_cut = False
        self._server = _Server(("127.0.0.1", 0), self._serve)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()  # ends when every connection has
        self._thread.join()

    def cut(self) -> None:
        with self._lock:
            self.is_cut = True
            for connection in self._open:
                _shut(connection)

    def cut_after(self, n_bytes: int) -> None:
        """Cut after so many bytes more."""
        self._at = self.carried + n_bytes

    @property
    def reached(self) -> bool:
        return self.carried >= self._at

    def mend(self) -> None:
        self._at = sys.maxsize
        self.is_cut = False

    def _serve(self, client: socket.socket, *_: object) -> None:
        """Carry a connection to its end, in a thread of its own; the server closes `client`."""
        with contextlib.suppress(OSError), self._cuttable(client):
            if self._mute:
                while client.recv(1024):
                    pass
                return
            address = ("127.0.0.1", self._port)
            with socket.create_connection(address) as server, self._cuttable(server):
                back = threading.Thread(target=self._carry, args=(server, client, not self._sent))
                back.start()
                self._carry(client, server, self._sent)
                back.join()

    @contextlib.contextmanager
    def _cuttable(self, connection: socket.socket) -> Iterator[None]:
        """Let `cut` end a connection; where all are cut already, end it now."""
        with self._lock:
            if self.is_cut:
                raise ConnectionAbortedError
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(connection)

    def _carry(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            with contextlib.suppress(OSError):
                while block := source.recv(1024):
                    if counts and self._passes(len(block)):
                        self._action()
                    target.sendall(block)
        finally:
            _shut(source)
            _shut(target)

    def _passes(self, n_bytes: int) -> bool:
        """Count bytes; say whether it is now that the connection is to be cut."""
        with self._lock:
            before = self.carried
            self.carried += n_bytes
            return before < self._at <= self.carried


class _Server(ThreadingTCPServer):
    request_queue_size = 128  # the default of 5 makes concurrent connections wait for a second


def _shut(connection: socket.socket) -> None:
    """End a connection for both sides; whoever opened the socket closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def environment() -> dict[str, str]:
    """Return the variables by which every S3 client here finds its credentials, and no others."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }
