"""Side requests: what a client asks for itself, such as titles, summaries and proposals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.conversation.turns import Turn, answer_limits, schema_of, system_text
from litellm_benchrouter.conversation.wrappers import has_transcript

_CLASS_HEADER = "x-claude-code-request-class"
_METADATA_HEADER = "x-codex-turn-metadata"
_LENGTHS = (len(_CLASS_HEADER), len(_METADATA_HEADER))
_MAIN = frozenset(
    ("", "main", "subagent", "workflow", "turn", "user", "agent", "regular", "review", "normal")
)
_FIELD = re.compile(
    r"(?:is_?new_?topic|(?:session_|conversation_|chat_|thread_)?(?:title|name|topic|tags?)|labels?|"
    r"emoji|follow_?ups?|suggestions?|suggested_\w+|questions?|(?:search_)?queries|summary|text)",
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
_TITLE = re.compile(
    r"\b(?:titel|titre|título|titolo|tytuł|başlık|заголовок|название)|标题|標題|タイトル|제목|عنوان|शीर्षक",
    re.IGNORECASE,
)
_CONVERSATION = re.compile(
    r"\b(?:chat|conversa|unterhaltung|gespräch|sitzung|diálogo|discussion|gesprek|rozmow|sohbet|"
    r"разговор|бесед|диалог|чат)|对话|會話|会话|聊天|会話|チャット|대화|채팅|محادثة|دردشة|बातचीत|वार्तालाप",
    re.IGNORECASE,
)
_HOLE = re.compile(
    r"<[|｜]?\s?fim[_▁-]?(?:prefix|suffix|middle|begin|hole|end)|<SUF>|\[SUFFIX\]|"
    r"\{\{\s*(?:FILL|CURSOR|HOLE)\w*\s*\}\}|<[|｜]?(?:user_)?cursor(?:_\w+)?[|｜]?\s*/?>",
    re.IGNORECASE,
)
_COMPLETES = re.compile(
    r"\bauto-?complet|\b(?:code|text|inline) completion|fill[- ]in[- ]the[- ]middle|"
    r"\b(?:at|before|after) the (?:cursor|caret)\b|\bmissing code\b",
    re.IGNORECASE,
)
_CONDENSES = re.compile(
    r"(?<![</])\b(?:summar\w+|condens\w+|compact\w*|hand-?\s?(?:over|off))\b", re.IGNORECASE
)
_SO_FAR = re.compile(
    r"\b(?:conversation|session|so far|context|next (?:model|agent|session))\b", re.IGNORECASE
)
_FOR_A_CLIENT = re.compile(
    r"<summary>|\b(?:not|n't|never|no|without)\b[^.\n]{0,30}\btools?\b", re.IGNORECASE
)
_SPOKEN = (  # the lines of a dialogue; two expressions, as one would be quadratic
    re.compile(r"^(?:user|human)[ \t]{0,3}:", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^(?:ai|assistant|model)[ \t]{0,3}:", re.IGNORECASE | re.MULTILINE),
)
_HEAD = 300  # characters before a dialogue that say what it is for
_SHORT = 2_000  # characters of an instruction
_LOOKED_AT = 20_000  # characters of the first turn
_SMALL = 1_024  # tokens of an answer


def is_side(turns: list[Turn], request: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Say whether a request is a client's housekeeping and not a person's ask.

    Clients that say so in a header are believed, and one token is a probe. A client that condenses
    a conversation asks for it in the last turn. Else the request has no tools and no answer in it,
    and asks for a title, tags, follow-ups or search queries: by the schema of its answer, by a
    short instruction, or over a transcript in tags; or for what is missing at a cursor.

    Parameters
    ----------
    turns : list of Turn
        The newest first.
    request : mapping
    headers : mapping
    """
    stated = _stated(headers)
    limits = answer_limits(request)
    if stated is not None or 1 in limits:
        return stated is not False
    users = [turn for turn in turns if turn.role != "system"]
    is_last = bool(users) and users[0].role == "user"
    if is_last and any(turn.role == "assistant" for turn in users) and _condenses(users[0]):
        return True
    if request.get("tools") or not users or any(turn.role != "user" for turn in users):
        return False
    first = "\n".join(users[-1].texts)
    instructions = [system_text(turns, request), *([first] if len(users) > 1 else [])]
    is_small = any(limit <= _SMALL for limit in limits)
    completes = is_small and any(_COMPLETES.search(text[:_SHORT]) for text in instructions)
    if completes or request.get("suffix") or _has_hole(first, is_small):
        return True
    is_chore = any(len(text) <= _SHORT and _is_chore(text) for text in instructions)
    quotes = has_transcript(first)
    if all(line.search(first, 0, _LOOKED_AT) for line in _SPOKEN):
        is_chore = is_chore or _is_chore(first[:_HEAD])
    properties = (schema_of(request) or {}).get("properties")
    if isinstance(properties, Mapping) and properties:
        fields = _FIELD if is_chore or quotes else _ONLY_A_CHORE
        return all(isinstance(key, str) and fields.fullmatch(key) for key in properties)
    return is_chore or (quotes and (is_small or _spells_out_fields(first)))


def _is_chore(text: str) -> bool:
    if _CHORE.search(text):
        return True
    return _TITLE.search(text) is not None and _CONVERSATION.search(text) is not None


def _has_hole(text: str, is_small: bool) -> bool:
    """Say whether a text marks a place to fill; one marker may be what a person asks about."""
    if "<" not in text and "[" not in text and "{" not in text:  # as nearly always
        return False
    return len(_HOLE.findall(text[:_LOOKED_AT])) > (0 if is_small else 1)


def _condenses(turn: Turn) -> bool:
    """Say whether a turn asks for a summary of the conversation, in words for a program."""
    text = "\n".join(turn.texts)[:_LOOKED_AT]
    return all(words.search(text) for words in (_FOR_A_CLIENT, _CONDENSES, _SO_FAR))


def _stated(headers: Mapping[str, Any]) -> bool | None:
    """Return what the client's headers say; None where they say nothing."""
    for name, value in headers.items():
        if not isinstance(name, str) or len(name) not in _LENGTHS or not isinstance(value, str):
            continue
        header = name.lower()
        if header == _CLASS_HEADER:
            return value.strip().lower() not in _MAIN
        if header == _METADATA_HEADER:
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
