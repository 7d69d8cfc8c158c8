"""Hosted embeddings: patient and in batches at build time, within a time limit when serving."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders.hosted_model import HostedError, HostedModel
from litellm_benchrouter.embedders.protocol import Progress
from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.limits import BusyError, DaemonThreads, Memory
from litellm_benchrouter.paper.neighbors import normalize

Ask = Callable[[Sequence[str]], NDArray[np.float32]]
"""One vector for each of some texts that are not blank."""

Recall = Callable[[str], NDArray[np.float32] | None]
"""The vector of a text, where it is remembered."""

_DEFAULT_LIMIT = 2_000  # tokens: what most providers take, in any language
_CHARACTERS_PER_TOKEN = 4
_PATIENCE = 60.0  # seconds for each try of a build
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between them
_LONGEST_WAIT = 60.0
_LATE = 2.0  # seconds: an answer that comes so late is still kept for the next such prompt
CALLS = 8
"""Under way at once, of one worker of the proxy."""

_REMEMBERED = 1_024  # vectors: 12 MB of 3,072 numbers
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
    recall : Recall
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
        recall: Recall = lambda text: None,
    ) -> None:
        self.model, self.upstream = model, upstream
        self.dimension, self.max_tokens, self.dimensions = dimension, max_tokens, dimensions
        self.batch_size = batch_size
        self._ask, self._recall = ask, recall

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
        clean = [self._clean(text) for text in texts]
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

    def recall(self, text: str) -> NDArray[np.float32] | None:
        """Return the vector of one text, shape (1, d), if it is remembered; nobody is asked."""
        vector = self._recall(self._clean(text))
        return None if vector is None else normalize(vector[None])

    def _clean(self, text: str) -> str:
        """Return what is sent of a text: UTF-8, which has no lone surrogates."""
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN
        return text[:limit].encode("utf-8", "replace").decode()

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
        self._remembered: Memory[bytes, NDArray[np.float32]] = Memory(_REMEMBERED)
        self._threads = DaemonThreads(CALLS, "benchrouter-embed", longest_queue=CALLS)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [_key(text) for text in texts]
        found = {key: self._remembered.get(key) for key in keys}
        new = {key: t for key, t in zip(keys, texts, strict=True) if found[key] is None}
        if new:
            answered = self._asked(list(new), list(new.values()))
            found.update(zip(new, answered, strict=True))
        return np.stack([vector for key in keys if (vector := found[key]) is not None])

    def recall(self, text: str) -> NDArray[np.float32] | None:
        return self._remembered.get(_key(text))

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

    def _keep(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        for key, vector in zip(keys, vectors, strict=True):
            self._remembered.put(key, vector)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
