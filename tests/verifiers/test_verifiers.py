"""What each verifier says of an answer, as a chat completion."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.verifiers import OFFLINE, answer_of, verifier
from litellm_benchrouter.verifiers.agreement import likeness
from litellm_benchrouter.verifiers.answer import (
    CUT,
    DOUBTS,
    EMPTY,
    FINE,
    REFUSED,
    REPEATS,
    answer_quality,
)
from litellm_benchrouter.verifiers.logprobs import mean_probability
from litellm_benchrouter.verifiers.schema import INVALID, NOT_JSON, VALID, validity

NOTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("Paris.", "stop", FINE),
        ("Paris.", None, FINE),
        ("", "stop", EMPTY),
        ("  \n", "stop", EMPTY),
        ("Paris is", "length", CUT),
        ("Paris", "content_filter", EMPTY),
        ("I'm sorry, but I can't help with that.", "stop", REFUSED),
        ("I\u2019m sorry, but I can\u2019t help with that.", "stop", REFUSED),
        ("As an AI language model, I have no access to files.", "stop", REFUSED),
        ("I don't know who won.", "stop", DOUBTS),
        ("It cannot be determined from the text.", "stop", DOUBTS),
        ("the same line\n" * 40, "stop", REPEATS),
        ("x" * 900 + " He said: I cannot help you. " + "y" * 900, "stop", FINE),
    ],
)
def test_answer_looks_at_how_an_answer_ends(text: str, finish: str, expected: float) -> None:
    assert answer_quality(NOTHING, answer_of(text, finish)) == expected


def test_answer_takes_a_call_of_a_tool_for_an_answer() -> None:
    assert answer_quality(NOTHING, calling("f", "{}")) == FINE
    refusal = {"choices": [{"message": {"content": None, "refusal": "No."}}]}
    assert answer_quality(NOTHING, refusal) == REFUSED


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [None]}, {"choices": "x"}])
@pytest.mark.parametrize("name", OFFLINE)
def test_an_answer_without_its_parts_breaks_no_verifier(name: str, answer: dict[str, Any]) -> None:
    assert asyncio.run(verifier(name).score(NOTHING, answer)) in (None, EMPTY)


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "pattern": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}


def asking(schema: object) -> dict[str, Any]:
    described = {"name": "s", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def calling(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": 3}', VALID),
        ('```json\n{"n": 3, "pattern": "x"}\n```', VALID),
        ('{"n": "3"}', INVALID),
        ('{"m": 3}', INVALID),
        ('{"n": 3, "more": 1}', INVALID),
        ("n is 3", NOT_JSON),
    ],
)
def test_schema_checks_the_json_that_was_asked_for(text: str, expected: float) -> None:
    assert validity(asking(SCHEMA), answer_of(text)) == expected


def test_schema_says_nothing_where_nothing_was_asked_for() -> None:
    assert validity(NOTHING, answer_of("{}")) is None
    assert validity({"response_format": {"type": "text"}}, answer_of("{}")) is None
    json_object = {"response_format": {"type": "json_object"}}
    assert validity(json_object, answer_of("[1]")) == INVALID
    assert validity(json_object, answer_of('{"a": 1}')) == VALID


TOOLS = {"tools": [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("add", '{"n": 1}', VALID),
        ("add", '{"n": "one"}', INVALID),
        ("add", '{"n": 1', NOT_JSON),
        ("add", "[1]", NOT_JSON),
        ("subtract", '{"n": 1}', NOT_JSON),
    ],
)
def test_schema_checks_calls_of_tools(name: str, arguments: str, expected: float) -> None:
    assert validity(TOOLS, calling(name, arguments)) == expected


def test_schema_misses_the_call_that_was_required() -> None:
    assert validity(TOOLS | {"tool_choice": "required"}, answer_of("three")) == NOT_JSON
    assert validity(TOOLS | {"tool_choice": "auto"}, answer_of("three")) is None


def _doubling(depth: int) -> dict[str, Any]:
    """Return a schema that is checked 2 ** depth times."""
    parts = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(depth)
    }
    return {"$defs": {**parts, f"d{depth}": {"type": "object"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        _doubling(40),
    ],
)
def test_a_schema_that_is_at_fault_says_nothing_of_the_answer(schema: dict[str, Any]) -> None:
    assert validity(asking(schema), answer_of('{"n": 3}')) is None


def test_no_expression_of_a_schema_is_tried() -> None:
    evil = {"type": "object", "properties": {"n": {"pattern": "(a+)+$"}}}
    text = json.dumps({"n": "a" * 60 + "!"})
    assert validity(asking(evil), answer_of(text)) == VALID
    named = {"patternProperties": {"(a+)+$": {}}, "additionalProperties": False}
    assert validity(asking(named), answer_of(json.dumps({"a" * 60 + "!": 1}))) == VALID


def test_logprobs_are_the_geometric_mean() -> None:
    content = [{"token": "a", "logprob": math.log(0.9)}, {"token": "b", "logprob": math.log(0.4)}]
    answer = {"choices": [{"message": {"content": "ab"}, "logprobs": {"content": content}}]}
    assert mean_probability(NOTHING, answer) == pytest.approx(0.6)
    assert mean_probability(NOTHING, answer_of("ab")) is None


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Paris", "paris", 1.0),
        ("42", "43", 0.0),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1.0),
        ('{"a": 1}', '{"a": 2}', 0.0),
        ("", "Paris", None),
    ],
)
def test_agreement_of_two_answers(a: str, b: str, expected: float | None) -> None:
    assert likeness(answer_of(a), answer_of(b)) == expected
    assert likeness(answer_of(b), answer_of(a)) == expected


def test_long_answers_agree_by_what_they_come_to() -> None:
    steps = "First we take the seven apples and then we add the eight pears, which makes "
    same = likeness(answer_of(steps + "15."), answer_of("Adding the two numbers up gives us 15"))
    other = likeness(answer_of(steps + "15."), answer_of("Adding the two numbers up gives us 16"))
    assert same is not None and other is not None
    assert same > 0.5 > other


def test_agreement_asks_the_same_question_again() -> None:
    asked = []

    async def ask(request: Any) -> Any:
        asked.append(request)
        return answer_of("Paris")

    request = {"messages": [{"role": "user", "content": "Capital of France?"}]}
    assert asyncio.run(verifier("agreement").score(request, answer_of("Paris"), ask)) == 1
    assert asked == [request]


def test_calls_of_tools_agree_by_name_and_arguments() -> None:
    assert likeness(calling("f", '{"a":1}'), calling("f", '{"a": 1}')) == 1
    assert likeness(calling("f", '{"a":1}'), calling("g", '{"a": 1}')) == 0
    assert likeness(calling("f", '{"a":1}'), answer_of("a is 1")) == 0


@pytest.mark.parametrize(("says", "expected"), [("true", 1.0), ("false", 0.0)])
def test_a_judge_is_asked_about_question_and_answer(says: str, expected: float) -> None:
    asked = []

    async def ask(request: Any) -> Any:
        asked.append(request)
        return answer_of(f'{{"correct": {says}, "reason": "so"}}')

    request = {"messages": [{"role": "user", "content": "Capital of France?"}]}
    score = verifier("judge:big").score(request, answer_of("Paris"), ask)
    assert asyncio.run(score) == expected
    assert asked[0]["model"] == "big"
    assert '"answer": "Paris"' in asked[0]["messages"][1]["content"]


def test_without_a_way_to_ask_those_that_ask_say_nothing() -> None:
    assert asyncio.run(verifier("judge:big").score(NOTHING, answer_of("x"))) is None
    assert asyncio.run(verifier("agreement").score(NOTHING, answer_of("x"))) is None


def longer(request: Any, answer: Any) -> float:
    return len(answer["choices"][0]["message"]["content"]) / 10


async def slowly(request: Any, answer: Any) -> float:
    await asyncio.sleep(0)
    return 0.5


@pytest.mark.parametrize("name", [f"{__name__}.longer", f"{__name__}:longer"])
def test_a_function_of_the_users_own(name: str) -> None:
    assert asyncio.run(verifier(name).score(NOTHING, answer_of("12345"))) == 0.5
    with pytest.raises(ValueError, match="number in"):
        asyncio.run(verifier(name).score(NOTHING, answer_of("1" * 11)))
    own = verifier(f"{__name__}.slowly")
    assert asyncio.run(own.score(NOTHING, answer_of(""))) == 0.5


@pytest.mark.parametrize(
    "name", ["nonsense", "judge:", "json.nothing", "no_such.thing", "json.__name__"]
)
def test_what_is_no_verifier_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cascade\.verifiers"):
        verifier(name)


@pytest.mark.parametrize("content", ["raise SystemExit(2)", "1 / 0", "this is no Python"])
def test_a_module_that_ends_or_fails_at_import_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "a_script_that_verifies.py").write_text(f"{content}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot be imported"):
        verifier("a_script_that_verifies.check")
