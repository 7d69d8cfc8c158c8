"""Blocks that clients put around a person's words, told by the shape and place of their tags."""

from __future__ import annotations

import re

# Tags whose content a person typed.
_TYPED = frozenset(
    (
        *("ask", "answer", "command-args", "feedback", "instruction", "prompt", "query"),
        *("question", "request", "task", "user-ask", "user-feedback", "user-input"),
        *("user-instruction", "user-instructions", "user-message", "user-prompt", "user-query"),
        *("user-question", "user-request"),
    )
)
# The last word of the names that clients give to what they add.
_ADDED = frozenset(
    (
        *("aborted", "attachment", "attachments", "caveat", "changes", "context", "cursor"),
        *("date", "details", "diagnostics", "diff", "editor", "errors", "input", "problems"),
        *("directory", "env", "environment", "event", "file", "files", "guidelines", "hint"),
        *("info", "information", "instructions", "memories", "memory", "message", "meta"),
        *("metadata", "mode", "name", "note", "notes", "notice", "notification", "notifications"),
        *("output", "plan", "preferences", "profile", "reminder", "result", "results", "rules"),
        *("selection", "settings", "state", "status", "stderr", "stdin", "stdout", "structure"),
        *("summary", "surroundings", "system", "tabs", "time", "todo", "todos", "tree"),
        *("workspace",),
    )
)
# Names of one word that nobody but a client uses for a whole text.
_ADDED_ALONE = frozenset(
    (
        *("attachments", "context", "environment", "instructions", "memory", "metadata"),
        *("notice", "notification", "reminder", "rules", "system", "workspace"),
    )
)
# The first word of such names where they could be elements of a page: `hive-note` is a person's.
_OF_CLIENTS = frozenset(
    (
        *("active", "additional", "agent", "agents", "assistant", "attached", "available", "bash"),
        *("client", "command", "conversation", "current", "cursor", "editor", "env"),
        *("environment", "file", "git", "hook", "ide", "important", "linter", "local", "memory"),
        *("mode", "open", "opened", "permissions", "plan", "project", "prompt", "recent", "repo"),
        *("repository", "selected", "session", "shell", "skill", "skills", "subagent", "system"),
        *("task", "terminal", "tool", "turn", "user", "visible", "vscode", "workspace"),
    )
)
_TRANSCRIPTS = frozenset(
    (
        *("chat", "conversation", "dialog", "dialogue", "history", "messages", "session"),
        *("thread", "transcript"),
    )
)
_MATERIAL = frozenset(
    (
        *("article", "articles", "attachment", "attachments", "chunk", "chunks", "content"),
        *("context", "contexts", "data", "doc", "docs", "document", "documents", "excerpt"),
        *("excerpts", "file", "files", "knowledge", "passage", "passages", "reference"),
        *("references", "result", "results", "source", "sources", "text"),
    )
)
_OPENING = re.compile(r"<([A-Za-z][\w:-]{0,63})(?:\s[^<>]{0,500})?>")
_LINE_OPENING = re.compile(rf"^[ \t]*{_OPENING.pattern}", re.MULTILINE)
_EMPTY = re.compile(r"<([A-Za-z][\w:-]{0,63})(?:\s[^<>]{0,500})?/>[ \t]*(?=\n|<|$)")
_CLOSING = re.compile(r"</([A-Za-z][\w:-]{0,63})\s*>\s*$")
_MARKER = re.compile(r"\[[^\[\]\n]{1,120}\]")
_HEADING = re.compile(r"\s*(?:#{1,6}\s[^\n]*)?")
_CONDENSED = re.compile(r"#{1,6}\s[^\n]{0,40}\b(?:summary|recap)\b[^\n]{0,40}\n", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

_MOST_BLOCKS = 50
_LOOKED_AT = 20_000  # characters in which an opening tag is looked for


def unwrap(text: str) -> str:
    """Return what a person wrote, without the blocks that a client put around it.

    A block is taken off at the edges of a text. A tag that is not closed, or that stands within a
    line, is the person's own. Of material with a question, the question stays. Quotes around all of
    it are a command line's.
    """
    text = text.strip()
    if "<" in text:
        question = _without_material(_without_blocks(text))
        text = _without_blocks(question)
    if len(text) > 1 and text[0] == text[-1] == '"':
        inner = text[1:-1]
        if '"' not in inner.replace('\\"', ""):
            text = inner.replace('\\"', '"').strip() or text
    # "[Request interrupted ...]"
    return "" if _MARKER.fullmatch(text) else text


def is_summary(text: str) -> bool:
    """Say whether a text is a client's summary of what came before in the conversation."""
    if _CONDENSED.match(text.lstrip()[:200]):
        return True
    start = text.find("<summary>", 0, 2_000)
    return start >= 0 and text.find("</summary>", start) > start


def has_transcript(text: str) -> bool:
    """Say whether a text holds a closed block with a conversation in it."""
    return any(
        _words(opening[1])[-1] in _TRANSCRIPTS and text.find(f"</{opening[1]}>", opening.end()) > 0
        for opening in _LINE_OPENING.finditer(text[:_LOOKED_AT])
    )


def _without_blocks(text: str) -> str:
    whole = text
    for _ in range(_MOST_BLOCKS):
        shorter = _without_first(text)
        shorter = _without_last(text) if shorter is None else shorter
        if shorter is None:
            break
        text = shorter
    # The heading of a block that stood below it is not the person's either.
    only_headings = text != whole and all(_HEADING.fullmatch(line) for line in text.split("\n"))
    return "" if only_headings else text


def _without_first(text: str) -> str | None:
    """Return the text without a block at its beginning; None where it has none."""
    empty = _EMPTY.match(text)
    if empty is not None and len(_words(empty[1])) > 1 and _is_of_client(empty[1]):
        return text[empty.end() :].strip()
    opening = _OPENING.match(text)
    end = -1 if opening is None else text.find(f"</{opening[1]}>", opening.end())
    if opening is None or end < 0:
        return None
    inner, rest = text[opening.end() : end], text[end + len(opening[1]) + 3 :].strip()
    if _is_typed(opening[1]):
        return f"{inner.strip()}\n{rest}".strip()
    if rest and "\n" not in inner and text[end + len(opening[1]) + 3 :][:1] not in "\n<":
        return None  # within a line
    return rest if _is_added(opening[1], inner, alone=not rest) else None


def _without_last(text: str) -> str | None:
    """Return the text without a block that begins a line and ends the text; None as above."""
    closing = _CLOSING.search(text, max(len(text) - 100, 0))
    if closing is None:
        return None
    start = max(text.rfind(f"<{closing[1]}>"), text.rfind(f"<{closing[1]} "))
    opening = _OPENING.match(text, start) if start > 0 else None
    if opening is None:
        return None
    inner, rest = text[opening.end() : closing.start()], text[:start]
    begins_line = rest.rstrip(" \t").endswith("\n")
    if _is_typed(closing[1]):
        return inner.strip() if begins_line and inner.strip() else None
    return rest.strip() if _is_added(closing[1], inner, alone=False) else None


def _is_typed(name: str) -> bool:
    return "-".join(_words(name)) in _TYPED


def _is_added(name: str, inner: str, *, alone: bool) -> bool:
    words = _words(name)
    if len(words) == 1:
        is_shouted = name.isupper() and len(name) > 3
        return is_shouted or (alone and words[0] in _ADDED_ALONE)
    if alone:
        return True
    if not _is_of_client(name):
        return False
    if words[-1] in _ADDED:
        return True
    # Markup within markup, and on one line, is what people paste.
    return "_" in name and inner.startswith("\n") and not inner.lstrip().startswith("<")


def _is_of_client(name: str) -> bool:
    """Say whether a name of several words can be none of an element that a person wrote."""
    return "_" in name or _words(name)[0] in _OF_CLIENTS


def _without_material(text: str) -> str:
    """Return the question that stands behind blocks of material, or else before them."""
    opening = next(
        (
            match
            for match in _LINE_OPENING.finditer(text[:_LOOKED_AT])
            if _words(match[1])[-1] in _MATERIAL
        ),
        None,
    )
    end = -1 if opening is None else text.rfind(f"</{opening[1]}>")
    if opening is None or end < opening.end():
        return text
    behind, before = text[end + len(opening[1]) + 3 :], text[: opening.start()]
    if "\n" not in text[opening.end() : end] and behind[:1] not in ("", "\n"):
        return text  # within a line
    for question in (behind.strip(), before.strip()):
        if sum(character.isalnum() for character in question[:200]) >= 3:
            return question
    return text


def _words(name: str) -> list[str]:
    """Split a tag's name at hyphens, underscores and capitals, as in environmentDetails."""
    return [word.lower() for word in _WORD.findall(name)] or [name.lower()]
