"""Hosted embeddings: patient and in batches at build time, within a time limit when serving."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders.base import Progress, fingerprint_of, utf8
from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.limits import BusyError, DaemonThreads, Memory
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.upstream import CallError, Proxy, open_router, read_proxy

Vectors = NDArray[np.float32]

CALLS = 8
"""Under way at once, of one worker of the proxy."""

_DEFAULT_LIMIT = 2_000  # tokens: what most providers take, in any language
_CHARACTERS_PER_TOKEN = 4
_LATE = 2.0  # seconds: an answer that comes so late is still kept for the next such prompt
_REMEMBERED = 1_024  # vectors: 12 MB of 3,072 numbers
_PROBE = "What is the capital of France?"
_PATIENCE = 60.0  # seconds for each try of a build
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between them
_LONGEST_WAIT = 60.0


class HostedEmbedder:
    """Vectors of a model behind LiteLLM. Made by `make` or `load`.

    `model` is the configuration's name and `upstream` the provider's. A text is cut at
    `max_tokens`, four characters counting as one. `ask` returns a vector for each of some texts
    that are not blank, `batch_size` at once: what was paid for is kept in the embedding cache after
    each call. `recall` returns a vector that is remembered, else None.
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
        ask: Callable[[Sequence[str]], Vectors],
        batch_size: int,
        recall: Callable[[str], Vectors | None] = lambda text: None,
    ) -> None:
        self.model, self.upstream = model, upstream
        self.dimension, self.max_tokens, self.dimensions = dimension, max_tokens, dimensions
        self.batch_size = batch_size
        self._ask, self._recall = ask, recall

    @classmethod
    def make(cls, config: EmbedderConfig) -> HostedEmbedder:
        """Return the embedder for a build; it asks once for the length of the vectors."""
        asked = config.dimensions if "dimensions" in config.model_fields_set else None
        model = HostedModel(config.model, config.proxy_config, asked)
        return cls(
            config.model,
            model.upstream,
            dimension=model.ask_patiently([_PROBE]).shape[1],
            max_tokens=config.max_seq_length or _DEFAULT_LIMIT,
            dimensions=asked,
            ask=model.ask_patiently,
            batch_size=config.batch_size,
        )

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """Embed texts in batches; when serving, EmbedderUnavailableError if that takes too long."""
        clean = [self._clean(text) for text in texts]
        rows = [row for row, text in enumerate(clean) if text.strip()]
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        advance = progress or (lambda _: None)
        advance(len(texts) - len(rows))
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            answer = self._ask([clean[row] for row in batch])
            if answer.shape[1] != self.dimension:
                raise EmbedderError(
                    f"{self.model} gave vectors of {answer.shape[1]} numbers, the artifact has "
                    f"{self.dimension}; build again."
                )
            vectors[batch] = answer
            advance(len(batch))
        return normalize(vectors)

    def recall(self, text: str) -> Vectors | None:
        """Return the vector of one text, shape (1, d), if it is remembered; nobody is asked."""
        vector = self._recall(self._clean(text))
        return None if vector is None else normalize(vector[None])

    def _clean(self, text: str) -> str:
        return utf8(text[: self.max_tokens * _CHARACTERS_PER_TOKEN])

    def identity(self) -> dict[str, object]:
        """Return model, limits and a fingerprint of the names; see `Embedder.identity`.

        A provider that changes a model behind its name cannot be seen in it.
        """
        decisive = {
            "upstream": self.upstream,
            "dimension": self.dimension,
            "dimensions": self.dimensions,
            "max_tokens": self.max_tokens,
        }
        fingerprint = fingerprint_of(decisive | {"characters_per_token": _CHARACTERS_PER_TOKEN})
        return {"kind": self.kind, "model": self.model, **decisive, "fingerprint": fingerprint}

    def save(self, folder: Path) -> None:
        """Write nothing: the model is the provider's."""

    @classmethod
    def load(cls, identity: Mapping[str, object], config: EmbedderConfig | None) -> HostedEmbedder:
        """Return the embedder for serving; nothing is asked yet.

        Raises EmbedderError where the proxy's deployments are another model than the one built
        with.
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
        ask = _InTime(model, config.time_limit_ms / 1000)
        return cls(
            name,
            str(identity["upstream"]),
            dimension=int(str(identity["dimension"])),
            max_tokens=int(str(identity["max_tokens"])),
            dimensions=asked,
            ask=ask,
            batch_size=config.batch_size,
            recall=ask.recall,
        )


class HostedModel:
    """One embedding model behind LiteLLM, asked through a router of its own.

    Its name is a group of `model_list`, the litellm model of one of its deployments, or any
    embedding model that LiteLLM knows, with the provider's key in the environment. `upstream` is
    the provider's name of it, without the provider; `dimensions` are asked of models that can
    shorten their vectors.
    """

    def __init__(
        self, name: str, proxy_yaml: Path | None = None, dimensions: int | None = None
    ) -> None:
        self.name, self.dimensions = name, dimensions
        self._proxy = Proxy() if proxy_yaml is None else read_proxy(proxy_yaml)
        entries = self._proxy.deployments
        self._deployments = (
            [entry for entry in entries if entry.get("model_name") == name]
            or [entry for entry in entries if entry["litellm_params"]["model"] == name]
            or [{"litellm_params": {"model": name}}]
        )
        self._router: Any = None
        self._lock = threading.Lock()
        upstream = sorted({_upstream(entry) for entry in self._deployments})
        if len(upstream) > 1:
            raise EmbedderError(
                f"the deployments of {name!r} are different embedding models "
                f"({', '.join(upstream)}), whose vectors cannot be compared. Name a group of one."
            )
        self.upstream = upstream[0]

    def ask(self, texts: Sequence[str], timeout: float) -> Vectors:
        """Ask once for the vectors of texts that are not blank, as the provider scales them.

        `timeout` is in seconds, for each step of the connection. Raises `CallError` if there is no
        answer, or it is not one vector a text.
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
            raise CallError.of(error) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise CallError(f"{vectors.shape} numbers came back for {len(texts)} texts")
        return vectors

    def ask_patiently(self, texts: Sequence[str]) -> Vectors:
        """Ask until the provider answers, at most five times; raises `EmbedderError`."""
        for wait in (*_WAITS, None):
            try:
                return self.ask(texts, _PATIENCE)
            except CallError as error:
                if wait is None or not error.is_transient:
                    raise EmbedderError(
                        f"the embedding model {self.name!r} did not answer ({error}). Check that "
                        f"it is in model_list or known to LiteLLM, with its key. Batches that "
                        f"were answered are kept: build again to go on."
                    ) from error
                time.sleep(min(max(wait, error.wait or 0.0), _LONGEST_WAIT))
        raise AssertionError("the last try returns or raises")

    def _opened(self) -> Any:
        with self._lock:
            if self._router is None:
                groups = {self.name: self._deployments}
                self._router = open_router(self._proxy, groups, disable_cooldowns=True)
        return self._router


