"""Cascades in the proxy: when an answer is there, verify it, and ask on while that pays.

It is a callback of its own, which joins LiteLLM's when the first request comes that may cascade:
others pay nothing for it. See docs/cascades.md for what is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.proxy import shapes
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
        self._names: tuple[str, ...] = ()
        self._limits = Limits()

    def configure(self, names: tuple[str, ...], limits: Limits) -> None:
        """Take the configuration; verifiers are imported when the first cascade needs them."""
        self._names, self._limits = names, limits

    @cached_property
    def _verifiers(self) -> list[Verifier]:
        found = []
        for name in self._names:
            try:
                found.append(verifier(name))
            except Exception as error:
                logger.error("benchrouter: %s It is passed over.", error)
        return found

    def enter(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Take up what is decided already of a request that the plugin sends itself."""
        step = STEP.get()
        if step is None or step.call is None:
            return None
        call = self._calls[data["litellm_logging_obj"]] = step.call
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
        if cascade is None or call.plan is not None or STEP.get() is not None:
            return
        call.single = _why_not(call, request)
        if call.single or call.mode or call.is_side:
            return
        of_model: dict[str, str] = {}
        for group, models in (groups.known if groups is not None else {}).items():
            of_model = dict.fromkeys(models, group) | of_model
        call.plan = Plan(cascade, decision, of_model)
        if self not in litellm.callbacks:
            litellm.callbacks.append(self)

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        """Return the answer that the cascade gives; None for the one that is there."""
        logging_obj = data.get("litellm_logging_obj")
        call = self._calls.get(logging_obj)
        if call is None or call.plan is None or call.cascade is not None:
            return None
        try:
            return await self._cascade(call, call.plan, data, response, logging_obj)
        except Exception as error:  # its message may quote an answer
            logger.warning("benchrouter: a cascade failed (%s)", type(error).__name__)
            self._metrics.failed()
        return None

    async def _cascade(
        self, call: Call, plan: Plan, data: dict[str, Any], response: Any, logging_obj: Any
    ) -> Any:
        kind, model, caller = logging_obj.call_type, call.answered_by, Caller.of(data)
        hidden = getattr(response, "_hidden_params", None) or {}
        if caller is None or model is None or hidden.get("cache_hit"):
            call.single = "the answer is not to be asked for again"
            return None
        asking = _Asking(call, plan, caller, kind, str(data.get("litellm_call_id")))
        request = shapes.chat_request(kind, caller.body)
        run = Run(plan, request, self._verifiers, self._limits, asking.model, asking.group)
        if not run.may_ask_on:
            return None
        chat = shapes.chat_answer(kind, shapes.as_dict(response))
        first = Answer(model, chat, float(hidden.get("response_cost") or 0.0))
        outcome = await run.outcome(first)
        call.cascade = outcome
        if not outcome.is_first:
            call.group = plan.groups.get(outcome.answer.model, call.group)
        self._metrics.cascaded(outcome.ended, asking.number - 1, first=outcome.is_first)
        return outcome.answer.response


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


def _why_not(call: Call, request: Mapping[str, Any]) -> str:
    """Say why a request is no cascade, however it would pay; "" where it may be one."""
    if request.get("previous_response_id"):
        return "the request continues a response"
    if request.get("stream"):
        return "the answer is streamed"
    if getattr(request["litellm_logging_obj"], "call_type", None) not in shapes.ENDPOINTS:
        return "the endpoint has none"
    return "several answers are asked for" if (request.get("n") or 1) != 1 else ""


def _usd(headers: httpx.Headers, otherwise: float) -> float:
    try:
        return float(headers.get("x-litellm-response-cost") or otherwise)
    except ValueError:
        return otherwise
