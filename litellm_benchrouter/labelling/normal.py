"""Texts made comparable, before an answer is held against its reference."""

from __future__ import annotations

import re
import string
import unicodedata

_OPENING = "\"'`*_“”‘’«»„([{"
_CLOSING = "\"'`*_“”‘’«»„)]}.,;:!?。，！？"
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normal(text: str) -> str:
    """Normalise a text for `exact`, `contains`, `regex` and `json`.

    Unicode NFKC, case folded, runs of white space made one space, and quotes, brackets, Markdown
    emphasis and closing punctuation taken off both ends. Signs, currency and what stands inside
    stay: -5 is not 5, and 3.14 is not 314.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    while text != (stripped := text.lstrip(_OPENING).rstrip(_CLOSING).strip()):
        text = stripped
    return text


def tokens(text: str) -> list[str]:
    """Split a text for `f1` as SQuAD's evaluation does.

    Lower case, ASCII punctuation and the articles a, an, the removed, split at white space
    (Rajpurkar et al. 2016).
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", kept).split()


def holds(text: str, part: str) -> bool:
    """Say whether a normalised text holds a normalised part as whole words and numbers.

    4 is not in 14, 4.5 or -4. Scripts that do not part their words are searched as they are.
    """
    start = text.find(part)
    while part and start >= 0:
        if _is_free(text, start, start + len(part)):
            return True
        start = text.find(part, start + 1)
    return False


def _is_free(text: str, start: int, end: int) -> bool:
    before, after = text[:start], text[end:]
    first, last = text[start], text[end - 1]
    if _joins(first) and before and _joins(before[-1]):
        return False
    if _joins(last) and after and _joins(after[0]):
        return False
    if first.isdigit() and re.search(r"\d[.,]$|(?<!\w)[-−]$", before):
        return False
    return not (last.isdigit() and re.match(r"[.,]\d", after))


def _joins(character: str) -> bool:
    """Say whether a character joins with its like to a word: a digit, or a letter with a case."""
    return character.isdigit() or character.lower() != character.upper()
