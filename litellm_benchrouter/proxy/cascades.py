"""Cascades in the proxy: when an answer is there, verify it, and ask on while that pays.

It is a callback of its own, which joins LiteLLM's when the first request comes that may cascade:
others pay nothing for it. See docs/cascades.md for what is left alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.config.proxy import CascadeConfig
from litellm_benchrouter.proxy import access, shapes
from litellm_benchrouter.proxy.groups import Groups, rewritten
from litellm_benchrouter.proxy.loopback import STEP, Caller, ProxyError, Step
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.cascading import Answer, Limits, Plan, RefusedError, Run
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.verifiers import Chat, Verifier, verifier

logger = logging.getLogger("litellm_benchrouter")

_REFUSALS = frozenset({400, 401, 402, 403, 429})  # LiteLLM says 400 or 429 of a spent budget


class Cascades(CustomLogger):
    """Asks further models where the decision on a call says that it may pay."""

    def __init__(self, calls: MutableMapping[Any, Call], metrics: Metrics) -> None:
        super().__init__()
        self._calls, self._metrics = calls, metrics
        self._config = CascadeConfig()
        self._streams = StreamedCascades(self)
        self.answered: Callable[[Call], None] = lambda call: None

    def configure(self, config: CascadeConfig, answered: Callable[[Call], None]) -> None:
        """Take the configuration, and who is told of a stream that has ended.

        Verifiers are imported when the first cascade needs them.
        """
        self._config, self.answered = config, answered

    @cached_property
    def _verifiers(self) -> list[Verifier]:
        verifiers = []
        for name in self._config.verifiers:
            try:
                verifiers.append(verifier(name))
            except Exception as error:
                logger.error("benchrouter: %s It is passed over.", error)
        return verifiers

    def enter(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Take up what is decided already of a request that the plugin sends itself."""
        step = STEP.get()
        if step is None or step.call is None:
            return None
        call, step.call = step.call, None  # tasks that outlive the request share its context
        self._calls[data["litellm_logging_obj"]] = call
        if not call.virtual:
            return None
        return rewritten(data, [call.group])

    def plan(
        self,
        call: Call,
        decision: Decision,
        request: Mapping[str, Any],
        groups: Groups | None = None,
    ) -> None:
        """Note that a call may become a cascade, or why it may not."""
        cascade = decision.cascade
        is_explored = decision.propensity is not None  # what is learned from is who was drawn
        if cascade is None or is_explored or call.plan is not None or STEP.get() is not None:
            return
        call.single = _why_not(request, streams=self.buffer > 0)
        if call.single or call.mode or call.is_side:
            return
        of_model: dict[str, str] = {}
        for group, models in (groups.models_of if groups is not None else {}).items():
            of_model = dict.fromkeys(models, group) | of_model
        call.plan = Plan(cascade, decision, of_model, bool(request.get("stream")))
        if litellm.callbacks[-1:] != [self] or (call.plan.is_stream and not self._holds_streams):
            self._join(streams=call.plan.is_stream or self._holds_streams)

    @property
    def _holds_streams(self) -> bool:
        return litellm.callbacks[:1] == [self._streams]

    def _join(self, *, streams: bool) -> None:
        """Take our places among LiteLLM's callbacks.

        Last: the others have seen a further answer already, when the proxy gave it to us. First for
        streams, so that what checks or changes them sees the answer that is given. It is another
        list, as somebody may be going through this one.
        """
        others = [each for each in litellm.callbacks if each not in (self, self._streams)]
        litellm.callbacks = [*([self._streams] if streams else []), *others, self]

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        """Return the answer that the cascade gives; None for the one that is there."""
        call = self.planned(data)
        return None if call is None else await self.better(call, data, user_api_key_dict, response)

    def planned(self, data: Mapping[str, Any]) -> Call | None:
        """Return the call that may become a cascade, if it is one."""
        call = self._calls.get(data.get("litellm_logging_obj"))
        return None if call is None or call.plan is None or call.cascade is not None else call

    @property
    def buffer(self) -> int:
        """How many characters of a stream are held back."""
        return self._config.buffer_characters

    async def better(self, call: Call, data: dict[str, Any], caller: Any, response: Any) -> Any:
        """Return a better answer than the one that is there; None where it is to be given."""
        try:
            usd = min(self._config.most_usd or math.inf, access.usd_left(caller))
            limits = Limits(self._config.most_seconds, usd)
            return await self._cascade(call, data, response, limits)
        except Exception as error:  # its message may quote an answer
            logger.warning("benchrouter: a cascade failed (%s)", type(error).__name__)
            self._metrics.failed()
        return None

    async def _cascade(
        self, call: Call, data: dict[str, Any], response: Any, limits: Limits
    ) -> Any:
        kind = data["litellm_logging_obj"].call_type
        plan, model, caller = call.plan, call.answered_by, Caller.of(data)
        hidden = shapes.hidden_of(response)
        if plan is None or caller is None or model is None or hidden.get("cache_hit"):
            call.single = "the answer is not to be asked for again"
            return None
        asking = _Asking(call, plan, caller, kind, str(data.get("litellm_call_id")))
        request = shapes.chat_request(kind, caller.body)
        run = Run(plan, request, self._verifiers, limits, asking.model, asking.group)
        if not run.may_ask_on:
            return None
        chat = shapes.chat_answer(kind, shapes.as_dict(response))
        expected = (plan.decision.costs_usd or {}).get(model, 0.0)
        first = Answer(model, chat, float(hidden.get("response_cost") or expected))
        outcome = await run.outcome(first)
        call.cascade = outcome
        if not outcome.is_first:
            call.group = plan.groups.get(outcome.answer.model, call.group)
        self._metrics.cascaded(outcome.ended, asking.number - 1, first=outcome.is_first)
        return outcome.answer.response


