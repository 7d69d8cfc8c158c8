"""The LiteLLM side: `litellm_settings.callbacks: ["litellm_benchrouter.hook.handler"]`.

LiteLLM asks `async_filter_deployments` for the deployments of a group before every attempt. We
return the same deployments as shallow copies with `litellm_params["order"]` set to their rank;
LiteLLM serves the lowest order that its later filters leave, so the next best takes over by itself.

What was decided travels in the copies' `model_info`, which LiteLLM hands on with the deployment it
chose: the next attempt finds there what this call has tried, and the response headers and the
spend log find which of our models really answered. Nothing is kept between requests.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.config import BLOCK, BenchRouterConfig, load_config
from litellm_benchrouter.core.decision import Decision
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.ranking import Attempt, ModelNames, order_deployments
from litellm_benchrouter.request import is_text_generation, last_user_turn, metadata_of, named_task
from litellm_benchrouter.router import BenchRouter
from litellm_benchrouter.serving import Serving

logger = logging.getLogger("litellm_benchrouter")

HEADER_PREFIX = "x-benchrouter-"
_CONFIG_WAIT_SECONDS = 60.0
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
        self._names = ModelNames({}, frozenset())
        self._warned: set[str] = set()

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
        except Exception:
            # The type and the place, never the values: a prompt must not reach a log.
            logger.warning("benchrouter: a request was passed through", exc_info=_without_values())
            return healthy_deployments

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Write what was decided to the spend log's metadata, now that a deployment is chosen."""
        with contextlib.suppress(Exception):
            metadata = metadata_of(kwargs)
            attempt = Attempt.of(metadata)
            if attempt is not None:
                logged = metadata.get("spend_logs_metadata")
                kept = dict(logged) if isinstance(logged, Mapping) else {}
                metadata["spend_logs_metadata"] = kept | {BLOCK: attempt.as_log()}
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
        try:
            attempt = Attempt.of(metadata_of(data))
            return None if attempt is None else attempt.as_headers(HEADER_PREFIX)
        except Exception:
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
        if not is_text_generation(messages, request):
            return deployments
        models = [self._names.of(deployment) for deployment in deployments]
        offer = sorted({model for model in models if model is not None})
        if not offer:
            return deployments
        self._warn_of_unknown(deployments, models)
        before = Attempt.of(metadata_of(request))
        if before is not None and before.group == group and before.knows(offer):
            attempt = before.again(metadata_of(request))
        else:
            decision = await self._decide(self._serving, router, offer, messages, request)
            attempt = Attempt(group, decision)
        return order_deployments(deployments, models, attempt)

    async def _decide(
        self,
        serving: Serving,
        router: BenchRouter,
        offer: list[str],
        messages: list[Any] | None,
        request: dict[str, Any],
    ) -> Decision:
        if len(offer) == 1:
            return Decision(
                ranking=tuple(offer),
                method="only",
                reason="the only model on offer that the benchmark knows",
                artifact=router.artifact.manifest.version,
            )
        text = last_user_turn(messages, request)
        return await serving.decide(router, text, named_task(request), offer)

    def _load(self) -> None:
        try:
            path = _config_path()
            config = load_config(path)
        except BenchRouterError as error:
            logger.warning("benchrouter: %s Requests pass through.", error)
            return
        self._names = ModelNames(config.aliases, frozenset())
        self._serving = Serving(config, on_load=lambda router: self._loaded(config, router))
        self._serving.start()

    def _loaded(self, config: BenchRouterConfig, router: BenchRouter) -> None:
        self._names = ModelNames(config.aliases, frozenset(router.models))
        self._warned = set()
        proxy = sys.modules.get("litellm.proxy.proxy_server")
        groups = getattr(getattr(proxy, "llm_router", None), "model_list", None) or []
        by_group: dict[str, list[Any]] = {}
        for deployment in groups:
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
    """Return the running proxy's configuration, waiting for the proxy to say which it is."""
    given = os.environ.get("BENCHROUTER_CONFIG")
    waited = threading.Event()
    for _ in range(int(_CONFIG_WAIT_SECONDS / _POLL_SECONDS)):
        proxy = sys.modules.get("litellm.proxy.proxy_server")
        named = getattr(proxy, "user_config_file_path", None) or os.environ.get("CONFIG_FILE_PATH")
        if given or named:
            return Path(given or str(named))
        waited.wait(_POLL_SECONDS)
    raise BenchRouterError(
        "the proxy names no configuration file; set BENCHROUTER_CONFIG to the YAML with the "
        "`benchrouter:` block."
    )


def _without_values() -> bool:
    return logger.isEnabledFor(logging.DEBUG)


handler = BenchRouterHook()
"""What the proxy's configuration names."""

if "litellm.proxy.proxy_server" in sys.modules:
    handler.start()  # imported by a proxy: have the artifact ready for its first request
