"""Deployments of the proxy: which benchmark model each is. No LiteLLM in here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "benchrouter_model"
"""Key of `model_info` in which a deployment says which benchmark model it is."""

TEXT_MODES = (None, "chat", "completion", "responses")
"""`model_info.mode` of deployments that answer text."""

_ENVIRONMENT = "os.environ/"
_NO_TEXT = re.compile(
    r"embed|rerank|whisper|transcri|moderation|dall-e|gpt-image|imagen|stable-diffusion|\bflux"
    r"|\btts\b|^voyage/",
    re.IGNORECASE,
)
"""Names of models that answer no text, where no mode says what they do."""

MAPPINGS = (dict, Mapping)  # dict first: to ask for a Mapping takes ten times as long


@dataclass(frozen=True)
class ModelNames:
    """Which benchmark model a deployment is."""

    aliases: Mapping[str, str]  # other names of models, from the configuration
    models: frozenset[str]  # the benchmark's models

    def of(self, deployment: object) -> str | None:
        """Return the benchmark model, or None where the benchmark does not know it."""
        if not isinstance(deployment, MAPPINGS):
            return None
        said = part(deployment, "model_info").get(NAME)
        if said is not None:
            return self._model_of(said)
        model = part(deployment, "litellm_params").get("model")
        if not isinstance(model, str):
            return None
        # "provider/owner/name": the benchmark may know any tail of it
        while model:
            model_name = self._model_of(model)
            if model_name is not None:
                return model_name
            model = model.partition("/")[2]
        return None

    def said(self, deployment: Mapping[str, Any]) -> str:
        """Return how the deployment names itself, for a warning."""
        return str(_said(deployment))

    def _model_of(self, name: object) -> str | None:
        if not isinstance(name, str):
            return None
        name = self.aliases.get(name, name)
        return name if name in self.models else None


def text_deployments(proxy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of `model_list` that name a model, no wildcard, and answer text.

    A model that an environment variable names is named as the variable says, where it is set.
    """
    deployments = []
    for entry in map(resolved, _entries(proxy)):
        model = str(part(entry, "litellm_params").get("model") or "")
        mode = part(entry, "model_info").get("mode")
        is_text = mode in TEXT_MODES and (mode is not None or not _NO_TEXT.search(model))
        if model and "*" not in model and is_text:
            deployments.append(entry)
    return deployments


def resolved(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment whose model is named by an environment variable with its value."""
    params = part(entry, "litellm_params")
    model = params.get("model")
    if not isinstance(model, str) or not model.startswith(_ENVIRONMENT):
        return entry
    value = os.environ.get(model.removeprefix(_ENVIRONMENT), model)
    return entry | {"litellm_params": {**params, "model": value}}


def no_text_deployment(proxy: Mapping[str, Any]) -> str:
    """Say that no deployment answers text, and what to do."""
    patterns = wildcards(proxy)
    if patterns:
        return (
            f"model_list has only patterns ({', '.join(patterns)}), which name no model. Add an "
            "entry for each model that is to be chosen."
        )
    return "model_list has no deployment that answers text. Add the models first."


def wildcards(proxy: Mapping[str, Any]) -> list[str]:
    """Return the patterns in `model_list`, as "openai/*"."""
    models = [str(part(entry, "litellm_params").get("model")) for entry in _entries(proxy)]
    return list(dict.fromkeys(model for model in models if "*" in model))


def _entries(proxy: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = proxy.get("model_list")
    entries = listed if isinstance(listed, list | tuple) else ()
    return [entry for entry in entries if isinstance(entry, dict)]


def likely_names(deployment: Mapping[str, Any]) -> list[str]:
    """Return the names under which a benchmark may know a deployment's model, the surest first.

    The last are of `model_info.base_model`, which says what a deployment of Azure is.
    """
    base = part(deployment, "model_info").get("base_model")
    named = [str(_said(deployment)), *([base] if isinstance(base, str) else [])]
    return list(dict.fromkeys(tail for name in named for tail in tails_of(name)))


def tails_of(name: str) -> list[str]:
    """Return a name, and what is left of it without its providers: "azure/gpt-4o" and "gpt-4o"."""
    parts = name.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def short_name(deployment: Mapping[str, Any]) -> str:
    """Return the name that a benchmark of one's own gives a deployment's model."""
    said = part(deployment, "model_info").get(NAME)
    return str(said or str(_said(deployment)).rpartition("/")[2])


def _said(deployment: Mapping[str, Any]) -> object:
    said = part(deployment, "model_info").get(NAME)
    return said or part(deployment, "litellm_params").get("model")


def id_of(deployment: object) -> str | None:
    """Return LiteLLM's id of a deployment."""
    value = part(deployment, "model_info").get("id") if isinstance(deployment, MAPPINGS) else None
    return None if value is None else str(value)


def group_of(deployments: Sequence[object], asked: str) -> str:
    """Return the operator's name of a group: of a wildcard, clients ask by names of their own."""
    names = (d.get("model_name") for d in deployments if isinstance(d, MAPPINGS))
    return next((name for name in names if isinstance(name, str)), asked)


def part(container: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a section of a deployment; empty where it is none."""
    value = container.get(key)
    return value if isinstance(value, MAPPINGS) else {}


def deployments_of(router: Any) -> list[Any]:
    """Return all deployments of a `litellm.Router`: the list that it keeps itself."""
    registry = getattr(router, "registry", None)  # from LiteLLM 1.109 on
    deployments: list[Any] = router.model_list if registry is None else registry().all()
    return deployments
