"""The LiteLLM side: `litellm_settings.callbacks: ["litellm_benchrouter.hook.handler"]`.

LiteLLM asks `async_filter_deployments` for the deployments of a group before every attempt. We
return the same deployments as shallow copies with `litellm_params["order"]` set to their rank;
LiteLLM serves the lowest order that its later filters leave, so the next best takes over by itself.

What a call has decided and tried hangs on LiteLLM's logging object of that call: the one object
that is the same in every attempt, in fallbacks to other groups, and when the response's headers are
written, and that no client can forge. It is held weakly and goes with the call.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from litellm.integrations.custom_logger import CustomLogger
from litellm.responses.utils import ResponsesAPIRequestUtils

from litellm_benchrouter.config import BLOCK, BenchRouterConfig, load_config
from litellm_benchrouter.core.decision import Decision
from litellm_benchrouter.decision_log import log_decision, set_log_level
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.litellm_prices import DeploymentPrices
from litellm_benchrouter.metrics import process_metrics
from litellm_benchrouter.policy import Terms
from litellm_benchrouter.ranking import Call, ModelNames, group_of, id_of, order_deployments
from litellm_benchrouter.request import (
    asked_policy,
    asks_for_text,
    characters,
    last_user_turn,
    metadata_of,
    named_task,
)
from litellm_benchrouter.router import BenchRouter
from litellm_benchrouter.serving import Serving

logger = logging.getLogger("litellm_benchrouter")

HEADER_PREFIX = "x-benchrouter-"
_ROUTER_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2


class BenchRouterHook(CustomLogger):
    """Ranks the deployments of each group that the benchmark knows.

    It never raises, never drops a deployment and never changes one that it was given; whatever
    goes wrong, LiteLLM routes as if the plugin were not there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._started = False
        self._serving: Serving | None = None
        self._config = BenchRouterConfig()
        self._prices = DeploymentPrices()
        self._names = ModelNames({}, frozenset())
        self._warned: set[str] = set()
        self._calls: WeakKeyDictionary[Any, Call] = WeakKeyDictionary()
        self._metrics = process_metrics()
        self._log_prompts = False

    def start(self) -> None:
        """Read the proxy's configuration and load the artifact, in a thread."""
        with self._lock:
            if not self._started:
                self._started = True
                threading.Thread(target=self._load, name="benchrouter-start", daemon=True).start()

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Return the deployments as copies whose `order` is their rank (best first)."""
        self.start()
        try:
            return await self._rank(model, healthy_deployments, messages, request_kwargs or {})
        except Exception as error:
            # Not its message, which may quote the prompt.
            kind = type(error).__name__
            logger.warning("benchrouter: a request was passed through (%s)", kind)
            self._metrics.failed()
            return healthy_deployments

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Note which deployment LiteLLM chose, and write the decision to the spend log."""
        with contextlib.suppress(Exception):
            call = self._calls.get(kwargs.get("litellm_logging_obj"))
            if call is not None:
                call.ask(str(kwargs["model_info"]["id"]))
                metadata = metadata_of(kwargs)
                logged = metadata.get("spend_logs_metadata")
                kept = dict(logged) if isinstance(logged, Mapping) else {}
                kept.pop(BLOCK, None)  # a fallback starts with what the failed attempt wrote
                ours = call.as_log()
                metadata["spend_logs_metadata"] = kept if ours is None else kept | {BLOCK: ours}
        return None

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Say in the response's headers which model answered and why."""
        with contextlib.suppress(Exception):
            call = self._calls.get(data.get("litellm_logging_obj"))
            if call is not None:
                if response is not None and not call.counted:
                    call.counted = True
                    self._metrics.answered(call.group, call.answered_by, call.outcome)
                return call.as_headers(HEADER_PREFIX)
        return None

    async def _rank(
        self,
        group: str,
        deployments: list[Any],
        messages: list[Any] | None,
        request: dict[str, Any],
    ) -> list[Any]:
        router = self._serving.router if self._serving else None
        if self._serving is None or router is None or not isinstance(deployments, list):
            return deployments
        if not asks_for_text(request):
            return deployments
        models = [self._names.of(deployment) for deployment in deployments]
        offer = sorted({model for model in models if model is not None})
        if not offer:
            return deployments
        self._warn_of_unknown(deployments, models)
        call = self._calls.setdefault(request["litellm_logging_obj"], Call())
        group = group_of(deployments, group)
        decision = call.decision_for(group, offer)
        if decision is None:
            text, task = last_user_turn(messages, request), named_task(request)
            started = time.perf_counter()
            terms = self._terms(group, deployments, models, messages, request)
            decision = await self._decide(self._serving, router, offer, text, task, terms)
            decision = replace(decision, seconds=time.perf_counter() - started)
            self._note(decision, group, offer, text, request.get("litellm_call_id"))
        call.group, call.decisions[group] = group, decision
        call.models |= {str(id_of(d)): m for d, m in zip(deployments, models, strict=True)}
        target = request.get("_target_order")
        return order_deployments(
            deployments,
            models,
            decision,
            tried=call.tried,
            pinned=_holder_of_previous_response(request),
            first=target if isinstance(target, int) else 1,
        )

    async def _decide(
        self,
        serving: Serving,
        router: BenchRouter,
        offer: list[str],
        text: str,
        task: str | None,
        terms: Terms,
    ) -> Decision:
        if len(offer) == 1:
            return router.the_only(offer[0], terms)
        return await serving.decide(router, text, task, offer, terms)

    def _terms(
        self,
        group: str,
        deployments: list[Any],
        models: list[str | None],
        messages: list[Any] | None,
        request: dict[str, Any],
    ) -> Terms:
        """The policy of a request, and what decides its cost."""
        policy, note = self._config.policy_of(group, asked_policy(request))
        prices = self._prices.of(deployments, models)
        return Terms(policy, note, prices, characters(messages, request))

    def _note(
        self, decision: Decision, group: str, offer: list[str], text: str, call_id: object
    ) -> None:
        """Count and log a decision; nothing of that may stand in a request's way."""
        with contextlib.suppress(Exception):
            self._metrics.decided(group, decision)
            prompt = text if self._log_prompts else None
            log_decision(decision, group=group, offer=offer, call_id=call_id, prompt=prompt)

    def _load(self) -> None:
        try:
            path = _config_path()
            config = load_config(path)
        except BenchRouterError as error:
            logger.warning("benchrouter: %s Requests pass through.", error)
            return
        self._config = config
        if config.serving.log_level is not None:
            set_log_level(config.serving.log_level)
        self._log_prompts = config.serving.log_prompts
        self._names = ModelNames(config.aliases, frozenset())
        self._serving = Serving(
            config, lambda router: self._loaded(config, router), metrics=self._metrics
        )
        self._serving.start()

    def _loaded(self, config: BenchRouterConfig, router: BenchRouter) -> None:
        self._names = ModelNames(config.aliases, frozenset(router.models))
        self._warned = set()
        by_group: dict[str, list[Any]] = {}
        for deployment in _wait_for_model_list():
            by_group.setdefault(deployment.get("model_name", ""), []).append(deployment)
        for deployments in by_group.values():
            models = [self._names.of(deployment) for deployment in deployments]
            if any(models):
                self._warn_of_unknown(deployments, models)

    def _warn_of_unknown(self, deployments: list[Any], models: list[str | None]) -> None:
        """Say once for each deployment that the benchmark cannot rank it."""
        for deployment, model in zip(deployments, models, strict=True):
            if model is None:
                name = self._names.said(deployment)
                if name not in self._warned:
                    self._warned.add(name)
                    logger.warning(
                        "benchrouter: the benchmark does not know %s of group %s; it ranks last. "
                        "Name its benchmark model in model_info.benchrouter_model.",
                        name,
                        deployment.get("model_name"),
                    )


