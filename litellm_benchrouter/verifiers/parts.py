"""Parts of a chat completion, whatever is missing in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def choice_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice of an answer."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def message_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of the first choice."""
    message = choice_of(answer).get("message")
    return message if isinstance(message, Mapping) else {}


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def tool_calls_of(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions that an answer calls, each with `name` and `arguments`."""
    message = message_of(answer)
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in listed if isinstance(call, Mapping)]
    if isinstance(message.get("function_call"), Mapping):
        functions.append(message["function_call"])
    return [function for function in functions if isinstance(function, Mapping)]


def question_of(request: Mapping[str, Any]) -> str:
    """Return the text of the newest user turn."""
    turns = request.get("messages")
    for turn in reversed(turns if isinstance(turns, list) else []):
        if isinstance(turn, Mapping) and turn.get("role") == "user":
            text = text_of(turn.get("content"))
            if text.strip():
                return text
    return ""
