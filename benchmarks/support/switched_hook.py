"""The hook with a switch, so that parts of it can be left out while a proxy runs."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np

from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.aside import Aside
from litellm_benchrouter.serving.serving import Serving

PORT = "BENCHROUTER_SWITCH"
"""Variable with the file that a proxy writes the number of the switch's port to."""

OFF, LIST, READ, PROXY, PROCESS = "off", "list", "read", "proxy", "process"
STATES = {
    OFF: "the hook does nothing",
    LIST: "decisions come from a list",
    READ: "... and 1 MB is read",
    PROXY: "they are taken in the proxy",
    PROCESS: "... in a process of their own",
}

_LISTED = 20  # decisions, the first that are taken
_LINE = 16  # float32 in a line of the processor's caches
_MEMORY = np.ones(16_000_000, dtype=np.float32)  # more than the caches hold
_PLACES = np.random.default_rng(0).integers(0, len(_MEMORY) // _LINE, (50, 16_384)) * _LINE
_state = PROCESS


class SwitchedHook(BenchRouterHook):
    """Does nothing where it is switched off."""

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Rank, or return the deployments as they are."""
        if _state == OFF:
            return healthy_deployments
        return await super().async_filter_deployments(
            model, healthy_deployments, messages, request_kwargs, parent_otel_span
        )

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Note the deployment, or not."""
        if _state == OFF:
            return None
        return await super().async_pre_call_deployment_hook(kwargs, call_type)

    async def async_post_call_response_headers_hook(
        self, *args: Any, **options: Any
    ) -> dict[str, str] | None:
        """Say who answered, or nothing."""
        if _state == OFF:
            return None
        return await super().async_post_call_response_headers_hook(*args, **options)


_decide, _decide_aside = Serving.decide, Aside.decide
_taken: list[Decision] = []
_numbers = itertools.count()


async def _decide_or_repeat(self: Serving, *args: Any, **options: Any) -> Decision:
    if _state in (LIST, READ) and len(_taken) == _LISTED:
        number = next(_numbers)
        if _state == READ:
            read_at_random(number)
        return _taken[number % _LISTED]
    decision = await _decide(self, *args, **options)
    if len(_taken) < _LISTED:
        _taken.append(decision)
    return decision


async def _decide_aside_or_not(self: Aside, *args: Any) -> Decision | None:
    return await _decide_aside(self, *args) if _state == PROCESS else None


def read_at_random(number: int) -> None:
    """Read a line of memory at each of 16,384 places, as much as a core's second cache holds."""
    _MEMORY[_PLACES[number % len(_PLACES)]].sum()


def _listen(file: Path) -> None:
    global _state  # noqa: PLW0603  # what the switch is
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as switch:
        switch.bind(("127.0.0.1", 0))
        file.write_text(str(switch.getsockname()[1]), encoding="utf-8")
        while True:
            said, sender = switch.recvfrom(64)
            _state = said.decode()
            switch.sendto(said, sender)


if PORT in os.environ:  # in a proxy
    setattr(Serving, "decide", _decide_or_repeat)  # noqa: B010
    setattr(Aside, "decide", _decide_aside_or_not)  # noqa: B010
    threading.Thread(target=_listen, args=(Path(os.environ[PORT]),), daemon=True).start()

handler = SwitchedHook()
"""What the proxy's configuration names."""
