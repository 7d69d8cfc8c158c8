"""Asking a hosted embedder beside the requests: in time, or not at all while it keeps failing."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.embedders.hosted import CALLS
from litellm_benchrouter.errors import EmbedderUnavailableError
from litellm_benchrouter.routing.second import NoAnswer
from litellm_benchrouter.serving.breaker import Breaker, OnChange
from litellm_benchrouter.serving.threads import BusyError, DaemonThreads

logger = logging.getLogger("litellm_benchrouter")

_CALLS = "calls of the hosted embedder"

SHARE = 0.75
"""Of a decision's time: the rest is left to the second embedder, and to the decision itself."""


class FirstEmbedder:
    """Asks for one vector at a time, within a limit, behind a breaker of its own.

    Its threads are not those that decide, so that waiting for a provider holds up no decision.

    Parameters
    ----------
    limit : float
        Seconds.
    breaker : Breaker
    """

    def __init__(self, limit: float, breaker: Breaker) -> None:
        self._limit = limit
        self.breaker = breaker
        self._threads = DaemonThreads(CALLS, "benchrouter-first", longest_queue=CALLS)

    @classmethod
    def of(cls, config: BenchRouterConfig, on_change: OnChange) -> FirstEmbedder:
        """Return what asks as a configuration says; `on_change` hears of the breaker."""
        serving = config.serving
        limit = min(config.embedder.time_limit_ms, SHARE * serving.time_limit_ms) / 1000
        failures, seconds = serving.breaker.failures, serving.breaker.seconds
        return cls(limit, Breaker(failures, seconds, on_change=on_change, what=_CALLS))

    async def vector(self, embedder: Embedder, text: str) -> NDArray[np.float32] | NoAnswer:
        """Return the vector of a text, shape (1, d), or why there is none now."""
        number = self.breaker.enter()
        if number is None:
            return NoAnswer("the hosted embedder kept failing and rests", "breaker")
        ended = self.breaker.dropped
        try:
            vector = await self._asked(embedder, text)
            ended = self.breaker.succeeded
            return vector
        except BusyError:  # nothing is wrong with it: there are more prompts than calls
            return NoAnswer("the hosted embedder has too many calls under way", "busy")
        except Exception as error:
            ended = self.breaker.failed
            return self._failed(error)
        finally:
            ended(number)

    def stop(self) -> None:
        """End the threads as soon as they have done what waits; none is waited for."""
        self._threads.stop()

    async def _asked(self, embedder: Embedder, text: str) -> NDArray[np.float32]:
        work = asyncio.wrap_future(self._threads.submit(lambda: embedder.embed([text])))
        try:
            # Not wait_for, which where the loop was held up can drop a result that is there.
            await asyncio.wait([work], timeout=self._limit)
            if not work.done():
                raise TimeoutError
            return work.result()
        finally:
            work.cancel()

    def _failed(self, error: Exception) -> NoAnswer:
        if isinstance(error, TimeoutError) or getattr(error, "kind", None) == "time_limit":
            within = f"within {self._limit * 1000:g} ms"
            return NoAnswer(f"the hosted embedder gave no answer {within}", "time_limit")
        if isinstance(error, EmbedderUnavailableError):
            return NoAnswer(str(error), "error")
        # Not its message, which may quote the prompt.
        name = type(error).__name__
        logger.warning("benchrouter: the hosted embedder failed (%s)", name)
        return NoAnswer(f"the hosted embedder failed ({name})", "error")
