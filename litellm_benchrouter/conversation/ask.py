"""The ask of a request: what a person wants, among all that a client sends around it.

Agents wrap a person's words in reminders, surroundings, tool results and summaries, and send
requests of their own beside them. The rules go by shapes and not by a list of clients: by a tag's
name and place, by who speaks after whom, by length. Requests are not changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from litellm_benchrouter.conversation.follow_up import is_follow_up
from litellm_benchrouter.conversation.side import is_side
from litellm_benchrouter.conversation.text import asked_text, last_user_turn, metadata_of
from litellm_benchrouter.conversation.turns import Turn, read_turns, schema_of, system_text
from litellm_benchrouter.conversation.wrappers import is_summary, unwrap

Kind = Literal["ask", "keep", "side", "none"]
CHOICES = ("ask", "last", "first")

LONGEST_TEXT = 32_768
"""Characters of a text that an embedder is given."""

_LABELLED = 2_000  # characters above which a "Question:" label counts
_LABEL_WITHIN = 10_000  # last characters in which it is looked for
_LONG = 8_000  # characters above which a text counts by its edges
_SHORT_PARAGRAPH = 1_200
_EDGE = 2_000
_MATERIAL = 1_500  # characters of a user turn that is material for the system turn's task
_LABELS = (
    r"(?:user(?:'s)? )?(?:question|query|frage|anfrage|pregunta|pergunta|domanda|vraag|soru|"
    r"pytanie|fråga|вопрос|问题|問題|用户问题|质問|質問|질문|السؤال|سؤال|प्रश्न|सवाल|câu hỏi)"
)
_LABEL = re.compile(
    rf"^(?:[ \t#*>]*{_LABELS}[ \t*]*[:：][ \t*]*|#{{1,6}}[ \t]+{_LABELS}[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER = re.compile(
    r"^[ \t#*>]*(?:\w+ )?(?:answer|response|antwort|respuesta|resposta|risposta|réponse|antwoord|"
    r"cevap|ответ|答案|回答|答え|답변|الجواب|الإجابة|उत्तर|trả lời)[ \t*]*[:：]",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Ask:
    """The text to route on, and what kind of turn it belongs to.

    Attributes
    ----------
    kind : str
        `ask`: a person wants something new. `keep`: the conversation's decision stands, as after a
        tool's result or a "yes". `side`: the client's own housekeeping. `none`: nothing to go by.
    text : str or None
        What is asked; of `keep`, the ask before it, where the request holds it.
    """

    kind: Kind
    text: str | None


def read_ask(
    messages: object, request: Mapping[str, Any], headers: Mapping[str, Any] | None = None
) -> Ask:
    """Return what a request asks.

    Parameters
    ----------
    messages : object
        Chat or Anthropic messages, or the prompt of a completion; None where the endpoint has none.
    request : mapping
        The rest of the request: `input`, `contents`, `tools`, `response_format` and the like.
    headers : mapping, optional
        Of the client's request.
    """
    turns = read_turns(messages, request)
    ask = _ask_of(turns, request)
    return Ask("side", ask.text) if is_side(turns, request, headers or {}) else ask


def ask_to_route_on(messages: object, request: Mapping[str, Any], choice: str = "ask") -> Ask:
    """Return what a request is routed on, as much as an embedder is given.

    Parameters
    ----------
    messages, request
        As in `read_ask`, the request with LiteLLM's metadata.
    choice : {"ask", "last", "first"}
        The ask of these rules, the last user turn as it stands, or the conversation's first ask;
        the header `x-benchrouter-text` outranks it.
    """
    headers = metadata_of(request).get("headers")
    ask = read_ask(messages, request, headers if isinstance(headers, Mapping) else None)
    choice = text_choice(request, choice)
    if choice == "ask":
        return Ask(ask.kind, (ask.text or "")[:LONGEST_TEXT])
    text = (last_user_turn if choice == "last" else first_ask)(messages, request)
    return Ask("side" if ask.kind == "side" else "ask" if text.strip() else "none", text)


def text_choice(request: Mapping[str, Any], choice: str) -> str:
    """Return which text counts: what the request's header says, else the configuration's choice."""
    wanted = (asked_text(request) or "").lower()
    return wanted if wanted in CHOICES else choice


def prompt_text(prompt: str) -> str:
    """Return what is compared of a lone prompt: of the benchmark, or of a request, alike."""
    return _shortened(unwrap(prompt)) or prompt


def first_ask(messages: object, request: Mapping[str, Any]) -> str:
    """Return what a conversation began with, by which every worker decides alike."""
    for turn in reversed(read_turns(messages, request)):
        text = typed_text(turn) if turn.role == "user" else ""
        if text:
            return _shortened(text)[:LONGEST_TEXT]
    return ""


def _ask_of(turns: list[Turn], request: Mapping[str, Any]) -> Ask:
    continues = bool(request.get("previous_response_id") or request.get("conversation"))
    answered, goes_on, wrapped = False, False, False
    first_answer = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    for place, turn in enumerate(turns):
        if turn.role == "user":
            text = typed_text(turn)
            if not text:
                wrapped = wrapped or turn.has_tool_result or any(map(str.strip, turn.texts))
                answered = answered or turn.has_tool_result
            elif (place < first_answer or continues) and is_follow_up(text):
                goes_on = True
            elif answered or goes_on:
                return Ask("keep", _shortened(text))
            else:
                return Ask("ask", _task_of_system(turns, text, request) or _shortened(text))
        elif turn.role != "system":
            # An assistant turn that stands last was begun by the client, for the model to go on.
            answered = answered or turn.role == "tool" or place > 0
    if goes_on or wrapped or any(turn.role == "tool" for turn in turns):
        return Ask("keep", None)
    return Ask("none", "")


def typed_text(turn: Turn) -> str:
    """Return what a person typed in a turn, without what a client put beside it."""
    parts = [unwrap(part) for part in turn.texts if not is_summary(part)]
    return "\n".join(part for part in parts if part)


def _shortened(text: str) -> str:
    """Return the labelled question of a prompt with material, and of a very long text its edges."""
    if len(text) > _LABELLED:
        text = _labelled_question(text) or text
    if len(text) <= _LONG:
        return text
    edges = (text[:_LONG].split("\n\n", 1)[0], text[-_LONG:].rsplit("\n\n", 1)[-1])
    paragraphs = dict.fromkeys(edge.strip() for edge in edges)
    short = [paragraph for paragraph in paragraphs if 0 < len(paragraph) <= _SHORT_PARAGRAPH]
    return "\n".join(short) or f"{text[:_EDGE]}\n{text[-_EDGE:]}"


def _labelled_question(text: str) -> str:
    labels = list(_LABEL.finditer(text, max(len(text) - _LABEL_WITHIN, 0)))
    if not labels:
        return ""
    start = labels[-1].end()
    answer = _ANSWER.search(text, start)
    return text[start : answer.start() if answer else len(text)].strip()


def _task_of_system(turns: list[Turn], text: str, request: Mapping[str, Any]) -> str | None:
    """Return the system turn's task where one long user turn is material for a schema."""
    users = sum(turn.role == "user" for turn in turns)
    if len(text) < _MATERIAL or users > 1 or schema_of(request) is None:
        return None
    task = system_text(turns, request)
    return task if 0 < len(task) <= _LABELLED else None
