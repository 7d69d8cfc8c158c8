"""Embedders: one file per backend behind one protocol, and two functions that choose among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders.base import DEFAULT_CUT, Embedder, PrecomputedEmbedder
from litellm_benchrouter.embedders.cache import embed_with_cache
from litellm_benchrouter.embedders.hosted import HostedEmbedder
from litellm_benchrouter.embedders.lexical import LexicalEmbedder
from litellm_benchrouter.embedders.onnx import OnnxEmbedder
from litellm_benchrouter.embedders.sentence_transformers import SentenceTransformersEmbedder
from litellm_benchrouter.embedders.static import StaticEmbedder
from litellm_benchrouter.errors import ConfigError, EmbedderError

__all__ = [
    "Embedder",
    "HostedEmbedder",
    "LexicalEmbedder",
    "OnnxEmbedder",
    "PrecomputedEmbedder",
    "SentenceTransformersEmbedder",
    "StaticEmbedder",
    "embed_with_cache",
    "load_embedder",
    "make_embedder",
]


def make_embedder(
    config: EmbedderConfig, texts: Sequence[str], *, seed: int = 0, cache: Path | None = None
) -> Embedder:
    """Make the configured embedder for a benchmark's prompts, on which some are fitted.

    Exported and distilled models are kept in `cache` for the next build. Raises ConfigError where
    no embedder of this kind can be made from texts, and EmbedderError where it is not installed,
    its model cannot be loaded, or it cannot be fitted on these texts.
    """
    match config.kind:
        case LexicalEmbedder.kind:
            return LexicalEmbedder.fit(texts, dimensions=config.dimensions, seed=seed)
        case SentenceTransformersEmbedder.kind:
            return SentenceTransformersEmbedder(
                config.model,
                device=config.device,
                batch_size=config.batch_size,
                max_seq_length=config.max_seq_length,
            )
        case OnnxEmbedder.kind:
            return OnnxEmbedder.export(
                config.model, texts, max_tokens=config.max_seq_length, cache=cache
            )
        case HostedEmbedder.kind:
            return HostedEmbedder.make(config)
        case StaticEmbedder.kind:
            return StaticEmbedder.distil(
                config.model,
                dimensions=config.dimensions,
                max_tokens=config.max_seq_length or DEFAULT_CUT,
                cache=cache,
            )
        case _:
            raise ConfigError(
                f"benchrouter.embedder.kind is {config.kind!r}, which embeds nothing; give "
                f"{LexicalEmbedder.kind!r} or {SentenceTransformersEmbedder.kind!r}."
            )


def load_embedder(
    identity: Mapping[str, object], folder: Path, config: EmbedderConfig | None = None
) -> Embedder:
    """Open the embedder of an artifact: what `identity` returned, from what `save` wrote, verified.

    The configuration says where a hosted embedder is asked, and for how long. Raises EmbedderError
    where it is of an unknown kind, not installed, or not the one that the identity describes.
    """
    kind = identity.get("kind")
    try:
        match kind:
            case LexicalEmbedder.kind:
                return LexicalEmbedder.load(identity, folder)
            case SentenceTransformersEmbedder.kind:
                return SentenceTransformersEmbedder.load(identity, folder)
            case OnnxEmbedder.kind:
                return OnnxEmbedder.load(identity, folder)
            case StaticEmbedder.kind:
                return StaticEmbedder.load(identity, folder)
            case HostedEmbedder.kind:
                return HostedEmbedder.load(identity, config)
            case PrecomputedEmbedder.kind:
                return PrecomputedEmbedder(int(str(identity["dimension"])))
    except (EOFError, KeyError, OSError, TypeError, ValueError) as error:
        raise EmbedderError(
            f"the {kind} embedder in {folder} cannot be loaded ({error!r}); build again."
        ) from error
    raise EmbedderError(
        f"the artifact was built with an embedder of kind {kind!r}, which this version of "
        f"litellm-benchrouter does not know; update it, or build again."
    )
