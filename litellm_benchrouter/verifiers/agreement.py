"""`agreement`: whether another cheap model answers the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from litellm_benchrouter.verifiers.parts import message_of, text_of, tool_calls_of

Chat = Mapping[str, Any]

_WORDS = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_SHORT = 12  # words; of longer answers, their last number or line is what they come to
_CHARACTERS = 20_000


async def agreement(
    request: Chat, answer: Chat, ask: Callable[[Chat], Awaitable[Chat]]
) -> float | None:
    """Return how far another model's answer to the same request agrees, from 0 to 1."""
    return likeness(answer, await ask(request))


def likeness(answer: Chat, other: Chat) -> float | None:
    """Return how far two answers agree; None where one of them is empty.

    Calls of tools agree by names and arguments, JSON by value; texts by their words (token F1),
    half of which is what they come to where they are long: the last number, else the last line.
    """
    calls, others = _calls(answer), _calls(other)
    if calls or others:
        return float(calls == others)
    a, b = (
        text_of(message_of(each).get("content"))[:_CHARACTERS].strip() for each in (answer, other)
    )
    if not a or not b:
        return None
    parsed = [_json(a), _json(b)]
    if None not in parsed:
        return float(parsed[0] == parsed[1])
    words = _f1(a, b)
    if max(len(_WORDS.findall(a)), len(_WORDS.findall(b))) <= _SHORT:
        return 1.0 if a.casefold() == b.casefold() else words
    return (words + _outcome(a, b)) / 2


def _outcome(a: str, b: str) -> float:
    numbers = [_NUMBER.findall(text) for text in (a, b)]
    if all(numbers):
        return float(numbers[0][-1] == numbers[1][-1])
    return _f1(a.splitlines()[-1], b.splitlines()[-1])


def _f1(a: str, b: str) -> float:
    left, right = (Counter(_WORDS.findall(text.casefold())) for text in (a, b))
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else float(a == b)


def _calls(answer: Chat) -> list[tuple[object, object]]:
    return [(call.get("name"), _json(call.get("arguments"))) for call in tool_calls_of(answer)]


def _json(text: object) -> Any:
    """Return an object or a list that a text is in JSON; None where it is neither."""
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
