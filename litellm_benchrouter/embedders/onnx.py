"""A sentence-transformers model exported to ONNX.

The build exports (encoder, pooling and normalisation in one graph); the artifact holds the graph
and the tokenizer, and serving needs onnxruntime and tokenizers alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
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
from litellm_benchrouter.embedders.sentence_transformers import (
    SAME_MODEL,
    SentenceTransformersEmbedder,
)
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.neighbors import normalize

_log = logging.getLogger(__name__)

_GRAPH_FILE, _TOKENIZER_FILE = "encoder.onnx", "tokenizer.json"
_RECIPE = 3  # changes whenever the same model would give another graph
_PRECISION = "fp32"
_COMPARED = 16  # texts embedded by the export and by its original
_OPSET = 17
_UNMASKED = "benchrouter_unmasked"
_PROBE = 512  # tokens
_SAME_ELEMENT = 1e-5  # of a vector of length 1


@dataclass(frozen=True, eq=False)
class OnnxEmbedder:
    """A text encoder run by onnxruntime on one thread. Made by `export` or `load`.

    Texts are encoded one at a time, so that there is no padding.
    """

    kind: ClassVar[str] = "onnx"
    cacheable: ClassVar[bool] = True

    model: str  # what it was exported from
    precision: str  # fp32; int8 in artifacts of earlier releases
    graph: Path
    tokens: Tokens
    session: Any
    dimension: int

    @classmethod
    def export(
        cls,
        model: str,
        texts: Sequence[str] = (),
        *,
        max_tokens: int | None = None,
        cache: Path | None = None,
    ) -> OnnxEmbedder:
        """Export a sentence-transformers model; the same model and libraries give the same bytes.

        The model is a name on the Hugging Face Hub or a local folder. Some of the texts are
        embedded by the export and by the original, and must agree. What follows `max_tokens` in a
        text is not looked at (default: the model's limit, at most 512). Exports are kept in
        `cache`, compared already. Raises EmbedderError where a library is missing, the model cannot
        be loaded or exported, or the export gives other vectors.
        """
        recipe = {"files": model_digest(model), "precision": _PRECISION, "recipe": _RECIPE}
        cached = cached_folder(cache, {"kind": cls.kind, **recipe})
        folder = (
            cached
            if cached is not None and cached.is_dir()
            else cls._exported(model, texts, cached)
        )
        limit = json.loads((folder / _TOKENIZER_FILE).read_text(encoding="utf-8"))["truncation"]
        own_limit = int(limit["max_length"]) if limit else DEFAULT_CUT
        embedder = cls._open(model, _PRECISION, folder, min(max_tokens or DEFAULT_CUT, own_limit))
        if cached is None:
            weakref.finalize(embedder, shutil.rmtree, folder, ignore_errors=True)
        return embedder

    def embed(
        self, texts: Sequence[str], *, progress: Advance | None = None
    ) -> NDArray[np.float32]:
        """Embed texts one after the other; see `Embedder.embed`."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                (ids,) = self.tokens([text])
                vectors[row] = _run(self.session, ids[None])[0]
            if progress is not None:
                progress(1)
        if not np.isfinite(vectors).all():
            raise EmbedderError(f"{self.model} gave NaN or infinite values; use another model.")
        return normalize(vectors)

    def identity(self) -> dict[str, object]:
        """Return model, precision, limits and a fingerprint; see `Embedder.identity`."""
        content = hashlib.sha256(self.graph.read_bytes())
        content.update(f"{self.tokens.text}{self.tokens.max_tokens}".encode())
        return {
            "kind": self.kind,
            "model": self.model,
            "precision": self.precision,
            "dimension": self.dimension,
            "max_tokens": self.tokens.max_tokens,
            "fingerprint": content.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        """Write the graph and the tokenizer; see `Embedder.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _GRAPH_FILE).write_bytes(self.graph.read_bytes())
        (folder / _TOKENIZER_FILE).write_text(self.tokens.text, encoding="utf-8")

    @classmethod
    def load(cls, identity: Mapping[str, object], folder: Path) -> OnnxEmbedder:
        """Open what `save` wrote; its files have been verified before."""
        precision, limit = str(identity["precision"]), int(str(identity["max_tokens"]))
        embedder = cls._open(str(identity["model"]), precision, folder, limit)
        if embedder.dimension != identity["dimension"]:
            raise EmbedderError(
                f"{folder / _GRAPH_FILE} gives vectors of {embedder.dimension} numbers, the "
                f"manifest says {identity['dimension']}. Rebuild the artifact."
            )
        return embedder

    @classmethod
    def _exported(cls, model: str, texts: Sequence[str], cached: Path | None) -> Path:
        """Export and compare in a folder of its own, which takes its place once it is whole."""
        if cached is not None:
            cached.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".onnx-", dir=None if cached is None else cached.parent)
        folder = Path(scratch)
        try:
            original = _export(model, folder)
            limit = original.max_seq_length
            _compare(cls._open(model, _PRECISION, folder, limit), original, texts)
            return folder if cached is None else folder.rename(cached)
        except OSError:
            if cached is None or not cached.is_dir():  # another process was quicker
                raise
            return cached
        finally:
            if cached is not None:
                shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def _open(cls, model: str, precision: str, folder: Path, max_tokens: int) -> OnnxEmbedder:
        text = (folder / _TOKENIZER_FILE).read_text(encoding="utf-8")
        tokens = Tokens(text, max_tokens, special=True)
        session = _session(folder / _GRAPH_FILE)
        dimension = _run(session, tokens(["a"])[0][None]).shape[1]
        return cls(model, precision, folder / _GRAPH_FILE, tokens, session, dimension)


def _session(graph: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderError(
            'the onnx embedder needs onnxruntime: pip install "litellm-benchrouter[onnx]"'
        ) from error
    options = onnxruntime.SessionOptions()
    # One decision, one core: the proxy's workers share the others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(graph),
            options,
            providers=["CPUExecutionProvider"],
            # Fused, a sum and its LayerNorm take five times as long as one after the other.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime's own classes, derived from Exception alone
        raise EmbedderError(
            f"{graph} cannot be opened ({first_line(error)}). Rebuild the artifact."
        ) from error


def _run(session: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    try:
        return np.asarray(session.run(None, {"input_ids": ids})[0], dtype=np.float32)
    except Exception as error:
        raise EmbedderError(
            f"the encoder failed on {ids.shape[1]} tokens ({first_line(error)})."
        ) from error


def _compare(
    exported: OnnxEmbedder, original: SentenceTransformersEmbedder, texts: Sequence[str]
) -> None:
    """Raise `EmbedderError` where the vectors of some of the texts are not the original's."""
    rows = np.unique(np.linspace(0, len(texts) - 1, min(_COMPARED, len(texts))).astype(int))
    sample = [texts[row] for row in rows if texts[row].strip()]
    if not sample:
        return
    cosine = float((exported.embed(sample) * original.embed(sample)).sum(axis=1).min())
    if not cosine >= SAME_MODEL:
        raise EmbedderError(
            f"{exported.model} gives other vectors after its export to ONNX: the lowest cosine "
            f"over {len(sample)} prompts is {cosine:.4f}, less than {SAME_MODEL}. Use kind: "
            f"sentence-transformers."
        )


def _export(model: str, folder: Path) -> SentenceTransformersEmbedder:
    """Write a model's graph (encoder, pooling, normalisation) and its tokenizer; return it."""
    try:
        import onnx  # noqa: F401  # torch's exporter needs it
        import torch
        import transformers
    except ImportError as error:
        raise EmbedderError(
            "exporting to ONNX needs torch, sentence-transformers, onnx and onnxruntime: "
            'pip install "litellm-benchrouter[onnx-build]"'
        ) from error
    original = SentenceTransformersEmbedder(model)
    encoder: Any = original.encoder

    class Vector(torch.nn.Module):
        """The model as a function of the ids."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            given = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
            vector: torch.Tensor = self.encoder(given)["sentence_embedding"]
            return vector

    vector = Vector().eval()
    restore = _attend_to_everything(torch, transformers, encoder, vector)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Not the newer exporter: it writes paths of this machine into the graph.
            torch.onnx.export(
                vector,
                (torch.ones(2, 8, dtype=torch.int64),),
                str(folder / _GRAPH_FILE),
                dynamo=False,
                opset_version=_OPSET,
                input_names=["input_ids"],
                output_names=["vector"],
                dynamic_axes={"input_ids": {0: "batch", 1: "length"}, "vector": {0: "batch"}},
            )
    except Exception as error:  # of whatever class: an operator without a counterpart, ...
        raise EmbedderError(
            f"{model} cannot be exported to ONNX ({first_line(error)}). Use kind: "
            f"sentence-transformers."
        ) from error
    finally:
        if restore is not None:
            restore()
    fast: Any = encoder.tokenizer.backend_tokenizer
    fast.no_padding()
    fast.enable_truncation(original.own_limit)
    (folder / _TOKENIZER_FILE).write_text(fast.to_str(), encoding="utf-8")
    return original


def _attend_to_everything(
    torch: Any, transformers: Any, encoder: Any, vector: Any
) -> Callable[[], None] | None:
    """Leave the mask of the padding out of the attention, where the vectors stay the same.

    The exporter writes the mask as an array of each text's length squared, and what guards it
    against rows that are all padding: a tenth of the time of a long text. Models that do not take
    an attention from outside, or need their mask (of a window, of positions), keep their own.
    What is returned gives the model its own attention back; None where it has it still.
    """

    def attention(
        module: Any, query: Any, key: Any, value: Any, _mask: Any, scaling: float, **_: Any
    ) -> tuple[Any, None]:
        weights = torch.softmax(query @ key.transpose(-1, -2) * scaling, dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), None

    # Longer than a window of attention usually is.
    length = min(encoder.max_seq_length or _PROBE, _PROBE)
    ids = torch.arange(length)[None] % encoder.tokenizer.vocab_size
    inner, own = encoder[0], None
    try:
        inner = inner.model
        own = inner.config._attn_implementation
        with torch.inference_mode():
            expected = vector(ids)
            transformers.AttentionInterface.register(_UNMASKED, attention)
            transformers.AttentionMaskInterface.register(_UNMASKED, lambda *_, **__: None)
            inner.set_attn_implementation(_UNMASKED)
            if torch.allclose(vector(ids), expected, atol=_SAME_ELEMENT):
                return lambda: inner.set_attn_implementation(own)
    except Exception as error:  # of whatever class: not all models can be changed
        _log.debug("the attention stays as it is: %s", error)
    if own is not None:
        inner.set_attn_implementation(own)
    return None
