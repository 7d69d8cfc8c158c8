"""A private router that shows which way of stating a preference the installed LiteLLM follows.

No version tells it: a release may change what its router looks at. The router's deployments are
mock ones, so nothing is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import litellm
from litellm.router import Router

from litellm_benchrouter.proxy.narrowing import SelectThenNarrow
from litellm_benchrouter.proxy.orders import OrderCopies
from litellm_benchrouter.proxy.preference import STAND_IN, Preference
from litellm_benchrouter.routing.deployments import id_of

logger = logging.getLogger("litellm_benchrouter")

_GROUP = "benchrouter-canary"
_DEPLOYMENTS = 8
_SECONDS_BETWEEN = 60.0
_MESSAGES = [{"role": "user", "content": "Which deployment is preferred?"}]
_TAGS = ["canary"]
_UNTAGGED = f"{_GROUP}-0"
"""Preferred above all in each trial, and taken out by LiteLLM's tag filter."""


class Maker(Protocol):
    """A class of preferences: (what returns the router, the hook that states them)."""

    name: str

    def __call__(self, router: Callable[[], Any], hook: object) -> Preference: ...


MAKERS: tuple[Maker, ...] = (OrderCopies, SelectThenNarrow)
"""The ways, the one that is preferred where both work first."""


class Adapters:
    """Chooses the way that works, and chooses again where what was served raises a suspicion.

    `hook` is the callback whose filter consults `preference.STAND_IN`; `on_change` is called with
    the name of the way that is in use from now on, "" where none works. `current` is None before
    the first choice, and where none works.
    """

    def __init__(
        self,
        hook: object,
        router: Callable[[], Any],
        on_change: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hook = hook
        self._router = router
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._chosen_at: float | None = None
        self.current: Preference | None = None

    def choose(self) -> None:
        """Try each way on a private router, and use the first that works; takes about 30 ms."""
        with self._lock:
            again, before = self._chosen_at is not None, self.current
            self._chosen_at = self._clock()
            maker = working(self._hook)
            made = None if maker is None else maker(self._router, self._hook)
            name, old = "" if made is None else made.name, "" if before is None else before.name
            if again and name == old:
                return
            self.current = made
            self._on_change(name)
            if made is None:
                logger.error(
                    "benchrouter: LiteLLM %s follows no preference that the plugin can state; "
                    "requests pass through. Install a release that docs/compatibility.md names.",
                    litellm_version(),
                )
            elif again:
                logger.error(
                    "benchrouter: LiteLLM stopped following preferences by %s; they are stated "
                    "by %s from now on.",
                    old or "none",
                    name,
                )

    def suspect(self) -> None:
        """Choose again in a thread, as what was served is not what was preferred; once a minute."""
        if self._chosen_at is None or self._clock() - self._chosen_at < _SECONDS_BETWEEN:
            return
        if not self._lock.locked():
            threading.Thread(target=self.choose, name="benchrouter-canary", daemon=True).start()


def working(hook: object) -> Maker | None:
    """Return the first way that LiteLLM follows, or None."""
    return next((maker for maker in MAKERS if works(maker, hook)), None)


def works(maker: Maker, hook: object) -> bool:
    """Say whether LiteLLM serves what is preferred in this way, each deployment once."""
    try:
        return asyncio.run(_tried(maker, hook))
    except Exception as error:
        logger.warning("benchrouter: the trial of LiteLLM's router failed (%s)", error)
        return False


def litellm_version() -> str:
    """Return the version of the installed LiteLLM."""
    from importlib.metadata import version

    return version("litellm")


async def _tried(maker: Maker, hook: object) -> bool:
    with _quiet():
        router = Router(
            model_list=[_deployment(number) for number in range(_DEPLOYMENTS + 1)],
            enable_tag_filtering=True,
            num_retries=0,
        )
    listed = hook in litellm.callbacks
    if not listed:
        litellm.callbacks.append(hook)  # type: ignore[arg-type]
    try:
        adapter = maker(lambda: router, hook)
        return all([await _is_served(router, adapter, n) for n in range(1, _DEPLOYMENTS + 1)])
    finally:
        if not listed:
            litellm.callbacks.remove(hook)  # type: ignore[arg-type]
        for release in ("retire", "discard"):  # its callbacks; older releases have one of them
            with contextlib.suppress(Exception):
                getattr(router, release)()


async def _is_served(router: Any, adapter: Preference, number: int) -> bool:
    best = f"{_GROUP}-{number}"

    async def preferring(
        group: str, offered: list[Any], messages: Any, request: dict[str, Any]
    ) -> list[Any]:
        ranks = [{_UNTAGGED: 1, best: 2}.get(str(id_of(d)), 3) for d in offered]
        return await adapter.apply(group, offered, ranks, (), request, messages)

    trial = STAND_IN.set(preferring)
    try:
        pick = getattr(router, "select", None) or router.async_get_available_deployment
        request = {"metadata": {"tags": _TAGS}}
        return id_of(await pick(_GROUP, request, messages=_MESSAGES)) == best
    finally:
        STAND_IN.reset(trial)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what LiteLLM warns of about the mock deployments out of the log."""

    def is_of_others(record: logging.LogRecord) -> bool:
        return _GROUP not in record.getMessage()

    theirs = logging.getLogger("LiteLLM")
    theirs.addFilter(is_of_others)
    try:
        yield
    finally:
        theirs.removeFilter(is_of_others)


def _deployment(number: int) -> dict[str, Any]:
    name = f"{_GROUP}-{number}"
    # A model of its own, as LiteLLM notes what a deployment says of itself under its model's name.
    params = {"model": f"openai/{_GROUP}", "api_key": "none", "mock_response": "none"}
    return {
        "model_name": _GROUP,
        "litellm_params": params if name == _UNTAGGED else {**params, "tags": _TAGS},
        "model_info": {"id": name},
    }
