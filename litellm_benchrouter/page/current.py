"""The version that CURRENT names, opened again when it names another."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

_RETRY_SECONDS = 10.0  # a network volume may be back


@dataclass(frozen=True)
class Seen:
    """What there is to show.

    Attributes
    ----------
    router : BenchRouter or None
        Of the version that could be opened last; None before the first.
    problem : str or None
        Why it is not the one that CURRENT names.
    """

    router: BenchRouter | None
    problem: str | None = None


class Current:
    """Follows CURRENT, whoever asks; one thread loads while the others go on with what was there.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loading = threading.Lock()
        self._seen = Seen(None)
        self._state = ""
        self._retry_at = 0.0

    def look(self) -> Seen:
        """Return what there is, after opening a version that is new."""
        if self._loading.acquire(blocking=self._seen.router is None):
            try:
                self._follow()
            finally:
                self._loading.release()
        return self._seen

    def _follow(self) -> None:
        serving = self._seen.router
        state = ""
        try:
            version = self.store.current()
            if version is None:
                gone = f"{self.store.name} names no current version any more."
                self._seen, self._state = Seen(serving, gone if serving else None), ""
                return
            state = self.store.state(version)
            if state == self._state and (
                self._seen.problem is None or time.monotonic() < self._retry_at
            ):
                return
            known = serving.artifact if serving else None
            self._seen = Seen(BenchRouter(read_artifact(self.store.fetch(version), known=known)))
        except BenchRouterError as error:
            self._refuse(str(error))
        except Exception as error:
            self._refuse(f"the current version cannot be opened ({type(error).__name__}).")
        self._state = state

    def _refuse(self, reason: str) -> None:
        self._seen = Seen(self._seen.router, reason)
        self._retry_at = time.monotonic() + _RETRY_SECONDS
