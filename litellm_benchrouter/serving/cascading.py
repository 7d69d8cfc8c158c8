"""A cascade: answers are verified, and a better model asked while that pays. No LiteLLM in here."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from litellm_benchrouter.costs.cascade import Cascade
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.verifiers import Chat, Verifier

T = TypeVar("T")

End = Literal["enough", "time_limit", "usd_limit", "refused", "failed", "verifier"]
ENDS: tuple[End, ...] = get_args(End)
"""Why a cascade ended: no further call pays, or what stopped it."""

_SAID: Mapping[str, str] = {
    "enough": "no further call pays",
    "time_limit": "the time limit is reached",
    "usd_limit": "the budget is reached",
    "refused": "the proxy refused the next call, for a rate limit or a budget",
    "failed": "the next model failed",
    "verifier": "a verifier failed",
}

_running: set[asyncio.Future[Any]] = set()  # what is no longer waited for still ends, and is billed


class RefusedError(Exception):
    """The caller may not have another answer: a budget, a rate limit, or rights."""


class TimeUpError(Exception):
    """The time of a cascade is up."""


@dataclass(frozen=True)
class Plan:
    """A call that may become a cascade.

    `groups` names the model group of each benchmark model; empty where there is one for all.
    """

    cascade: Cascade
    decision: Decision
    groups: Mapping[str, str] = field(default_factory=dict)
    is_stream: bool = False
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Answer:
    """An answer: who gave it, what it cost, and how verifiers and the caller see it."""

    model: str
    chat: Chat
    usd: float = 0.0
    response: Any = None  # as the caller gets it; None for the first


@dataclass(frozen=True)
class Limits:
    """What a cascade may take of the caller's time, and of money for each request."""

    seconds: float = 30.0
    usd: float = math.inf


@dataclass(frozen=True)
class Outcome:
    """The answer that a cascade gives, and how it came to it."""

    answer: Answer
    ended: End
    posterior: Mapping[str, float]  # P(right) of each answer, in the order asked
    usd: float  # of all calls

    @property
    def is_first(self) -> bool:
        """Whether the caller gets the first answer."""
        return self.answer.response is None

    def __str__(self) -> str:
        asked = [f"{model} {p:.2f}" for model, p in self.posterior.items()]
        return f"P(right) {', '.join(asked)}; {_SAID[self.ended]}"


