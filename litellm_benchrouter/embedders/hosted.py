"""Hosted embeddings through LiteLLM: patient and in batches at build time, in time when serving."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.embedders.base import Progress
from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.serving.threads import BusyError, DaemonThreads

_TRANSIENT = (408, 409, 425, 429)


class HostedError(Exception):
    """A call was not answered with vectors; the message is one line.

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
        document = {} if proxy_yaml is None else read_proxy_yaml(proxy_yaml)
        self._deployments = _deployments(document.get("model_list"), name)
        self._credentials = document.get("credential_list") or []
        self._environment = document.get("environment_variables") or {}
        self._router: Any = None
        self._lock = threading.Lock()
        upstream = sorted({_upstream(entry) for entry in self._deployments})
        if len(upstream) > 1:
            raise EmbedderError(
                f"the deployments of {name!r} are different embedding models "
                f"({', '.join(upstream)}), whose vectors cannot be compared; name a group of one."
            )
        self.upstream = upstream[0]

    def ask(self, texts: Sequence[str], timeout: float) -> NDArray[np.float32]:
        """Ask once.

        Parameters
        ----------
        texts : sequence of str
            None of them blank.
        timeout : float
            Seconds for each step of the connection.

        Returns
        -------
        ndarray of float32, shape (len(texts), d)
            As the provider scales them.

        Raises
        ------
        HostedError
            If there is no answer, or it is not one vector a text.
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
            vectors = _vectors(response.data)
        except Exception as error:
            raise _hosted_error(error) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise HostedError(f"{vectors.shape} numbers came back for {len(texts)} texts")
        return vectors

    def _opened(self) -> Any:
        with self._lock:
            if self._router is None:
                litellm = _litellm()
                for name, value in self._environment.items():
                    os.environ[name] = str(value)  # as the proxy does when it starts
                if self._credentials and not litellm.credential_list:
                    item = litellm.types.utils.CredentialItem
                    litellm.credential_list = [item(**each) for each in self._credentials]
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


def _vectors(data: Sequence[Any]) -> NDArray[np.float32]:
    items = [item if isinstance(item, dict) else item.model_dump() for item in data]
    ordered = sorted(items, key=lambda item: int(item.get("index") or 0))
    return np.array([item["embedding"] for item in ordered], dtype=np.float32)


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


Ask = Callable[[Sequence[str]], NDArray[np.float32]]
"""One vector for each of some texts that are not blank."""

_DEFAULT_LIMIT = 2_000  # tokens: what most providers take, in any language
_CHARACTERS_PER_TOKEN = 4
_PATIENCE = 60.0  # seconds for each try of a build
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between them
_LONGEST_WAIT = 60.0
_LATE = 2.0  # seconds: an answer that comes so late is still kept for the next such prompt
CALLS = 8
"""Under way at once, of one worker of the proxy."""

_KEPT = 1_024  # vectors: 12 MB of 3,072 numbers
_PROBE = "What is the capital of France?"


class HostedEmbedder:
    """Vectors of a model behind LiteLLM. Made by `make` or `load`.

    Parameters
    ----------
    model : str
        As the configuration names it.
    upstream : str
        The provider's name of it.
    dimension : int
    max_tokens : int
        Of a text; four characters count as one, and the rest is not sent.
    dimensions : int or None
        What was asked of a model that can shorten its vectors.
    ask : Ask
    batch_size : int
        Texts in a call: what was paid for is kept in the embedding cache after each.
    """

    kind: ClassVar[str] = "litellm"
    cacheable: ClassVar[bool] = True

    def __init__(
        self,
        model: str,
        upstream: str,
        *,
        dimension: int,
        max_tokens: int,
        dimensions: int | None,
        ask: Ask,
        batch_size: int,
    ) -> None:
        self.model, self.upstream = model, upstream
        self.dimension, self.max_tokens, self.dimensions = dimension, max_tokens, dimensions
        self.batch_size = batch_size
        self._ask = ask

    @classmethod
    def make(cls, config: EmbedderConfig) -> HostedEmbedder:
        """Return the embedder for a build; it asks once for the length of the vectors.

        Raises
        ------
        EmbedderError
            If the provider does not answer, after some tries.
        """
        asked = config.dimensions if "dimensions" in config.model_fields_set else None
        model = HostedModel(config.model, config.proxy_config, asked)
        ask = _patient(model)
        return cls(
            config.model,
            model.upstream,
            dimension=ask([_PROBE]).shape[1],
            max_tokens=config.max_seq_length or _DEFAULT_LIMIT,
            dimensions=asked,
            ask=ask,
            batch_size=config.batch_size,
        )

    def embed(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed texts in batches; see `Embedder.embed`.

        Raises
        ------
        EmbedderUnavailableError
            When serving: if the answer does not come in time.
        """
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN
        # What is sent is UTF-8, which has no lone surrogates.
        clean = [text[:limit].encode("utf-8", "replace").decode() for text in texts]
        rows = [row for row, text in enumerate(clean) if text.strip()]
        found = np.zeros((len(texts), self.dimension), dtype=np.float32)
        advance = progress or (lambda _: None)
        advance(len(texts) - len(rows))
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            vectors = self._ask([clean[row] for row in batch])
            if vectors.shape[1] != self.dimension:
                raise EmbedderError(
                    f"{self.model} gave vectors of {vectors.shape[1]} numbers, the artifact has "
                    f"{self.dimension}; build again."
                )
            found[batch] = vectors
            advance(len(batch))
        return normalize(found)

    def identity(self) -> dict[str, object]:
        """Return model, limits and a fingerprint of the names; see `Embedder.identity`.

        A provider that changes a model behind its name cannot be seen in it.
        """
        decisive = {
            "upstream": self.upstream,
            "dimension": self.dimension,
            "dimensions": self.dimensions,
            "max_tokens": self.max_tokens,
            "characters_per_token": _CHARACTERS_PER_TOKEN,
        }
        content = json.dumps(decisive, sort_keys=True).encode()
        return {
            "kind": self.kind,
            "model": self.model,
            "upstream": self.upstream,
            "dimension": self.dimension,
            "dimensions": self.dimensions,
            "max_tokens": self.max_tokens,
            "fingerprint": hashlib.sha256(content).hexdigest(),
        }

    def save(self, folder: Path) -> None:
        """Write nothing: the model is the provider's."""

    @classmethod
    def load(cls, identity: Mapping[str, object], config: EmbedderConfig | None) -> HostedEmbedder:
        """Return the embedder for serving; nothing is asked yet.

        Parameters
        ----------
        identity : mapping
        config : EmbedderConfig or None
            Where the proxy's deployments are, and the time limit.

        Raises
        ------
        EmbedderError
            If the proxy's deployments are another model than the one that was built with.
        """
        config = config or EmbedderConfig()
        name, wanted = str(identity["model"]), identity["dimensions"]
        asked = None if wanted is None else int(str(wanted))
        model = HostedModel(name, config.proxy_config, asked)
        if config.proxy_config is not None and model.upstream != identity["upstream"]:
            raise EmbedderError(
                f"{name!r} is {model.upstream} here, the artifact was built with "
                f"{identity['upstream']}; name the same model or build again."
            )
        return cls(
            name,
            str(identity["upstream"]),
            dimension=int(str(identity["dimension"])),
            max_tokens=int(str(identity["max_tokens"])),
            dimensions=asked,
            ask=_InTime(model, config.time_limit_ms / 1000),
            batch_size=config.batch_size,
        )


