"""Hosted embeddings: patient and in batches at build time, within a time limit when serving."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import numpy as np

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders.base import Progress, fingerprint_of, utf8
from litellm_benchrouter.embedders.hosted_model import HostedError, HostedModel, Vectors
from litellm_benchrouter.errors import EmbedderError, EmbedderUnavailableError
from litellm_benchrouter.limits import BusyError, DaemonThreads, Memory
from litellm_benchrouter.paper.neighbors import normalize

Ask = Callable[[Sequence[str]], Vectors]
"""One vector for each of some texts that are not blank."""

Recall = Callable[[str], Vectors | None]
"""The vector of a text, where it is remembered."""

CALLS = 8
"""Under way at once, of one worker of the proxy."""

_DEFAULT_LIMIT = 2_000  # tokens: what most providers take, in any language
_CHARACTERS_PER_TOKEN = 4
_LATE = 2.0  # seconds: an answer that comes so late is still kept for the next such prompt
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
        """Embed texts in batches; see `Embedder.embed`.

        Raises
        ------
        EmbedderUnavailableError
            When serving: if the answer does not come in time.
        """
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
            self._remember(keys, vectors)  # also where nobody waits for them any more
            return vectors

        answer: Future[Vectors] | None = None
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

    def _remember(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        for key, vector in zip(keys, vectors, strict=True):
            self._remembered.put(key, vector)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
