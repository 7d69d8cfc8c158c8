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
    "an error by the protocol": called(
        "The string to replace is not in the file.",
        is_error=True,
    ),
    "an exit code and an error by the protocol": called("Exit code 1\n2 failed", is_error=True),
    "an error in tags": called("<tool_use_error>Read the file first</tool_use_error>"),
    "an error in parts": called([{"type": "text", "text": "Error: no tool of that name"}]),
    "a header with the exit code": chatted(
        "Exit code: 2\nWall time: 0.4 seconds\nOutput:\nE  x",
    ),
    "a process that exited": chatted("Chunk 1\nWall: 1 s\nProcess exited with code 1\nOutput:"),
    "a return code in tags": chatted("<returncode>1</returncode>\n<output>\nE  1\n</output>"),
    "a bracket at the end": chatted("1 failed\n[The command completed with exit code 1.]"),
    "a sentence before the code": chatted("The command failed with exit code 101: cargo test"),
    "go": chatted(
        "--- FAIL: TestTide\nexit status 1",
        {"cmd": ["bash", "-lc", "go test ./..."]},
    ),
    "an exit code in metadata": chatted('{"output": "E  1", "metadata": {"exit_code": 1}}'),
    "a traceback": chatted(TRACE, {"code": "print(tides[4])"}),
    "a traceback behind output": chatted(f"loading\n{TRACE}", {"command": "python tides.py"}),
    "a panic": chatted("thread 'main' panicked at src/tide.rs:4", {"command": "cargo run"}),
    "an error first": chatted(
        "Error: cannot write tides.csv: disk full",
        {"path": "tides.csv"},
    ),
    "an exception first": chatted(
        "ValueError: heights must be positive",
        {"height": -1},
        "plot",
    ),
    "an error of a library": chatted(
        "Error invoking tool 'plot' with kwargs {'height': -1} with error:\n height: too small",
        {"height": -1},
        "plot",
    ),
    "an error of a library, with advice": chatted(
        "An error occurred while running the tool. Please try again. Error: no such harbour",
        {"name": "Brest"},
        "harbour",
    ),
    "a protocol between tools": chatted("MCP error -32602: harbour is missing", {}, "tide"),
    "an object with an error": chatted(
        '{"error": "no such harbour"}',
        {"name": "X"},
        "get_tide",
    ),
    "an object that says so": chatted(
        '{"success": false, "message": "the harbour is unknown"}', {"name": "X"}, "harbour"
    ),
    "an object with a status": chatted(
        '{"status": 404, "title": "Not Found", "detail": "no such harbour"}', {}, "harbour"
    ),
    "a shell that does not know the command": chatted("bash: tidal: command not found"),
    "in another language": chatted("Fehler: Datei tides.csv fehlt", {"name": "tides"}, "plot"),
    "claude bash": called(
        "Exit code 127\n/bin/bash: line 1: tidal: command not found",
        is_error=True,
    ),
    "claude edit": called(
        "<tool_use_error>String to replace not found in file.\nString: x</tool_use_error>",
        {"file_path": "a"},
        "Edit",
        is_error=True,
    ),
    "roo": chatted(
        "The tool execution failed with the following error:\n<error>\nno match\n</error>",
        {"path": "a"},
        "apply_diff",
    ),
    "roo json": chatted(
        '{"status":"error","message":"The tool execution failed","error":"File does not exist"}',
        {"path": "a"},
        "read_file",
    ),
    "cline": chatted("Command executed.\nExit code: 1\nOutput:\n2 failed", {"command": "npm test"}),
    "openhands": chatted(
        "E 1\n[Python Interpreter: /usr/bin/python]\n[Command finished with exit code 2]",
    ),
    "swe": chatted("<returncode>2</returncode>\n<output>\nbad\n</output>"),
    "langgraph": chatted(
        "Error: ValueError('no tide')\n Please fix your mistakes.",
        {"x": 1},
        "tide",
    ),
    "smol": chatted(
        "Error:\nCode execution failed at line 'x' due to: NameError: y",
        {"code": "x"},
        "python",
    ),
    "pydantic": chatted(
        "1 validation error:\n```json\n[{}]\n```\n\nFix the errors and try again.",
        {"x": 1},
        "tide",
    ),
    "vercel": chatted('{"type":"error-text","error":"bad tide"}', {"x": 1}, "tide"),
    "continue": chatted("Error executing tool: no such file", {"x": 1}, "tide"),
    "aider-like": chatted("error: failed to compile `tides` v0.1", {"command": "cargo install"}),
    "node": chatted(
        "node:internal:1148\n  throw err;\n\nError: Cannot find module 'x'\n    at M (x:1)\n",
        {"command": "node a.js"},
    ),
    "enoent": chatted("ENOENT: no such file or directory, open 'a'", {"path": "a"}, "read_file"),
    "read error": chatted("Error: File not found: a.py", {"path": "a.py"}, "read_file"),
    "timeout": called("Command timed out after 2m 0.0s", is_error=True),
    "interp": chatted(
        'Traceback (most recent call last):\n  File "<stdin>", line 1\nNameError: x is not there',
        {"code": "x"},
        "execute_python",
    ),
    "unknown tool": chatted("Unknown tool: tidal", {}, "tidal"),
    "not valid tool": chatted("tidal is not a valid tool, try one of [tide].", {}, "tidal"),
}


