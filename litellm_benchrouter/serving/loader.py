"""Versions loaded beside the requests: watched for, opened, warmed up, and swapped in."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import (
    BenchRouterError,
    EmbedderError,
    EmbedderUnavailableError,
    StoreUnavailableError,
)
from litellm_benchrouter.limits import DaemonThreads
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.executor import Executor, Kind
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.store import open_store

logger = logging.getLogger("litellm_benchrouter")

_WARM_UPS = 2  # threads: as many embedders may hang before no other version is tried
_WARM_UP_SECONDS = 60.0
_UNAVAILABLE = "unavailable"
_SKIPPED_LOOKS = 20  # then a refused version is tried again: a network volume may be back


class VersionLoader:
    """Holds the router of the version that serves, and swaps it when CURRENT names another.

    What the executor has prepared for one version is prepared for the next. `on_load` is called
    with each newly loaded router before it serves, in the loading thread; it returns the sets of
    models that will be on offer, so that their decisions can be prepared.
    """

    def __init__(
        self,
        config: BenchRouterConfig,
        executor: Executor,
        on_load: Callable[[BenchRouter], Iterable[Sequence[str]]] = lambda _: (),
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._store = open_store(config)
        self._embedder = config.embedder
        self._poll_seconds = config.serving.poll_seconds
        self._executor = executor
        self._on_load = on_load
        self._refused: str | None = None
        self._skips = 0
        self._warm_ups = DaemonThreads(_WARM_UPS, "benchrouter-warm-up")
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
        """Stop looking."""
        self._stopped.set()
        self._warm_ups.stop()

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
        serving = self.router.artifact if self.router else None
        router = BenchRouter(read_artifact(folder, known=serving, config=self._embedder))
        self._warm_up(router)
        self._prepare(router)
        self.router, self._refused = router, None
        self._executor.breaker.retry()
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

    def _prepare(self, router: BenchRouter) -> None:
        """Prepare the decisions that will be asked for, so that the first ones are quick."""
        kinds: list[Kind] = [(None, *offer) for offer in self._on_load(router)]
        if self.router is not None:
            kinds += self._executor.pace(self.router).kinds
        models_known = frozenset(router.models)
        pace = self._executor.pace(router)
        for task, *models in kinds:
            offer = [model for model in models if model in models_known]
            if offer and (task is None or router.knows_task(task)):
                router.prepare(offer, task)
                pace.prepared((task, *offer))

    def _warm_up(self, router: BenchRouter) -> None:
        """Take a first decision, which takes longer than the others, before the version serves.

        Raises EmbedderError where that does not end: the version could not serve.
        """
        version, kind = router.artifact.manifest.version, router.artifact.embedder.kind
        seconds = _WARM_UP_SECONDS
        if self._warm_ups.are_stuck(0.0):
            raise EmbedderError(
                f"version {version} was not tried: the embedders of {self._warm_ups.n_threads} "
                f"versions before it still hang. Restart the proxy once the cause is gone."
            )
        first = self._warm_ups.submit(lambda: router.decide("warm up"))
        try:
            first.result(seconds)  # one that hangs must not keep later versions from being loaded
        except TimeoutError as error:
            first.cancel()
            raise EmbedderError(
                f"the {kind} embedder of version {version} gave no vector within {seconds:g} s; "
                f"check that its model can be loaded here."
            ) from error
        except EmbedderUnavailableError:
            pass  # a provider may answer the next time

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            # Workers that started together should not read the disk together for ever.
            self._stopped.wait(self._poll_seconds * random.uniform(0.8, 1.2))

    def _refuse(self, state: str, reason: str) -> None:
        self._skips = _SKIPPED_LOOKS
        if state != self._refused:
            self._refused = state
            results = {"": "missing", _UNAVAILABLE: "unavailable"}
            self._metrics.refused(results.get(state, "refused"))
            outcome = (
                "requests pass through" if self.router is None else "the old version serves on"
            )
            logger.warning("benchrouter: %s; %s", reason, outcome)
