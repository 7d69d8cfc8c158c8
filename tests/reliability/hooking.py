"""The hook outside of a proxy, as LiteLLM calls it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import load_config
from litellm_benchrouter.hook import BenchRouterHook
from litellm_benchrouter.proxy.facts import DeploymentFacts
from litellm_benchrouter.proxy.orders import OrderCopies
from litellm_benchrouter.routing.deployments import ModelNames
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.serving.service import RoutingService

CALLS = ("acompletion", "aresponses", "anthropic_messages", "atext_completion")
_numbers = itertools.count()


class Logging:
    """LiteLLM's logging object of a call: what the hook takes for the call's identity."""

    def __init__(self, call_type: str = "acompletion") -> None:
        self.call_type = call_type
        self.number = next(_numbers)


def hook_of(folder: Path, **serving: Any) -> BenchRouterHook:
    """Return a hook that serves the version in a folder; end it by `close`."""
    config = load_config(folder / "config.yaml")
    limits = config.serving.model_copy(update={"time_limit_ms": 3_600_000.0} | serving)
    hook = BenchRouterHook()
    hook._started = True  # it would look for a proxy's configuration
    hook._adapters.current = OrderCopies()  # there is no router to try
    hook._names = ModelNames(config.aliases, frozenset())
    config = config.model_copy(update={"serving": limits})
    executor, facts = Executor(limits), DeploymentFacts()
    loader = VersionLoader(config, executor)
    loader.refresh()
    hook._service = RoutingService(
        config, loader, executor, facts.prices, facts.abilities, hook._metrics
    )
    return hook


def loader_of(hook: BenchRouterHook) -> VersionLoader:
    assert hook._service is not None
    return hook._service._loader


def close(hook: BenchRouterHook) -> None:
    assert hook._service is not None
    hook._service.stop()


def offered(models: list[str]) -> list[dict[str, Any]]:
    """Return one deployment of each model."""
    return [
        {
            "model_name": "smart",
            "litellm_params": {"model": f"openai/{model}", "api_key": "sk-none"},
            "model_info": {"id": f"id-{number}", "benchrouter_model": model},
        }
        for number, model in enumerate(models)
    ]
