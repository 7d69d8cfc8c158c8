"""An embedding model asked through LiteLLM, with the proxy's deployments and credentials."""

from __future__ import annotations

import copy
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import EmbedderError

Vectors = NDArray[np.float32]

_TRANSIENT = (408, 409, 425, 429)
_PATIENCE = 60.0  # seconds for each try of a build
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between them
_LONGEST_WAIT = 60.0


class HostedError(Exception):
    """A call that was not answered with vectors; its message is one line.

    Attributes
    ----------
    is_transient : bool
        Whether the same call may be answered later.
    wait : float or None
        Seconds to wait before, where the provider says so.
    """

    def __init__(
        self, message: str, *, is_transient: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_transient, self.wait = is_transient, wait


class HostedModel:
    """A LiteLLM router over the deployments of one embedding model.

    It is a router of its own also inside the proxy: what it asks is no client's request, so no
    hook, no logging callback and no cooldown of the proxy's sees it.

    Parameters
    ----------
    name : str
        A group of `model_list`, the litellm model of one of its deployments, or any embedding
        model that LiteLLM knows, with the provider's key in the environment.
    proxy_yaml : Path or None
        The YAML with `model_list`.
    dimensions : int, optional
        Asked of models that can shorten their vectors.

    Attributes
    ----------
    upstream : str
        The provider's name of the model, without the provider.

    Raises
    ------
    ConfigError
        If the YAML cannot be read.
    EmbedderError
        If the deployments are different models.
    """

    def __init__(
        self, name: str, proxy_yaml: Path | None = None, dimensions: int | None = None
    ) -> None:
        self.name, self.dimensions = name, dimensions
        self._document = {} if proxy_yaml is None else read_proxy_yaml(proxy_yaml)
        self._deployments = _deployments(self._document.get("model_list"), name)
        self._router: Any = None
        self._lock = threading.Lock()
        upstream = sorted({_upstream(entry) for entry in self._deployments})
        if len(upstream) > 1:
            raise EmbedderError(
                f"the deployments of {name!r} are different embedding models "
                f"({', '.join(upstream)}), whose vectors cannot be compared; name a group of one."
            )
        self.upstream = upstream[0]

    def ask(self, texts: Sequence[str], timeout: float) -> Vectors:
        """Ask once for the vectors of texts that are not blank, as the provider scales them.

        `timeout` is in seconds, for each step of the connection. Raises `HostedError` if there is
        no answer, or it is not one vector a text.
        """
        options = {} if self.dimensions is None else {"dimensions": self.dimensions}
        try:
            response = self._opened().embedding(
                model=self.name,
                input=list(texts),
                timeout=timeout,
                max_retries=0,
                encoding_format="float",
                drop_params=True,  # not every provider knows an encoding
                **options,
                **{"no-log": True},  # prompts are not for the proxy's logging
            )
            items = [
                each if isinstance(each, dict) else each.model_dump() for each in response.data
            ]
            ordered = sorted(items, key=lambda item: int(item.get("index") or 0))
            vectors = np.array([item["embedding"] for item in ordered], dtype=np.float32)
        except Exception as error:
            raise _hosted_error(error) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise HostedError(f"{vectors.shape} numbers came back for {len(texts)} texts")
        return vectors

    def ask_patiently(self, texts: Sequence[str]) -> Vectors:
        """Ask until the provider answers, at most five times; raises `EmbedderError`."""
        for wait in (*_WAITS, None):
            try:
                return self.ask(texts, _PATIENCE)
            except HostedError as error:
                if wait is None or not error.is_transient:
                    raise EmbedderError(
                        f"the embedding model {self.name!r} did not answer ({error}); see that "
                        f"it is in model_list or known to LiteLLM, with its key. Batches that "
                        f"were answered are kept: build again to go on."
                    ) from error
                time.sleep(min(max(wait, error.wait or 0.0), _LONGEST_WAIT))
        raise AssertionError("the last try returns or raises")

    def _opened(self) -> Any:
        with self._lock:
            if self._router is None:
                litellm = _litellm()
                for name, value in (self._document.get("environment_variables") or {}).items():
                    os.environ[name] = str(value)  # as the proxy does when it starts
                credentials = self._document.get("credential_list") or []
                if credentials and not litellm.credential_list:
                    item = litellm.types.utils.CredentialItem
                    litellm.credential_list = [item(**each) for each in credentials]
                self._router = litellm.Router(
                    model_list=[
                        {**copy.deepcopy(entry), "model_name": self.name}
                        for entry in self._deployments
                    ],
                    num_retries=0,  # they are ours
                    disable_cooldowns=True,
                )
        return self._router


def _deployments(model_list: object, name: str) -> list[dict[str, Any]]:
    entries = [
        entry
        for entry in (model_list if isinstance(model_list, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("litellm_params"), dict)
        and isinstance(entry["litellm_params"].get("model"), str)
    ]
    return (
        [entry for entry in entries if entry.get("model_name") == name]
        or [entry for entry in entries if entry["litellm_params"]["model"] == name]
        or [{"litellm_params": {"model": name}}]
    )


def _upstream(entry: dict[str, Any]) -> str:
    """Return the model that a deployment is; Azure's names are the operator's own."""
    base = (entry.get("model_info") or {}).get("base_model")
    return str(base or entry["litellm_params"]["model"]).rpartition("/")[2]


def _litellm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, about LiteLLM's types
        import litellm
        import litellm.types.utils

    in_proxy = "litellm.proxy.proxy_server" in sys.modules
    if not in_proxy and "LITELLM_LOG" not in os.environ:
        for name in ("LiteLLM", "LiteLLM Router"):
            logging.getLogger(name).setLevel(logging.ERROR)
    return litellm


def _hosted_error(error: Exception) -> HostedError:
    name, line = type(error).__name__, str(error).strip().partition("\n")[0]
    for prefix in (f"litellm.{name}: ", f"{name}: "):
        line = line.removeprefix(prefix)
    status = getattr(error, "status_code", None)
    transient = isinstance(status, int) and (status in _TRANSIENT or status >= 500)
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    try:
        wait = float(headers["retry-after"]) if headers else None
    except (KeyError, TypeError, ValueError):
        wait = None
    return HostedError(f"{name}: {line[:300]}", is_transient=transient, wait=wait)
