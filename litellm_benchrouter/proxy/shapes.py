"""Requests and answers of the three endpoints as chat completions, for verifiers; and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import litellm

from litellm_benchrouter.verifiers.parts import text_of

CHAT, RESPONSES, MESSAGES = "acompletion", "aresponses", "anthropic_messages"
ENDPOINTS = (CHAT, RESPONSES, MESSAGES)
"""LiteLLM's names of the calls that can be cascades."""

Json = Mapping[str, Any]


def as_dict(response: Any) -> dict[str, Any]:
    """Return an answer of LiteLLM's as a dict, whatever it is."""
    if isinstance(response, Mapping):
        return dict(response)
    dumped: dict[str, Any] = response.model_dump(mode="json")
    return dumped


def hidden_of(response: Any) -> Mapping[str, Any]:
    """Return what LiteLLM knows of an answer besides what the caller gets."""
    if isinstance(response, Mapping):
        hidden = response.get("_hidden_params")
    else:
        hidden = getattr(response, "_hidden_params", None)
    return hidden if isinstance(hidden, Mapping) else {}


def native(kind: str, body: dict[str, Any]) -> Any:
    """Return an answer that the proxy gave as the object that LiteLLM goes on with."""
    if kind == CHAT:
        return litellm.ModelResponse(**body)
    if kind == MESSAGES:
        return body
    from litellm.types.llms.openai import ResponsesAPIResponse

    return ResponsesAPIResponse(**body)


def of_chunks(chunks: list[Any]) -> dict[str, Any]:
    """Return the chat completion that a stream's chunks make."""
    built = litellm.stream_chunk_builder(list(chunks))
    if built is None:
        raise ValueError("the stream holds no answer")
    return as_dict(built)


def as_chunks(answer: Any, *, with_usage: bool) -> Iterator[Any]:
    """Yield a chat completion as the chunks of a stream."""
    from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

    body = as_dict(answer)
    head = {"id": body["id"], "created": body["created"], "model": body["model"]}
    for choice in body["choices"]:
        calls = choice["message"].get("tool_calls") or ()
        delta = {k: v for k, v in choice["message"].items() if v is not None} | (
            {"tool_calls": [{"index": n, **call} for n, call in enumerate(calls)]} if calls else {}
        )
        for each, reason in ((Delta(**delta), None), (Delta(), choice["finish_reason"])):
            part = StreamingChoices(index=choice["index"], delta=each, finish_reason=reason)
            yield ModelResponseStream(**head, choices=[part])
    if with_usage and body.get("usage"):
        yield ModelResponseStream(**head, choices=[], usage=litellm.Usage(**body["usage"]))


def length(chunk: Any) -> int:
    """Return the characters of a chunk: text, reasoning, and calls of tools."""
    deltas = [choice.delta for choice in getattr(chunk, "choices", None) or ()]
    texts = [getattr(d, key, None) for d in deltas for key in ("content", "reasoning_content")]
    calls = [c for delta in deltas for c in getattr(delta, "tool_calls", None) or ()]
    return sum(map(len, filter(None, texts))) + sum(
        len(call.function.arguments or "") for call in calls if call.function
    )


def chat_answer(kind: str, body: Json) -> dict[str, Any]:
    """Return an answer as a chat completion."""
    if kind == CHAT:
        return dict(body)
    if kind == MESSAGES:
        return _chat(list(_parts_of_message(body)), _REASONS.get(str(body.get("stop_reason"))))
    cut = (body.get("incomplete_details") or {}).get("reason")
    reason = {"max_output_tokens": "length", "content_filter": "content_filter"}.get(str(cut))
    return _chat(list(_parts_of_response(body)), reason)


_REASONS = {"max_tokens": "length", "refusal": "content_filter"}


def _chat(parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    texts = [part["text"] for part in parts if part.get("text")]
    calls = [{"type": "function", "function": p} for p in parts if "arguments" in p]
    logprobs = [each for part in parts for each in part.get("logprobs") or ()]
    message = {"role": "assistant", "content": "\n".join(texts) or None, "tool_calls": calls}
    refusal = next((part["refusal"] for part in parts if part.get("refusal")), None)
    choice = {
        "index": 0,
        "message": {**message, "refusal": refusal},
        "finish_reason": reason or ("tool_calls" if calls else "stop"),
        "logprobs": {"content": logprobs} if logprobs else None,
    }
    return {"choices": [choice]}


def _parts_of_message(body: Json) -> Iterator[dict[str, Any]]:
    for block in body.get("content") or ():
        if block.get("type") == "text":
            yield {"text": block.get("text")}
        elif block.get("type") == "tool_use":
            yield {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}


def _parts_of_response(body: Json) -> Iterator[dict[str, Any]]:
    for item in body.get("output") or ():
        if item.get("type") == "function_call":
            yield {"name": item.get("name"), "arguments": item.get("arguments")}
        for part in item.get("content") or () if item.get("type") == "message" else ():
            yield {key: part.get(key) for key in ("text", "refusal", "logprobs")}


def chat_request(kind: str, body: Json) -> dict[str, Any]:
    """Return what verifiers look at in a request, as a chat completion."""
    if kind == CHAT:
        return dict(body)
    messages = body.get("messages") if kind == MESSAGES else _turns(body.get("input"))
    system = text_of(body.get("system") if kind == MESSAGES else body.get("instructions"))
    turns = [{"role": "system", "content": system}] if system else []
    tools = [
        {"type": "function", "function": _function(tool)}
        for tool in body.get("tools") or ()
        if isinstance(tool, Mapping) and tool.get("name")
    ]
    form = (body.get("text") or {}).get("format") if kind == RESPONSES else None
    wanted = dict(form) if isinstance(form, Mapping) else {}
    asked: dict[str, Any] = {"model": body.get("model"), "messages": [*turns, *(messages or ())]}
    if tools:
        asked["tools"] = tools
    if wanted.get("type") in ("json_schema", "json_object"):
        asked["response_format"] = {"type": wanted["type"], "json_schema": wanted}
    choice = body.get("tool_choice")
    named = choice.get("type") if isinstance(choice, Mapping) else choice
    if named in ("required", "any", "function", "tool"):
        asked["tool_choice"] = "required"
    return asked


def _turns(turns: object) -> list[Any]:
    return [{"role": "user", "content": turns}] if isinstance(turns, str) else list(turns or ())  # type: ignore[call-overload]


def _function(tool: Json) -> dict[str, Any]:
    parameters = tool.get("parameters") or tool.get("input_schema")
    return {"name": tool.get("name"), "parameters": parameters}
