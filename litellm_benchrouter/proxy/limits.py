"""Rate limits of single deployments: which have no room left, asked before they are offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from litellm.router_utils.pre_call_checks.model_rate_limit_check import ModelRateLimitingCheck

from litellm_benchrouter.routing.deployments import id_of, part

_LIMITS = ("rpm", "tpm")
_SELECTORS = {
    "usage-based-routing-v2": "lowesttpm_logger_v2",
    "latency-based-routing": "lowestlatency_logger",
    "cost-based-routing": "lowestcost_logger",
}
"""Strategy -> the router's attribute with its selector; the others know no limits."""


async def full_deployments(
    router: Any,
    group: str,
    levels: Sequence[Sequence[Any]],
    messages: list[Any] | None,
    request: Mapping[str, Any],
) -> frozenset[str]:
    """Return the ids of the deployments that LiteLLM would refuse for a limit.

    Parameters
    ----------
    router : litellm.Router or None
    group : str
        As LiteLLM named it to the hook.
    levels : sequence of sequence of dict
        Replicas together. A level has room where the strategy finds it for one of them.
    messages : list or None
    request : mapping
    """
    strategy = getattr(router, "routing_strategy", None)
    selector = getattr(router, _SELECTORS.get(str(getattr(strategy, "value", strategy)), ""), None)
    checks = getattr(router, "optional_callbacks", None) or ()
    enforced = any(isinstance(check, ModelRateLimitingCheck) for check in checks)
    if selector is None and not enforced:
        return frozenset()
    limited = [level for level in levels if any(map(_is_limited, level))]
    full: set[str] = set()
    if selector is not None:
        for level in limited:
            if not await _finds_room(selector, group, level, messages, request):
                full.update(str(id_of(d)) for d in level)
    if enforced and limited:
        full |= await _spent(router, [d for level in limited for d in level if _is_limited(d)])
    return frozenset(full)


async def _finds_room(
    selector: Any,
    group: str,
    level: Sequence[Any],
    messages: list[Any] | None,
    request: Mapping[str, Any],
) -> bool:
    """Ask the strategy for one of a level; it reads what it has counted, and changes nothing."""
    try:
        chosen = await selector.async_get_available_deployments(
            model_group=group,
            healthy_deployments=list(level),
            messages=messages,
            input=request.get("input"),
        )
    except Exception:
        return False
    return chosen is not None


async def _spent(router: Any, deployments: Sequence[Any]) -> set[str]:
    """Return the ids of those that `enforce_model_rate_limits` would refuse in this minute."""
    minute = datetime.now(UTC).strftime("%H-%M")
    limits = [
        (d, limit, kind) for d in deployments for kind in _LIMITS if (limit := _limit(d, kind))
    ]
    keys = [
        f"{id_of(d)}:{part(d, 'litellm_params').get('model')}:{kind}:{minute}"
        for d, _, kind in limits
    ]
    used = await router.cache.async_batch_get_cache(keys=keys) or [None] * len(keys)
    return {
        str(id_of(d))
        for (d, limit, _), count in zip(limits, used, strict=True)
        if isinstance(count, int | float) and count >= limit
    }


def _is_limited(deployment: Mapping[str, Any]) -> bool:
    return any(_limit(deployment, kind) is not None for kind in _LIMITS)


def _limit(deployment: Mapping[str, Any], kind: str) -> float | None:
    for container in (
        deployment,
        part(deployment, "litellm_params"),
        part(deployment, "model_info"),
    ):
        limit = container.get(kind)
        if isinstance(limit, int | float):
            return limit
    return None
