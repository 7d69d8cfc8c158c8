"""`benchrouter doctor`: is this installation fit to route?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.config import load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.doctor import proxy, version
from litellm_benchrouter.doctor.callback import check_callback
from litellm_benchrouter.doctor.libraries import check_libraries
from litellm_benchrouter.views import Finding, Status

__all__ = ["Finding", "Status", "diagnose"]


def diagnose(path: Path) -> Iterator[Finding]:
    """Check an installation by the proxy's YAML; findings come one by one, as some take seconds.

    Nothing is changed or downloaded, no provider is called, and no secret is read. Raises
    ConfigError where the YAML cannot be read, or its `benchrouter:` block is wrong.
    """
    config, settings = load_config(path), read_proxy_yaml(path)
    yield from check_libraries(config, settings)
    yield from check_callback(path, settings)
    yield from proxy.check_settings(config, settings)
    yield from version.check_directory(config)
    models, artifact = yield from version.check_version(config)
    if models:
        yield from proxy.check_deployments(config, settings, models)
    if artifact is not None:
        yield from version.check_decisions(config, settings, artifact)
