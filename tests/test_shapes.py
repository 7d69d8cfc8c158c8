"""Requests and answers of the three endpoints, as verifiers see them, and back."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from litellm_benchrouter.proxy.loopback import Caller
from litellm_benchrouter.proxy.shapes import (
    CHAT,
    MESSAGES,
    RESPONSES,
    as_chunks,
    chat_answer,
    chat_request,
    length,
    native,
    of_chunks,
)
from litellm_benchrouter.verifiers.answer import CUT, FINE, REFUSED, answer_quality
from litellm_benchrouter.verifiers.schema import INVALID, NOT_JSON, VALID, validity

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "response", "output": list(output), **more}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part]}


def called(arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "name": "add", "arguments": arguments, "call_id": "1"}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (RESPONSES, response(said("Paris.")), FINE),
        (
            RESPONSES,
            response(said("Par"), incomplete_details={"reason": "max_output_tokens"}),
            CUT,
        ),
        (
            RESPONSES,
            response({"type": "message", "content": [{"type": "refusal", "refusal": "I cannot."}]}),
            REFUSED,
        ),
        (MESSAGES, {"content": [{"type": "text", "text": "Paris."}], "stop_reason": "end_turn"}, 1),
        (MESSAGES, {"content": [{"type": "text", "text": "P"}], "stop_reason": "max_tokens"}, CUT),
        (MESSAGES, {"content": [], "stop_reason": "end_turn"}, 0),
    ],
)
def test_an_answer_of_any_endpoint_is_looked_at(kind: str, body: Any, expected: float) -> None:
    assert answer_quality({}, chat_answer(kind, body)) == expected


@pytest.mark.parametrize(("n", "expected"), [("1", VALID), ('"one"', INVALID)])
def test_calls_of_tools_are_checked_on_every_endpoint(n: str, expected: float) -> None:
    arguments = f'{{"n": {n}}}'
    asked = {
        "input": "add",
        "tools": [{"type": "function", "name": "add", "parameters": PARAMETERS}],
    }
    request = chat_request(RESPONSES, asked)
    answer = chat_answer(RESPONSES, response(called(arguments)))
    assert validity(request, answer) == expected

    asked = {"messages": [], "tools": [{"name": "add", "input_schema": PARAMETERS}]}
    block = {"type": "tool_use", "name": "add", "input": {"n": 1 if expected == VALID else "one"}}
    answer = chat_answer(MESSAGES, {"content": [block], "stop_reason": "tool_use"})
    assert validity(chat_request(MESSAGES, asked), answer) == expected
    required = {**asked, "tool_choice": {"type": "any"}}
    text = chat_answer(MESSAGES, {"content": [{"type": "text", "text": "1"}]})
    assert validity(chat_request(MESSAGES, required), text) == NOT_JSON


def test_the_format_of_a_response_is_checked() -> None:
    form = {"type": "json_schema", "name": "s", "schema": PARAMETERS}
    request = chat_request(RESPONSES, {"input": "n?", "text": {"format": form}})
    assert validity(request, chat_answer(RESPONSES, response(said('{"n": 1}')))) == VALID
    assert validity(request, chat_answer(RESPONSES, response(said("one")))) == NOT_JSON
    assert request["messages"] == [{"role": "user", "content": "n?"}]


def test_instructions_are_the_system_turn() -> None:
    turns = [{"role": "user", "content": "n?"}]
    first = {"role": "system", "content": "be short"}
    request = chat_request(RESPONSES, {"input": turns, "instructions": "be short"})
    assert request["messages"] == [first, *turns]
    system = [{"type": "text", "text": "be short"}]
    request = chat_request(MESSAGES, {"messages": turns, "system": system})
    assert request["messages"] == [first, *turns]


def chat(message: dict[str, Any], reason: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": "Paris is the capital."}, "stop"),
        (
            {
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"n": 1}'},
                    }
                ],
            },
            "tool_calls",
        ),
    ],
)
def test_a_chat_survives_being_made_a_stream(message: dict[str, Any], reason: str) -> None:
    answer = native(CHAT, chat(message, reason))
    assert isinstance(answer, litellm.ModelResponse)
    chunks = list(as_chunks(answer, with_usage=True))
    assert chunks[-1].usage.total_tokens == 10
    text = message["content"] or message["tool_calls"][0]["function"]["arguments"]
    assert sum(map(length, chunks)) == len(text)
    choice = of_chunks(chunks)["choices"][0]
    assert choice["finish_reason"] == reason
    assert choice["message"]["content"] == message["content"]
    for asked in message.get("tool_calls", ()):
        assert choice["message"]["tool_calls"][0]["function"] == asked["function"]


def data(**more: Any) -> dict[str, Any]:
    body = {"model": "smart", "messages": [], "stream": True, "metadata": {"user_api_key": "x"}}
    received = {"url": "http://h:4000/v1/chat/completions?a=1", "body": body, **more}
    headers = {"authorization": "Bearer sk-1", "content-length": "5", "x-litellm-call-id": "1"}
    metadata = {"requester_metadata": {"mark": "mine"}, "guardrails": ["g"]}
    secret = {"raw_headers": headers}
    return {"proxy_server_request": received, "secret_fields": secret, "metadata": metadata}


def test_a_request_is_asked_again_as_the_caller_sent_it() -> None:
    caller = Caller.of(data())
    assert caller is not None
    assert caller.body == {
        "model": "smart",
        "messages": [],
        "metadata": {"mark": "mine"},
        "guardrails": ["g"],
    }
    assert caller.headers == {"authorization": "Bearer sk-1"}
    assert "sk-1" not in repr(caller)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {**data(), "secret_fields": {}},
        {**data(), "proxy_server_request": {"body": None}},
        data(credential_fields=("api_key",)),
        data(caller_credential_fields=("api_key",)),
    ],
)
def test_a_request_that_cannot_be_sent_again_is_left_alone(broken: dict[str, Any]) -> None:
    assert Caller.of(broken) is None
