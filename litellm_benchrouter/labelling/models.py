"""Who can be asked: the deployments of the proxy's YAML, by the benchmark model that each is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.deployments import NAME, ModelNames

_CHAT_MODES = (None, "chat", "completion", "responses")
_ENVIRONMENT = "os.environ/"


@dataclass(frozen=True)
class Proxy:
    """What labelling needs of the proxy's YAML.

    Attributes
    ----------
    deployments : sequence of dict
        The entries of `model_list` that answer text.
    settings : mapping
        `router_settings`.
    credentials : sequence of dict
        `credential_list`.
    environment : mapping
        `environment_variables`.
    """

    deployments: Sequence[dict[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Sequence[dict[str, Any]] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AskedModel:
    """A model that can be asked, and its replicas.

    Attributes
    ----------
    name : str
        Canonical.
    deployments : sequence of dict
        Entries of `model_list`.
    """

    name: str
    deployments: Sequence[dict[str, Any]]

    @property
    def unset_variables(self) -> list[str]:
        """Environment variables that a deployment names and that are not set."""
        texts = [text for entry in self.deployments for text in _texts(entry["litellm_params"])]
        names = {t.removeprefix(_ENVIRONMENT) for t in texts if t.startswith(_ENVIRONMENT)}
        return sorted(name for name in names if name not in os.environ)


def read_proxy(path: Path) -> Proxy:
    """Read the proxy's YAML, with the files that its `include:` names.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    document = read_proxy_yaml(path)
    usable = [
        entry
        for entry in document.get("model_list") or []
        if isinstance(entry, dict)
        and isinstance(entry.get("litellm_params"), dict)
        and isinstance(entry["litellm_params"].get("model"), str)
        and (entry.get("model_info") or {}).get("mode") in _CHAT_MODES
    ]
    return Proxy(
        deployments=usable,
        settings=document.get("router_settings") or {},
        credentials=document.get("credential_list") or [],
        environment=document.get("environment_variables") or {},
    )


def models_named(config: BenchRouterConfig, proxy: Proxy) -> set[str]:
    """Models that the configuration names, whether a benchmark has them or not."""
    said = {(entry.get("model_info") or {}).get(NAME) for entry in proxy.deployments}
    return set(config.models) | {
        config.aliases.get(name, name) for name in said if isinstance(name, str)
    }


def find_candidates(
    config: BenchRouterConfig, proxy: Proxy, known: set[str], wanted: Sequence[str] | None
) -> list[AskedModel]:
    """Find the deployments of the models to ask.

    Parameters
    ----------
    config : BenchRouterConfig
    proxy : Proxy
    known : set of str
        The benchmark's models.
    wanted : sequence of str or None
        What `--models` names; None for all that the benchmark knows. A model that is named may be
        one that no benchmark has yet.

    Raises
    ------
    ConfigError
        If there is none, or one of those wanted has no deployment.
    """
    names = ModelNames(config.aliases, frozenset(known | models_named(config, proxy)))
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in proxy.deployments:
        name = names.of(entry)
        if name is not None:
            found.setdefault(name, []).append(entry)
    if wanted is None:
        found = {name: entries for name, entries in found.items() if name in known}
    else:
        asked = list(dict.fromkeys(config.aliases.get(name, name) for name in wanted))
        absent = [name for name in asked if name not in found]
        if absent:
            raise ConfigError(
                f"--models names {', '.join(absent)}, which no deployment in model_list is; there "
                f"are {', '.join(sorted(found)) or 'none'}."
            )
        found = {name: found[name] for name in asked}
    if not found:
        raise ConfigError(
            "no candidates: no deployment in model_list is a model of the benchmark; say which it "
            f"is with model_info.{NAME}, or name models with --models."
        )
    return [AskedModel(name, entries) for name, entries in found.items()]


def find_judge(config: BenchRouterConfig, proxy: Proxy, name: str) -> AskedModel:
    """Find the deployments of a judge: a model's name, a group's, or that of a litellm model.

    Raises
    ------
    ConfigError
        If there is none.
    """
    names = ModelNames(config.aliases, frozenset({config.aliases.get(name, name)}))
    for is_it in (
        lambda entry: names.of(entry) is not None,
        lambda entry: entry.get("model_name") == name,
        lambda entry: entry["litellm_params"]["model"] == name,
    ):
        found = [entry for entry in proxy.deployments if is_it(entry)]
        if found:
            return AskedModel(f"judge {name}", found)
    groups = sorted({str(entry.get("model_name")) for entry in proxy.deployments})
    raise ConfigError(
        f"the judge {name!r} is neither a model nor a group of model_list. There are "
        f"{', '.join(groups) or 'none'}."
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
