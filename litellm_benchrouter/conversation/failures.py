"""Signs of failure in a conversation, read from the turns that a request carries.

They belong to the steps of a model: each of its answers, or of its turns with calls of tools, with
what came after it. A step fails at most once. What lies behind no longer counts: failed calls after
some calls that went well, or once the same call went well; and everything, once a person asked for
something new after an answer without a sign.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, get_args

from litellm_benchrouter.conversation.ask import typed_text
from litellm_benchrouter.conversation.follow_up import is_follow_up
from litellm_benchrouter.conversation.tool_results import Call, outcome_of
from litellm_benchrouter.conversation.turns import Turn, newest_items, read_turn, schema_of
from litellm_benchrouter.conversation.wording import is_complaint, is_refusal

Sign = Literal["tool", "json", "refusal", "empty", "cut", "complaint"]
SIGNS: tuple[Sign, ...] = get_args(Sign)

_WORDS: dict[str, tuple[str, str]] = {
    "tool": ("failed tool call", "failed tool calls"),
    "json": ("answer that is not the JSON asked for", "answers that are not the JSON asked for"),
    "refusal": ("refusal", "refusals"),
    "empty": ("empty answer", "empty answers"),
    "cut": ("cut answer", "cut answers"),
    "complaint": ("complaint", "complaints"),
}
_CALM = 5  # steps with calls in a row that went well: what failed before them is over
_MOST_STEPS = 50
_MOST_SIGNS = 20
_MOST_FENCES = 200
_MOST_PARTS = 50
_COMPARED = 600  # characters of results that are the same
_MOST_JSON = 20_000  # characters of an answer that are parsed
_MAPPINGS = (dict, Mapping)  # dict first: to ask for a Mapping takes ten times as long

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_NAMES_JSON = re.compile(r"json|schema", re.IGNORECASE)
_RESULT = re.compile(r"\[\w{2,40}(?: for [^\n]{0,300}?)?\] (?:Result|Error):\s*")
_CUT = frozenset(("length", "max_tokens", "max_output_tokens", "incomplete"))


@dataclass(frozen=True)
class Failures:
    """What went wrong in a conversation and is not over.

    Attributes
    ----------
    signs : tuple of str
        One for each step that failed, the newest first.
    is_now : bool
        Whether the newest step is one of them.
    """

    signs: tuple[Sign, ...] = ()
    is_now: bool = False

    def describe(self, number: int) -> str:
        """Say what the newest of them are, as in `2 failed tool calls and 1 complaint`."""
        counts = Counter(self.signs[:number])
        parts = [f"{n} {_WORDS[sign][n > 1]}" for sign, n in counts.items()]
        return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


_Result = tuple[str, object, bool]  # the call's id or name, what it brought, and if as an error


@dataclass
class _Step:
    """What a model did in one go, and what came after it; read from its end to its beginning."""

    results: list[_Result] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)  # by id
    texts: list[str] = field(default_factory=list)
    people: list[Turn] = field(default_factory=list)
    answers: bool = False  # a turn of the model is there
    other: bool = False  # ... with something that is neither text nor a call
    refuses: bool = False
    is_cut: bool = False


def read_failures(
    messages: object, request: Mapping[str, Any], signs: Collection[Sign] = SIGNS
) -> Failures:
    """Return the signs of failure in a conversation.

    Parameters
    ----------
    messages, request
        As in `ask.read_ask`.
    signs : collection of str
        Those that count, of `SIGNS`.
    """
    read: list[Sign | None] = []
    doubtful: dict[object, int] = {}  # steps that fail if the same call brought the same before
    mended: set[object] = set()
    calm = n_failed = 0
    asks_json = _asks_for_json(request)
    steps = _Steps(newest_items(messages, request), with_tools="tool" in signs)
    for step in islice(steps, _MOST_STEPS):
        if not step.results and not step.people:
            continue  # an answer that the client began, or calls under way
        people = [text for turn in step.people if (text := typed_text(turn))]
        sign = _sign_of_answer(step, people, asks_json) if not step.calls else None
        sign = sign if sign in signs else None
        if step.results and steps.with_tools:
            outcome, key = _sign_of_tools(step, mended)
            calm = 0 if outcome == "failed" else calm + 1
            if outcome == "failed":
                sign = "tool"
            elif outcome == "doubtful" and key in doubtful:
                read[doubtful[key]] = sign = "tool"
                calm = 0
            if outcome == "doubtful":
                doubtful[key] = len(read)
            steps.with_tools = calm < _CALM
        if sign is None and "complaint" in signs and any(map(is_complaint, people)):
            sign = "complaint"
        if sign is None and any(not is_follow_up(t) and not is_complaint(t) for t in people):
            break
        read.append(sign)
        n_failed += sign is not None
        if n_failed == _MOST_SIGNS:
            break
    return Failures(tuple(filter(None, read)), bool(read) and read[0] is not None)


class _Steps:
    """The steps of a conversation, the newest first; without those with calls from when on they
    no longer count.
    """

    def __init__(self, items: list[object], *, with_tools: bool) -> None:
        self._items = items
        self.with_tools = with_tools

    def __iter__(self) -> Iterator[_Step]:
        step = _Step()
        for item in self._items:
            if not self.with_tools and _is_of_tools(item):
                continue
            turn = read_turn(item)
            if turn is None or turn.role == "system":
                continue
            parts = _parts_of(item)
            is_model = turn.role == "assistant"
            if step.answers and not is_model:
                yield step
                step = _Step()
            if is_model:
                step.answers = True
                _read_answer(item, turn, parts, step)
            else:
                results = list(_results_of(item, turn, parts))
                step.results += results
                if turn.role == "user" and not (results and _is_told_as_text(turn)):
                    step.people.append(turn)
        if step.answers:
            yield step


def _is_of_tools(item: object) -> bool:
    """Say whether a turn holds calls, or nothing but their results."""
    if not isinstance(item, _MAPPINGS):
        return False
    if item.get("role") == "tool" or item.get("tool_calls") or "call_id" in item:
        return True
    content = item.get("content") or item.get("parts")
    if not isinstance(content, list | tuple) or not content:
        return False
    last = content[-1]  # a person's words may stand behind results, and calls behind words
    kind = last.get("type") if isinstance(last, _MAPPINGS) else None
    return kind in ("tool_use", "tool_result")


def _read_answer(item: object, turn: Turn, parts: list[Mapping[Any, Any]], step: _Step) -> None:
    """Add what a turn of the model holds to its step."""
    of_item = item if isinstance(item, _MAPPINGS) else {}
    kind = of_item.get("type")
    if isinstance(kind, str) and kind != "message":
        step.other = True
        if kind.endswith("_call"):
            given = next(filter(None, map(of_item.get, ("arguments", "input", "action"))), None)
            call_id = _id(of_item.get("call_id"), of_item.get("id"))
            step.calls[call_id] = Call(_id(of_item.get("name"), kind), given)
            if of_item.get("error"):  # a server's own call brings its result along
                step.results.append((call_id, of_item["error"], True))
        return
    tools = of_item.get("tool_calls")
    tools = (
        tools if isinstance(tools, list | tuple) else [{"function": of_item.get("function_call")}]
    )
    for call in islice(tools, _MOST_PARTS):
        function = call.get("function") if isinstance(call, _MAPPINGS) else None
        if isinstance(function, _MAPPINGS):
            name = _id(function.get("name"))
            step.calls[_id(call.get("id"), name)] = Call(name, function.get("arguments"))
    for part in parts:
        kind = part.get("type")
        call = part.get("functionCall") or part.get("function_call")
        if isinstance(kind, str) and kind.endswith("tool_use"):
            step.calls[_id(part.get("id"))] = Call(_id(part.get("name")), part.get("input"))
        elif isinstance(call, _MAPPINGS):
            name = _id(call.get("name"))
            step.calls[_id(call.get("id"), name)] = Call(name, call.get("args"))
        elif kind == "refusal":
            step.refuses = True
        elif not isinstance(part.get("text"), str) or part.get("thought"):
            step.other = True
    step.texts.extend(text for text in turn.texts if text.strip())
    step.refuses = step.refuses or bool(of_item.get("refusal"))
    ends = (of_item.get(key) for key in ("finish_reason", "stop_reason", "status"))
    step.is_cut = step.is_cut or any(isinstance(end, str) and end in _CUT for end in ends)
    step.other = step.other or any(of_item.get(key) for key in ("audio", "images", "reasoning"))


def _results_of(item: object, turn: Turn, parts: list[Mapping[Any, Any]]) -> Iterator[_Result]:
    """Yield the results in a turn."""
    of_item = item if isinstance(item, _MAPPINGS) else {}
    if turn.role == "tool":
        name = _id(*map(of_item.get, ("call_id", "tool_call_id", "id", "name")))
        content = of_item.get("output", of_item.get("content"))
        if not any("functionResponse" in p or "function_response" in p for p in parts):
            yield name, content, of_item.get("status") == "failed"
    for part in parts:
        kind = part.get("type")
        given = part.get("functionResponse") or part.get("function_response")
        if isinstance(kind, str) and kind.endswith("tool_result"):
            yield _id(part.get("tool_use_id")), part.get("content"), part.get("is_error") is True
        elif isinstance(given, _MAPPINGS):
            yield _id(given.get("id"), given.get("name")), given.get("response"), False
    if _is_told_as_text(turn):
        text = "\n".join(turn.texts)
        heading = _RESULT.match(text)
        if heading is not None:
            yield "", text[heading.end() :], "] Error:" in heading[0]


def _is_told_as_text(turn: Turn) -> bool:
    """Say whether a user turn is a tool's result in words, as `[look for 'x'] Result:`."""
    return turn.role == "user" and any(_RESULT.match(text) for text in turn.texts[:1])


