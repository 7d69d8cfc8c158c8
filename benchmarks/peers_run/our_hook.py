"""Our hook as LiteLLM's `Router` calls it, outside of a proxy."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reliability.hooking import Logging, close, hook_of, loader_of, offered
from support.timing import elapsed_ms

from litellm_benchrouter.cli.demo import prepare
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.routing.router import BenchRouter
from peers_run.result import Ask


@contextmanager
def by_the_hook(router: BenchRouter) -> Iterator[Ask]:
    """Serve a router by the hook: the offer, prices, threads and the order of deployments too."""
    with tempfile.TemporaryDirectory(prefix="benchrouter-") as folder:
        prepare(Path(folder), Progress())
        hook, loop = hook_of(Path(folder)), asyncio.new_event_loop()
    loader_of(hook).router = router
    deployments = offered(list(router.models))

    def ask(text: str) -> float:
        messages = [{"role": "user", "content": text}]
        request = {"litellm_logging_obj": Logging(), "metadata": {}}
        hooked = hook.async_filter_deployments("smart", deployments, messages, request)
        return elapsed_ms(lambda: loop.run_until_complete(hooked))

    try:
        yield ask
    finally:
        close(hook)
        loop.close()
