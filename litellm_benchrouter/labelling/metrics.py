"""Named metrics that score an answer against its reference.

    exact               equal after normalisation
    contains            holds the reference as whole words
    number              its last number is the reference, by value
    f1                  token F1 as in SQuAD
    regex:PATTERN       group 1 of the last match equals the reference; without a group: matches
    json:FIELD.PATH     a field of the answer's JSON equals the reference
    judge:MODEL         a model says whether the answer is right (see `judge_messages`)
    schema:FILE         the answer's JSON follows a schema (labelling/checks.py)
    tools:FILE          it is calls of tools, as these are described
    command:PROGRAM     a command of the operator's says so

Of a list of references the best counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.labelling.checks import CommandCheck, SchemaCheck, ToolCheck
from litellm_benchrouter.verifiers.judge import RUBRIC, json_in

_OPENING = "\"'`*_“”‘’«»„([{"
_CLOSING = "\"'`*_“”‘’«»„)]}.,;:!?。，！？"
# "1,250.00", "-3", and "12,5" as much of Europe writes it; no digit of "m2"
_NUMBERS = re.compile(r"(?<![A-Za-z\d.,])-?\d+(?:,\d{3}(?!\d))*(?:[.,]\d+)?")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
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
    words = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", words).split()


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


METRICS = (
    "exact, contains, number, f1, regex:PATTERN, json:FIELD.PATH, judge:MODEL, schema:FILE, "
    "tools:FILE, command:PROGRAM"
)
_ABSENT = object()


@dataclass(frozen=True)
class Metric:
    """A metric by its name."""

    name: str  # as given and as the journal has it
    needs_reference: bool = True
    # (answer, reference) -> score in [0, 1]; None where a judge has to be asked
    score: Callable[[str, Any], float] | None = None
    judge: str | None = None  # the judge's model
    rubric: str | None = None  # what the judge goes by where there is no reference
    # (prompt, answer, reference) -> score in [0, 1], or None where it gives none
    check: Callable[[str, str, Any], float | None] | None = None

    @property
    def is_direct(self) -> bool:
        """Whether an answer is scored as soon as it is there, by no model and nobody."""
        return self.score is not None or self.check is not None

    @property
    def is_people(self) -> bool:
        """Whether answers are kept for people to rate."""
        return not self.is_direct and self.judge is None

    def score_of(self, prompt: str, answer: str, reference: Any) -> float | None:
        """Score an answer directly; None where a check gives no score."""
        if self.check is not None:
            return self.check(prompt, answer, reference)
        assert self.score is not None
        return self.score(answer, reference)


PEOPLE = Metric("people", needs_reference=False)
"""Of own traffic: answers are asked for and kept, and people rate them."""


def parse_metric(name: str, where: str, folder: Path | None = None) -> Metric:
    """Return the metric of a name; the ConfigError of one that does not exist says `where`.

    Files and commands are looked for from `folder`, or from where this runs.
    """
    kind, _, argument = name.strip().partition(":")
    simple = _SIMPLE.get(kind)
    if simple is not None and not argument:
        return Metric(kind, score=simple)
    if kind in ("regex", "json", "judge", *_CHECKS) and not argument:
        raise ConfigError(f"{where} is {name!r}, which lacks what follows the colon: {METRICS}.")
    if kind == "regex":
        try:
            pattern = re.compile(argument)
        except re.error as error:
            raise ConfigError(
                f"{where}: the pattern {argument!r} is not a regular expression ({error})."
            ) from error
        return Metric(name, bool(pattern.groups), lambda a, r: _regex(pattern, a, r))
    if kind == "json":
        path = argument.split(".")
        return Metric(name, score=lambda a, r: _json_field(path, a, r))
    if kind == "judge":
        return Metric(name, judge=argument)
    if kind in _CHECKS:
        check = _CHECKS[kind](argument, (folder or Path()).absolute(), where)
        if digest := getattr(check, "digest", ""):  # another file is another metric
            name = f"{name} ({digest})"
        return Metric(name, needs_reference=False, check=check)
    raise ConfigError(f"{where} is {name!r}, which is not a metric. Use one of {METRICS}.")


def without_references(metric: Metric, rubric: str | None) -> Metric:
    """Return a metric as it is where prompts may have no reference: a judge goes by a rubric."""
    if metric.judge is None:
        return metric
    digest = hashlib.sha256((rubric or "").encode()).hexdigest()[:8]
    name = metric.name if rubric is None else f"{metric.name} by rubric {digest}"
    return replace(metric, name=name, needs_reference=False, rubric=rubric or RUBRIC)


def _exact(answer: str, reference: Any) -> float:
    return _any(reference, lambda text: normal(answer) == normal(text))


def _contains(answer: str, reference: Any) -> float:
    return _any(reference, lambda text: holds(normal(answer), normal(text)))


def _last_number(answer: str, reference: Any) -> float:
    numbers = _NUMBERS.findall(unicodedata.normalize("NFKC", answer).replace("−", "-"))
    if not numbers:
        return 0.0
    value = _number(_THOUSANDS.sub("", numbers[-1]).replace(",", "."))
    options = reference if isinstance(reference, list) else [reference]
    wanted = [number for option in options if (number := _number(option)) is not None]
    return float(value is not None and any(math.isclose(value, n, rel_tol=1e-9) for n in wanted))


def _f1(answer: str, reference: Any) -> float:
    return _any(reference, lambda text: _token_f1(tokens(answer), tokens(text)))


_CHECKS: dict[str, Callable[[str, Path, str], Callable[[str, str, Any], float | None]]] = {
    "schema": SchemaCheck.of,
    "tools": ToolCheck.of,
    "command": CommandCheck.of,
}
_SIMPLE: dict[str, Callable[[str, Any], float]] = {
    "exact": _exact,
    "contains": _contains,
    "number": _last_number,
    "f1": _f1,
}


def _any(reference: Any, score: Callable[[str], float]) -> float:
    """Return the best score over the references; other values than text count as their JSON."""
    texts = reference if isinstance(reference, list) else [reference]
    return max((float(score(_text(text))) for text in texts), default=0.0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _token_f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = (Counter(answer) & Counter(reference)).total()
    return 2 * shared / (len(answer) + len(reference))


def _regex(pattern: re.Pattern[str], answer: str, reference: Any) -> float:
    last = None
    for last in pattern.finditer(answer):  # noqa: B007  # the answer comes last, after the reasons
        pass
    if last is None or not pattern.groups:
        return float(last is not None)
    return 0.0 if last.group(1) is None else _exact(last.group(1), reference)


def _json_field(path: list[str], answer: str, reference: Any) -> float:
    try:
        value = _at(json_in(answer), path)
    except ValueError:
        return 0.0
    if value is _ABSENT:
        return 0.0
    if isinstance(reference, Mapping):
        within = _at(reference, path)
        reference = reference if within is _ABSENT else within
    options = reference if isinstance(reference, list) else [reference]
    return float(_same(value, reference) or any(_same(value, option) for option in options))


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return _ABSENT
    return document


def _same(a: Any, b: Any) -> bool:
    """Say whether two JSON values are equal: texts normalised, numbers by value, keys unordered."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b or (_is_word(a) and _is_word(b) and normal(_text(a)) == normal(_text(b)))
    if isinstance(a, Mapping | list) or isinstance(b, Mapping | list):
        return False
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return math.isclose(x, y, rel_tol=1e-9)
    return normal(_text(a)) == normal(_text(b))


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool | str)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
