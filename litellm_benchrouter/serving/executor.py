"""Decisions within a time limit, without holding the event loop.

Handing work to a thread and back wakes two threads that compete for the interpreter, which in a
busy proxy costs several times what a short decision does. So decisions that only compute are taken
on the event loop itself once they have shown that they are quick; all others go to a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from weakref import WeakKeyDictionary

from litellm_benchrouter.config import ServingConfig
from litellm_benchrouter.costs.policy import PLAIN, Terms
from litellm_benchrouter.embedders import (
    HostedEmbedder,
    LexicalEmbedder,
    PrecomputedEmbedder,
    StaticEmbedder,
)
from litellm_benchrouter.embedders.hosted import CALLS
from litellm_benchrouter.errors import EmbedderUnavailableError
from litellm_benchrouter.limits import Breaker, BusyError, DaemonThreads, Memory
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.estimates import MOST_OFFERS
from litellm_benchrouter.routing.router import MOST_TASKS, BenchRouter
from litellm_benchrouter.serving.metrics import Metrics

logger = logging.getLogger("litellm_benchrouter")

Kind = tuple[str | None, *tuple[str, ...]]
"""What a first decision prepares for the next: a named task or None, and the models on offer."""

# They compute, and wait for no model and no network.
_ONLY_COMPUTE = frozenset({LexicalEmbedder.kind, PrecomputedEmbedder.kind, StaticEmbedder.kind})
_THREADS = 2  # one may hang in an embedder without stopping the other
_SLOW = 0.002  # seconds; a fifth of what may hold the event loop
_RECENT = 50  # decisions that are remembered
_SLOW_SHARE = 0.1
_ADMITTED_SHARE = 0.6  # of the time limit: the rest is for what no estimate foresees
_WEIGHT = 0.1  # of the latest decision in the mean of how long one holds a thread
_RESTS = "decisions kept failing; they rest"


class OverloadError(Exception):
    """More decisions are under way than can be taken in time."""


class Pace:
    """How long the decisions of one router take.

    The next decision is timed by `clock`; `service` is the mean seconds that a prepared decision
    holds a thread, None before the first.
    """

    clock: Callable[[], float]

    def __init__(self, router: BenchRouter) -> None:
        embedder = router.artifact.embedder
        self.hosted = embedder if isinstance(embedder, HostedEmbedder) else None
        self.only_computes = embedder.kind in _ONLY_COMPUTE
        self.service: float | None = None
        self.clock = time.perf_counter
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        # No larger than what the router remembers, or a long computation would be taken for quick.
        self._offers: Memory[Kind, bool] = Memory(MOST_OFFERS)
        self._tasks: Memory[Kind, bool] = Memory(MOST_TASKS)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of decisions that are prepared, the least recently used first."""
        return [*self._offers.keys(), *self._tasks.keys()]

    def is_prepared(self, kind: Kind) -> bool:
        """Say whether what the decisions of a kind need is there; that counts as a use."""
        return self._memory(kind).get(kind) is not None

    def prepared(self, kind: Kind) -> None:
        """Note that what the first decision of a kind needs is there."""
        self._memory(kind).put(kind, True)

    @property
    def is_quick(self) -> bool:
        """Say whether prepared decisions that only compute were quick of late."""
        return sum(self._recent) <= _SLOW_SHARE * _RECENT

    def note(self, seconds: float, clock: Callable[[], float]) -> None:
        """Note how long a prepared decision took by the clock that it was timed by.

        A clock also counts what others took of the processor. To ask for the thread's own time is
        a system call, which costs a good part of a decision, so that only what follows on a slow
        one is timed by it.
        """
        is_slow = seconds > _SLOW
        self.clock = time.thread_time if is_slow else time.perf_counter
        if not is_slow or clock is time.thread_time:
            self._recent.append(is_slow)

    def held(self, seconds: float) -> None:
        """Note how long a prepared decision held a thread."""
        mean = seconds if self.service is None else self.service
        self.service = mean + _WEIGHT * (seconds - mean)

    def _memory(self, kind: Kind) -> Memory[Kind, bool]:
        return self._offers if kind[0] is None else self._tasks


