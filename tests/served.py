"""A loader and an executor, as the proxy has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader


@dataclass(frozen=True)
class Served:
    loader: VersionLoader
    executor: Executor

    @property
    def router(self) -> BenchRouter:
        assert self.loader.router is not None
        return self.loader.router

    async def ask(self, text: str, models: Sequence[str], task: str | None = None) -> Decision:
        return await self.executor.run(self.router, text, task, models)

    def stop(self) -> None:
        self.loader.stop()
        self.executor.stop()


def serve(
    config: BenchRouterConfig, clock: Callable[[], float] = time.monotonic, **loader: Any
) -> Served:
    """Return them with the version loaded that CURRENT names; end them by `stop`."""
    executor = Executor(config.serving, clock=clock)
    served = Served(VersionLoader(config, executor, **loader), executor)
    served.loader.refresh()
    return served


def loader_of(config: BenchRouterConfig) -> VersionLoader:
    """Return a loader that has loaded nothing yet."""
    return VersionLoader(config, Executor(config.serving))
