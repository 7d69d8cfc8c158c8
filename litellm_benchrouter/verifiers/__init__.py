"""Verifiers: what an answer looks like once it is there, as a score in [0, 1].

A score says nothing by itself: what it is worth is fitted on labelled answers (`costs.cascade`).
Requests and answers are those of chat completions, as plain dicts; `answer_of` makes one of a text.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.limits import DaemonThreads
from litellm_benchrouter.verifiers.agreement import agreement
from litellm_benchrouter.verifiers.answer import answer_quality
from litellm_benchrouter.verifiers.judge import judged
from litellm_benchrouter.verifiers.logprobs import mean_probability
from litellm_benchrouter.verifiers.schema import validity

Chat = Mapping[str, Any]
Ask = Callable[[Chat], Awaitable[Chat]]
"""Asks: (request) -> answer. The same request is for another cheap model, else for its `model`."""

AGREEMENT, LOGPROBS = "agreement", "logprobs"

OFFLINE: Mapping[str, Callable[[Chat, Chat], float | None]] = {
    "answer": answer_quality,
    "schema": validity,
    LOGPROBS: mean_probability,
}
"""Those that need nothing but the request and its answer."""

_threads = DaemonThreads(2, "benchrouter-verify")  # one may hang without stopping the other

NAMES = "answer, schema, agreement, logprobs, judge:MODEL_GROUP or MODULE.FUNCTION"


@dataclass(frozen=True)
class Verifier:
    """A verifier by its name."""

    name: str
    check: Callable[..., Any]
    asks: bool = False  # it asks a model, so that it costs money and time

    async def score(self, request: Chat, answer: Chat, ask: Ask | None = None) -> float | None:
        """Return the score in [0, 1]; None where the verifier has nothing to say.

        Raises
        ------
        Exception
            Whatever the verifier raises; ValueError for a score that is not one.
        """
        if self.asks:
            return None if ask is None else _checked(await self.check(request, answer, ask))
        if inspect.iscoroutinefunction(self.check):
            return _checked(await self.check(request, answer))
        work = _threads.submit(partial(self.check, request, answer))
        return _checked(await asyncio.wrap_future(work))


def verifier(name: str) -> Verifier:
    """Return the verifier of a name; ConfigError where there is none."""
    kind, _, argument = name.partition(":")
    if name in OFFLINE:
        return Verifier(name, OFFLINE[name])
    if name == AGREEMENT:
        return Verifier(name, agreement, asks=True)
    if kind == "judge" and argument:
        return Verifier(name, judged(argument), asks=True)
    return Verifier(name, _own(name))


def _own(name: str) -> Callable[..., Any]:
    """Return a function of the user's own, by its dotted path."""
    module, _, function = name.replace(":", ".").rpartition(".")
    if not module:
        raise ConfigError(f"cascade.verifiers: {name!r} is not a verifier. Use {NAMES}.")
    try:
        check = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # a script that ends at import ends nothing else
        raise ConfigError(
            f"cascade.verifiers: {name!r} cannot be imported ({type(error).__name__}). Use {NAMES}."
        ) from error
    if not callable(check):
        raise ConfigError(f"cascade.verifiers: {name!r} is not a function. Use {NAMES}.")
    checked: Callable[..., Any] = check
    return checked


def answer_of(text: str, finish_reason: str | None = "stop") -> dict[str, Any]:
    """Return an answer that is a text, as a chat completion."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def _checked(score: object) -> float | None:
    if score is None:
        return None
    if isinstance(score, int | float) and 0 <= score <= 1:
        return float(score)
    raise ValueError("a score must be None or a number in [0, 1]")
