"""Results of tools: whether the call has failed, told by the shape of what came back.

Not by words in it: a file or a log that speaks of errors is what was asked for, a search without
matches exits with 1, and a person who declines a call, or a busy service, is no failure of a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal, TypeGuard

Outcome = Literal["well", "failed", "doubtful"]

_MAPPINGS = (dict, Mapping)  # dict first: to ask for a Mapping takes ten times as long
_EDGE = 600  # characters of a result that are looked at, at either end
_ONE_LINE = 300
_LONGEST_ERROR = 4_000
_MOST_JSON = 20_000  # characters of a text that are parsed
_MOST_PARTS = 20
_CODES = ("exit_code", "exitCode", "exit_status", "returncode", "return_code")
_FLAGS = ("isError", "is_error")
_TEXTS = ("output", "result", "content", "text", "stdout", "message")
# What may stand beside an error; with anything else it is a record that happens to have one.
_BESIDE = frozenset(
    (
        *("code", "content", "data", "description", "detail", "details", "duration", "error"),
        *("error_code", "error_type", "errors", "hint", "id", "kind", "message", "metadata"),
        *("name", "ok", "output", "path", "reason", "request_id", "result", "results", "retryable"),
        *("stack", "status", "status_code", "stderr", "stdout", "success", "suggestion", "time"),
        *("timestamp", "title", "tool", "tool_name", "trace", "traceback", "type"),
    )
)
_ANSWER = ("data", "result", "results")
_NOT_INTERRUPTED = frozenset((0, 130, 141))  # exit codes: done, Ctrl-C, the reader has enough

_COMMAND = ("command", "cmd", "commands", "script", "code")
_BETWEEN = re.compile(r"&&|\|\|?|[;\n`]|\$\(|\b(?:if|then|else|do|while|until)\b")
_BEFORE = (
    r"\s*(?:(?:sudo|command|time|!|xargs|timeout [\w.]+|cd [^ ]+|\w+=[^ ]*)\s+)*(?:[\w./-]*/)?"
)
_ANSWERS_NO = re.compile(  # programs whose exit code 1 is an answer
    rf"{_BEFORE}(?:(?:[efz]|rip)?grep|rg|ag|ack|z?diff|cmp|comm|test|\[\[?|which|type|hash|pgrep|"
    r"pidof|expr|id|getent|jq|findstr|Select-String|systemctl|command -v|pip-audit|"
    r"npm (?:outdated|audit|ls)|git (?:-C [^ ]+ )?(?:grep|diff|merge-base|check-ignore|show-ref|"
    r"ls-files|rev-parse|config))(?:\s|$)"
)
_READS = re.compile(  # programs that print what is somewhere
    rf"{_BEFORE}(?:cat|bat|head|tail|less|sed|awk|[efz]?grep|rg|ag|ls|nl|curl|wget|journalctl|"
    r"dmesg|strings|jq|git|gh|kubectl|docker|podman|aws|gcloud|az|echo|printf|Get-Content)(?:\s|$)"
)
_READER = re.compile(
    r"(?:.*[_\W])?(?:read|get|fetch|search|grep|glob|logs?|cat|view|open|list|find|query|load|show|"
    r"browse|retrieve|lookup|web)(?:[_\W]|[A-Z]|$)|(?:Read|Get|Fetch|Search|Grep|View|Find|"
    r"Web)[A-Z]?"
)

_EXIT = re.compile(
    r"^[ \t\[(<*#]*[\w ]{0,40}?(?:\(\s*)?(?:(?:exit|return)[ _-]?(?:code|status)|(?:exited|failed|"
    r"ended|finished|terminated|completed|returned) with (?:error )?(?:code|status))[ \t:=>*]*"
    r"(-?\d{1,10})(?:</\w+>|[ \t.\])*])*(?::[^\n]*)?$",
    re.IGNORECASE | re.MULTILINE,
)
_SAYS_HOW = ('rror"', 'rrors"', 'ode"', 'tatus"', 'success"', 'ok"')
_CODE_IN_JSON = re.compile(r'"(?:exit_?code|return_?code)"\s*:\s*(-?\d{1,10})\b', re.IGNORECASE)
_ERROR = re.compile(
    r"[\W_]{0,6}(?:"
    r"(?:<\w*error\w*>|\[\w*error\w*\])\s*\S|"
    r"(?:(?:\w{1,20} ){0,3}[\w.]{0,40}(?:errors?|exception|failure)|"
    r"(?:[a-z_]\w{0,20} ){0,3}failed|fatal|panic|"
    r"fehler|erreur|errore|ошибка|错误|錯誤|エラー|오류|hata|błąd|fout)(?: ?[\[(][-\w ]{1,20}[\])]|"
    r" -?\d+)?\s?[:：](?!\s*(?:[\d.,]+\s?%?|none|null|nil|no|false|\[\]|\"\"|'')\s*(?:[,;.\n]|$))"
    r"\s*\S|"
    r"(?:an? )?(?:\w+ )?error (?:occurred|executing|calling|running|invoking|while|parsing|reading|"
    r"writing|editing)\b|"
    r"(?-i:E[A-Z]{3,12}: )|"
    r"(?:failed|unable|could not|couldn't|cannot|can't) (?:to )?(?:execute|run|call|invoke|apply|"
    r"edit|find|read|open|parse|connect|write|load|fetch)\b|"
    r"(?:[\w./-]{1,60}: ){1,3}(?:line \d+: )?(?:[^\n:]{1,100}: )?(?:command not found|not found$|"
    r"no such file|permission denied|cannot access|is a directory|syntax error)|"
    r"no such (?:tool|file)|[\w.-]{1,60} is not a valid tool|"
    r"(?:unknown|invalid) (?:tool|argument|parameter)s?\b|"
    r"the tool (?:execution )?failed|command (?:failed|timed out|not found)"
    r")",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(
    r"(?<!\b0 )(?<!\bno )\b(?:not found|does not exist|doesn't exist|fail(?:ed|ures?)(?!\W*0\b)|"
    r"denied|invalid|"
    r"unable to|cannot|can't|could not|couldn't|timed out|not allowed|refused)\b"
)
_TRACE = re.compile(
    r"\s*(?:Traceback \(most recent call last\)|Exception in thread|Uncaught \w|Unhandled \w|"
    r"panic: |thread '[^'\n]{0,80}'[^\n]{0,20} panicked|Segmentation fault)"
)
_STACK = re.compile(r"^[\w ]{0,60}(?:Error|Exception)\b[^\n]{0,400}\n\s+at \S", re.MULTILINE)
_TRACE_END = re.compile(r"(?:\w+\.){0,6}\w*(?:Error|Exception|Interrupt|Exit)\b[^\n]{0,400}")
_LOG_LINE = re.compile(
    r"^\W{0,3}(?:\d[\d:.,TZ+-]*\s+){0,3}\[?(?:ERROR|WARN|INFO|DEBUG|FATAL|TRACE)", re.MULTILINE
)
_NOT_THE_MODELS = re.compile(  # a person said no, or a service is busy
    r"(?:user|person|human|operator)s?\b[^.\n]{0,40}\b(?:reject|declin|den(?:y|ied)|cancel|abort|"
    r"interrupt|refus|skip|stopped|(?:did|does)(?:n.t| not) (?:want|approve))|"
    r"(?:reject|declin|deni|cancell?|interrupt|abort|skipp|stopp)ed by (?:the )?"
    r"(?:user|person|human|operator)|rate.?limit|too many requests|quota"
)
_OF_OTHERS = ("user", "person", "human", "operator", "rate", "too many", "quota")


@dataclass(frozen=True)
class Call:
    """A tool's call, as the model made it."""

    name: str = ""
    arguments: object = None

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the same call."""
        given = self.arguments
        if not isinstance(given, _MAPPINGS):
            return self.name, len(given) if isinstance(given, str) else 0, str(given)[:_EDGE]
        values = ((k, v if isinstance(v, str) else str(v)[:_EDGE]) for k, v in given.items())
        return self.name, *((str(k), len(v), v[:_EDGE]) for k, v in islice(values, _MOST_PARTS))

    @cached_property
    def programs(self) -> list[str]:
        """The commands of a shell's call, each with its arguments; empty where it is another's."""
        given = self.arguments
        if isinstance(given, str) and given[:1] == "{" and len(given) <= _MOST_JSON:
            given = _parsed(given)
        command = next((given[k] for k in _COMMAND if given.get(k)), None) if _is(given) else None
        if isinstance(command, list | tuple):
            words = [str(word) for word in islice(command, _MOST_PARTS)]
            command = words[-1] if words[1:2] in (["-c"], ["-lc"]) else " ".join(words)
        return (
            _BETWEEN.split(command[:_EDGE] + command[_EDGE:][-_EDGE:])
            if isinstance(command, str)
            else []
        )

    @property
    def answers_no(self) -> bool:
        """Whether the exit code 1 may be an answer, as of a search without matches."""
        return any(map(_ANSWERS_NO.match, self.programs))

    @property
    def is_reading(self) -> bool:
        """Whether the result is something that was there before, such as a file or a page."""
        programs = self.programs
        return any(map(_READS.match, programs)) if programs else bool(_READER.match(self.name))


def outcome_of(content: object, call: Call, *, is_error: bool = False) -> Outcome:
    """Return how a call went.

    `doubtful` is what reads like a failure and is one where the same call brings it again.

    Parameters
    ----------
    content : object
        The result: a text, a list of parts, or an object.
    call : Call
        Without a name or arguments where the request does not hold it.
    is_error : bool
        Whether the protocol says that it failed.
    """
    if _is(content):
        outcome = _of_mapping(content, call)
        text = next(filter(None, (_str(content.get(key)) for key in _TEXTS)), "")
    else:
        text = content if isinstance(content, str) else "\n".join(_parts(content))
        outcome = next(filter(None, (_of_mapping(part, call) for part in _mappings(content))), None)
    outcome = outcome or _of_text(text, call)
    if not is_error:
        return outcome or "well"
    if outcome == "well" or _is_of_others(text):
        return "well"
    return "well" if not text.strip() and call.answers_no else "failed"


def _of_text(text: str, call: Call) -> Outcome | None:
    """Return what a text says; None where it says nothing."""
    text = text.strip()
    if text[:1] == "{":
        return _of_json(text, call)
    head = text[:_EDGE]
    code = _exit_in("\n".join(head.split("\n", 5)[:5]))
    code = code or _exit_in("\n".join(text[-_EDGE:].rsplit("\n", 3)[-3:]))
    if code is not None and (call.programs or not call.is_reading):
        return _of_code(int(code[1]), call, head)
    is_line = len(text) <= _ONE_LINE and "\n" not in text
    if not (
        (_ERROR.match(head) and len(text) <= _LONGEST_ERROR)
        or _TRACE.match(head)
        or ("\n    at " in text and call.programs and _STACK.search(text[-_LONGEST_ERROR:]))
        or ("Traceback" in text[-_LONGEST_ERROR:] and _TRACE_END.match(text.rpartition("\n")[2]))
    ):
        is_doubtful = is_line and _DOUBTFUL.search(text.lower()) and not _is_of_others(text)
        return "doubtful" if is_doubtful else None
    if _is_of_others(head) or (call.is_reading and (call.programs or not is_line)):
        return None
    return None if len(_LOG_LINE.findall(text[:_LONGEST_ERROR])) > 1 else "failed"


def _of_json(text: str, call: Call) -> Outcome | None:
    if len(text) <= _MOST_JSON and any(key in text for key in _SAYS_HOW):
        parsed = _parsed(text)
        return _of_mapping(parsed, call) if _is(parsed) else None
    code = _CODE_IN_JSON.search(text[-_EDGE:]) if len(text) > _MOST_JSON else None
    return None if code is None else _of_code(int(code[1]), call, text[:_EDGE])


def _of_mapping(result: Mapping[Any, Any], call: Call) -> Outcome | None:
    """Return what an object says of a call; None where it says nothing."""
    inner = (result, *(part for key in ("metadata", "outcome") if _is(part := result.get(key))))
    codes = (place[key] for place in inner for key in _CODES if key in place)
    code = next((c for c in codes if isinstance(c, int) and not isinstance(c, bool)), None)
    if code is not None:
        return _of_code(code, call, _brief(result))
    failed = any(result.get(key) is True for key in _FLAGS) or _is_error(result)
    if not failed or (call.programs and call.is_reading):
        return None
    return "well" if _is_of_others(_brief(result)) else "failed"


def _is_error(result: Mapping[Any, Any]) -> bool:
    """Say whether an object is an error and nothing else, and not a record that has one."""
    if any(result.get(key) for key in _ANSWER) or not all(key in _BESIDE for key in result):
        return False
    if result.get("error") or result.get("errors"):
        return True
    explains = any(_str(result.get(key)) for key in ("message", "detail", "title", "reason"))
    status = result.get("status_code", result.get("status"))
    is_bad = result.get("success") is False or result.get("ok") is False or status == "error"
    return explains and (is_bad or (str(status)[:1] in ("4", "5") and len(str(status)) == 3))


def _of_code(code: int, call: Call, head: str) -> Outcome:
    if code in _NOT_INTERRUPTED or _is_of_others(head):
        return "well"
    return "well" if code in (1, 3) and call.answers_no else "failed"


def _brief(result: Mapping[Any, Any]) -> str:
    values = (v.get("message") if _is(v) else v for v in islice(result.values(), _MOST_PARTS))
    return " ".join(_str(value)[:_EDGE] for value in values)


def _exit_in(lines: str) -> re.Match[str] | None:
    lower = lines.lower()
    return _EXIT.search(lines) if "code" in lower or "status" in lower else None


def _is_of_others(text: str) -> bool:
    """Say whether an error is a person's or a service's, which no other model would mend."""
    text = text[:_EDGE].lower()
    return any(word in text for word in _OF_OTHERS) and bool(_NOT_THE_MODELS.search(text))


def _parts(content: object) -> Iterator[str]:
    for part in islice(content, _MOST_PARTS) if isinstance(content, list | tuple) else ():
        text = part.get("text") if _is(part) else part
        if isinstance(text, str):
            yield text


def _mappings(content: object) -> Iterator[Mapping[Any, Any]]:
    for part in islice(content, _MOST_PARTS) if isinstance(content, list | tuple) else ():
        if _is(part) and "text" not in part:
            yield part


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, _MAPPINGS)


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
