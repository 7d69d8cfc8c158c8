"""Conversations: which one a request belongs to, and the model that each is held by."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from litellm_benchrouter.conversation.ask import first_ask
from litellm_benchrouter.conversation.text import metadata_of

_KEPT = 50_000  # conversations; the oldest are forgotten first
_LONGEST_TURN = 4_000  # characters that tell conversations apart


def session_of(messages: object, request: Mapping[str, Any]) -> str | None:
    """Return a name of the conversation; None where nothing tells it from others.

    It is LiteLLM's session id where the client sent one, else the first user turn, which a
    conversation carries along; both only within one API key. It is a hash: no text is kept.

    Parameters
    ----------
    messages, request
        As in `request.last_user_turn`.
    """
    metadata = metadata_of(request)
    said = request.get("litellm_session_id") or metadata.get("session_id")
    if isinstance(said, str) and said:
        place = f"id:{said}"
    else:
        turn = first_ask(messages, request)[:_LONGEST_TURN]
        if not turn.strip():
            return None
        place = f"turn:{turn}"
    owner = metadata.get("user_api_key_hash") or metadata.get("user_api_key") or ""
    content = f"{owner}\0{place}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def share_of(name: str) -> float:
    """Return a number in [0, 1) that is the same for the same name, everywhere."""
    return int(hashlib.blake2b(name.encode(), digest_size=8).hexdigest(), 16) / 2**64


class Sessions:
    """The model that answered each conversation last, for a while. Of one process.

    Parameters
    ----------
    seconds : float
        How long a conversation without requests is held.
    clock : callable
        Seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def model_of(self, session: str) -> str | None:
        """Return the model that holds a conversation, or None."""
        model, until = self._held.get(session, ("", 0.0))
        return model if self._clock() < until else None

    def hold(self, session: str, model: str) -> None:
        """Note who answered, and begin the time anew."""
        self._held[session] = (model, self._clock() + self._seconds)
        self._held.move_to_end(session)
        while len(self._held) > _KEPT:
            self._held.popitem(last=False)
