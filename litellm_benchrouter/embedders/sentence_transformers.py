"""Any sentence-transformers model, by its name on the Hugging Face Hub or from a local folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders.base import (
    CHARACTERS_PER_TOKEN,
    DEFAULT_CUT,
    Advance,
    fingerprint_of,
    first_line,
    model_digest,
    utf8,
)
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.neighbors import normalize

DEFAULT_MODEL = "sentence-transformers/all-mpnet-base-v2"
"""The encoder of the paper (section 5)."""

_PROBE_FILE = "probe.npy"
_PROBE = (
    "What is the capital of France?",
    "def add(a, b):\n    return a + b",
    "A train travels 60 miles in 1.5 hours. What is its average speed in miles per hour?",
)
SAME_MODEL = 0.999
"""Cosine between vectors of one model; other devices and library versions stay above .9999."""

_CHUNK_BATCHES = 8


class SentenceTransformersEmbedder:
    """Vectors of a sentence-transformers model. A blank text has no direction: a zero row.

    The model is a name on the Hub or a local folder, the device what torch calls it ("cpu", "cuda",
    "mps"). Of a text `max_seq_length` tokens are looked at; default: the model's limit, at most
    512.
    """

    kind: ClassVar[str] = "sentence-transformers"
    cacheable: ClassVar[bool] = True

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "cpu",
        batch_size: int = 32,
        max_seq_length: int | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.encoder = _open(model, device)
        self.own_limit: int = self.encoder.max_seq_length or DEFAULT_CUT
        self.max_seq_length = max_seq_length or min(self.own_limit, DEFAULT_CUT)
        self.encoder.max_seq_length = self.max_seq_length
        # A fast tokenizer raises "Already borrowed" when one thread sets its limits while another
        # is inside.
        self._lock = threading.Lock()
        self._files = model_digest(model, downloaded=True)
        self._probe = self.embed(_PROBE)
        if self.max_seq_length > self.own_limit:
            # More positions than the model has would fail on the first long prompt; fail now.
            self.embed(["word " * self.max_seq_length])

    @property
    def dimension(self) -> int:
        return int(self._probe.shape[1])

    def embed(
        self, texts: Sequence[str], *, progress: Advance | None = None
    ) -> NDArray[np.float32]:
        """Embed texts in batches; see `Embedder.embed`."""
        chunk_size = self.batch_size * _CHUNK_BATCHES
        chunks = []
        for start in range(0, max(len(texts), 1), chunk_size):
            chunk = texts[start : start + chunk_size]
            chunks.append(self._encode(chunk))
            if progress is not None:
                progress(len(chunk))
        return np.concatenate(chunks)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        limit = self.max_seq_length * CHARACTERS_PER_TOKEN
        clean = [utf8(text[:limit]) for text in texts]
        try:
            with self._lock:
                vectors = self.encoder.encode(
                    # An encoder of nothing would not know its dimension.
                    clean or [""],
                    batch_size=self.batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                )
        # torch's classes: out of memory or device lost; more tokens than the model has positions.
        except (RuntimeError, IndexError) as error:
            raise EmbedderError(
                f"{self.model} failed on {len(texts)} texts ({first_line(error)}); try a smaller "
                f"max_seq_length (now {self.max_seq_length}) or batch_size, or another device."
            ) from error
        vectors = np.asarray(vectors, dtype=np.float32)[: len(texts)]
        if not np.isfinite(vectors).all():
            raise EmbedderError(f"{self.model} gave NaN or infinite values; use another model.")
        vectors[[i for i, text in enumerate(clean) if not text.strip()]] = 0
        return normalize(vectors)

    def identity(self) -> dict[str, object]:
        """Return model, limits, and a fingerprint of the model's files; see `Embedder.identity`."""
        decisive = {
            "files": self._files,
            "max_seq_length": self.max_seq_length,
            "characters_per_token": CHARACTERS_PER_TOKEN,
        }
        return {
            "kind": self.kind,
            "model": self.model,
            "dimension": self.dimension,
            "max_seq_length": self.max_seq_length,
            "fingerprint": fingerprint_of(decisive),
        }

    def save(self, folder: Path) -> None:
        """Write `probe.npy`: the vectors of three fixed sentences. The model is not copied."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _PROBE_FILE, self._probe, allow_pickle=False)

    @classmethod
    def load(
        cls,
        identity: Mapping[str, object],
        folder: Path,
        *,
        device: str = "cpu",
    ) -> SentenceTransformersEmbedder:
        """Open the model that an artifact was built with, to embed on one core of this process.

        Its files must be the same, or else give the same vectors for the sentences of the probe.
        """
        _one_core()
        name = str(identity["model"])
        embedder = cls(name, device=device, max_seq_length=int(str(identity["max_seq_length"])))
        if embedder.identity()["fingerprint"] == identity["fingerprint"]:
            return embedder
        probe = np.load(folder / _PROBE_FILE, allow_pickle=False)
        if probe.shape != embedder._probe.shape:
            raise EmbedderError(
                f"the artifact was built with {name} of dimension {probe.shape[-1]}, but the "
                f"{name} found here has dimension {embedder.dimension}; install the same model or "
                f"build again."
            )
        cosine = float((probe * embedder._probe).sum(axis=1).min())
        if not cosine >= SAME_MODEL:
            raise EmbedderError(
                f"the artifact was built with another {name} than the one found here: the vectors "
                f"of its probe sentences agree to a cosine of {cosine:.3f}, less than "
                f"{SAME_MODEL}; install the same model or build again."
            )
        return embedder


def _one_core() -> None:
    """Keep torch and tokenizers to one thread: the proxy's workers share the other cores."""
    # Read by tokenizers at each call; of a batch of one there is nothing to share out.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with suppress(ImportError):  # told in full where the model is opened
        import torch

        torch.set_num_threads(1)


def _open(model: str, device: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbedderError(
            "the sentence-transformers embedder is not installed: "
            'pip install "litellm-benchrouter[sentence-transformers]"'
        ) from error
    try:
        with _quiet_loading():
            return SentenceTransformer(model, device=device)
    except Exception as error:  # of whatever class: torch, safetensors, huggingface_hub, ...
        raise EmbedderError(
            f"cannot load {model!r} on {device!r} ({first_line(error)}); give the name of a "
            f"sentence-transformers model that can be downloaded from here, or a local folder."
        ) from error


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep transformers' bar over a model's tensors out of a proxy's log and our own bars."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
