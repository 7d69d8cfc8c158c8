"""Conversations: which one a request belongs to, and the model that each is held by."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar

from litellm_benchrouter.conversation.ask import first_ask, typed_text
from litellm_benchrouter.conversation.text import metadata_of
from litellm_benchrouter.conversation.turns import read_turns

_KEPT = 50_000  # conversations; the oldest are forgotten first
_JUST_NOW = 5.0  # seconds
_LONGEST_TURN = 4_000  # characters that tell conversations apart
_LONGEST_ID = 500
_MARK = 200  # characters of a turn, beside its length
_MOST_HEADERS = 200
_HEADER = re.compile(r"(?:[a-z0-9]+[-_])*(session|conversation|chat|thread)[-_](?:id|affinity)")
_AGENT = re.compile(r"(?:[a-z0-9]+[-_])*(?:sub)?agent[-_]id")
_NOT_OURS = frozenset(("x-litellm-agent-id",))  # who an operator's agent is, not which run of it
_ORDER = ("session", "conversation", "chat", "thread")
_BODY = ("session_id", "conversation_id", "chat_id", "thread_id")
_GENERATED = re.compile(r"(?=.*\d)[\w.:-]{16,}")
_SESSION_OF_USER = re.compile(r"_session_([\w.:-]{8,200})$")
_CONVERSATION = "benchrouter:session:v1:"
_ANSWER = "benchrouter:response:v1:"
_NAME = re.compile(rb"[0-9a-f]{32}")

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """The conversation of a request, by hashes: no text is kept.

    Attributes
    ----------
    name : str
        The same over the whole conversation.
    now, before : str
        Under which this request is held, and the request before it was; the name itself where the
        client names its conversations.
    """

    name: str
    now: str
    before: str


def session_of(messages: object, request: Mapping[str, Any]) -> str | None:
    """Return a name of the conversation; None where nothing tells it from others."""
    session = read_session(messages, request)
    return None if session is None else session.name


def read_session(
    messages: object,
    request: Mapping[str, Any],
    of_response: Callable[[str], str | None] = lambda _: None,
) -> Session | None:
    """Return the conversation of a request; None where nothing tells it from others.

    It is known by the client's own id, in a header or in the body, and by the agent within it;
    else by the response that it continues; else by its turns, which a conversation carries along:
    all of them before the last answer are those of the request before. All only within one API key.

    Parameters
    ----------
    messages, request
        As in `ask.read_ask`, the request with LiteLLM's metadata.
    of_response : callable, optional
        Gives the name of the conversation that a response was an answer in.
    """
    metadata = metadata_of(request)
    owner = str(metadata.get("user_api_key_hash") or metadata.get("user_api_key") or "")
    headers, agent = _ids_of(metadata.get("headers"))
    stated = _stated(headers, request, metadata)
    if stated is not None:
        return _alone(_hash(owner, f"id:{stated}", agent))
    previous = request.get("previous_response_id")
    if isinstance(previous, str) and previous:
        return _alone(of_response(previous) or _hash(owner, f"response:{previous}", agent))
    turn = first_ask(messages, request)[:_LONGEST_TURN]
    if not turn.strip():
        return None
    key = request.get("prompt_cache_key")
    own = (owner, agent, key if isinstance(key, str) else "")
    now, before = _trail(messages, request)
    return Session(
        _hash(*own, f"turn:{turn}"), _hash(*own, *now), _hash(*own, *before) if before else ""
    )


def _stated(
    headers: Mapping[str, str], request: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str | None:
    """Return the id by which a client names its conversation; None where it does not."""
    named = next((headers[kind] for kind in _ORDER if kind in headers), None)
    if named is not None:
        return named
    conversation = request.get("conversation")
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    bodies = (request.get("metadata"), metadata.get("requester_metadata"))
    clients = [body for body in bodies if isinstance(body, Mapping) and body is not metadata]
    given: list[object] = [conversation]
    given += [body.get(key) for body in clients for key in _BODY]
    given += [_of_user(body.get("user_id")) for body in (*clients, metadata)]
    # LiteLLM makes ids up where it is told to, and takes the id of a trace for one.
    is_own = not metadata.get("litellm_session_id_generated")
    trace = headers.get("trace")
    for each in (request.get("litellm_session_id"), metadata.get("session_id")):
        if is_own and (trace is None or each != trace):
            given.append(each)
    key = request.get("prompt_cache_key")
    # Some programs give all their requests one key.
    given.append(key if isinstance(key, str) and _GENERATED.fullmatch(key) else None)
    return next((each for each in given if _is_id(each)), None)  # type: ignore[return-value]


def _ids_of(headers: object) -> tuple[dict[str, str], str]:
    """Return the ids in the client's headers, by what they are the id of, and the agent's."""
    ids: dict[str, str] = {}
    agent = ""
    if not isinstance(headers, Mapping):
        return ids, agent
    for name, value in islice(headers.items(), _MOST_HEADERS):
        if not isinstance(name, str) or not isinstance(value, str) or not _is_id(value):
            continue
        lower = name.lower()
        if lower == "x-litellm-trace-id":
            ids["trace"] = value
        elif "parent" in lower or lower in _NOT_OURS:
            continue
        elif match := _HEADER.fullmatch(lower):
            # LiteLLM's own name for it is what an operator has put there.
            if match[1] not in ids or lower == "x-litellm-session-id":
                ids[match[1]] = value
        elif _AGENT.fullmatch(lower):
            agent = value
    return ids, agent


def _of_user(user: object) -> object:
    """Return the session in the user id of /v1/messages: JSON, a mapping, or an old spelling."""
    if isinstance(user, str):
        if (match := _SESSION_OF_USER.search(user[-300:])) is not None:
            return match[1]
        if not user.startswith("{") or len(user) > 10_000:
            return None
        try:
            user = json.loads(user)
        except ValueError:
            return None
    return user.get("session_id") if isinstance(user, Mapping) else None


def _trail(messages: object, request: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return marks of a conversation's turns, and of those that were in the request before."""
    turns = read_turns(messages, request)
    answered = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), None)
    marks = [list(_marks(turn.role, typed_text(turn))) for turn in turns]
    before = [] if answered is None else marks[answered + 1 :]
    now, then = ([mark for each in reversed(part) for mark in each] for part in (marks, before))
    return now, then


