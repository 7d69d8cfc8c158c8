"""What a request says: its text, the task it names, the policy it asks for. No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

TASK_HEADER = "x-benchrouter-task"
TASK_TAG = "task:"
POLICY_HEADER = "x-benchrouter-policy"
TEXT_HEADER = "x-benchrouter-text"
EXPLORE_HEADER = "x-benchrouter-explore"
EXPLORE_OF_KEY = "benchrouter_explore"

MAPPINGS = (dict, Mapping)
"""For `isinstance`: dict first, as to ask for a Mapping takes ten times as long."""

# The event loop reads requests, and a client may send anything: no embedder looks further than the
# first of these characters, and of a million turns or parts a sample must do.
MOST_PARTS = 1_000
_LONGEST_TEXT = 32_768
_LONGEST_NAME = 200
_COUNTED = ("input", "contents", "instructions", "system", "systemInstruction")
_NO = frozenset(("0", "false", "never", "no", "none", "off"))
_TURNS = ("messages", "prompt", "input", "contents")
TEXT_CALLS = frozenset(
    {
        *("completion", "acompletion", "text_completion", "atext_completion"),
        *("responses", "aresponses", "anthropic_messages"),
        *("generate_content", "agenerate_content"),
        *("generate_content_stream", "agenerate_content_stream"),
    }
)
"""LiteLLM's names of the calls that answer text."""


def metadata_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's own metadata of a request: chat keeps it elsewhere than responses."""
    for key in ("litellm_metadata", "metadata"):
        metadata = request.get(key)
        if isinstance(metadata, dict):
            return metadata
    return {}


def asks_for_text(request: Mapping[str, Any]) -> bool:
    """Say whether a call is one that the benchmark can speak to: chat, completions and the like.

    The shape of the request does not tell: an image's prompt comes as a chat message too.
    """
    call_type = getattr(request.get("litellm_logging_obj"), "call_type", None)
    return isinstance(call_type, str) and call_type in TEXT_CALLS


def turns_of(request: Mapping[str, Any]) -> object:
    """Return the turns of a request of any endpoint: a list, or a text; None where it has none."""
    return next((request[key] for key in _TURNS if request.get(key)), None)


def last_user_turn(messages: object, request: Mapping[str, Any]) -> str:
    """Return the text of the last user turn that has any, or an empty string.

    Of a very long text it is the beginning; of very many turns the last are looked at.

    Parameters
    ----------
    messages : object
        Chat or Anthropic messages; None where the endpoint has none.
    request : mapping
        The rest of the request: `input` of /v1/responses, `contents` of Gemini's endpoint.
    """
    for turns in (messages, request.get("input"), request.get("contents")):
        text = _user_text(turns)
        if text:
            return text
    return ""


def named_task(request: Mapping[str, Any]) -> str | None:
    """Return the task that a request names: by header, then metadata, then a tag `task:NAME`."""
    said = _header(request, TASK_HEADER)
    if said is not None and len(said) <= _LONGEST_NAME:
        return said
    metadata = metadata_of(request)
    requester = metadata.get("requester_metadata")
    for place in (requester, metadata, request.get("metadata")):
        if isinstance(place, MAPPINGS) and _is_name(place.get("task")):
            return str(place["task"]).strip()
    tags = metadata.get("tags")
    if isinstance(tags, list | tuple):
        for tag in islice(tags, MOST_PARTS):
            if isinstance(tag, str) and tag.startswith(TASK_TAG):
                name = tag.removeprefix(TASK_TAG)
                if _is_name(name):
                    return name.strip()
    return None


def asked_policy(request: Mapping[str, Any]) -> str | None:
    """Return the policy that a request asks for, as it is written; None where it does not."""
    return _header(request, POLICY_HEADER)


def asked_text(request: Mapping[str, Any]) -> str | None:
    """Return which text a request asks to be routed on, as it is written; None if it does not."""
    return _header(request, TEXT_HEADER)


def refuses_exploration(request: Mapping[str, Any]) -> bool:
    """Say whether the caller, or the metadata of its key or team, wants no random model."""
    said = _header(request, EXPLORE_HEADER)
    if said is not None and said.lower() in _NO:
        return True
    metadata = metadata_of(request)
    for place in (metadata.get("requester_metadata"), metadata, request.get("metadata")):
        if isinstance(place, MAPPINGS) and _is_no(place.get("explore")):
            return True
    of_key = (metadata.get("user_api_key_metadata"), metadata.get("user_api_key_team_metadata"))
    return any(isinstance(m, MAPPINGS) and _is_no(m.get(EXPLORE_OF_KEY)) for m in of_key)


def _is_no(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() in _NO)


def characters(messages: object, request: Mapping[str, Any]) -> int:
    """Count the text of the whole request, which is what its input costs: all turns and roles.

    Parameters
    ----------
    messages, request
        As in `last_user_turn`. Images, files and tools are not counted, nor what follows after
        `MOST_PARTS` parts.
    """
    turns = (messages, *(request.get(key) for key in _COUNTED))
    lengths = (islice(_lengths(part), MOST_PARTS) for part in turns if part is not None)
    return sum(chain.from_iterable(lengths))


def _lengths(part: object, depth: int = 4) -> Iterator[int]:
    """Yield the characters of a turn, a list of turns, or the parts of one; no deeper."""
    if isinstance(part, str):
        yield len(part)
    elif depth and isinstance(part, list | tuple):
        for each in part:
            yield from _lengths(each, depth - 1)
    elif depth and isinstance(part, MAPPINGS):
        for key in ("content", "parts", "text"):
            yield from _lengths(part.get(key), depth - 1)
    else:
        yield 0  # it counts among the parts that are looked at


def _header(request: Mapping[str, Any], wanted: str) -> str | None:
    """Return a header of the client's request, stripped; None where it is missing or empty."""
    headers = metadata_of(request).get("headers")
    if isinstance(headers, MAPPINGS):
        for name, value in headers.items():
            # The length first: there are a dozen headers, and this one is seldom among them.
            is_it = isinstance(name, str) and len(name) == len(wanted) and name.lower() == wanted
            if is_it and isinstance(value, str):
                return value.strip() or None
    return None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and len(value) <= _LONGEST_NAME


def _user_text(turns: object) -> str:
    if isinstance(turns, str):
        return turns[:_LONGEST_TEXT]
    if not isinstance(turns, list | tuple):
        return ""
    for turn in islice(reversed(turns), MOST_PARTS):
        if isinstance(turn, str):
            return turn[:_LONGEST_TEXT]
        if isinstance(turn, MAPPINGS) and _is_user_turn(turn):
            text = _content_text(turn.get("content") or turn.get("parts"))
            if text.strip():
                return text
    return ""


def _is_user_turn(turn: Mapping[Any, Any]) -> bool:
    # /v1/responses lists the model's reasoning and its calls of tools beside the messages.
    return (turn.get("role", "user"), turn.get("type", "message")) == ("user", "message")


def _content_text(content: object) -> str:
    """Join the text parts of a turn; images, files and tool results are passed over."""
    if isinstance(content, str):
        return content[:_LONGEST_TEXT]
    if not isinstance(content, list | tuple):
        return ""
    parts: list[str] = []
    room = _LONGEST_TEXT
    for part in islice(content, MOST_PARTS):
        text = part.get("text") if isinstance(part, MAPPINGS) else part
        if isinstance(text, str) and room > 0:
            parts.append(text[:room])
            room -= len(text) + 1
    return "\n".join(parts)
