"""Route LiteLLM requests by benchmark results that already exist (Shnitzer et al., 2023).

The public names are imported when they are first used, so that a command's help, or a module that
needs one of them, does not wait for all. Building is `litellm_benchrouter.building.build.build`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litellm_benchrouter.artifact.version import Artifact, read_artifact
    from litellm_benchrouter.config import BenchRouterConfig, load_config
    from litellm_benchrouter.errors import (
        ArtifactError,
        BenchRouterError,
        ConfigError,
        EmbedderError,
        SourceError,
        VersionError,
    )
    from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts
    from litellm_benchrouter.routing.decision import Decision
    from litellm_benchrouter.routing.router import BenchRouter
    from litellm_benchrouter.store.directory import Store

_HOMES = {
    "artifact.version": ("Artifact", "read_artifact"),
    "config": ("BenchRouterConfig", "load_config"),
    "paper.benchmark": ("Benchmark", "ModelFacts"),
    "routing.decision": ("Decision",),
    "routing.router": ("BenchRouter",),
    "store.directory": ("Store",),
}

__all__ = [
    "Artifact",
    "ArtifactError",
    "BenchRouter",
    "BenchRouterConfig",
    "BenchRouterError",
    "Benchmark",
    "ConfigError",
    "Decision",
    "EmbedderError",
    "ModelFacts",
    "SourceError",
    "Store",
    "VersionError",
    "load_config",
    "read_artifact",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "errors")
    return getattr(import_module(f"{__name__}.{home}"), name)
