"""The first decision of a version, which takes longer than the others: before it serves."""

from __future__ import annotations

from contextlib import suppress

from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.threads import DaemonThreads

_PROMPT = "warm up"
_SECONDS = 60.0  # an embedder that hangs must not keep later versions from being loaded


def warm_up(router: BenchRouter) -> None:
    """Decide once.

    Raises
    ------
    EmbedderError
        If that does not end: the version could not serve.
    """
    with suppress(EmbedderUnavailableError):  # it may answer the next time
        _decide(router)


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