class Executor:
    """Takes decisions in time, or the best on average at once.

    The breaker opens where embedders keep failing; too many requests never open it.
    """

    def __init__(
        self,
        config: ServingConfig,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = config.time_limit_ms / 1000
        self._clock = clock
        self._local = DaemonThreads(_THREADS, "benchrouter-decide", clock=clock)
        self._hosted = DaemonThreads(CALLS, "benchrouter-decide-hosted", clock=clock)
        self._paces: WeakKeyDictionary[BenchRouter, Pace] = WeakKeyDictionary()
        failures, seconds = config.breaker.failures, config.breaker.seconds
        on_change = (metrics or Metrics()).breaker
        self.breaker = Breaker(failures, seconds, clock=clock, on_change=on_change)

    def stop(self) -> None:
        """Let the threads end once what waits is done; none is waited for."""
        self._local.stop()
        self._hosted.stop()

    def pace(self, router: BenchRouter) -> Pace:
        """Return the pace of a router."""
        return self._paces.get(router) or self._paces.setdefault(router, Pace(router))

    async def run(
        self,
        router: BenchRouter,
        text: str,
        task: str | None,
        models: Sequence[str],
        terms: Terms = PLAIN,
    ) -> Decision:
        """Decide within the time limit, without holding the event loop; see `BenchRouter.decide`.

        `models` are sorted. The decision is by the average alone, and of one of the kinds
        `GIVEN_UP`, where it was not taken in time, failed, or embedders have kept failing.
        """
        pace = self.pace(router)
        named = task if task is not None and router.knows_task(task) else None
        kind: Kind = (named, *models)
        is_prepared = pace.is_prepared(kind)
        embeds = named is None and bool(text.strip())
        if embeds and is_prepared:
            embeds = router.compares(models, terms)
        vector = pace.hosted.recall(text) if embeds and pace.hosted is not None else None
        embeds = embeds and vector is None
        number = self.breaker.enter() if embeds else None
        if embeds and number is None:
            return router.best_on_average(models, _RESTS, terms, "breaker")
        decide = partial(router.decide, text, task=task, models=models, terms=terms, vector=vector)
        ended = self.breaker.dropped
        try:
            if is_prepared and pace.is_quick and (pace.only_computes or not embeds):
                decision = _timed(pace, decide)
            else:
                decision = await self._in_thread(pace, kind, decide)
            ended = self.breaker.succeeded
            return decision
        except OverloadError:
            reason, why = "too many decisions are under way", "overload"
        except TimeoutError:
            ended = self.breaker.failed
            reason, why = f"no decision within {self._limit * 1000:g} ms", "time_limit"
        except EmbedderUnavailableError as error:
            ended = self.breaker.failed
            reason, why = str(error), error.kind
        except Exception as error:
            ended = self.breaker.failed
            # Not its message, which may quote the prompt.
            logger.warning("benchrouter: a decision failed (%s)", type(error).__name__)
            reason, why = f"the decision failed ({type(error).__name__})", "error"
        finally:
            if number is not None:
                ended(number)
        return router.best_on_average(models, reason, terms, why)

    async def _in_thread(self, pace: Pace, kind: Kind, decide: Callable[[], Decision]) -> Decision:
        """Decide in a thread; TimeoutError where that is too slow, OverloadError for a queue."""
        threads = self._local if pace.hosted is None else self._hosted
        if not self._admits(threads, pace.service):
            raise OverloadError
        was_prepared = pace.is_prepared(kind)
        started: list[float] = []

        def work() -> Decision:
            started.append(self._clock())
            if not was_prepared:
                decision = decide()
                pace.prepared(kind)
                return decision
            decision = _timed(pace, decide)
            pace.held(self._clock() - started[0])
            return decision

        try:
            waiting = asyncio.wrap_future(threads.submit(work))
        except BusyError as error:
            raise OverloadError from error
        try:
            # Not wait_for, which where the loop was held up can drop a result that is there.
            await asyncio.wait([waiting], timeout=self._limit)
            if waiting.done():
                return waiting.result()
            # Its own time, not that in the queue, says whether a decision is too slow.
            ran = self._clock() - started[0] if started else 0.0
            if ran >= self._limit / 2 or threads.are_stuck(self._limit):
                raise TimeoutError
            raise OverloadError
        finally:
            waiting.cancel()

    def _admits(self, threads: DaemonThreads, service: float | None) -> bool:
        """Say whether a decision that comes now can be taken in time."""
        ahead = threads.unfinished
        if ahead < threads.n_threads:
            return True
        if threads.are_stuck(self._limit):
            return threads.waiting == 0  # the one that finds out whether they still are
        ends_before = ahead - threads.n_threads + 1  # then a thread is free
        seconds = (service or 0.0) * (1 + ends_before / threads.n_threads)
        return seconds <= _ADMITTED_SHARE * self._limit


def _timed(pace: Pace, decide: Callable[[], Decision]) -> Decision:
    clock = pace.clock
    started = clock()
    decision = decide()
    pace.note(clock() - started, clock)
    return decision
