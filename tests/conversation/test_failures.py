"""Signs of failure as clients send them, and what only looks like one; all wording is invented."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation.test_ask import answer, user
from conversation.test_text import ANYTHING, BODIES
from litellm_benchrouter.conversation.failures import SIGNS, read_failures
from litellm_benchrouter.conversation.follow_up import is_follow_up
from litellm_benchrouter.conversation.tool_results import Call, outcome_of
from litellm_benchrouter.conversation.wording import is_complaint, is_refusal

ASK = "Make the tide table print heights in metres and add a test for it."
RUN = {"command": "pytest -q tests/test_tides.py"}
TRACE = 'Traceback (most recent call last):\n  File "tides.py", line 3, in <module>\nKeyError: 4'


def called(content: Any, given: Any = RUN, name: str = "Bash", **flags: Any) -> list[Any]:
    """A call and its result as /v1/messages has them."""
    call = {"type": "tool_use", "id": "t1", "name": name, "input": given}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content, **flags}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


def chatted(content: Any, given: Any = RUN, name: str = "run") -> list[Any]:
    """A call and its result as chat completions have them."""
    function = {"name": name, "arguments": json.dumps(given)}
    call = {"id": "c1", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": content},
    ]


def responded(output: Any, given: Any = RUN, kind: str = "function_call", **more: Any) -> list[Any]:
    """A call and its result as /v1/responses has them."""
    call = {"type": kind, "call_id": "r1", "name": "shell", "arguments": json.dumps(given)}
    return [
        {"type": "reasoning", "summary": []},
        call,
        {"type": f"{kind}_output", "call_id": "r1", "output": output, **more},
    ]


def contents(response: Any) -> list[Any]:
    """A call and its result as generateContent has them."""
    return [
        {"role": "model", "parts": [{"functionCall": {"name": "run", "args": RUN}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": response}}]},
    ]


def of(steps: list[Any], **request: Any) -> tuple[str, ...]:
    return read_failures([user(ASK), *steps], request).signs


def of_input(steps: list[Any]) -> tuple[str, ...]:
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ASK}]}
    return read_failures(None, {"input": [asked, *steps]}).signs


FAILED: dict[str, Any] = {
    "an error by the protocol": called("The string to replace is not in the file.", is_error=True),
    "an exit code and an error by the protocol": called("Exit code 1\n2 failed", is_error=True),
    "an error in tags": called("<tool_use_error>Read the file first</tool_use_error>"),
    "an error in parts": called([{"type": "text", "text": "Error: no tool of that name"}]),
    "a header with the exit code": chatted("Exit code: 2\nWall time: 0.4 seconds\nOutput:\nE  x"),
    "a process that exited": chatted("Chunk 1\nWall time: 1 s\nProcess exited with code 1\nOutput:"),
    "a return code in tags": chatted("<returncode>1</returncode>\n<output>\nE  1\n</output>"),
    "a bracket at the end": chatted("1 failed\n[The command completed with exit code 1.]"),
    "a sentence before the code": chatted("The command failed with exit code 101: cargo test"),
    "go": chatted("--- FAIL: TestTide\nexit status 1", {"cmd": ["bash", "-lc", "go test ./..."]}),
    "an exit code in metadata": chatted('{"output": "E  1", "metadata": {"exit_code": 1}}'),
    "a traceback": chatted(TRACE, {"code": "print(tides[4])"}),
    "a traceback behind output": chatted(f"loading\n{TRACE}", {"command": "python tides.py"}),
    "a panic": chatted("thread 'main' panicked at src/tide.rs:4", {"command": "cargo run"}),
    "an error first": chatted("Error: cannot write tides.csv: disk full", {"path": "tides.csv"}),
    "an exception first": chatted("ValueError: heights must be positive", {"height": -1}, "plot"),
    "an error of a library": chatted(
        "Error invoking tool 'plot' with kwargs {'height': -1} with error:\n height: too small",
        {"height": -1}, "plot",
    ),
    "an error of a library, with advice": chatted(
        "An error occurred while running the tool. Please try again. Error: no such harbour",
        {"name": "Brest"}, "harbour",
    ),
    "a protocol between tools": chatted("MCP error -32602: harbour is missing", {}, "tide"),
    "an object with an error": chatted('{"error": "no such harbour"}', {"name": "X"}, "get_tide"),
    "an object that says so": chatted(
        '{"success": false, "message": "the harbour is unknown"}', {"name": "X"}, "harbour"
    ),
    "an object with a status": chatted(
        '{"status": 404, "title": "Not Found", "detail": "no such harbour"}', {}, "harbour"
    ),
    "a shell that does not know the command": chatted("bash: tidal: command not found"),
    "in another language": chatted("Fehler: Datei tides.csv fehlt", {"name": "tides"}, "plot"),
    "contents": None,
}  # fmt: skip


@pytest.mark.parametrize("steps", [s for s in FAILED.values() if s], ids=[k for k in FAILED if FAILED[k]])
def test_a_tool_call_has_failed_by_the_shape_of_its_result(steps):
    assert of(steps) == ("tool",)