@pytest.mark.parametrize("steps", FAILED.values(), ids=FAILED)
def test_a_tool_call_has_failed_by_the_shape_of_its_result(steps):
    assert of(steps) == ("tool",)


RESPONSES: dict[str, Any] = {
    "a header with the exit code": responded("Exit code: 1\nWall time: 1 s\nOutput:\nE"),
    "an exit code in metadata": responded('{"output": "E 1", "metadata": {"exit_code": 1}}'),
    "a shell of the protocol": responded(
        [{"stdout": "", "stderr": "E", "outcome": {"type": "exit", "exit_code": 1}}],
        kind="shell_call",
    ),
    "a patch that does not apply": responded(
        "hunk 1 does not apply", {"type": "update_file"}, kind="apply_patch_call", status="failed"
    ),
    "a free-form tool": responded("patch failed: no such lines", kind="custom_tool_call"),
    "a server's own call": [
        {"type": "mcp_call", "id": "m", "name": "tide", "arguments": "{}", "error": "no harbour"},
        {"type": "message", "role": "user", "content": "ok"},
    ],
}


@pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
def test_a_tool_call_of_responses_has_failed_likewise(steps):
    assert of_input(steps) == ("tool",)


@pytest.mark.parametrize(
    "response",
    [
        {"error": "no such file"},
        {"output": "Command: pytest\nStdout: (empty)\nExit Code: 1\nSignal: 0"},
    ],
)
def test_a_function_of_generate_content_has_failed_likewise(response):
    asked = {"role": "user", "parts": [{"text": ASK}]}
    assert read_failures(None, {"contents": [asked, *contents(response)]}).signs == ("tool",)


def test_a_result_that_a_client_tells_in_words_is_no_word_of_a_person():
    told = "[execute_command for 'pytest'] Result:\nCommand executed.\nExit code: 1\nOutput:\nE 1"
    steps = [answer("<run>pytest</run>"), user(told)]
    assert of(steps * 2) == ("tool", "tool")
    assert (
        of([answer("<read>a</read>"), user("[read_file for 'a'] Result:\n1 | raise Error")]) == ()
    )


