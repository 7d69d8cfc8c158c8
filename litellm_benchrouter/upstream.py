"""Models asked through LiteLLM itself, with the deployments and credentials of the proxy's YAML."""

from __future__ import annotations

import copy
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import ConfigError

_OF_THE_MODEL = (401, 403, 404)
_TRANSIENT = (408, 409, 425, 429)
_LONGEST_MESSAGE = 300
_SECONDS = 30.0  # for a proxy to name its models


@dataclass(frozen=True)
class Proxy:
    """The parts of the proxy's YAML that are needed to ask its models."""

    deployments: Sequence[dict[str, Any]] = ()  # the entries of `model_list` that name a model
    settings: Mapping[str, Any] = field(default_factory=dict)  # `router_settings`
    credentials: Sequence[dict[str, Any]] = ()  # `credential_list`
    environment: Mapping[str, Any] = field(default_factory=dict)  # `environment_variables`


def read_proxy(path: Path) -> Proxy:
    """Read the proxy's YAML, with the files that its `include:` names."""
    document = read_proxy_yaml(path)
    model_list = document.get("model_list")
    deployments = [
        entry
        for entry in (model_list if isinstance(model_list, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("litellm_params"), dict)
        and isinstance(entry["litellm_params"].get("model"), str)
    ]
    return Proxy(
        deployments,
        document.get("router_settings") or {},
        document.get("credential_list") or [],
        document.get("environment_variables") or {},
    )


def running_deployments(url: str) -> list[dict[str, Any]]:
    """Ask a running proxy for its deployments, with the key in LITELLM_MASTER_KEY.

    Those of its database are among them. Raises ConfigError where it does not answer, or refuses.
    """
    import httpx

    key = os.environ.get("LITELLM_MASTER_KEY") or os.environ.get("LITELLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.get(f"{url.rstrip('/')}/v1/model/info", headers=headers, timeout=_SECONDS)
        reply.raise_for_status()
        listed = reply.json().get("data")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        reason = f"answers {status}" if status else f"{type(error).__name__}"
        raise ConfigError(
            f"{url}: does not answer as LiteLLM's proxy does ({reason}). Give an address such as "
            "http://localhost:4000, and set LITELLM_MASTER_KEY to a key that may see its models."
        ) from error
    return [entry for entry in listed or () if isinstance(entry, dict)]


class CallError(Exception):
    """A call that was not answered; the message is one line.

    `is_transient`: the same call may be answered later, after `wait` seconds where the provider
    says so. `is_of_model`: no call to this model will be, as for a key that is refused.
    """

    def __init__(
        self,
        message: str,
        *,
        is_transient: bool = False,
        is_of_model: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_transient, self.is_of_model, self.wait = is_transient, is_of_model, wait

    @classmethod
    def of(cls, error: Exception) -> CallError:
        """Return what LiteLLM raised in one line, without its "litellm.X: X: " in front."""
        name, line = type(error).__name__, str(error).strip().partition("\n")[0]
        for prefix in (f"litellm.{name}: ", f"{name}: "):
            line = line.removeprefix(prefix)
        message = f"{name}: {line[:_LONGEST_MESSAGE]}"
        status = getattr(error, "status_code", None)
        cooldown = getattr(error, "cooldown_time", None)
        if status is None and cooldown is not None:  # LiteLLM lets the model rest
            return cls(message, is_transient=True, wait=float(cooldown))
        status = status if isinstance(status, int) else 0
        return cls(
            message,
            is_transient=status in _TRANSIENT or status >= 500,
            is_of_model=status in _OF_THE_MODEL or "Missing credentials" in message,
            wait=_retry_after(error),
        )


def _retry_after(error: Exception) -> float | None:
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    try:
        return float(headers["retry-after"]) if headers else None
    except (KeyError, TypeError, ValueError):
        return None


def import_litellm() -> Any:
    """Return LiteLLM; outside the proxy it logs errors alone, unless LITELLM_LOG says otherwise."""
    in_proxy = "litellm.proxy.proxy_server" in sys.modules
    if not in_proxy:  # of LiteLLM's types, at the import and when they are first used
        warnings.filterwarnings("ignore", category=UserWarning, module="pydantic")
    import litellm
    import litellm.types.utils

    if not in_proxy and "LITELLM_LOG" not in os.environ:
        for name in ("LiteLLM", "LiteLLM Router"):
            logging.getLogger(name).setLevel(logging.ERROR)
    return litellm


def open_router(
    proxy: Proxy, groups: Mapping[str, Sequence[dict[str, Any]]], **options: Any
) -> Any:
    """Return a LiteLLM router of its own over groups of deployments; it retries nothing.

    What it is asked is no client's request: no hook, logging callback or cooldown of the proxy's
    router sees it. Groups are entries of `model_list` by the name that they are asked under.
    """
    for name, value in proxy.environment.items():
        os.environ[name] = str(value)  # as the proxy does when it starts
    litellm = import_litellm()
    if proxy.credentials and not litellm.credential_list:
        item = litellm.types.utils.CredentialItem
        litellm.credential_list = [item(**each) for each in proxy.credentials]
    model_list = [
        {**copy.deepcopy(entry), "model_name": name}
        for name, entries in groups.items()
        for entry in entries
    ]
    for entry in model_list:
        (entry.get("model_info") or {}).pop("id", None)  # two groups may have a deployment
    return litellm.Router(model_list=model_list, num_retries=0, **options)
