"""`benchrouter refresh`: own traffic labelled, a version published, a report, one line of log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny
from filelock import FileLock
from labelling.conftest import Lab, lab
from labelling.test_own_traffic import labels_file, row, text
from proxy.upstream import BROKEN, saying

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.config import load_config
from litellm_benchrouter.store.directory import Store

__all__ = ["lab"]  # a fixture

SECRET = "harbour"  # of every prompt's words


@pytest.fixture
def own(lab: Lab) -> Lab:
    """The lab with 40 prompts of own traffic, and an embedder that can embed them."""
    place = lab.folder / "kept"
    place.mkdir()
    keep(lab, range(40))
    settle(lab)
    return lab


def keep(lab: Lab, numbers: range) -> None:
    """Keep prompts as the collector does, a part for each call."""
    part = lab.folder / "kept" / f"20261129T07{numbers.start:010d}-00000000-00000000.jsonl"
    part.write_text("".join(json.dumps(row(i)) + "\n" for i in numbers))


def settle(lab: Lab, traffic: dict[str, Any] | None = None, **block: Any) -> None:
    usual = {"collect": {"to": "kept", "keep_days": 36_500}, "metric": "regex:ant"}
    whole = {
        "method": "guarded",
        "embedder": {"kind": "lexical", "dimensions": 16},
        "tasks": {},
        "sources": [{"path": "benchmark.csv"}],
        "traffic": usual if traffic is None else traffic,
    }
    lab.configure(**{key: value for key, value in (whole | block).items() if value is not None})


@pytest.fixture
def refresh(own: Lab) -> Callable[..., Any]:
    def run(*more: object, report: bool = False) -> Any:
        given = [] if report else ["--no-report"]
        return own.run_here("refresh", "--config", own.config, *given, *map(str, more))

    return run


@contextmanager
def hooked(status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """Run a webhook; yields its address and what arrives."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/T0/secret", received
        finally:
            server.shutdown()
            thread.join()


def test_one_command_labels_builds_and_publishes_and_the_next_has_nothing_to_do(own, refresh):
    ended = refresh("--limit-usd", 5, "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["traffic"]["prompts"] == 40
    assert document["label"]["prompts"] == 40
    assert document["label"]["calls"] == len(own.asked) == len(set(own.asked))
    assert document["label"]["spent_usd"] == pytest.approx(len(own.asked) * (7e-6 + 3e-5))
    store = Store(own.folder / "router_artifacts")
    assert document["build"]["version"] == store.current()
    assert (document["build"]["before"], document["build"]["published"]) == (None, True)
    assert document["build"]["verdict"]["traffic"]["n_samples"] == 40
    assert document["error"] is None

    own.upstream.reset()
    again = refresh("--limit-usd", 5, "--json").document
    assert again["label"] == {"skipped": "every prompt has the labels that it needs"}
    assert again["build"] == {"version": store.current(), "skipped": "nothing has changed"}
    assert own.asked == []

    keep(own, range(40, 44))
    more = refresh("--limit-usd", 5)
    assert (more.code, more.err) == (0, "")
    assert more.out.count("\n") == 1  # a line of log
    assert "refresh: 44 prompts of own traffic; " in more.out
    assert "44 prompts with labels; version " in more.out
    assert len({key for key, _ in own.asked}) == 4
    assert store.previous() == document["build"]["version"] != store.current()