def _upstream(entry: dict[str, Any]) -> str:
    """Return the model that a deployment is; Azure's names are the operator's own."""
    base = (entry.get("model_info") or {}).get("base_model")
    return str(base or entry["litellm_params"]["model"]).rpartition("/")[2]


class _InTime:
    """Asks in threads, waits no longer than a limit, and remembers recent answers by their hash."""

    def __init__(self, model: HostedModel, limit: float) -> None:
        self._model, self._limit = model, limit
        self._remembered: Memory[bytes, Vectors] = Memory(_REMEMBERED)
        self._threads = DaemonThreads(CALLS, "benchrouter-embed", longest_queue=CALLS)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        keys = [_key(text) for text in texts]
        vectors = {key: self._remembered.get(key) for key in keys}
        new = {key: t for key, t in zip(keys, texts, strict=True) if vectors[key] is None}
        if new:
            vectors |= zip(new, self._asked(list(new), list(new.values())), strict=True)
        return np.stack([vector for key in keys if (vector := vectors[key]) is not None])

    def recall(self, text: str) -> Vectors | None:
        """Return the vector of a text, shape (d,), if it is remembered."""
        return self._remembered.get(_key(text))

    def _asked(self, keys: list[bytes], texts: list[str]) -> Vectors:
        def work() -> Vectors:
            vectors = self._model.ask(texts, max(_LATE, self._limit))
            for key, vector in zip(keys, vectors, strict=True):
                self._remembered.put(key, vector)  # also where nobody waits for it any more
            return vectors

        answer: Future[Vectors] | None = None
        try:
            answer = self._threads.submit(work)
            return answer.result(self._limit)
        except (TimeoutError, BusyError) as error:
            raise EmbedderUnavailableError(
                "the embedder did not answer in time", kind="time_limit"
            ) from error
        except CallError as error:
            # The class alone: a provider's message may quote what it was sent.
            name = str(error).partition(":")[0]
            raise EmbedderUnavailableError(f"the embedder did not answer ({name})") from error
        finally:
            if answer is not None:
                answer.cancel()  # one that has not begun is of no use to anybody


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
