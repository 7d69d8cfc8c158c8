"""What a request needs beyond text, and which deployments cannot give it. No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from litellm_benchrouter.conversation.text import MAPPINGS, MOST_PARTS, characters

CHARACTERS_PER_TOKEN = 4.0
_DEPTH = 4  # of lists and parts within a turn
_PARTS = {
    "image_url": "images",
    "image": "images",
    "input_image": "images",
    "input_audio": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
}
_GEMINI_SCHEMAS = {"responseSchema", "responseJsonSchema", "response_schema"}
ABILITIES = {
    "images": "supports_vision",
    "audio": "supports_audio_input",
    "files": "supports_pdf_input",
    "tools": "supports_function_calling",
    "a response schema": "supports_response_schema",
}
"""Need -> LiteLLM's name of the ability, in `model_info` and in its cost map."""
INPUT_LIMIT = "max_input_tokens"
EFFORT = "reasoning_effort"
"""Of a deployment: the effort that it asks its model for; a request's own would outrank it."""
_EFFORTS = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))


@dataclass(frozen=True)
class Needs:
    """What a request needs: keys of `ABILITIES`, room for the characters of its text, an effort."""

    kinds: frozenset[str]
    characters: int
    effort: str | None = None

    @property
    def tokens(self) -> int:
        """Its length, estimated from its characters."""
        return int(self.characters / CHARACTERS_PER_TOKEN)


def needs_of(messages: object, request: Mapping[str, Any]) -> Needs:
    """Return what a request needs; parameters as in `conversation.ask.read_ask`."""
    kinds = {
        _PARTS[kind]
        for turns in (messages, request.get("input"), request.get("contents"))
        for kind in islice(_part_kinds(turns), MOST_PARTS)
        if kind in _PARTS
    }
    if request.get("tools") or request.get("functions"):
        kinds.add("tools")
    asked = request.get("response_format") or _part(request.get("text"), "format")
    gemini = request.get("generationConfig") or request.get("config")
    if (isinstance(asked, MAPPINGS) and asked.get("type") == "json_schema") or (
        isinstance(gemini, MAPPINGS) and not gemini.keys().isdisjoint(_GEMINI_SCHEMAS)
    ):
        kinds.add("a response schema")
    return Needs(frozenset(kinds), characters(messages, request), effort_in(request))


def effort_in(params: Mapping[str, Any]) -> str | None:
    """Return the reasoning effort that a request or a deployment names; None where it does not."""
    places = (params.get(EFFORT), params.get("reasoning"), params.get("output_config"))
    named = (_part(place, "effort") if isinstance(place, MAPPINGS) else place for place in places)
    return next((each for each in named if isinstance(each, str) and each in _EFFORTS), None)


def lacking(abilities: Mapping[str, Any], needs: Needs) -> str | None:
    """Return what of a request's needs is denied; what is not known counts as given.

    Abilities have LiteLLM's names: `supports_vision` and the like, `max_input_tokens`.
    """
    for kind in sorted(needs.kinds):
        if abilities.get(ABILITIES[kind]) is False:
            return kind
    own = abilities.get(EFFORT)
    if needs.effort is not None and own is not None and own != needs.effort:
        return f"the effort {needs.effort}"
    limit = abilities.get(INPUT_LIMIT)
    if isinstance(limit, int | float) and not isinstance(limit, bool) and needs.tokens > limit > 0:
        return f"{needs.tokens} tokens"
    return None


def _part_kinds(turns: object, depth: int = _DEPTH) -> Iterator[str]:
    """Yield the kind of each turn and of its parts; an empty one where it has none."""
    if not depth or not isinstance(turns, list | tuple):
        return
    for turn in turns:
        kind = turn.get("type") if isinstance(turn, MAPPINGS) else None
        yield kind if isinstance(kind, str) else ""
        if isinstance(turn, MAPPINGS):
            yield from _gemini_kind(turn)
            yield from _part_kinds(turn.get("content") or turn.get("parts"), depth - 1)


def _gemini_kind(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kind of a part of Gemini's form, which is told by a media type."""
    for key in ("inlineData", "inline_data", "fileData", "file_data"):
        data = part.get(key)
        if isinstance(data, MAPPINGS):
            media = str(data.get("mimeType") or data.get("mime_type")).partition("/")[0]
            yield {"image": "image", "audio": "input_audio"}.get(media, "file")


def _part(container: object, key: str) -> object:
    return container.get(key) if isinstance(container, MAPPINGS) else None