class Run:
    """One cascade, from its first answer on.

    Parameters
    ----------
    plan : Plan
    request : mapping
        As a chat completion.
    verifiers : sequence of Verifier
        Those for which the artifact has no evidence are passed over.
    limits : Limits
    ask : callable
        Asks a benchmark model what the caller asked: (model, P(right) of the answers so far).
        It raises RefusedError, or anything else where the model fails.
    ask_group : callable
        Asks a model group something else: (request) -> (answer, USD).
    clock : callable
    """

    def __init__(
        self,
        plan: Plan,
        request: Chat,
        verifiers: Sequence[Verifier],
        limits: Limits,
        ask: Callable[[str, Mapping[str, float]], Coroutine[Any, Any, Answer]],
        ask_group: Callable[[Chat], Coroutine[Any, Any, tuple[Chat, float]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        decision = plan.decision
        self._plan, self._request, self._limits = plan, request, limits
        self._verifiers = [v for v in verifiers if v.name in plan.cascade.evidence]
        self._ask, self._ask_group, self._clock = ask, ask_group, clock
        self._probability = dict(decision.probability or {})
        self._costs = dict(decision.costs_usd or {})
        self._answers: dict[str, Answer] = {}  # that count
        self._spare: dict[str, Answer] = {}  # that were only asked to compare
        self._evidence: dict[str, float] = {}
        self._usd = 0.0

    @property
    def may_ask_on(self) -> bool:
        """Whether anything could come of it."""
        return bool(self._verifiers) and len(self._costs) > 1 and self._plan.cascade.steps > 1

    async def outcome(self, first: Answer) -> Outcome:
        """Return the best answer once no further call pays, or a limit is reached."""
        self._usd += first.usd
        answer = first
        ended: End | None = None
        while ended is None:
            self._answers[answer.model] = answer
            ended = await self._verify(answer)
            model = self._next() if ended is None else None
            if model is None:
                ended = ended or "enough"
            else:
                answer, ended = await self._another(model, answer)
        posterior = self._posterior()
        best = max(posterior, key=lambda model: posterior[model])
        return Outcome(self._answers[best], ended, posterior, self._usd)

    def _next(self) -> str | None:
        costs = self._costs | dict.fromkeys(self._spare, 0.0)  # those are paid
        return self._plan.cascade.next_model(self._probability, costs, self._evidence)

    def _posterior(self) -> dict[str, float]:
        return self._plan.cascade.posterior(self._probability, self._evidence)

    async def _another(self, model: str, latest: Answer) -> tuple[Answer, End | None]:
        """Return the next answer; the latest again, and why, where there is none."""
        try:
            answer = await self._answer_of(model)
        except TimeUpError:
            return latest, "time_limit"
        except RefusedError:
            return latest, "refused"
        except _UsdError:
            return latest, "usd_limit"
        except Exception:
            return latest, "failed"
        # Where the model failed, LiteLLM may have asked one that has answered before.
        is_new = answer.model in self._probability and answer.model not in self._answers
        return (answer, None) if is_new else (latest, "failed")

    async def _answer_of(self, model: str) -> Answer:
        """Ask a model what the caller asked, once, within the limits."""
        if model in self._spare:
            return self._spare.pop(model)
        if self._usd + self._costs.get(model, 0.0) > self._limits.usd:
            raise _UsdError
        answer = await self._in_time(self._ask(model, self._posterior()))
        self._usd += answer.usd
        return answer

    async def _verify(self, answer: Answer) -> End | None:
        """Note the evidence on an answer; return why the cascade ends where a verifier fails."""
        total = 0.0
        ended: End | None = None
        self._evidence[answer.model] = total
        for verifier in self._verifiers:
            try:
                score = await self._in_time(verifier.score(self._request, answer.chat, self._other))
            except TimeUpError:
                ended = "time_limit"
            except RefusedError:
                ended = "refused"
            except _UsdError:
                ended = "usd_limit"
            except Exception:
                ended = "verifier"
            else:
                if score is not None:
                    total += self._plan.cascade.evidence[verifier.name].of(score)
                continue
            break
        self._evidence[answer.model] = total
        return ended

    async def _other(self, request: Chat) -> Chat:
        """Ask what a verifier wants to know: a model group, or another cheap model the same."""
        if request is not self._request:
            if self._usd >= self._limits.usd:
                raise _UsdError
            reply, usd = await self._ask_group(request)
            self._usd += usd
            return reply
        latest = next(reversed(self._evidence))
        others = sorted((m for m in self._costs if m != latest), key=lambda m: self._costs[m])
        there = next((m for m in others if m in self._answers or m in self._spare), None)
        if there is not None:
            return (self._answers.get(there) or self._spare[there]).chat
        answer = await self._answer_of(others[0])
        if answer.model == latest:
            raise ValueError("no other model answered")
        self._spare[answer.model] = answer
        return answer.chat

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something while there is time; what is late ends by itself."""
        left = self._plan.started + self._limits.seconds - self._clock()
        if left <= 0:
            work.close()
            raise TimeUpError
        task = asyncio.ensure_future(work)
        _running.add(task)
        task.add_done_callback(_ended)
        await asyncio.wait([task], timeout=left)
        if not task.done():
            raise TimeUpError
        return task.result()


class _UsdError(Exception):
    """The next call would cost more than a request may."""


def _ended(task: asyncio.Future[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # or asyncio complains that nobody asked for it
