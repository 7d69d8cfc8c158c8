"""The LiteLLM side: `litellm_settings.callbacks: ["litellm_benchrouter.hook.handler"]`.

LiteLLM asks `async_filter_deployments` for the deployments of a group before every attempt, and we
say which it should prefer, in the way that the installed router follows (`proxy.canary`).

What a call has decided and tried hangs on LiteLLM's logging object of that call: the one object
that is the same in every attempt, in fallbacks to other groups, and when the response's headers are
written, and that no client can forge. It is held weakly and goes with the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from litellm.integrations.custom_logger import CustomLogger

from litellm_benchrouter.config import load_config
from litellm_benchrouter.conversation.text import asks_for_text, metadata_of, turns_of
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.proxy import access, attempts, preference, redis, running
from litellm_benchrouter.proxy.canary import Adapters
from litellm_benchrouter.proxy.cascades import Cascades
from litellm_benchrouter.proxy.facts import DeploymentFacts
from litellm_benchrouter.proxy.feedback import Feedback, serve_feedback
from litellm_benchrouter.proxy.groups import (
    Groups,
    VirtualModels,
    last_resorts,
    rank_groups,
    rewritten,
)
from litellm_benchrouter.proxy.logs import (
    join_proxy_log,
    note_in_spend_log,
    note_on_span,
    start_line,
    warn_of_unknown,
)
from litellm_benchrouter.proxy.samples import Samples
from litellm_benchrouter.routing.deployments import ModelNames, group_of, id_of
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.call import Attempt, Call
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.serving.memory import RedisMemory
from litellm_benchrouter.serving.metrics import FOLLOWED, NONE, process_metrics
from litellm_benchrouter.serving.service import RoutingService

logger = logging.getLogger("litellm_benchrouter")

HEADER_PREFIX = "x-benchrouter-"


class BenchRouterHook(CustomLogger):
    """Ranks the deployments of each group that the benchmark knows.

    It never raises and never changes a deployment that it was given; whatever goes wrong, LiteLLM
    routes as if the plugin were not there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._started = False
        self._configured = threading.Event()
        self._virtual = VirtualModels({})
        self._service: RoutingService | None = None
        self._samples = Samples()
        self._feedback = Feedback()
        self._names = ModelNames({}, frozenset())
        self._named: BenchRouter | None = None
        self._warned: set[str] = set()
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._memory: RedisMemory | None = None
        self._calls: WeakKeyDictionary[Any, Call] = WeakKeyDictionary()
        self._metrics = process_metrics()
        self._cascades = Cascades(self._calls, self._metrics)
        self._adapters = Adapters(self, running.router, self._metrics.adapter)

    def start(self) -> None:
        """Read the proxy's configuration and load the artifact, in a thread."""
        if self._started:
            return
        with self._lock:
            if not self._started:
                self._started = True
                with contextlib.suppress(RuntimeError):  # where no loop runs
                    self._loop = asyncio.get_running_loop()
                threading.Thread(target=self._load, name="benchrouter-start", daemon=True).start()

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Put the best group that the caller may use in the place of a virtual model.

        It raises for one reason: the caller may use none of the groups.
        """
        self.start()
        if not self._configured.is_set():  # in the first moments: we do not know the names yet
            await asyncio.to_thread(self._configured.wait, running.ROUTER_WAIT_SECONDS)
        name = str(data.get("model"))
        entered = self._cascades.enter(data)
        if entered is not None or name not in self._virtual:
            return entered
        try:
            names = self._names_of(self._service.router if self._service else None)
            index = self._virtual.index(names)
            if index is None:
                return None
            groups, spent = await self._virtual.open(name, user_api_key_dict, index)
            if groups:
                ranking = await self._rank_groups(name, groups, data)
                others = await last_resorts(ranking[0], name, data, user_api_key_dict)
                return rewritten(data, ranking, others)
        except Exception as error:
            self._not_routed("a virtual model was passed through", error)
            return None
        raise access.denial(name, spent)

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Return the deployments so that LiteLLM prefers the best of them."""
        stand_in = preference.STAND_IN.get()
        if stand_in is not None:
            return await stand_in(model, healthy_deployments, messages, request_kwargs or {})
        self.start()
        try:
            return await self._rank(model, healthy_deployments, messages, request_kwargs or {})
        except Exception as error:
            self._not_routed("a request was passed through", error)
            self._metrics.failed()
            return healthy_deployments

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Note which deployment LiteLLM chose, and write the decision to the spend log."""
        with contextlib.suppress(Exception):
            call = self._calls.get(kwargs.get("litellm_logging_obj"))
            if call is not None:
                deployment_id = str(kwargs["model_info"]["id"])
                self._note_served(call, deployment_id, kwargs)
                metadata = metadata_of(kwargs)
                if call.virtual:  # older releases do not ask about a lone deployment
                    said = metadata.get("model_group")
                    call.group = self._virtual.group_served(call, deployment_id, said)
                note_in_spend_log(metadata, call)
                note_on_span(metadata, call)
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
                if response is not None and not call.is_open and self._service is not None:
                    call.counted = True
                    self._service.answered(call, attempts.plain_response_id(response))
                    self._feedback.answered(call, data, user_api_key_dict)
                return call.as_headers(HEADER_PREFIX)
        return None

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Keep the prompt of a call that was drawn, with who answered."""
        self._samples.answered(kwargs, start_time, end_time)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Keep the prompt of a call that was drawn and that nobody answered."""
        self._samples.failed(request_data)

    async def _rank_groups(self, name: str, groups: Groups, data: dict[str, Any]) -> list[str]:
        """Return the groups behind a virtual model, best first."""
        if not asks_for_text(data):
            return list(groups)
        decision = None
        call = self._calls.setdefault(data["litellm_logging_obj"], Call())
        call.virtual = name
        try:
            router = self._service.router if self._service else None
            if self._service is not None and router is not None and any(groups.models):
                turns = turns_of(data)
                await self._service.recall(data)
                self._service.begin(call, turns, data)
                self._samples.begin(call, data)
                offer = self._service.group(groups.deployments, groups.models, turns, data)
                decision = await self._service.rank(router, call, name, offer, turns, data)
                call.decisions |= {g: decision for g, models in groups.models_of.items() if models}
                call.models |= groups.by_id
                self._cascades.plan(call, decision, data, groups)
                decision = None if call.mode else decision
        except Exception as error:
            self._not_routed("groups were taken as they are listed", error)
        holder = attempts.holder_of_response(data.get("previous_response_id"), groups)
        ranking = sorted(rank_groups(groups.models_of, decision), key=lambda group: group != holder)
        call.group = ranking[0]
        return ranking

    def _not_routed(self, what: str, error: Exception) -> None:
        """Say what was not routed; not the error's message, which may quote the prompt."""
        logger.warning("benchrouter: %s (%s)", what, type(error).__name__)

    async def _rank(
        self,
        asked: str,
        deployments: list[Any],
        messages: list[Any] | None,
        request: dict[str, Any],
    ) -> list[Any]:
        if not asks_for_text(request):
            return deployments
        call = self._calls.get(request["litellm_logging_obj"])
        if call is not None:
            call.attempt, call.followed = Attempt(), ""
            if call.virtual:
                call.group = asked  # which may be one that the benchmark does not know
        router = self._service.router if self._service else None
        adapter = self._adapters.current
        if adapter is None and router is not None:
            self._adapters.suspect()  # what failed the trials may have been a passing fault
        if self._service is None or router is None or adapter is None:
            return deployments
        if not isinstance(deployments, list):
            return deployments
        names = self._names_of(router)
        models = [names.of(deployment) for deployment in deployments]
        if not any(models):
            return deployments
        warn_of_unknown(deployments, models, self._names, self._warned)
        if call is None:
            call = self._calls[request["litellm_logging_obj"]] = Call()
            await self._service.recall(request)
            self._service.begin(call, messages, request)
            self._samples.begin(call, request)
        group = group_of(deployments, asked)
        offer = self._service.group(deployments, models, messages, request)
        decision = call.decision_for(group, offer.able.names)
        if decision is None:
            decision = await self._service.rank(router, call, group, offer, messages, request)
        call.group, call.decisions[group] = group, decision
        self._cascades.plan(call, decision, request)
        call.models |= {str(id_of(d)): m for d, m in zip(deployments, models, strict=True)}
        if call.mode:
            return deployments
        return await attempts.prefer(
            adapter, call, asked, deployments, decision, offer.unable, messages, request
        )

    def _note_served(self, call: Call, deployment_id: str, kwargs: Mapping[str, Any]) -> None:
        """Note which deployment LiteLLM chose, and whether it is what was ranked first."""
        if not call.ask(deployment_id) or not call.attempt.best:
            return
        call.followed = attempts.outcome_of(call.attempt, deployment_id, kwargs, self)
        self._metrics.followed(call.followed)
        if call.followed != FOLLOWED:
            self._adapters.suspect()

    def _names_of(self, router: BenchRouter | None) -> ModelNames:
        """The names that go with a router, so that a version is taken up as one."""
        if router is not None and self._named is not router:
            self._names = ModelNames(self._names.aliases, frozenset(router.models))
            self._named = router
        return self._names

    def _load(self) -> None:
        try:
            config = load_config(running.config_path())
            self._virtual = VirtualModels(config.virtual_models)
            self._configured.set()
            if running.is_here():
                join_proxy_log(config.serving.log_level)
            self._names = ModelNames(config.aliases, frozenset())
            executor = Executor(config.serving, self._metrics)
            loader = VersionLoader(config, executor, self._loaded, self._metrics)
            facts = DeploymentFacts({name: m.model_dump() for name, m in config.models.items()})
            self._service = RoutingService(
                config, loader, executor, facts.prices, facts.abilities, self._metrics
            )
            self._cascades.configure(config.cascade, self._service.answered)
            self._samples = Samples.of(config, loader, self._metrics)
            self._feedback = Feedback.of(config, lambda: loader.router)
            serve_feedback(lambda: self._feedback)
            self._service.start()
        except Exception as error:
            if running.is_here():
                join_proxy_log(None)
            told = str(error) if isinstance(error, BenchRouterError) else type(error).__name__
            logger.error("benchrouter: %s Requests pass through.", told)
        finally:
            self._configured.set()

    def _loaded(self, router: BenchRouter) -> list[list[str]]:
        """Look at the proxy's deployments; return the models on offer in each group."""
        names = ModelNames(self._names.aliases, frozenset(router.models))
        self._warned = set()
        running.wait_for_router()
        if self._memory is None and self._service is not None and self._service.wants_memory:
            self._memory = redis.open_memory(self._loop, self._metrics)
            if self._memory is not None:
                self._service.share(self._memory)
        if self._adapters.current is None:
            self._adapters.choose()
        index = self._virtual.index(names)
        groups = index.groups if index is not None else Groups({}, names)
        offers = [sorted(ranked) for ranked in groups.models_of.values() if ranked]
        for group in (group for group, ranked in groups.models_of.items() if ranked):
            models = list(map(names.of, groups[group]))
            warn_of_unknown(groups[group], models, names, self._warned)
        if running.is_here() and not self._told:
            self._told = True
            adapter, memory = self._adapters.current, redis.state_of(self._memory)
            start_line(router, offers, getattr(adapter, "name", NONE), memory)
        return offers


handler = BenchRouterHook()
"""What the proxy's configuration names."""

if "litellm.proxy.proxy_server" in sys.modules:
    handler.start()  # imported by a proxy: have the artifact ready for its first request