class StreamedCascades(CustomLogger):
    """Holds back the beginning of a chat's stream: a short answer is verified before it is given.

    The response's headers have been sent by then, so that they name the first model.
    """

    def __init__(self, cascades: Cascades) -> None:
        super().__init__()
        self._cascades = cascades

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Yield the stream, or a better answer in its place."""
        call = self._cascades.planned(request_data)
        stream, held, room = aiter(response), [], self._cascades.buffer if call else -1
        failure: Exception | None = None
        ended = False
        while room >= 0 and not ended and failure is None:
            try:
                held.append(await anext(stream))
                room -= shapes.length(held[-1])
            except StopAsyncIteration:
                ended = True
            except Exception as error:
                failure = error  # after what came before it
        better = None
        if ended and call is not None:
            better = await self._of_held(call, request_data, user_api_key_dict, held)
        for chunk in held if better is None else better:
            yield chunk
        if failure is not None:
            raise failure
        if not ended:
            async for chunk in stream:
                yield chunk
        if call is not None and not call.counted:
            call.counted = True
            self._cascades.answered(call)

    async def _of_held(
        self, call: Call, data: dict[str, Any], caller: Any, held: list[Any]
    ) -> list[Any] | None:
        try:
            answer = await self._cascades.better(call, data, caller, shapes.of_chunks(held))
            options = data.get("stream_options")
            usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
            return None if answer is None else list(shapes.as_chunks(answer, with_usage=usage))
        except Exception as error:
            logger.warning("benchrouter: a stream is passed on (%s)", type(error).__name__)
            call.cascade = None
            return None


class _Asking:
    """Asks in the name of one caller; `number` is that of the latest call."""

    def __init__(self, call: Call, plan: Plan, caller: Caller, kind: str, call_id: str) -> None:
        self._call, self._plan, self._caller, self._kind = call, plan, caller, kind
        self._call_id = call_id
        self.number = 1

    async def model(self, model: str, posterior: Mapping[str, float]) -> Answer:
        """Ask a benchmark model what the caller asked."""
        self.number += 1
        step = self._step(model, posterior)
        body, headers = await self._asked(self._caller.ask(Step(step)))
        who = step.answered_by
        if who is None:
            raise LookupError("nobody knows who answered")
        chat = shapes.chat_answer(self._kind, body)
        expected = (self._plan.decision.costs_usd or {}).get(who, 0.0)
        return Answer(who, chat, _usd(headers, expected), shapes.native(self._kind, body))

    async def group(self, request: Chat) -> tuple[Chat, float]:
        """Ask a model group something else."""
        body, headers = await self._asked(self._caller.ask_group(request))
        return body, _usd(headers, 0.0)

    async def _asked(self, answer: Any) -> tuple[dict[str, Any], httpx.Headers]:
        try:
            body, headers = await answer
        except ProxyError as error:
            if error.status in _REFUSALS:
                raise RefusedError from error
            raise
        return body, headers

    def _step(self, model: str, posterior: Mapping[str, float]) -> Call:
        """Return the call to be made, with its decision."""
        decision, call = self._plan.decision, self._call
        rest = sorted(
            (other for other in decision.ranking if other != model), key=posterior.__contains__
        )
        shown = ", ".join(f"{asked} {p:.2f}" for asked, p in posterior.items())
        reason = f"asked after P(right) {shown}"
        group = self._plan.groups.get(model, call.group)
        return Call(
            group=group,
            virtual=call.virtual,
            decisions={group: replace(decision, ranking=(model, *rest), reason=reason)},
            counted=True,
            step={"call": self.number, "of": self._call_id},
        )


def _why_not(request: Mapping[str, Any], *, streams: bool) -> str:
    """Say why a request is no cascade, however it would pay; "" where it may be one."""
    if request.get("previous_response_id"):
        return "the request continues a response"
    kind = getattr(request["litellm_logging_obj"], "call_type", None)
    if request.get("stream") and not (streams and kind == shapes.CHAT):
        return "the answer is streamed"
    if kind not in shapes.ENDPOINTS:
        return "the endpoint has none"
    return "several answers are asked for" if (request.get("n") or 1) != 1 else ""


def _usd(headers: httpx.Headers, otherwise: float) -> float:
    try:
        return float(headers.get("x-litellm-response-cost") or otherwise)
    except ValueError:
        return otherwise