def _marks(role: str, text: str) -> Iterator[str]:
    if text and role in ("user", "assistant"):
        yield f"{role}:{len(text)}:{text[:_MARK]}"


def _alone(name: str) -> Session:
    return Session(name, name, "")


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST_ID


def _hash(*parts: str) -> str:
    content = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def share_of(name: str) -> float:
    """Return a number in [0, 1) that is the same for the same name, everywhere."""
    return int(hashlib.blake2b(name.encode(), digest_size=8).hexdigest(), 16) / 2**64


@dataclass(frozen=True)
class Held:
    """The model that holds a conversation.

    Attributes
    ----------
    model : str
        Who answered last.
    at : float
        When, by the clock of `Sessions`, in seconds.
    failures : int
        How many failures in the conversation it was given to this model for; 0 where for none.
    """

    model: str
    at: float
    failures: int = 0


class SharedMemory(Protocol):
    """Memory that several workers share. It never raises, and may forget at any time."""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what stands under some keys; None where nothing does, or none can say."""

    def write(self, key: str, value: str, seconds: float) -> None:
        """Put a value under a key for so long, soon."""


class Sessions:
    """The model that answered each conversation last, for a while.

    Each worker has its own; those that have a `shared` memory, which may be given later, know of
    each other's conversations, and go by what was noted last.

    Parameters
    ----------
    seconds : float
        How long a conversation without requests is held.
    clock : callable
        Seconds, by a clock that all workers have.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._responses: OrderedDict[str, str] = OrderedDict()
        self.shared: SharedMemory | None = None

    async def held(self, session: Session) -> Held | None:
        """Return who holds a conversation, or None."""
        names = list(dict.fromkeys(filter(None, (session.now, session.before))))
        if self.shared is not None:
            values = await self.shared.read([_CONVERSATION + name for name in names])
            for name, value in zip(names, values, strict=True):
                theirs, ours = _held_in(value, self._clock()), self._held.get(name)
                if theirs is not None and (ours is None or theirs.at > ours.at):
                    _keep(self._held, name, theirs)
        holders = map(self._held.get, names)
        return next((held for held in holders if held and self.rested(held) < self._seconds), None)

    def rested(self, held: Held) -> float:
        """Return for how many seconds a conversation has made no request."""
        return self._clock() - held.at

    def hold(self, session: str, model: str, failures: int = 0) -> None:
        """Note who answered, and begin the time anew; not where it has just begun with the same."""
        held, before = Held(model, self._clock(), failures), self._held.get(session)
        seconds = math.inf if before is None else held.at - before.at
        same = before is not None and replace(before, at=held.at) == held
        if same and 0 <= seconds < min(_JUST_NOW, self._seconds / 100):
            return
        _keep(self._held, session, held)
        if self.shared is not None:
            value = json.dumps(asdict(held), separators=(",", ":"))
            self.shared.write(_CONVERSATION + session, value, self._seconds)

    def of_response(self, response_id: str) -> str | None:
        """Return the name of the conversation that a response was an answer in, or None."""
        return self._responses.get(_hash(response_id))

    async def recall(self, response_id: str) -> None:
        """Ask the shared memory for the conversation of a response that another worker gave."""
        response = _hash(response_id)
        if self.shared is None or response in self._responses:
            return
        (value,) = await self.shared.read([_ANSWER + response])
        if value is not None and _NAME.fullmatch(value):
            _keep(self._responses, response, value.decode())

    def note_response(self, response_id: str, session: str) -> None:
        """Note which conversation a response was an answer in."""
        response = _hash(response_id)
        _keep(self._responses, response, session)
        if self.shared is not None:
            self.shared.write(_ANSWER + response, session, self._seconds)


def _keep(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _KEPT:
        memory.popitem(last=False)


def _held_in(value: bytes | None, now: float) -> Held | None:
    """Return what a worker, of whatever version, noted; None where that is nothing of ours.

    Another machine's clock may be ahead, but no conversation went on later than now.
    """
    try:
        noted = json.loads(value or "null")
    except (ValueError, RecursionError):
        return None
    match noted:
        case {"model": str(model), "at": int() | float() as at, "failures": int(failures)}:
            return Held(model, min(at, now), failures)
    return None
