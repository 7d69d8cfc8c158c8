"""What turns a prompt into a vector, one backend a file behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders.lexical import LexicalEmbedder
from litellm_benchrouter.embedders.precomputed import PrecomputedEmbedder
from litellm_benchrouter.embedders.protocol import Embedder
from litellm_benchrouter.errors import EmbedderError


def make_embedder(config, texts: Sequence[str], *, seed: int) -> Embedder:  # provisional
    return LexicalEmbedder.fit(texts, dimensions=config.dimensions, seed=seed)


def embed_with_cache(embedder, texts, cache_dir=None, progress=None):  # provisional
    return embedder.embed(texts, progress=progress), len(texts)


def load_embedder(identity: Mapping[str, object], folder: Path) -> Embedder:  # provisional
    if identity["kind"] == "precomputed":
        return PrecomputedEmbedder(int(identity["dimension"]))
    return LexicalEmbedder.load(identity, folder)
