"""Route LiteLLM requests by benchmark results that already exist (Shnitzer et al., 2023)."""

from litellm_benchrouter.artifact import Artifact, read_artifact
from litellm_benchrouter.build import Built, build
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.core.benchmark import Benchmark, ModelFacts
from litellm_benchrouter.core.decision import Decision
from litellm_benchrouter.errors import (
    ArtifactError,
    BenchRouterError,
    ConfigError,
    EmbedderError,
    SourceError,
    VersionError,
)
from litellm_benchrouter.router import BenchRouter
from litellm_benchrouter.store import Store

__all__ = [
    "Artifact",
    "ArtifactError",
    "BenchRouter",
    "BenchRouterConfig",
    "BenchRouterError",
    "Benchmark",
    "Built",
    "ConfigError",
    "Decision",
    "EmbedderError",
    "ModelFacts",
    "SourceError",
    "Store",
    "VersionError",
    "build",
    "load_config",
    "read_artifact",
]