WELL: dict[str, Any] = {
    "file about errors": called(
        "     1\u2192def check(x):\n     2\u2192    raise ValueError('error: x')",
        {"file_path": "a.py"},
        "Read",
    ),
    "file that begins with error": called(
        "Error: the most common word\nerror: the second\nand so on\n" * 3,
        {"file_path": "errors.md"},
        "Read",
    ),
    "log": called(
        "ERROR 10:00 disk full\nERROR 10:01 disk full\nINFO ok", {"command": "cat app.log"}
    ),
    "log by tool": chatted("ERROR disk full\nERROR disk full", {"service": "a"}, "get_logs"),
    "one line log by cat": chatted("ERROR: disk full", {"command": "tail -1 app.log"}),
    "log tool w/out name": chatted(
        "ERROR: disk full\nWARN: slow\nERROR: full", {"service": "a"}, "service_output"
    ),
    "grep 1": called("Exit code 1", {"command": "grep -rn tide src"}, is_error=True),
    "grep 1 chat": chatted(
        "Exit code: 1\nOutput:\n", {"command": "cd src && grep -rn tide . | head"}
    ),
    "rg": chatted(
        '{"output":"","metadata":{"exit_code":1}}', {"command": ["bash", "-lc", "rg tide"]}
    ),
    "diff": chatted("1c1\n< a\n> b\n[exit code: 1]", {"command": "diff a b"}),
    "test": chatted("exit code 1", {"command": "test -f a.txt"}),
    "git grep": chatted(
        "<returncode>1</returncode>\n<output></output>", {"command": "git grep tide"}
    ),
    "rejected": called(
        "The user doesn't want to proceed with this tool use. The tool use was rejected.",
        is_error=True,
    ),
    "aborted": chatted("aborted by user after 3.2s"),
    "denied": called("Permission to run this was denied by the user.", is_error=True),
    "ctrl-c": chatted("Exit code: 130\nOutput:\n^C"),
    "rate": chatted('{"error":"rate limit exceeded, retry in 3 s"}', {}, "search"),
    "zero": chatted("Exit code: 0\nOutput:\nerror: none"),
    "ok with errors": chatted("Errors: 0\nWarnings: 2", {"command": "lint"}),
    "error null": chatted('{"error": null, "data": [1]}', {}, "tide"),
    "errors empty": chatted('{"errors": [], "result": "ok"}', {}, "tide"),
    "record": chatted(
        '{"incident": 12, "error": "db timeout", "opened": "10:00"}', {"id": 12}, "incident"
    ),
    "job": chatted(
        '{"id": 5, "status": "failed", "pipeline": "nightly"}',
        {"id": 5},
        "job_status",
    ),
    "job2": chatted(
        '{"id": 5, "name": "nightly", "status": "failed"}',
        {"id": 5},
        "job_status",
    ),
    "no match": called("No matches found", {"pattern": "tide"}, "Grep"),
    "no files": called("No files found", {"pattern": "*.md"}, "Glob"),
    "doc": chatted(
        "Exit codes: 0 means done, 1 means no match.\nMore below.", {"path": "man.txt"}, "read_file"
    ),
    "tests pass": chatted("12 passed, 0 failed in 0.3s"),
    "traceback in a log": chatted(f"10:00 started\n{TRACE}", {"command": "cat crash.log"}),
    "traceback in file": called(f"     1\t# notes\n{TRACE}", {"file_path": "notes.md"}, "Read"),
    "search result": chatted(
        "Error handling in Rust: a guide. Errors are values...",
        {"query": "error handling rust"},
        "web_search",
    ),
    "error page": chatted(
        "Error: how to read them\n\nThis page explains error messages.\nA long page.\n" * 5,
        {"url": "x"},
        "fetch",
    ),
    "todo": called(
        "Todos have been modified successfully", {"todos": [{"content": "fix error"}]}, "TodoWrite"
    ),
    "edit": called(
        "The file a.py has been updated. Here's the result: raise Error",
        {"file_path": "a.py"},
        "Edit",
    ),
    "git log": chatted(
        "a1b2 Fix: error: when tides are missing", {"command": "git log --oneline -1"}
    ),
    "curl": chatted('{"error": "unauthorized"}', {"command": "curl -s localhost:8080/tide"}),
    "empty": chatted("", {"command": "mkdir a"}),
    "none": chatted(None, {"command": "mkdir a"}),
    "weird": chatted({"a": {"b": 1}}, {"command": "mkdir a"}),
    "warn": chatted("warning: unused variable\nFinished in 2s", {"command": "cargo build"}),
    "exit text": chatted(
        "usage: exit code 3 is returned when\nnothing\nmatches\n", {"command": "tidal --help"}
    ),
    "psql": chatted(
        " id | error\n----+-------\n 1 | disk\n", {"command": "psql -c 'select * from errors'"}
    ),
    "fail word": chatted("Failed logins: 3\nLast: monday", {"command": "./audit"}),
    "error rate": chatted("Error rate: 0.2 %", {}, "stats"),
    "error count": chatted("Error count: 3", {}, "stats"),
    "mean error": chatted("Mean absolute error: 0.31", {}, "evaluate"),
    "standard": chatted("standard error: 0.2, mean: 3", {}, "stats"),
    "npm test ok": chatted("> test\n> jest\n\nPASS a.test.js\nTests: 12 passed"),
    "read code w exit": called(
        "1\tprocess.exit(1)\n2\t// exit code 1", {"file_path": "a.js"}, "Read"
    ),
    "read shell wo name": chatted(
        "echo 'exit code: 1'\nexit 1",
        {"path": "run.sh"},
        "readFile",
    ),
    "cat script": chatted("#!/bin/sh\necho failed\nexit 1", {"command": "cat run.sh"}),
    "sed": chatted("Error: x\nError: y", {"cmd": "sed -n 1,5p log.txt"}),
    "python -c log": chatted(
        "Found 3 errors in log: see above",
        {"command": "python count.py"},
    ),
    "json list": chatted('[{"error":"a"},{"error":"b"}]', {}, "list_incidents"),
    "json tool with errors count": chatted('{"errors": 0, "warnings": 1}', {}, "lint"),
    "json status": chatted(
        '{"status":"error","service":"billing","since":"10:00"}', {"s": "billing"}, "service_status"
    ),
    "json ok false w/out msg": chatted('{"ok": false}', {}, "is_available"),
    "json avail": chatted('{"success": true, "error": ""}', {}, "book"),
    "user reject roo": chatted("The user denied this operation."),
    "opencode reject": chatted("The user rejected permission to use this specific tool call."),
    "gemini cancel": chatted("[Operation Cancelled] Reason: User did not allow tool call"),
    "ls then grep": called(
        "Exit code 1", {"command": "ls src && grep -c foo src/a.py"}, is_error=True
    ),
    "grep count with pipe to wc": chatted("Exit code: 0\nOutput:\n0"),
    "git diff quiet": chatted("exit code 1", {"command": "git diff --quiet"}),
    "if grep": chatted(
        "<returncode>1</returncode>\n<output>\n</output>",
        {"command": "if grep -q x a; then echo y; fi; [ -f b ]"},
    ),
    "head sigpipe": chatted("Exit code: 141\nOutput:\nx", {"command": "yes | head"}),
    "stack overflow page": chatted(
        "TypeError: x is not a function - Stack Overflow\n\nI have this code ...\nMore text\n",
        {"url": "https://x"},
        "web_fetch",
    ),
    "search hits": chatted(
        "src/a.py:3: raise ValueError('Error: bad')", {"pattern": "Error"}, "Grep"
    ),
    "search hits 2": chatted(
        "ValueError: bad\nKeyError: worse", {"pattern": "Error"}, "search_files"
    ),
    "sub agent report": chatted(
        "I found the cause. Error: handling was missing in a.py; I fixed it.\nAll tests pass.",
        {"prompt": "x"},
        "Task",
    ),
    "db rows": chatted("error_code | n\nE42 | 3", {"sql": "select"}, "query"),
    "monitor": chatted("Failed: 0, passed: 12", {}, "run_tests"),
    "summary": chatted("Failures: 0\nErrors: 0", {}, "run_tests"),
    "git status": chatted("On branch main\nnothing to commit", {"command": "git status"}),
    "compile warn": chatted("0 errors, 2 warnings", {"command": "tsc"}),
}


