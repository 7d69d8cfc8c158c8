"""LiteLLM's own routers, configured as its documentation does, and asked as its proxy asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.harness import deployment

GROUP = "smart"
MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b")
_CHEAP, _MIDDLE, _GOOD, _BEST = "spark-3b", "mathsmith-8b", "coder-14b", "atlas-70b"
DEFAULT = _MIDDLE
_TIERS = {_CHEAP: 1, "polyglot-12b": 1, _MIDDLE: 2, _GOOD: 3, _BEST: 4}

_ROUTERS: dict[str, dict[str, Any]] = {
    "complexity": {
        "complexity_router_config": {
            "tiers": {"SIMPLE": _CHEAP, "MEDIUM": _MIDDLE, "COMPLEX": _GOOD, "REASONING": _BEST}
        },
        "complexity_router_default_model": DEFAULT,
    },
    "quality": {
        "quality_router_config": {"available_models": list(MODELS), "default_model": DEFAULT}
    },
    "adaptive": {
        "adaptive_router_config": {"available_models": list(MODELS)},
        "adaptive_router_default_model": DEFAULT,
    },
}
KINDS = tuple(_ROUTERS)


def named(kind: str) -> str:
    """Name one of them in tables."""
    return f"litellm, {kind}"


def model_list(kind: str, api_base: str) -> list[dict[str, Any]]:
    """Return the deployments of the models and the group that one of the routers decides for."""
    each = [
        deployment(
            model,
            model,
            api_base,
            params={"input_cost_per_token": tier * 1e-7, "output_cost_per_token": tier * 1e-7},
            litellm_routing_preferences={"quality_tier": tier},
            adaptive_router_preferences={"quality_tier": min(tier, 3)},
        )
        for model, tier in _TIERS.items()
    ]
    router = {"model": f"auto_router/{kind}_router", **_ROUTERS[kind]}
    return [*each, {"model_name": GROUP, "litellm_params": router}]


def ask(kind: str) -> Callable[[str], object]:
    """Return a call of the hook that LiteLLM's `Router` runs before it picks a deployment."""
    from litellm import Router

    router = Router(model_list=model_list(kind, "http://127.0.0.1:1/v1"))
    loop = asyncio.new_event_loop()

    def decide(text: str) -> object:
        request = {"metadata": {}, "litellm_call_id": "1"}
        messages = [{"role": "user", "content": text}]
        return loop.run_until_complete(
            router.async_pre_routing_hook(GROUP, request_kwargs=request, messages=messages)
        )

    assert decide("What is a harbour?").model in MODELS  # type: ignore[attr-defined]
    return decide
