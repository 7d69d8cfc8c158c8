"""A page of its own process, as an operator starts it, and forms as a browser sends them."""

from __future__ import annotations

import http.client
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest
import tiny


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str


class ServedPage:
    """`benchrouter serve` on a free port of loopback; ended by the `with` statement."""

    def __init__(self, config: Path, cwd: Path, *arguments: str) -> None:
        self.cwd = cwd
        self.out = ""
        self.err = ""
        self._command = [*tiny.COMMAND, "serve", "--config", str(config), "--port", "0", *arguments]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.cwd,
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout.readline()
        if "http://" not in self.out:
            self.process.kill()
            raise AssertionError(self.process.communicate())
        self.url = next(word for word in self.out.split() if word.startswith("http://"))
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # which closes its pipes
            try:
                if self.process.poll() is None:
                    self.end(signal.SIGTERM)
            finally:
                self.process.kill()

    def end(self, how: signal.Signals) -> int:
        """End it, keep what it wrote, and return its exit code."""
        self.process.send_signal(how)
        out, self.err = self.process.communicate(timeout=60)
        self.out += out
        return self.process.returncode

    def request(self, method: str, path: str = "/", body: Any = None, **headers: str) -> Response:
        """Send a request; `headers` with underscores for dashes replace the usual ones."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
            return Response(answer.status, dict(answer.headers.items()), text)
        finally:
            connection.close()

    def ask(self, body: bytes | None = None, **fields: Any) -> Response:
        """Post a form: given as it is, or by its fields."""
        form = urlencode(fields, doseq=True).encode() if body is None else body
        return self.request("POST", "/", form, Content_Type="application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def served(demo_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    """Serve the demo's version to all tests of a module."""
    with ServedPage(demo_built / "config.yaml", tmp_path_factory.mktemp("cwd")) as page:
        yield page