@pytest.mark.parametrize("steps", WELL.values(), ids=WELL)
def test_what_only_looks_like_a_failure_is_none(steps):
    assert of(steps) == ()
    assert of(steps * 3) == ()


FAILS = called("Exit code 1\n2 failed", is_error=True)
PASSES = called("Exit code 0\n12 passed")
DONE = answer("It is done.")
NEXT = user("Now plot the neap tides of the year as a bar chart.")


def looked(number: int) -> list[Any]:
    return called("tides.py", {"command": f"ls part{number}"})


def many(number: int) -> list[Any]:
    return [turn for n in range(number) for turn in looked(n)]


@pytest.mark.parametrize(
    ("steps", "n", "is_now"),
    [
        (FAILS * 2, 2, True),
        ([*FAILS, *looked(1), *FAILS], 2, True),
        ([*FAILS, *FAILS, *looked(1)], 2, False),
        ([*FAILS, *PASSES], 0, False),  # the same call went well
        ([*FAILS, *PASSES, *FAILS], 1, True),
        ([*FAILS, *many(4), *FAILS], 2, True),
        ([*FAILS, *many(5), *FAILS], 1, True),  # five calls that went well
        ([*FAILS, *FAILS, *many(30)], 0, False),
        ([*FAILS, *FAILS, DONE, NEXT], 0, False),
        ([*FAILS, *FAILS, DONE, NEXT, *FAILS], 1, True),
        ([*FAILS, *FAILS, NEXT, *FAILS], 3, True),  # interrupted, and no answer to go on from
        ([*FAILS, answer("Shall I go on?"), user("yes"), *FAILS], 2, True),
        (
            [answer("3."), user("that's wrong"), *many(9), answer("4."), user("still wrong")],
            2,
            True,
        ),
        ([answer("3."), user("that's wrong"), *looked(1)], 1, False),
        ([*FAILS, answer("3."), user("that's wrong")], 2, True),
        ([DONE, NEXT], 0, False),
        ([], 0, False),
    ],
)
def test_failures_are_counted_until_they_are_over(steps, n, is_now):
    failures = read_failures([user(ASK), *steps], {})
    assert (len(failures.signs), failures.is_now) == (n, is_now)


