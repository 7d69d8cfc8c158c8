"""The router inside the proxy: loads versions beside the requests, decides within a time limit."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.costs.policy import PLAIN, Terms
from litellm_benchrouter.errors import (
    BenchRouterError,
    EmbedderUnavailableError,
    StoreUnavailableError,
)
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.aside import Aside
from litellm_benchrouter.serving.breaker import Breaker
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.serving.pace import Kind, Pace
from litellm_benchrouter.serving.threads import BusyError, DaemonThreads
from litellm_benchrouter.serving.warm_up import warm_up
from litellm_benchrouter.store import open_store

logger = logging.getLogger("litellm_benchrouter")

_THREADS = 2  # one may hang in an embedder without stopping the other
_RESTS = "decisions kept failing; they rest"
_UNAVAILABLE = "unavailable"
_SKIPPED_LOOKS = 20  # then a refused version is tried again: a network volume may be back


class Serving:
    """Holds the router of the version that serves, and swaps it when CURRENT names another.

    Parameters
    ----------
    config : BenchRouterConfig
    on_load : callable, optional
        Called with each newly loaded router before it serves, in the loading thread; returns the
        sets of models that will be on offer, so that their decisions can be prepared.
    metrics : Metrics, optional

    Attributes
    ----------
    router : BenchRouter or None
        Of the version that serves.
    breaker : Breaker
        Opens where decisions keep failing.
    aside : Aside
        Takes the short decisions in a process of their own, once `start` was called.
    """

    def __init__(
        self,
        config: BenchRouterConfig,
        on_load: Callable[[BenchRouter], Iterable[Sequence[str]]] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._store = open_store(config)
        self._embedder = config.embedder
        self._poll_seconds = config.serving.poll_seconds
        self._limit = config.serving.time_limit_ms / 1000
        self._on_load = on_load
        self._refused: str | None = None
        self._skips = 0
        self._threads = DaemonThreads(_THREADS, "benchrouter-decide")
        self._paces: WeakKeyDictionary[BenchRouter, Pace] = WeakKeyDictionary()
        breaker = config.serving.breaker
        self.breaker = Breaker(breaker.failures, breaker.seconds, on_change=self._metrics.breaker)
        self.aside = Aside(config.serving.decide_in, self._limit, self._metrics.aside)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.router: BenchRouter | None = None

    def start(self) -> None:
        """Start looking for versions, in a thread that ends with the process."""
        if self._thread is None:
            # A decision's matrices are small: more threads would only spin, and take the cores of
            # other workers.
            threadpool_limits(limits=1, user_api="blas")
            self._thread = threading.Thread(
                target=self._watch, name="benchrouter-load", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop looking, and let decisions under way end by themselves."""
        self._stopped.set()
        self._threads.stop()
        self.aside.stop()

    def refresh(self) -> None:
        """Load the version that CURRENT names, if it is not the one that serves.

        A version that cannot be used is reported once; the one that serves goes on serving.
        """
        state = ""
        try:
            version = self._store.current()
            if version is None:
                self._refuse("", f"no version was published in {self._store.name} yet")
                return
            state = self._store.state(version)
            serving = self.router.artifact.manifest.version if self.router else None
            if version == serving:
                if self._refused == _UNAVAILABLE:
                    logger.info("benchrouter: %s answers again", self._store.name)
                self._refused = None
                self._metrics.current()
                return
            if state == self._refused and self._skips > 0:
                self._skips -= 1
                return
            self._load(self._store.fetch(version))
            self._store.keep(version)
        except StoreUnavailableError as error:
            self._refuse(_UNAVAILABLE, self._fall_back(str(error)))
        except BenchRouterError as error:
            self._refuse(state, str(error))
        except Exception as error:
            self._refuse(state, f"{type(error).__name__}: {error}")

    def _load(self, folder: Path) -> None:
        """Make the version of a folder the one that serves."""
        known = self.router.artifact if self.router else None
        router = BenchRouter(read_artifact(folder, known=known, config=self._embedder))
        warm_up(router)
        self._prepare(router)
        self.router, self._refused = router, None
        self.breaker.retry()
        self._metrics.loaded(router.artifact)
        logger.info("benchrouter: version %s serves", router.artifact.manifest.version)

    def _fall_back(self, reason: str) -> str:
        """Where nothing serves yet, load what served here last; say why and what."""
        if self.router is not None:
            return reason
        try:
            version = self._store.cached()
            if version is None:
                return f"{reason} There is no verified copy in {self._store.root}"
            self._load(self._store.folder(version))
        except Exception as error:
            return f"{reason} The copy in {self._store.root} cannot be used ({error})"
        return f"{reason} Version {version} was taken from {self._store.root}"

    async def decide(
        self,
        router: BenchRouter,
        text: str,
        task: str | None,
        models: Sequence[str],
        terms: Terms = PLAIN,
    ) -> Decision:
        """Decide within the time limit, without holding the event loop.

        Returns
        -------
        Decision
            By the average alone, and of one of the kinds `GIVEN_UP`, where it was not taken in
            time, failed, or decisions have kept failing.
        """
        number = self.breaker.enter()
        if number is None:
            return router.best_on_average(models, _RESTS, terms, "breaker")
        ended = self.breaker.dropped
        try:
            decision = await self._decide(router, text, task, models, terms)
            ended = self.breaker.succeeded
            return decision
        except TimeoutError:
            ended = self.breaker.failed
            reason, kind = f"no decision within {self._limit * 1000:g} ms", "time_limit"
        except BusyError:
            ended = self.breaker.failed
            reason, kind = "too many decisions wait for a thread", "time_limit"
        except EmbedderUnavailableError as error:
            ended = self.breaker.failed
            reason, kind = str(error), error.kind
        except Exception as error:
            ended = self.breaker.failed
            logger.warning("benchrouter: a decision failed (%s)", type(error).__name__)
            reason, kind = f"the decision failed ({type(error).__name__})", "error"
        finally:
            ended(number)
        return router.best_on_average(models, reason, terms, kind)

    async def _decide(
        self,
        router: BenchRouter,
        text: str,
        task: str | None,
        models: Sequence[str],
        terms: Terms,
    ) -> Decision:
        """Decide in the process beside this one where that can be, else here."""
        started = time.perf_counter()
        decided = await self.aside.decide(router, text, task, models, terms)
        if decided is not None:
            return decided
        left = self._limit - (time.perf_counter() - started)
        return await self._in_time(left, router, text, task, models, terms)

    async def _in_time(
        self,
        limit: float,
        router: BenchRouter,
        text: str,
        task: str | None,
        models: Sequence[str],
        terms: Terms,
    ) -> Decision:
        """Decide in place where that is quick, else in a thread; TimeoutError when time is up."""
        pace = self._pace(router)
        clock = pace.clock

        def timed() -> tuple[Decision, float]:
            started = clock()
            decision = router.decide(text, task=task, models=models, terms=terms)
            return decision, clock() - started

        known_task = task if task is not None and router.knows_task(task) else None
        kind: Kind = (known_task, *models)
        is_quick = pace.is_quick(kind)
        if not is_quick and pace.is_quick(kind, embedded=True):
            is_quick = not router.compares(models, terms)
        if is_quick:
            decision, seconds = timed()
        else:
            work = asyncio.wrap_future(self._threads.submit(timed))
            try:
                # Not wait_for, which where the loop was held up can drop a result that is there.
                await asyncio.wait([work], timeout=limit)
                if not work.done():
                    raise TimeoutError
                decision, seconds = work.result()
            finally:
                work.cancel()
        pace.note(kind, seconds, clock)
        return decision

    def _pace(self, router: BenchRouter) -> Pace:
        return self._paces.get(router) or self._paces.setdefault(router, Pace(router))

    def _prepare(self, router: BenchRouter) -> None:
        """Prepare the decisions that will be asked for, so that the first ones are quick."""
        offers = () if self._on_load is None else self._on_load(router)
        kinds: list[Kind] = [(None, *offer) for offer in offers]
        if self.router is not None and self.router in self._paces:
            kinds += self._paces[self.router].kinds
        known = frozenset(router.models)
        pace = self._paces.setdefault(router, Pace(router))
        for task, *models in kinds:
            offer = [model for model in models if model in known]
            if offer and (task is None or router.knows_task(task)):
                router.prepare(offer, task)
                pace.prepared((task, *offer))

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            if self.router is not None:
                self.aside.tend(self.router, self._pace(self.router))
            # Workers that started together should not read the disk together for ever.
            self._stopped.wait(self._poll_seconds * random.uniform(0.8, 1.2))

    def _refuse(self, state: str, reason: str) -> None:
        self._skips = _SKIPPED_LOOKS
        if state != self._refused:
            self._refused = state
            results = {"": "missing", _UNAVAILABLE: "unavailable"}
            self._metrics.refused(results.get(state, "refused"))
            kept = "requests pass through" if self.router is None else "the old version serves on"
            logger.warning("benchrouter: %s; %s", reason, kept)
