"""The first decision of a version, which takes longer than the others: before it serves."""

from __future__ import annotations

import logging
from contextlib import suppress

from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.threads import DaemonThreads

logger = logging.getLogger("litellm_benchrouter")

_PROMPT = "warm up"
_SECONDS = 60.0  # an embedder that hangs must not keep later versions from being loaded


def warm_up(router: BenchRouter) -> None:
    """Decide once by each embedder; a second one that cannot is given up, and the log says so.

    Raises
    ------
    EmbedderError
        If the first one does not end: the version could not serve.
    """
    with suppress(EmbedderUnavailableError):  # it may answer the next time
        _decide(router)
    why = router.artifact.without_second
    try:
        if router.second is not None:
            _decide(router.second)
    except Exception as error:
        router.second = None
        why = str(error) if isinstance(error, EmbedderError) else type(error).__name__
    if why is not None:
        logger.warning("benchrouter: the second embedder cannot be used; %s", why)


def _decide(router: BenchRouter) -> None:
    threads = DaemonThreads(1, "benchrouter-warm-up")
    try:
        threads.submit(lambda: router.decide(_PROMPT)).result(_SECONDS)
    except TimeoutError as error:
        version, kind = router.artifact.manifest.version, router.artifact.embedder.kind
        raise EmbedderError(
            f"the {kind} embedder of version {version} gave no vector within "
            f"{_SECONDS:g} s; see that its model can be loaded here."
        ) from error
    finally:
        threads.stop()
