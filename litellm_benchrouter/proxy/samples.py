"""Calls whose prompts are kept: drawn when they begin, handed on when LiteLLM tells the end."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.conversation.text import metadata_of
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.traffic.collect import Collector, user_hash

_MOST_CALLS = 1_000  # under way, or never heard of again


@dataclass(frozen=True)
class _Sample:
    call: Call
    call_id: str
    key: str | None  # LiteLLM's hash of the caller's key
    user: str | None
    end_user: str | None
    time: float
    started: float


P = ParamSpec("P")


def _never_raises(method: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(method)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> None:
        with contextlib.suppress(Exception):
            method(*args, **kwargs)

    return quiet


class Samples:
    """The drawn calls that are under way; without a collector none is drawn.

    LiteLLM tells the ends of calls by their ids, which clients may choose: the end of a call of
    another key is not taken for that of this one. No method raises.
    """

    def __init__(
        self,
        collector: Collector | None = None,
        router: Callable[[], BenchRouter | None] = lambda: None,
    ) -> None:
        self._collector, self._router = collector, router
        self._calls: OrderedDict[str, _Sample] = OrderedDict()

    @classmethod
    def of(cls, config: BenchRouterConfig, loader: VersionLoader, metrics: Metrics) -> Samples:
        """Return those of a configuration, and start what writes them."""
        collect = None if config.traffic is None else config.traffic.collect
        if collect is None:
            return cls()
        collector = Collector(collect, config.storage_options, metrics.collected)
        collector.start()
        return cls(collector, lambda: loader.router)

    @_never_raises
    def begin(self, call: Call, request: Mapping[str, Any]) -> None:
        """Draw a call; only what a person asks anew is kept."""
        collector, turn = self._collector, call.turn
        if collector is None or turn is None or turn.kind != "ask" or not turn.text:
            return
        call_id = request.get("litellm_call_id")
        if request.get("no-log") or not isinstance(call_id, str):
            return
        explores = call.explores and not call.mode  # what is learned from is always kept
        if not collector.draws() and not explores:
            return
        who = metadata_of(request)
        sample = _Sample(
            call,
            call_id,
            _key(who),
            user_hash(_text(who.get("user_api_key_user_id"))),
            user_hash(_text(who.get("user_api_key_end_user_id"))),
            time.time(),
            time.monotonic(),
        )
        self._calls[call_id] = sample
        if len(self._calls) > _MOST_CALLS:
            self._calls.popitem(last=False)
            collector.drop()

    @_never_raises
    def answered(self, details: Mapping[str, Any], start: Any, end: Any) -> None:
        """Keep the prompt of a call that was answered, as LiteLLM's logging tells of it."""
        if not self._calls:
            return
        payload = details.get("standard_logging_object") or {}
        sample = self._end(details.get("litellm_call_id"), _key(payload.get("metadata") or {}))
        if sample is None or _is_private(details):
            return
        seconds = None
        if isinstance(start, datetime) and isinstance(end, datetime):
            seconds = round((end - start).total_seconds(), 4)
        call, cost = sample.call, payload.get("response_cost")
        self._add(
            sample,
            model=call.answered_by or _text(payload.get("model_group")),
            cost_usd=float(cost) if isinstance(cost, int | float) else None,
            latency_s=seconds,
            outcome=call.outcome,
        )

    @_never_raises
    def failed(self, request: Mapping[str, Any]) -> None:
        """Keep the prompt of a call that nobody answered."""
        if not self._calls:
            return
        sample = self._end(request.get("litellm_call_id"), _key(metadata_of(request)))
        if sample is not None and not _is_private({"litellm_params": request}):
            seconds = round(time.monotonic() - sample.started, 4)
            model = sample.call.answered_by
            self._add(sample, model=model, latency_s=seconds, outcome="failed")

    def _end(self, call_id: object, key: str | None) -> _Sample | None:
        sample = self._calls.get(call_id) if isinstance(call_id, str) else None
        if sample is None or (key and sample.key and key != sample.key):
            return None
        del self._calls[str(call_id)]
        return sample

    def _add(self, sample: _Sample, **of_answer: Any) -> None:
        call, router = sample.call, self._router()
        decision = call.decisions.get(call.group)
        vector = embedder = None
        if decision is not None and router is not None and decision.vector is not None:
            manifest = router.artifact.manifest
            if decision.artifact == manifest.version:
                vector, embedder = decision.vector[0], manifest.embedder.get("fingerprint")
        if self._collector is None:
            return
        self._collector.add(
            {
                "time": round(sample.time, 3),
                "call_id": sample.call_id,
                "propensity": call.propensity,
                "text": call.turn.text if call.turn else "",
                **of_answer,
                "key": sample.key,
                "user": sample.user,
                "end_user": sample.end_user,
                "vector": vector if embedder else None,
                "embedder": embedder,
            }
        )


def _is_private(details: Mapping[str, Any]) -> bool:
    """Say whether LiteLLM itself would log the call without its messages."""
    from litellm.litellm_core_utils.redact_messages import should_redact_message_logging

    return bool(should_redact_message_logging(dict(details)))


def _key(metadata: Mapping[str, Any]) -> str | None:
    """Return LiteLLM's hash of the caller's key."""
    return _text(metadata.get("user_api_key_hash") or metadata.get("user_api_key"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