def _patient(model: HostedModel) -> Ask:
    def ask(texts: Sequence[str]) -> NDArray[np.float32]:
        for wait in (*_WAITS, None):
            try:
                return model.ask(texts, _PATIENCE)
            except HostedError as error:
                if wait is None or not error.is_transient:
                    raise EmbedderError(
                        f"the embedding model {model.name!r} did not answer ({error}); see that "
                        f"it is in model_list or known to LiteLLM, with its key. Batches that "
                        f"were answered are kept: build again to go on."
                    ) from error
                time.sleep(min(max(wait, error.wait or 0.0), _LONGEST_WAIT))
        raise AssertionError("the last try returns or raises")

    return ask


class _InTime:
    """Asks in threads, waits no longer than a limit, and remembers recent answers by their hash."""

    def __init__(self, model: HostedModel, limit: float) -> None:
        self._model, self._limit = model, limit
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = DaemonThreads(CALLS, "benchrouter-embed", longest_queue=CALLS)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        found = {key: self._recall(key) for key in keys}
        new = {key: t for key, t in zip(keys, texts, strict=True) if found[key] is None}
        if new:
            answered = self._asked(list(new), list(new.values()))
            found.update(zip(new, answered, strict=True))
        return np.stack([vector for key in keys if (vector := found[key]) is not None])

    def _asked(self, keys: list[bytes], texts: list[str]) -> NDArray[np.float32]:
        def work() -> NDArray[np.float32]:
            vectors = self._model.ask(texts, max(_LATE, self._limit))
            self._keep(keys, vectors)  # also where nobody waits for them any more
            return vectors

        answer: Future[NDArray[np.float32]] | None = None
        try:
            answer = self._threads.submit(work)
            return answer.result(self._limit)
        except (TimeoutError, BusyError) as error:
            raise EmbedderUnavailableError(
                "the embedder did not answer in time", kind="time_limit"
            ) from error
        except HostedError as error:
            # The class alone: a provider's message may quote what it was sent.
            name = str(error).partition(":")[0]
            raise EmbedderUnavailableError(f"the embedder did not answer ({name})") from error
        finally:
            if answer is not None:
                answer.cancel()  # one that has not begun is of no use to anybody

    def _recall(self, key: bytes) -> NDArray[np.float32] | None:
        with self._lock:
            vector = self._kept.get(key)
            if vector is not None:
                self._kept.move_to_end(key)
            return vector

    def _keep(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        with self._lock:
            self._kept.update(zip(keys, vectors, strict=True))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
