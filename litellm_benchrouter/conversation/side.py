"""Side requests: what a client asks for itself, such as titles, summaries and proposals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.conversation.turns import Turn, schema_of, system_text
from litellm_benchrouter.conversation.wrappers import has_transcript

_CLASS_HEADER = "x-claude-code-request-class"
_METADATA_HEADER = "x-codex-turn-metadata"
_MAIN = frozenset(
    ("", "main", "subagent", "workflow", "turn", "user", "agent", "regular", "review", "normal")
)
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_FIELD = re.compile(
    r"(?:is_?new_?topic|(?:session_|conversation_|chat_|thread_)?(?:title|name|topic|tags?)|labels?|"
    r"emoji|follow_?ups?|suggestions?|suggested_\w+|questions?|(?:search_)?queries|summary)",
    re.IGNORECASE,
)
_ONLY_A_CHORE = re.compile(
    r"is_?new_?topic|title|tags|follow_?ups?|queries|(?:session|conversation|chat|thread)_\w+",
    re.IGNORECASE,
)
_CHORE = re.compile(
    r"\b(?:commit message|(?:chat|session|thread|conversation)(?:'s)? (?:title|name)|"
    r"titles? (?:for|of) (?:this|the|a) (?:chat|session|thread|conversation|message)|"
    r"the field title|"
    r"new topic|(?:name|title|label|headline)\b[^.\n]{0,60}\bwords?\b|follow[- ]up questions|"
    r"(?:one|single)[- ]line (?:title|summary|commit)|thread title|short title)",
    re.IGNORECASE,
)
_SHORT = 2_000  # characters of an instruction
_SMALL = 1_024  # tokens of an answer


def is_side(turns: list[Turn], request: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Say whether a request is a client's housekeeping and not a person's ask.

    Clients that say so in a header are believed, and one token is a probe. Else the request has no
    tools and no answer in it, and asks for a title, tags, follow-ups or search queries: by the
    schema of its answer, by a short instruction, or over a transcript in tags.

    Parameters
    ----------
    turns : list of Turn
        The newest first.
    request : mapping
    headers : mapping
    """
    stated = _stated(headers)
    limits = [request.get(key) for key in _LIMITS]
    if stated is not None or 1 in limits:
        return stated is not False
    users = [turn for turn in turns if turn.role != "system"]
    if request.get("tools") or not users or any(turn.role != "user" for turn in users):
        return False
    first = "\n".join(users[-1].texts)
    instructions = [system_text(turns, request), *([first] if len(users) > 1 else [])]
    is_chore = any(len(text) <= _SHORT and _CHORE.search(text) for text in instructions)
    quotes = has_transcript(first)
    properties = (schema_of(request) or {}).get("properties")
    if isinstance(properties, Mapping) and properties:
        fields = _FIELD if is_chore or quotes else _ONLY_A_CHORE
        return all(isinstance(key, str) and fields.fullmatch(key) for key in properties)
    is_small = any(isinstance(limit, int) and limit <= _SMALL for limit in limits)
    return is_chore or (quotes and (is_small or _spells_out_fields(first)))


def _stated(headers: Mapping[str, Any]) -> bool | None:
    """Return what the client's headers say; None where they say nothing."""
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            continue
        if len(name) == len(_CLASS_HEADER) and name.lower() == _CLASS_HEADER:
            return value.strip().lower() not in _MAIN
        if len(name) == len(_METADATA_HEADER) and name.lower() == _METADATA_HEADER:
            try:
                metadata = json.loads(value[:10_000])
            except ValueError:
                continue
            kind = metadata.get("request_kind") if isinstance(metadata, dict) else None
            if isinstance(kind, str):
                return kind.strip().lower() not in _MAIN
    return None


def _spells_out_fields(text: str) -> bool:
    """Say whether a text spells out JSON with nothing but a title, tags and the like."""
    names = re.findall(r'"([A-Za-z_]{2,40})"\s*:', text[:_SHORT])
    return bool(names) and all(_FIELD.fullmatch(name) for name in names)
