"""A static model distilled from a sentence-transformers model: one vector a token, averaged.

model2vec runs every token of the vocabulary through the encoder once, reduces the vectors by PCA
and weighs them by how rare the token is; no data is needed. What is served are two files in the
artifact, read by numpy and tokenizers alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders.base import (
    DEFAULT_CUT,
    Advance,
    Tokens,
    cached_folder,
    first_line,
    model_digest,
)
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.neighbors import normalize

_TOKENS_FILE = "static_tokens.npy"
_TOKENIZER_FILE = "static_tokenizer.json"
_BATCH = 1_024


@dataclass(frozen=True, eq=False)
class StaticEmbedder:
    """The mean of a text's token vectors. Made by `distil` or `load`."""

    kind: ClassVar[str] = "static"
    cacheable: ClassVar[bool] = False  # reading a vector back would cost as much as making it

    model: str  # what it was distilled from
    vectors: NDArray[np.float16]  # one row a token, already weighted, shape (V, dimension)
    tokens: Tokens

    @classmethod
    def distil(
        cls,
        model: str,
        *,
        dimensions: int = 256,
        max_tokens: int = DEFAULT_CUT,
        cache: Path | None = None,
    ) -> StaticEmbedder:
        """Distil a sentence-transformers model; the same model gives the same bytes.

        The model is a name on the Hugging Face Hub or a local folder. The dimension is at most the
        model's; what follows `max_tokens` in a text is not looked at. Distilled models are kept in
        `cache`. Raises EmbedderError where model2vec is not installed or the model cannot be
        loaded.
        """
        recipe = {"kind": cls.kind, "files": model_digest(model), "dimensions": dimensions}
        folder = cached_folder(cache, recipe)
        if folder is not None and (folder / _TOKENIZER_FILE).is_file():
            return cls._read(model, folder, max_tokens)
        vectors, tokenizer = _distil(model, dimensions)
        made = cls(model, vectors, Tokens(tokenizer, max_tokens))
        if folder is not None:
            made.save(folder)
        return made

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    def embed(
        self, texts: Sequence[str], *, progress: Advance | None = None
    ) -> NDArray[np.float32]:
        """Embed texts; see `Embedder.embed`."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            for row, ids in enumerate(self.tokens(batch), start=start):
                if len(ids):
                    vectors[row] = self.vectors[ids].mean(axis=0, dtype=np.float32)
            if progress is not None:
                progress(len(batch))
        return normalize(vectors)

    def identity(self) -> dict[str, object]:
        """Return the model, the limits and a fingerprint; see `Embedder.identity`."""
        content = hashlib.sha256(np.ascontiguousarray(self.vectors).data)
        content.update(self.tokens.text.encode())
        content.update(str(self.tokens.max_tokens).encode())
        return {
            "kind": self.kind,
            "model": self.model,
            "dimension": self.dimension,
            "max_tokens": self.tokens.max_tokens,
            "fingerprint": content.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        """Write the token vectors and the tokenizer; see `Embedder.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _TOKENS_FILE, self.vectors, allow_pickle=False)
        (folder / _TOKENIZER_FILE).write_text(self.tokens.text, encoding="utf-8")

    @classmethod
    def load(cls, identity: Mapping[str, object], folder: Path) -> StaticEmbedder:
        """Open what `save` wrote, memory-mapped."""
        embedder = cls._read(str(identity["model"]), folder, int(str(identity["max_tokens"])))
        if embedder.dimension != identity["dimension"]:
            raise EmbedderError(
                f"{folder / _TOKENS_FILE} has vectors of {embedder.dimension} numbers, the "
                f"manifest says {identity['dimension']}; build again."
            )
        return embedder

    @classmethod
    def _read(cls, model: str, folder: Path, max_tokens: int) -> StaticEmbedder:
        vectors = np.load(folder / _TOKENS_FILE, mmap_mode="r", allow_pickle=False)
        text = (folder / _TOKENIZER_FILE).read_text(encoding="utf-8")
        tokens = Tokens(text, max_tokens)
        if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) < tokens.size:
            raise EmbedderError(
                f"{folder / _TOKENS_FILE} holds {vectors.dtype} of shape {vectors.shape} for "
                f"{tokens.size} tokens; build again."
            )
        return cls(model, np.asarray(vectors), tokens)


def _distil(model: str, dimensions: int) -> tuple[NDArray[np.float16], str]:
    """Return token vectors and the tokenizer's JSON, without what only training needs."""
    try:
        from model2vec.distill import distill
    except ImportError as error:
        raise EmbedderError(
            "the static embedder is distilled by model2vec: "
            'pip install "litellm-benchrouter[static]"'
        ) from error
    try:
        # Its own bar would stand beside ours; its last digits depend on the number of threads.
        with contextlib.redirect_stderr(io.StringIO()), _one_thread():
            made: Any = distill(model, pca_dims=dimensions, quantize_to="float16")
    except Exception as error:  # of whatever class: torch, safetensors, huggingface_hub, ...
        raise EmbedderError(
            f"cannot distil {model!r} ({first_line(error)}); give the name of a "
            f"sentence-transformers model that can be downloaded from here, or a local folder."
        ) from error
    vectors = np.asarray(made.embedding, dtype=np.float32)
    if made.token_mapping is not None:
        vectors = vectors[np.asarray(made.token_mapping)]
    if made.weights is not None:
        vectors = vectors * np.asarray(made.weights, dtype=np.float32)[:, None]
    if not np.isfinite(vectors).all():
        raise EmbedderError(f"{model} gave NaN or infinite values; distil another model.")
    unknown = made.unk_token_id
    if unknown is not None:
        vectors[unknown] = 0  # says nothing, and model2vec leaves it out
    return vectors.astype(np.float16), json.dumps(json.loads(made.tokenizer.to_str()))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)
