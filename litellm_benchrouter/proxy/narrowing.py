"""Preference by narrowing: the router core in Rust, from LiteLLM 1.110 on, takes ids alone.

It chooses among the deployments that the hook returns and looks at nothing else of them. So the
router itself is asked which of them its later filters leave, and the best of those are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.proxy.preference import STAND_IN, order_of
from litellm_benchrouter.routing.deployments import id_of, part

# A refused question would log a failure on the request's logging object; what was skipped on a
# retry is ranked last here, and the answer is remembered over retries.
_NOT_ASKED = ("litellm_logging_obj", "_retry_skipped_deployment_ids")
_NARROWS = (
    "_target_order",
    "_excluded_deployment_ids",
    "allowed_model_region",
    "web_search_options",
)
_PLAIN_CALLS = ("acompletion", "atext_completion")
_Answers = dict[tuple[Any, ...], frozenset[str] | None]
_SETTINGS = ("enable_pre_call_checks", "enable_tag_filtering")


class SelectThenNarrow:
    """Returns the best of the deployments that the router says it would choose among.

    `router` returns the `litellm.Router` that routes, or None. LiteLLM may ask other callbacks
    after `hook`, the one that calls this, and they may filter too.
    """

    name = "narrowing"

    def __init__(self, router: Callable[[], Any], hook: object) -> None:
        self._router = router
        self._hook = hook
        self._answers: WeakKeyDictionary[Any, _Answers] = WeakKeyDictionary()

    async def apply(
        self,
        group: str,
        offered: list[Any],
        ranks: Sequence[int],
        tried: Collection[str],
        request: dict[str, Any],
        messages: list[Any] | None,
    ) -> list[Any]:
        """Return the best; all of them where the router would choose none, and says so itself."""
        rank = {str(id_of(d)): rank for d, rank in zip(offered, ranks, strict=True)}
        left = frozenset(rank)
        router = self._router()
        if self._may_filter(router, offered, request, messages):
            left = await self._left(router, group, left, request, messages) or frozenset()
            fresh = frozenset(rank) - frozenset(tried)
            if fresh and not left & fresh:  # a level of the operator's that was tried hides others
                left = await self._left(router, group, fresh, request, messages) or left
        if not left:
            return offered
        best = min(rank[deployment_id] for deployment_id in left)
        return [d for d in offered if (own := str(id_of(d))) in left and rank[own] == best]

    async def _left(
        self,
        router: Any,
        group: str,
        ids: frozenset[str],
        request: Mapping[str, Any],
        messages: list[Any] | None,
    ) -> frozenset[str] | None:
        """Return which of some deployments the router's filters leave; None where they refuse."""
        log = request.get("litellm_logging_obj")
        answers = {} if log is None else self._answers.setdefault(log, {})
        excluded = request.get("_excluded_deployment_ids") or ()
        key = (group, ids, request.get("_target_order"), tuple(excluded))
        if key not in answers:
            answers[key] = await self._ask(router, group, ids, request, messages)
        return answers[key]

    async def _ask(
        self,
        router: Any,
        group: str,
        ids: frozenset[str],
        request: Mapping[str, Any],
        messages: list[Any] | None,
    ) -> frozenset[str] | None:
        async def those(_: str, deployments: list[Any], *__: Any) -> list[Any]:
            return [d for d in deployments if id_of(d) in ids]

        arguments = {key: value for key, value in request.items() if key not in _NOT_ASKED}
        nested = STAND_IN.set(those)
        try:
            left = await router.select(
                group, arguments, kind="healthy", messages=messages, input=request.get("input")
            )
        except Exception:
            return None
        finally:
            STAND_IN.reset(nested)
        named = {str(id_of(d)) for d in (left if isinstance(left, list) else [left])}
        return frozenset(named & ids)

    def _may_filter(
        self, router: Any, offered: list[Any], request: Mapping[str, Any], messages: object
    ) -> bool:
        """Say whether anything that LiteLLM asks after us may take out a deployment."""
        call_type = getattr(request.get("litellm_logging_obj"), "call_type", None)
        return (
            call_type not in _PLAIN_CALLS
            or any(getattr(router, setting, True) for setting in _SETTINGS)
            or bool(getattr(router, "optional_callbacks", None))
            or any(request.get(key) is not None for key in _NARROWS)
            or request.get("enable_tag_filtering") is True
            or _has_more_than_text(messages, request)
            or any(
                order_of(d) is not None or part(d, "model_info").get("enable_tag_filtering")
                for d in offered
            )
            or filters_after(self._hook)
        )


def filters_after(hook: object) -> bool:
    """Say whether LiteLLM asks another callback after ours which deployments to leave."""
    callbacks = litellm.callbacks
    later = callbacks[callbacks.index(hook) + 1 :] if hook in callbacks else callbacks
    return any(map(filters_deployments, later))


def filters_deployments(callback: object) -> bool:
    """Say whether a callback has a filter of deployments of its own."""
    base = CustomLogger.async_filter_deployments
    return (
        isinstance(callback, CustomLogger) and type(callback).async_filter_deployments is not base
    )


def _has_more_than_text(messages: object, request: Mapping[str, Any]) -> bool:
    for tool in request.get("tools") or ():
        if not isinstance(tool, Mapping) or tool.get("type") != "function":
            return True
    for turn in messages if isinstance(messages, list) else ():
        content = turn.get("content") if isinstance(turn, Mapping) else None
        for piece in content if isinstance(content, list) else ():
            if not isinstance(piece, Mapping) or piece.get("type") != "text":
                return True
    return False
