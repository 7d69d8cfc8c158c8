"""`answer`: an answer that is empty, was cut off, refuses, or says that it does not know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.verifiers.parts import choice_of, message_of, text_of, tool_calls_of

EMPTY, CUT, REFUSED, REPEATS, DOUBTS, FINE = 0.0, 0.2, 0.3, 0.4, 0.6, 1.0
"""The scores, worst first."""

_LOOKED_AT = 400  # characters, of either end: a long answer that mentions "I cannot" is no refusal
_REFUSES = re.compile(
    r"\b(i'm|i am|we're|we are) (really |very |so )?(sorry|afraid|unable|not able)\b"
    r"|\b(i|we) (can't|cannot|can not|won't|will not|am unable to|am not able to) "
    r"(help|assist|provide|answer|comply|do that|fulfill?|create|generate|give|discuss|access)"
    r"|\bas an? (ai|artificial intelligence|language model)\b",
    re.IGNORECASE,
)
_DOUBTS = re.compile(
    r"\b(i|we) (don't|do not) (know|have enough|have access)\b"
    r"|\b(i'm|i am) (not (sure|certain)|unsure)\b"
    r"|\b(it is|it's) (unclear|not clear|not possible to (say|tell|determine))\b"
    r"|\b(cannot|can't) be determined\b|\bnot enough information\b",
    re.IGNORECASE,
)
_REPEATED = 6  # a line as often as that, in more than half of the lines, is a loop


def answer_quality(request: Mapping[str, Any], answer: Mapping[str, Any]) -> float | None:
    """Return how whole an answer looks, without a look at what it says."""
    message = message_of(answer)
    text, calls = text_of(message.get("content")).strip(), tool_calls_of(answer)
    reason = choice_of(answer).get("finish_reason")
    if message.get("refusal"):
        return REFUSED
    if reason == "content_filter" or not (text or calls):
        return EMPTY
    if reason == "length":
        return CUT
    return FINE if calls else _of_text(text.replace("\u2019", "'"))


def _of_text(text: str) -> float:
    start, end = text[:_LOOKED_AT], text[_LOOKED_AT:][-_LOOKED_AT:]
    if _REFUSES.search(start):
        return REFUSED
    if _repeats(text):
        return REPEATS
    return DOUBTS if _DOUBTS.search(start) or _DOUBTS.search(end) else FINE


def _repeats(text: str) -> bool:
    lines = [line for line in map(str.strip, text.splitlines()) if len(line) > 3]
    most = Counter(lines).most_common(1)
    return bool(most) and most[0][1] >= _REPEATED and most[0][1] > len(lines) / 2
