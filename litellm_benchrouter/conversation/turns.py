"""The turns of a request, read alike from chat, messages, responses, contents and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

MOST_TURNS = 500
"""Turns, and parts of a turn, that are looked at; of the turns, the newest."""

Role = Literal["user", "assistant", "tool", "system"]

_ROLES: dict[str, Role] = {
    **{"user": "user", "assistant": "assistant", "model": "assistant"},
    **{"tool": "tool", "function": "tool", "system": "system", "developer": "system"},
}
_LIMITS = (*("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"),)
_MAPPINGS = (dict, Mapping)  # dict first: to ask for a Mapping takes ten times as long
_MOST_TEXT = 120_000  # characters of a part; of a longer one, its two ends


class Turn:
    """One turn of a conversation; its parts are read when they are asked for.

    Parameters
    ----------
    role : str
        `user`, `assistant`, `tool` or `system`.
    content : object
        A text or a list of parts, as the client sent it.
    """

    __slots__ = ("_content", "role")

    def __init__(self, role: Role, content: object = None) -> None:
        self.role = role
        self._content = content

    @property
    def texts(self) -> tuple[str, ...]:
        """The text parts; images, files and tool results are passed over."""
        return _texts(self._content)

    @property
    def has_tool_result(self) -> bool:
        """Whether a user turn brings a tool's result."""
        return isinstance(self._content, list | tuple) and any(
            isinstance(part, _MAPPINGS)
            and (
                part.get("type") == "tool_result"
                or "functionResponse" in part
                or "function_response" in part
            )
            for part in islice(self._content, MOST_TURNS)
        )


def read_turns(messages: object, request: Mapping[str, Any]) -> list[Turn]:
    """Return the newest turns of a request, the newest first.

    Parameters
    ----------
    messages : object
        Chat or Anthropic messages, or a completion's prompt; None where the endpoint has none.
    request : mapping
        The rest of the request: `input` of responses, `contents` of generateContent, `prompt`.
    """
    turns = map(read_turn, newest_items(messages, request))
    return [turn for turn in turns if turn is not None]


def newest_items(messages: object, request: Mapping[str, Any]) -> list[object]:
    """Return the newest turns of a request as the client sent them, the newest first."""
    places = (messages, request.get("input"), request.get("contents"), request.get("prompt"))
    for place in places:
        if not place:
            continue
        if isinstance(place, str):
            if place.strip():
                return [place]
            continue
        items = [place] if isinstance(place, _MAPPINGS) else place
        if isinstance(items, list | tuple):
            return list(islice(reversed(items), MOST_TURNS))
    return []


def system_text(turns: list[Turn], request: Mapping[str, Any]) -> str:
    """Return the first system turn, or the instructions that stand beside the turns."""
    first = next((turn.texts for turn in reversed(turns) if turn.role == "system"), ())
    if any(text.strip() for text in first):
        return "\n".join(first).strip()
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        if request.get(key):
            text = "\n".join(_texts(request[key])).strip()
            if text:
                return text
    return ""


def is_bound(messages: object, request: Mapping[str, Any]) -> bool:
    """Say whether only the model that answered last can read the request.

    That is so where the rest is with its provider, or where it holds reasoning that is encrypted
    or signed.
    """
    if request.get("previous_response_id") or request.get("conversation"):
        return True
    for turns in (messages, request.get("input"), request.get("contents")):
        for turn in islice(reversed(turns), MOST_TURNS) if isinstance(turns, list | tuple) else ():
            if isinstance(turn, _MAPPINGS):
                parts = turn.get("content") or turn.get("parts") or turn.get("thinking_blocks")
                each = parts if isinstance(parts, list | tuple) else ()
                if _is_sealed(turn) or any(map(_is_sealed, islice(each, MOST_TURNS))):
                    return True
    return False


def _is_sealed(part: object) -> bool:
    if not isinstance(part, _MAPPINGS):
        return False
    if part.get("encrypted_content") or part.get("type") == "redacted_thinking":
        return True
    return bool(
        part.get("signature") or part.get("thoughtSignature") or part.get("thinking_blocks")
    )


def answer_limits(request: Mapping[str, Any]) -> list[int]:
    """Return how many tokens the answer may have, as often as the request says it."""
    config = request.get("generationConfig") or request.get("config")
    places = (request, config) if isinstance(config, _MAPPINGS) else (request,)
    limits = (place[key] for place in places for key in _LIMITS if key in place)
    return [limit for limit in limits if isinstance(limit, int)]


def schema_of(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema that the answer has to follow; None where there is none."""
    for place in (
        ("response_format", "json_schema", "schema"),
        ("output_config", "format", "schema"),
        ("output_format", "schema"),
        ("text", "format", "schema"),
        ("generationConfig", "responseSchema"),
        ("generationConfig", "responseJsonSchema"),
    ):
        if place[0] not in request:
            continue
        part: object = request
        for key in place:
            part = part.get(key) if isinstance(part, _MAPPINGS) else None
        if isinstance(part, Mapping):
            return part
    return None


def read_turn(item: object) -> Turn | None:
    """Return a turn as a client sent it; None for what is none."""
    if isinstance(item, str):
        return Turn("user", item)
    if not isinstance(item, _MAPPINGS):
        return None
    role = _role(item)
    if role is None:
        return None
    content = item.get("content")
    return Turn(role, item.get("parts") if content is None else content)


def _role(item: Mapping[Any, Any]) -> Role | None:
    kind, role = item.get("type"), item.get("role", "user")
    if kind is not None and kind != "message":
        # /v1/responses lists the model's reasoning and its calls of tools beside the messages.
        is_output = isinstance(kind, str) and kind.endswith("_output")
        return "tool" if is_output else "assistant"
    return _ROLES.get(role) if isinstance(role, str) else None


def _texts(content: object) -> tuple[str, ...]:
    """Return the text parts of a turn; images, files and tool results are passed over."""
    if isinstance(content, str):
        return (_ends(content),)
    if not isinstance(content, list | tuple):
        if not isinstance(content, _MAPPINGS):
            return ()
        content = content.get("parts", [content])  # generateContent's system instruction
        content = content if isinstance(content, list | tuple) else ()
    texts = [
        part if isinstance(part, str) else part.get("text") if isinstance(part, _MAPPINGS) else None
        for part in islice(content, MOST_TURNS)
    ]
    return tuple([_ends(text) for text in texts if isinstance(text, str)])


def _ends(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[: _MOST_TEXT // 2]}\n{text[-_MOST_TEXT // 2 :]}"