def test_calls_side_by_side_are_one_step():
    calls, results = zip(*(called("Error: no tide", {"n": n}, "look") for n in (1, 2)), strict=True)
    for n, turn in enumerate((*calls, *results)):
        part = turn["content"][0]
        part["id" if "id" in part else "tool_use_id"] = f"t{n % 2}"
    merged = [
        {"role": turns[0]["role"], "content": [part for turn in turns for part in turn["content"]]}
        for turns in (calls, results)
    ]
    assert of(merged) == ("tool",)


def test_what_reads_like_a_failure_is_one_where_the_same_call_brings_it_again():
    edit = called("The text was not found in tides.py", {"path": "tides.py", "old": "x"}, "Edit")
    other = called("The text was not found in tides.py", {"path": "tides.py", "old": "y"}, "Edit")
    assert of(edit) == of([*edit, *other]) == ()
    assert of(edit * 2) == of([*edit, *looked(1), *edit]) == ("tool", "tool")


SCHEMA: dict[str, Any] = {
    "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}},
}  # fmt: skip
PLACES: tuple[dict[str, Any], ...] = (
    {"response_format": SCHEMA},
    {"response_format": {"type": "json_object"}},
    {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
    {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    {"generationConfig": {"responseSchema": {"type": "object"}}},
)


@pytest.mark.parametrize("request_", PLACES)
def test_an_answer_that_is_not_the_json_asked_for(request_):
    again = user("Return the JSON again.")
    assert of([answer('{"height": 3,'), again], **request_) == ("json",)
    assert of([answer("The height is 3."), again], **request_) == ("json",)
    assert of([answer('```json\n{"height": 3\n```'), again], **request_) == ("json",)
    for whole in ('{"height": 3}', '```json\n{"height": 3}\n```', "[1, 2]"):
        assert of([answer(whole), again], **request_) == ()
    assert of([answer('{"height": 3,'), again]) == (), "nobody asked for JSON"
    assert of([answer("High water is at nine."), user("Now fill in the form.")], **request_) == ()
    assert of([answer("{")], **request_) == (), "begun by the client"


REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "I’m unable to help with that.",
    "Dabei kann ich dir leider nicht helfen.",
    "Désolé, je ne peux pas vous aider avec cela.",
    "Lo siento, pero no puedo ayudar con eso.",
    "Desculpe, não posso ajudar com isso.",
    "Mi dispiace, non posso aiutarti.",
    "Извините, но я не могу помочь с этим.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "Üzgünüm, bu konuda yardımcı olamam.",
    "抱歉，我无法提供这方面的内容。",
    "申し訳ありませんが、そのご依頼にはお答えできません。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "عذرًا، لا أستطيع مساعدتك في ذلك.",
    "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
)
NO_REFUSALS = (
    "I can't find tides.py; where is it?",
    "I cannot run the tests without the database. Which one should I use?",
    "Sorry for the wait! Here is the table.",
    "I can't help but admire the old lighthouse. Here is the poem.",
    "I won't change the API; only the printing moves.",
    "Das kann ich machen.",
    "Unfortunately the harbour closes at nine.",
    "No puedo más, dijo el marinero.",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_told_in_many_languages(text):
    assert is_refusal(text)
    assert of([answer(text), NEXT]) == ("refusal",)


@pytest.mark.parametrize("text", NO_REFUSALS)
def test_what_is_no_refusal(text):
    assert not is_refusal(text)


def test_a_refusal_that_the_protocol_names():
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    assert of([refused, NEXT]) == ("refusal",)
    part = {"type": "refusal", "refusal": "No."}
    assert of_input([
        {"type": "message", "role": "assistant", "content": [part]},
        {"type": "message", "role": "user", "content": "Then only the first half."},
    ]) == ("refusal",)  # fmt: skip


def test_empty_and_cut_answers():
    for empty in ("", "  \n", None, [], [{"type": "text", "text": ""}]):
        assert of([answer(empty), NEXT]) == ("empty",)  # type: ignore[arg-type]
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}
    assert of([thought, NEXT]) == ()
    assert of([answer("```python\ndef f():\n    return"), user("go on")]) == ("cut",)
    assert of([answer("````md\n```\nx\n```\n````\nDone."), user("go on")]) == ()
    assert of([answer("High water"), user("go on")]) == ()
    assert of([answer("High water") | {"finish_reason": "length"}, user("go on")]) == ("cut",)
    item = {"type": "message", "role": "assistant", "content": "High", "status": "incomplete"}
    assert of_input([item, {"role": "user", "content": "go on"}]) == ("cut",)


@pytest.mark.parametrize("sign", SIGNS)
def test_only_the_signs_asked_for_count(sign):
    steps = [
        *FAILS, answer("I can't help with that."), NEXT, answer(""), NEXT, answer("```\nx"), NEXT,
        answer("Here."), user("that's wrong"), answer('{"a":'), NEXT,
    ]  # fmt: skip
    request = {"response_format": SCHEMA}
    everything = read_failures([user(ASK), *steps], request)
    assert sorted(everything.signs) == sorted(SIGNS)
    others = [other for other in SIGNS if other != sign]
    assert sign not in read_failures([user(ASK), *steps], request, others).signs


def test_failures_are_described_by_kind():
    failures = read_failures([user(ASK), *FAILS, *FAILS, DONE, user("that's wrong")], {})
    assert failures.describe(3) == "1 complaint and 2 failed tool calls"
    assert failures.describe(1) == "1 complaint"


COMPLAINTS = (
    "That's wrong.",
    "that is incorrect",
    "That’s not right, the total must be 84.",
    "No, that's wrong",
    "still fails",
    "It still fails with the same error",
    "The tests still fail",
    "the build still doesn't work",
    "It doesn't work.",
    "This does not compile",
    "That didn't fix it",
    "That didn't help at all",
    "same error",
    "Same error again",
    "Nope, same problem.",
    "You broke it",
    "not what I asked for",
    "That's not what I asked",
    "that is still wrong",
    "wrong",
    "Wrong answer!",
    "incorrect",
    "I still get the error",
    "I'm still getting the same error",
    "still not working",
    "still broken",
    "it crashes again",
    "you misunderstood me",
    "Das stimmt nicht.",
    "Das ist falsch",
    "das ist immer noch falsch",
    "Nein, das stimmt so nicht",
    "Es funktioniert immer noch nicht",
    "Die Tests schlagen immer noch fehl.",
    "geht immer noch nicht",
    "Immer noch derselbe Fehler",
    "C'est faux",
    "Ce n'est pas correct.",
    "ça ne marche toujours pas",
    "Non, c'est toujours faux",
    "même erreur",
    "Les tests échouent toujours",
    "Eso está mal",
    "No, es incorrecto.",
    "sigue sin funcionar",
    "todavía no funciona",
    "No funciona",
    "el mismo error",
    "Isso está errado.",
    "não funciona",
    "ainda não funciona",
    "continua falhando",
    "É errado.",
    "È sbagliato",
    "non funziona ancora",
    "Non è corretto",
    "Dat klopt niet",
    "dat is fout",
    "het werkt nog steeds niet",
    "To jest źle",
    "nadal nie działa",
    "To nie działa.",
    "Это неправильно",
    "всё ещё не работает",
    "Нет, это не так.",
    "опять та же ошибка",
    "Це неправильно",
    "досі не працює",
    "Bu yanlış.",
    "hâlâ çalışmıyor",
    "yine aynı hata",
    "不对",
    "这不对。",
    "还是不行",
    "还是报错",
    "答案错了",
    "不，你错了",
    "違います",
    "まだ動きません",
    "それは間違っています。",
    "まだエラーが出ます",
    "아니요, 틀렸어요",
    "여전히 안 돼요",
    "작동하지 않아요",
    "هذا خطأ",
    "لا يزال لا يعمل",
    "هذا غير صحيح.",
    "यह गलत है",
    "अभी भी काम नहीं कर रहा है",
    "यह सही नहीं है।",
    "vẫn lỗi",
    "Det stämmer inte",
    "It still fails:",
    "that's wrong, try again",
    "Still the same error:\n\nTraceback (most recent call last):\n  File x\nKeyError: 3",
)
NO_COMPLAINTS = (
    "no, thanks",
    "No thanks.",
    "no",
    "No.",
    "nope",
    "no problem",
    "nothing is wrong",
    "not wrong",
    "that's not wrong",
    "What's wrong with my code?",
    "what is wrong",
    "is this wrong?",
    "that's wrong?",
    "Why does it still fail?",
    "If it still fails, stop.",
    "Make sure it doesn't fail",
    "explain why this is wrong",
    "don't run the tests",
    "do not fix it",
    "Fix the wrong total in the report.",
    "Find the incorrect rows.",
    "still, thanks a lot",
    "it still works, great",
    "That's right",
    "That is correct",
    "yes that's not a problem",
    "You're wrong? ",
    "Something is wrong with my printer",
    "The error handling needs a test",
    "Same problem with the other file: fix that too",
    "Wrong-way drivers: write a poem about them",
    "no, use the other file",
    "No, just the first one",
    "not now",
    "not yet",
    "never mind",
    "This is not urgent",
    "Nein danke",
    "nein",
    "kein Problem",
    "Das ist nicht schlimm",
    "Das geht nicht gegen dich",
    "Falsche Freunde im Englischen erklären",
    "non merci",
    "pas de problème",
    "c'est pas grave",
    "no gracias",
    "no está mal",
    "está bien",
    "não, obrigado",
    "não está mal",
    "non male",
    "nee dank je",
    "niet nodig",
    "nie, dziękuję",
    "нет, спасибо",
    "не надо",
    "ошибка в логах",
    "hayır teşekkürler",
    "Yanlış anlama",
    "不用了",
    "不，谢谢",
    "没错",
    "不错",
    "不对称加密是什么",
    "对不起",
    "違う方法で書いて",
    "いいえ、結構です",
    "大丈夫です",
    "아니요 괜찮아요",
    "틀린 부분 찾아줘",
    "لا شكرا",
    "خطأ في السطر الثالث",
    "नहीं, धन्यवाद",
    "गलत फाइल हटाओ",
    "It doesn't work offline, right?",
    "that doesn't work for windows users, I know; fine",
    "The function is wrong-headed but keep it",
    "I still have the same car",
    "it's broken down into three parts",
    "You are not working tomorrow?",
    "this is false positive number three",
    "Is the answer incorrect",
    "the same errors are in file b, list them",
    "That's not true love, that's a song",
    "I think that's true",
    "it isn't right-aligned in the header; align it",
    "Test still failing cases",
    "still failing tests should be listed",
)


@pytest.mark.parametrize("text", COMPLAINTS)
def test_a_person_says_that_it_is_wrong(text):
    assert is_complaint(text)
    assert of([answer("Here it is: 42."), user(text)]) == ("complaint",)
    assert "\n" in text or is_follow_up(text)


@pytest.mark.parametrize("text", NO_COMPLAINTS)
def test_what_is_no_complaint(text):
    assert not is_complaint(text)


def test_a_complaint_is_about_an_answer():
    assert read_failures([user("It still fails")], {}).signs == ()
    assert read_failures(None, {"prompt": "It still fails"}).signs == ()


@settings(max_examples=300, deadline=None)
@given(ANYTHING, BODIES)
def test_reading_never_raises(messages, request_):
    assert set(read_failures(messages, request_).signs) <= set(SIGNS)


PARTS = st.dictionaries(
    st.sampled_from([
        "type", "role", "content", "tool_calls", "id", "call_id", "tool_use_id", "function", "name",
        "arguments", "input", "output", "is_error", "text", "error", "exit_code", "metadata",
        "functionCall", "functionResponse", "response", "parts", "status", "refusal",
    ]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20)
        | st.sampled_from([
            "assistant", "user", "tool", "tool_use", "tool_result", "function_call",
            "function_call_output", "message", "Exit code: 1", '{"error": "x"}', "[" * 50_000,
            '{"a":' * 5_000,
        ]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "id", "name"]), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=6))
def test_reading_shapes_that_are_nearly_right_never_raises(items):
    for places in ((items, {}), (None, {"input": items}), (None, {"contents": items})):
        assert set(read_failures(*places).signs) <= set(SIGNS)
