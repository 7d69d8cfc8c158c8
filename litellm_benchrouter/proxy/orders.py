"""Preference by `order`: the routers in Python, up to LiteLLM 1.109, serve the lowest that is left.

Their later filters (context window, tags, other callbacks) run on the copies, so the next best
takes over by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from litellm_benchrouter.routing.deployments import MAPPINGS, part


class OrderCopies:
    """Gives each deployment as a shallow copy with `litellm_params["order"]` set to its rank."""

    name = "orders"

    def __init__(self, router: Callable[[], Any] | None = None, hook: object = None) -> None:
        """Need neither the router nor the hook."""

    async def apply(
        self,
        group: str,
        offered: list[Any],
        ranks: Sequence[int],
        tried: Collection[str],
        request: dict[str, Any],
        messages: list[Any] | None,
    ) -> list[Any]:
        """Return as many copies, in the same sequence."""
        target = request.get("_target_order")
        # After a level of the operator's failed, LiteLLM keeps the order that it asks for alone.
        above = target - 1 if isinstance(target, int) else 0
        return [
            {**d, "litellm_params": {**part(d, "litellm_params"), "order": above + rank}}
            if isinstance(d, MAPPINGS)
            else d
            for d, rank in zip(offered, ranks, strict=True)
        ]
