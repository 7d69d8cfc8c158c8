"""Whether decisions are taken aside, in a process of their own, and in which."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import joblib

from litellm_benchrouter.config import DecideIn
from litellm_benchrouter.costs.policy import Terms
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.pace import Pace
from litellm_benchrouter.serving.process import DecisionProcess, OnChange

logger = logging.getLogger("litellm_benchrouter")

_STARTS = 3  # for a version; what ended so often is only tried again after a rest
_REST_SECONDS = 3600.0
_SHARE = 0.5  # of a decision's time; in the rest it is taken here


class Aside:
    """Keeps a process that decides with the version that serves.

    Only short decisions go there, of an embedder that computes and waits for nothing. Whatever
    goes wrong with it, they are taken in the proxy's own process, as all others are.

    Parameters
    ----------
    where : {"auto", "proxy", "process"}
        As `serving.decide_in`.
    limit : float
        Seconds that a decision may take.
    on_change : callable, optional
        Called with `decides` when a process begins to decide, and when it ends after that.
    """

    def __init__(self, where: DecideIn, limit: float, on_change: OnChange | None = None) -> None:
        # With one processor, a second process would only take turns with the first.
        self._wanted = where == "process" or (where == "auto" and joblib.cpu_count() > 1)
        self._limit = _SHARE * limit
        self._lock = threading.Lock()  # a watcher may look once more while all is stopped
        self._on_change = on_change or (lambda *, decides: None)
        self._router: BenchRouter | None = None
        self._process: DecisionProcess | None = None
        self._starts = 0
        self._started = 0.0

    @property
    def process(self) -> DecisionProcess | None:
        """The process, where there is one; it may be about to start, or have ended."""
        return self._process

    def tend(self, router: BenchRouter, pace: Pace) -> None:
        """Start a process for the router that serves, if there is none, and end that of another."""
        with self._lock:
            self._tend(router, pace)

    def _tend(self, router: BenchRouter, pace: Pace) -> None:
        if self._router is not router:
            self._end_process()
            self._router, self._starts = router, 0
        if not self._wanted or not pace.only_computes:
            return
        if self._process is not None:
            self._process.look_after()
            if not self._process.has_ended:
                return
        now = time.monotonic()
        if self._starts >= _STARTS and now - self._started < _REST_SECONDS:
            return
        self._starts, self._started = self._starts + 1, now
        offers = {tuple(models) for task, *models in pace.kinds if task is None}
        try:
            self._process = DecisionProcess(router, offers, self._limit, self._on_change)
        except Exception as error:  # not every system has such sockets; versions come all the same
            self._starts = _STARTS
            logger.warning(
                "benchrouter: no process to decide in can be had (%s); decisions are taken in the "
                "proxy's process",
                error,
            )

    async def decide(
        self,
        router: BenchRouter,
        prompt: str,
        task: str | None,
        models: Sequence[str],
        terms: Terms,
    ) -> Decision | None:
        """Return the process's decision, or None where it has to be taken here."""
        process = self._process
        if process is None or process.router is not router or not process.decides(models, prompt):
            return None
        # These are quicker taken than asked for.
        if (task is not None and router.knows_task(task)) or not router.compares(models, terms):
            return None
        return await process.decide(prompt, task, models, terms)

    def stop(self) -> None:
        """End the process, and start no other; decisions under way are taken here."""
        with self._lock:
            self._wanted = False
            self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
