"""The `benchrouter:` block of the proxy's YAML, which the builder and the hook both read."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from litellm_benchrouter.config.base import (
    copy_path,
    first_problem,
    is_url,
    mirror_folder,
    read_document,
    without_retired,
)
from litellm_benchrouter.config.block import BenchRouterConfig
from litellm_benchrouter.config.builder import (
    EmbedderConfig,
    EmbedderKind,
    IndexConfig,
    ModelConfig,
    PublishConfig,
    RoutingConfig,
    SourceConfig,
    TaskConfig,
)
from litellm_benchrouter.config.proxy import (
    GroupConfig,
    PolicyLimits,
    ServingConfig,
    VirtualModel,
)
from litellm_benchrouter.config.traffic import (
    CollectConfig,
    FeedbackConfig,
    RefreshConfig,
    TrafficConfig,
)
from litellm_benchrouter.errors import ConfigError

__all__ = [
    "BLOCK",
    "BenchRouterConfig",
    "CollectConfig",
    "EmbedderConfig",
    "EmbedderKind",
    "FeedbackConfig",
    "GroupConfig",
    "IndexConfig",
    "ModelConfig",
    "PolicyLimits",
    "PublishConfig",
    "RefreshConfig",
    "RoutingConfig",
    "ServingConfig",
    "SourceConfig",
    "TaskConfig",
    "TrafficConfig",
    "VirtualModel",
    "is_url",
    "load_config",
    "mirror_folder",
    "parse_config",
]

_log = logging.getLogger(__name__)

BLOCK = "benchrouter"


def load_config(path: Path) -> BenchRouterConfig:
    """Read the `benchrouter:` block of a LiteLLM proxy configuration.

    Parameters
    ----------
    path : Path
        The proxy's YAML. Relative paths in the block start at its folder.

    Returns
    -------
    BenchRouterConfig
        With every path absolute.

    Raises
    ------
    ConfigError
        If the file or the block is missing or wrong; names the key's path and the value.
    """
    document = read_document(path, "give --config FILE")
    if BLOCK not in document:
        raise ConfigError(
            f"{path} has no top-level `{BLOCK}:` block; add one (config.example.yaml shows it)."
        )
    config = parse_config(document[BLOCK], folder=path.resolve().parent, where=str(path))
    if config.embedder.proxy_config is not None:
        return config
    here = config.embedder.model_copy(update={"proxy_config": path.resolve()})
    return config.model_copy(update={"embedder": here})


def parse_config(
    block: object, *, folder: Path, where: str = "the configuration"
) -> BenchRouterConfig:
    """Check a `benchrouter:` block that has been read already; see `load_config`."""
    block = {} if block is None else block
    warnings: list[str] = []
    if isinstance(block, dict):
        block, warnings = without_retired(block, where)
    try:
        config = BenchRouterConfig.model_validate(block)
    except ValidationError as error:
        raise ConfigError(first_problem(error, where, BLOCK, BenchRouterConfig)) from error
    config._warnings = warnings
    for warning in warnings:
        _log.warning(warning)
    cache = config.artifacts_cache and folder / config.artifacts_cache
    return config.at(config.artifacts_url or str(config.artifacts), folder).model_copy(
        update={
            "embedder": _from(folder, config.embedder),
            "sources": [
                source.model_copy(
                    update={
                        "path": folder / source.path
                        if source.url is None
                        else copy_path(source.url, cache),
                        "embeddings": source.embeddings and folder / source.embeddings,
                    }
                )
                for source in config.sources
            ],
            "tasks": {
                name: task.model_copy(
                    update={
                        "inputs": folder / task.inputs,
                        "embeddings": task.embeddings and folder / task.embeddings,
                        "labels": task.labels and folder / task.labels,
                    }
                )
                for name, task in config.tasks.items()
            },
            "traffic": config.traffic and config.traffic.at(folder),
        }
    )


def _from(folder: Path, embedder: EmbedderConfig) -> EmbedderConfig:
    """Return an embedder's configuration with every path absolute."""
    changed: dict[str, Any] = {"model": _local_model(folder, embedder.model)}
    if embedder.proxy_config is not None:
        changed["proxy_config"] = folder / embedder.proxy_config
    return embedder.model_copy(update=changed)


def _local_model(folder: Path, model: str) -> str:
    """Return a model's name, or where it lies if it is a folder beside the configuration."""
    local = folder / model
    return str(local) if local.is_dir() else model
