"""Feedback in the proxy: answered calls are noted, and callers score them by an endpoint.

`POST /benchrouter/feedback` stands under LiteLLM's own key check. A caller may score the calls of
its own key; others, and calls that are not known, are answered alike. A request's thread does no
more than add a row to a bounded queue; a thread writes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.config.traffic import REDACTED
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.limits import BusyError, DaemonThreads
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.proxy import running
from litellm_benchrouter.routing.decision import GIVEN_UP
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.drift_metrics import DriftMetrics, process_drift_metrics
from litellm_benchrouter.traffic.alarms import NEAREST, Likeness
from litellm_benchrouter.traffic.collect import redactor, user_hash
from litellm_benchrouter.traffic.feedback import (
    AnsweredCall,
    FeedbackStore,
    Score,
    parsed_score,
)

logger = logging.getLogger("litellm_benchrouter")

PATH = "/benchrouter/feedback"

_LONGEST_QUEUE = 5_000  # answered calls that wait to be written
_MOST_WAITING = 64  # scores that wait for the store
_LOOK_SECONDS = 1.0
_WATCH_SECONDS = 30.0
_PRUNE_SECONDS = 3_600.0
_ANSWER_SECONDS = 10.0  # so long an endpoint's caller waits for the store
_NOT_OF_PROMPTS = GIVEN_UP | {"session"}  # decisions whose probabilities are averages at best

_Vector = NDArray[np.float32]


class Feedback:
    """Answered calls on their way to the store, and scores of them; without a store, nothing."""

    def __init__(
        self,
        store: FeedbackStore | None = None,
        redact: Callable[[str], str] = lambda text: text,
        router: Callable[[], BenchRouter | None] = lambda: None,
        metrics: DriftMetrics | None = None,
    ) -> None:
        self._store, self._redact, self._router = store, redact, router
        self._metrics = metrics or DriftMetrics()
        self._queue: deque[tuple[AnsweredCall, _Vector | None]] = deque()
        self._threads = DaemonThreads(1, "benchrouter-feedback", _MOST_WAITING)
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        self._likeness: tuple[str, Likeness | None] = ("", None)
        self._stopped = threading.Event()

    @classmethod
    def of(cls, config: BenchRouterConfig, router: Callable[[], BenchRouter | None]) -> Feedback:
        """Return that of a configuration, and start what writes."""
        try:
            store = FeedbackStore.of(config)
        except BenchRouterError as error:
            logger.warning("benchrouter: no feedback is kept (%s); requests are routed", error)
            store = None
        if store is None or config.traffic is None:
            return cls(metrics=process_drift_metrics())  # a dashboard finds them, at 0
        collect = config.traffic.collect
        entries = tuple(REDACTED if collect is None else collect.redact)
        made = functools.cache(redactor)

        def redact(text: str) -> str:
            return made(entries)(text)  # not before it is needed: an import of the operator's

        feedback = cls(store, redact, router, process_drift_metrics())
        threading.Thread(target=feedback.run, name="benchrouter-answered", daemon=True).start()
        return feedback

    def stop(self) -> None:
        """Stop writing."""
        self._stopped.set()
        self._threads.stop()

    def answered(self, call: Call, request: Mapping[str, Any], caller: Any) -> None:
        """Note a call that was answered, so that its caller may score it; it never raises."""
        if self._store is None:
            return
        try:
            decision, call_id = call.decisions.get(call.group), request.get("litellm_call_id")
            if decision is None or not isinstance(call_id, str) or not call.answered_by:
                return
            of_prompt = decision.kind not in _NOT_OF_PROMPTS
            row = AnsweredCall(
                call_id=call_id,
                key=_key(caller),
                user=user_hash(getattr(caller, "user_id", None)),
                end_user=user_hash(getattr(caller, "end_user_id", None)),
                time=round(time.time(), 3),
                model=call.answered_by,
                version=decision.artifact,
                expected=(decision.probability or {}).get(call.answered_by) if of_prompt else None,
                propensity=call.propensity,
                unlike=None,
            )
            if len(self._queue) >= _LONGEST_QUEUE:
                self._metrics.noted("dropped", 1)
            else:
                self._queue.append((row, decision.vector))
        except Exception as error:
            self._warn("a call cannot be noted for feedback", error)

    async def give(self, score: Score, caller: Any) -> bool:
        """Note a score; False where no call of the caller's key has this id.

        Raises TimeoutError, BusyError or BenchRouterError where it cannot be stored.
        """
        if await self._in_time(functools.partial(self._give, score, _key(caller))):
            return True
        # Another worker may have answered, and not have written it yet.
        await asyncio.sleep(2 * _LOOK_SECONDS)
        return await self._in_time(functools.partial(self._give, score, _key(caller)))

    async def _in_time(self, work: Callable[[], bool]) -> bool:
        return await asyncio.wait_for(
            asyncio.wrap_future(self._threads.submit(work)), _ANSWER_SECONDS
        )

    @property
    def is_on(self) -> bool:
        """Whether feedback is kept."""
        return self._store is not None

    def count(self, result: str) -> None:
        """Count a score by what became of it."""
        self._metrics.given(result)

    def _give(self, score: Score, key: str) -> bool:
        if self._store is None:
            return False
        texts = {name: self._redacted(getattr(score, name)) for name in ("reference", "comment")}
        with self._lock:
            self._write()
            return self._store.give([score.model_copy(update=texts)], key)[0]

    def _redacted(self, text: str | None) -> str | None:
        try:
            return None if text is None else self._redact(text)
        except Exception as error:
            self._warn("benchrouter.traffic.collect.redact fails, and no text is kept", error)
            return None

    def flush(self) -> None:
        """Write what waits; what cannot be written is counted and gone."""
        with self._lock:
            try:
                self._write()
            except BenchRouterError as error:
                self._warn("answered calls cannot be noted for feedback", error)

    def watch(self) -> None:
        """Work out both alarms over the calls of all workers, by what the store holds."""
        router = self._router()
        if router is not None and self._store is not None:
            self._metrics.watched(self._store.alarms(router.artifact.manifest.version))

    def run(self) -> None:
        """Write, watch and remove what is old until `stop`."""
        watched = pruned = time.monotonic()
        while not self._stopped.wait(_LOOK_SECONDS):
            now = time.monotonic()
            try:
                if self._queue:
                    self.flush()
                if now - watched >= _WATCH_SECONDS:
                    watched = now
                    self.watch()
                if now - pruned >= _PRUNE_SECONDS and self._store is not None:
                    pruned = now
                    self._store.prune()
            except Exception as error:
                self._warn("feedback cannot be watched", error)

    def _write(self) -> None:
        rows = [self._queue.popleft() for _ in range(len(self._queue))]
        if not rows or self._store is None:
            return
        try:
            self._store.add(self._compared(rows))
        except BaseException:
            self._metrics.noted("failed", len(rows))
            raise
        self._metrics.noted("stored", len(rows))

    def _compared(self, rows: list[tuple[AnsweredCall, _Vector | None]]) -> list[AnsweredCall]:
        """Return rows with how unlike the labelled prompts each is, where that can be told."""
        router = self._router()
        version = "" if router is None else router.artifact.manifest.version
        if router is not None and version != self._likeness[0]:
            own = router.artifact.own_labels
            enough = own is not None and len(own.model.vectors) > NEAREST
            likeness = Likeness(normalize(own.model.vectors)) if own and enough else None
            self._likeness = (version, likeness)
        likeness = self._likeness[1]
        compared = []
        for row, vector in rows:
            if likeness is not None and vector is not None and row.version == version:
                unlike = float(likeness.shortfall(normalize(vector))[0])
                compared.append(replace(row, unlike=unlike))
            else:
                compared.append(row)
        return compared

    def _warn(self, what: str, error: Exception) -> None:
        """Say once of each kind of fault what happened; an error of ours holds no secret."""
        if what not in self._warned:
            self._warned.add(what)
            reason = str(error) if isinstance(error, BenchRouterError) else type(error).__name__
            logger.warning("benchrouter: %s (%s); requests go on", what, reason)


def serve_feedback(feedback: Callable[[], Feedback]) -> None:
    """Add the endpoint to the running proxy, where there is one, for keys that may ask models."""
    app = running.attribute("app")
    if app is None or any(getattr(route, "path", None) == PATH for route in app.routes):
        return
    try:
        _add_route(app, feedback)
    except Exception as error:  # of a LiteLLM that is made otherwise
        kind = type(error).__name__
        logger.warning("benchrouter: there is no %s (%s); requests are routed", PATH, kind)


def open_to_keys() -> None:
    """List the path among those that keys may call.

    LiteLLM refuses paths that it does not list to keys which are no administrator's: this one is
    listed among those whose handlers look themselves at who asks, and among those of keys that may
    call models only.
    """
    from litellm.proxy._types import LiteLLMRoutes

    for name in ("self_managed_routes", "llm_api_routes", "llm_api_routes_without_mcp"):
        listed = getattr(getattr(LiteLLMRoutes, name, None), "value", None)
        if isinstance(listed, list) and PATH not in listed:
            listed.append(PATH)


def _add_route(app: Any, feedback: Callable[[], Feedback]) -> None:
    from fastapi import Depends, Request
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

    open_to_keys()

    async def give_feedback(request, caller=Depends(user_api_key_auth)):  # type: ignore[no-untyped-def]  # noqa: B008
        return await _answer(feedback(), await request.body(), caller)

    give_feedback.__annotations__ = {"request": Request}  # FastAPI wants the class itself
    app.add_api_route(
        PATH,
        give_feedback,
        methods=["POST"],
        tags=["benchrouter"],
        summary="Score an answer: call_id, score in [0, 1], and a reference or a comment.",
    )


async def _answer(feedback: Feedback, body: bytes, caller: Any) -> dict[str, Any]:
    """Note what a body says, and return the answer; raise LiteLLM's error for what is wrong."""
    if not feedback.is_on:
        raise _refusal(404, "This proxy keeps no feedback. Set `feedback: {}` under `traffic:` of "
                       "the `benchrouter:` block.")  # fmt: skip
    try:
        score = parsed_score(body)
    except ValueError as error:
        feedback.count("invalid")
        raise _refusal(
            422, f'{error}. Send {{"call_id": "...", "score": 0.0 to 1.0}} as JSON.'
        ) from None
    try:
        is_noted = await feedback.give(score, caller)
    except (TimeoutError, BusyError, BenchRouterError) as error:
        feedback.count("unavailable")
        logger.debug("benchrouter: feedback was not stored (%s)", type(error).__name__)
        raise _refusal(503, "Feedback cannot be stored now. Send it again later.") from None
    feedback.count("recorded" if is_noted else "unknown")
    if not is_noted:
        raise _refusal(
            404,
            "No call of this key has this call_id. Send the header x-litellm-call-id of a response "
            "that benchrouter routed for the same key.",
        )
    return {"call_id": score.call_id, "score": score.score, "recorded": True}


def _refusal(code: int, message: str) -> Exception:
    from litellm.proxy._types import ProxyException

    kind = "not_found_error" if code == 404 else "bad_request_error"
    return ProxyException(
        message=message, type="internal_error" if code >= 500 else kind, param=None, code=code
    )


def _key(caller: Any) -> str:
    """Return LiteLLM's hash of a caller's key; "" where the proxy asks for none."""
    return str(getattr(caller, "api_key", None) or "")
