"""`benchrouter doctor`: is this installation fit to route?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.config import load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.doctor import (
    artifacts,
    callback,
    decisions,
    deployments,
    libraries,
    proxy_settings,
)
from litellm_benchrouter.doctor.finding import Finding, Status

__all__ = ["Finding", "Status", "diagnose"]


def diagnose(path: Path) -> Iterator[Finding]:
    """Check an installation; findings come one by one, as some take seconds.

    Nothing is changed, no provider is called, and no secret is read.

    Parameters
    ----------
    path : Path
        The LiteLLM proxy's YAML.

    Raises
    ------
    ConfigError
        If it cannot be read, or its `benchrouter:` block is wrong.
    """
    config, proxy = load_config(path), read_proxy_yaml(path)
    yield from libraries.check(config, proxy)
    yield from callback.check(path, proxy)
    yield from proxy_settings.check(config, proxy)
    yield from artifacts.check_directory(config)
    artifact = yield from artifacts.check_version(config)
    if artifact is not None:
        models = artifact.models
        yield from deployments.check(config, proxy, models)
        yield from decisions.check(config, proxy, artifact)