def _sign_of_tools(step: _Step, mended: set[object]) -> tuple[str, object]:
    """Return how the calls of a step went, the worst of them, with what tells a doubtful one."""
    worst: tuple[str, object] = ("well", None)
    alone = next(iter(step.calls.values())) if len(step.calls) == 1 else Call()
    for call_id, content, is_error in islice(step.results, _MOST_PARTS):
        call = step.calls.get(call_id, alone)
        outcome = outcome_of(content, call, is_error=is_error)
        if outcome == "well" and call.name:
            mended.add(call.key)
        elif outcome == "failed" and call.key not in mended:
            return "failed", None
        elif outcome == "doubtful":
            worst = ("doubtful", (call.key, str(content)[:_COMPARED]))
    return worst


def _sign_of_answer(step: _Step, people: list[str], asks_json: bool) -> Sign | None:
    """Return the sign of failure that an answer shows by itself."""
    text = "\n".join(reversed(step.texts))
    if step.refuses or is_refusal(text):
        return "refusal"
    if not text:
        return "empty" if people and not step.other else None
    if asks_json and _is_no_json(text, people):
        return "json"
    return "cut" if step.is_cut or _has_open_fence(text) else None


def _is_no_json(text: str, people: list[str]) -> bool:
    """Say whether an answer is not the JSON that was asked for.

    Prose counts only where the next turn speaks of it, as the answers before may have been free.
    """
    fenced = _FENCE.match(text := text.strip())
    if fenced is not None:
        text = text[fenced.end() :].rpartition(fenced[1])[0].strip() or text[fenced.end() :]
    if text[:1] not in ("{", "["):
        return any(_NAMES_JSON.search(person[:1_000]) for person in people)
    if len(text) > _MOST_JSON:
        return text[-1:] not in ("}", "]")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def _has_open_fence(text: str) -> bool:
    if not 0 < text.count("```") + text.count("~~~") <= _MOST_FENCES:
        return False
    fence = ""
    for match in _FENCE.finditer(text):
        if not fence:
            fence = match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            fence = ""
    return bool(fence)


def _asks_for_json(request: Mapping[str, Any]) -> bool:
    asked = request.get("response_format")
    is_object = isinstance(asked, _MAPPINGS) and asked.get("type") == "json_object"
    return is_object or schema_of(request) is not None


def _parts_of(item: object) -> list[Mapping[Any, Any]]:
    if not isinstance(item, _MAPPINGS):
        return []
    content = item.get("content") or item.get("parts")
    each = islice(content, _MOST_PARTS) if isinstance(content, list | tuple) else ()
    return [part for part in each if isinstance(part, _MAPPINGS)]


def _id(*names: object) -> str:
    return next((name for name in names if isinstance(name, str) and name), "")
