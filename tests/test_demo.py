"""What a newcomer runs first, run as they run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Ended

from litellm_benchrouter.cli import demo

COMMAND = [sys.executable, "-c", "from litellm_benchrouter.cli import main; main()", "demo"]


def test_the_demo_routes_real_requests_and_stops_by_itself() -> None:
    ended = subprocess.run(
        [*COMMAND, "--json"], capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    answers = json.loads(ended.stdout)
    picks = {answer["prompt"].split()[0]: answer["headers"]["model"] for answer in answers}
    assert picks["Write"] in ("coder-14b", "atlas-70b")
    assert picks["Amira"] == "mathsmith-8b"
    assert picks["Translate"] == "polyglot-12b"
    assert picks["List"] == "spark-3b-high", "a model at another reasoning effort"
    for answer in answers:
        assert answer["text"] == f"{answer['headers']['model']} answers"
        assert answer["pick"] == answer["headers"]["model"]
        assert len(answer["headers"]["artifact"]) == 16
    assert any(answer["streamed"] for answer in answers)
    named = [answer for answer in answers if answer["task"] == "report-queries"]
    assert named[0]["headers"]["task"] == "report-queries"


def test_where_another_than_the_pick_answers_the_demo_fails(
    benchrouter: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(address: str, key: str, on_answer: Callable[[demo.Answer], None]) -> None:
        headers = {"model": "spark-3b", "method": "s1", "reason": "why", "artifact": "x"}
        on_answer(demo.Answer(demo.PROMPTS[1][0], None, False, "spark-3b answers", headers))

    @contextmanager
    def proxy(folder: Path) -> Iterator[tuple[str, str]]:
        yield "http://127.0.0.1:9", "sk"

    monkeypatch.setattr(demo, "ask", ask)
    monkeypatch.setattr(demo, "proxy", proxy)
    ended = benchrouter("demo")
    assert ended.code == 1
    assert "mathsmith-8b was picked, and 'spark-3b answers' came back" in ended.err


def test_without_a_proxy_the_router_is_asked_and_says_so(
    benchrouter: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "has_proxy", lambda: False)
    ended = benchrouter("demo")
    assert ended.code == 0, ended.err
    assert "What the router picks" in ended.out
    assert "litellm-benchrouter[proxy]" in ended.out
    document = benchrouter("demo", "--json").document
    assert {each["text"] for each in document} == {None}
    assert document[1]["pick"] == document[1]["headers"]["model"] == "mathsmith-8b"