def _config_path() -> Path:
    """Return the running proxy's configuration."""
    named = _proxy_attribute("user_config_file_path")
    for path in (os.environ.get("BENCHROUTER_CONFIG"), named, os.environ.get("CONFIG_FILE_PATH")):
        if path:
            return Path(str(path))
    raise BenchRouterError(
        "the proxy names no configuration file; set BENCHROUTER_CONFIG to the YAML with the "
        "`benchrouter:` block."
    )


def _wait_for_model_list() -> list[Any]:
    """Return the proxy's deployments; it makes its router only after it has imported us."""
    deadline = time.monotonic() + _ROUTER_WAIT_SECONDS
    while time.monotonic() < deadline:
        found = getattr(_proxy_attribute("llm_router"), "model_list", None)
        if found is not None:
            return list(found)
        time.sleep(_POLL_SECONDS)
    return []


def _proxy_attribute(name: str) -> Any:
    return getattr(sys.modules.get("litellm.proxy.proxy_server"), name, None)


def _holder_of_previous_response(request: Mapping[str, Any]) -> str | None:
    """Return the deployment that holds the response a request continues, where there is one.

    Another deployment would answer that it does not know the response.
    """
    previous = request.get("previous_response_id")
    if not isinstance(previous, str):
        return None
    with contextlib.suppress(Exception):
        decoded = ResponsesAPIRequestUtils.decode_responses_api_response_id(previous)
        holder = decoded.get("model_id")
        return None if holder is None else str(holder)
    return None


handler = BenchRouterHook()
"""What the proxy's configuration names."""

if "litellm.proxy.proxy_server" in sys.modules:
    handler.start()  # imported by a proxy: have the artifact ready for its first request
