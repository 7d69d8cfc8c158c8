"""Route LiteLLM requests by benchmark results that already exist (Shnitzer et al., 2023).

What serving needs is here; building is `litellm_benchrouter.building.build`, so that a proxy's
workers do not load what only the builder uses.
"""

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
