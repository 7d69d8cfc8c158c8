"""A sentence-transformers model exported to ONNX, and by default quantised to 8-bit integers.

The build exports (encoder, pooling and normalisation in one graph) and quantises; the artifact
holds the graph and the tokenizer, and serving needs onnxruntime and tokenizers alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders.model_files import cached_folder, model_digest
from litellm_benchrouter.embedders.protocol import Progress
from litellm_benchrouter.embedders.tokens import DEFAULT_CUT, Tokens
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.neighbors import normalize

Precision = Literal["int8", "fp32"]

_GRAPH_FILE = "encoder.onnx"
_TOKENIZER_FILE = "tokenizer.json"
_RECIPE = 2  # changes whenever the same model would give another graph
_MISSING = 'the onnx embedder needs onnxruntime: pip install "litellm-benchrouter[onnx]"'


@dataclass(frozen=True, eq=False)
class OnnxEmbedder:
    """A text encoder run by onnxruntime on one thread. Made by `export` or `load`.

    Texts are encoded one at a time: the scales of an 8-bit activation are those of its batch, so a
    text's vector would depend on what happened to be encoded with it.

    Attributes
    ----------
    model : str
        What it was exported from.
    precision : {"int8", "fp32"}
    graph : Path
        The ONNX file.
    tokens : Tokens
    session : onnxruntime.InferenceSession
    dimension : int
    """

    kind: ClassVar[str] = "onnx"
    cacheable: ClassVar[bool] = True

    model: str
    precision: Precision
    graph: Path
    tokens: Tokens
    session: Any
    dimension: int

    @classmethod
    def export(
        cls,
        model: str,
        *,
        precision: Precision = "int8",
        max_tokens: int | None = None,
        cache: Path | None = None,
    ) -> OnnxEmbedder:
        """Export a sentence-transformers model; the same model and libraries give the same bytes.

        Parameters
        ----------
        model : str
            A name on the Hugging Face Hub or a local folder.
        precision : {"int8", "fp32"}
        max_tokens : int, optional
            What follows in a longer text is not looked at; default: the model's limit, at most 512.
        cache : Path, optional
            Where exported models are kept for the next build.

        Raises
        ------
        EmbedderError
            If what exporting needs is not installed, or the model cannot be loaded or exported.
        """
        recipe = {
            "kind": cls.kind,
            "files": model_digest(model),
            "precision": precision,
            "recipe": _RECIPE,
        }
        kept = cached_folder(cache, recipe)
        folder = kept or Path(tempfile.mkdtemp(prefix="benchrouter-onnx-"))
        if not (folder / _TOKENIZER_FILE).is_file():  # written last
            folder.mkdir(parents=True, exist_ok=True)
            _export(model, precision, folder)
        limit = json.loads((folder / _TOKENIZER_FILE).read_text(encoding="utf-8"))["truncation"]
        own_limit = int(limit["max_length"]) if limit else DEFAULT_CUT
        found = cls._open(model, precision, folder, min(max_tokens or DEFAULT_CUT, own_limit))
        if kept is None:
            weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
        return found

    def embed(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Embed texts one after the other; see `Embedder.embed`."""
        found = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                (ids,) = self.tokens([text])
                found[row] = _run(self.session, ids[None])[0]
            if progress is not None:
                progress(1)
        if not np.isfinite(found).all():
            raise EmbedderError(f"{self.model} gave NaN or infinite values; use another model.")
        return normalize(found)

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
        """Open what `save` wrote; its files have been verified before.

        Raises
        ------
        EmbedderError
            If onnxruntime is not installed, or it is not the embedder that the identity describes.
        """
        precision: Precision = "int8" if identity["precision"] == "int8" else "fp32"
        limit = int(str(identity["max_tokens"]))
        found = cls._open(str(identity["model"]), precision, folder, limit)
        if found.dimension != identity["dimension"]:
            raise EmbedderError(
                f"{folder / _GRAPH_FILE} gives vectors of {found.dimension} numbers, the manifest "
                f"says {identity['dimension']}; build again."
            )
        return found

    @classmethod
    def _open(cls, model: str, precision: Precision, folder: Path, max_tokens: int) -> OnnxEmbedder:
        text = (folder / _TOKENIZER_FILE).read_text(encoding="utf-8")
        tokens = Tokens(text, max_tokens, special=True)
        session = _session(folder / _GRAPH_FILE)
        dimension = _run(session, tokens(["a"])[0][None]).shape[1]
        return cls(model, precision, folder / _GRAPH_FILE, tokens, session, dimension)


def _session(graph: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderError(_MISSING) from error
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
            f"{graph} cannot be opened ({_first_line(error)}); build again."
        ) from error


def _run(session: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    try:
        return np.asarray(session.run(None, {"input_ids": ids})[0], dtype=np.float32)
    except Exception as error:
        raise EmbedderError(
            f"the encoder failed on {ids.shape[1]} tokens ({_first_line(error)})."
        ) from error


def _export(model: str, precision: Precision, folder: Path) -> None:
    from litellm_benchrouter.embedders.onnx_export import export_graph

    export_graph(
        model, folder / _GRAPH_FILE, folder / _TOKENIZER_FILE, quantise=precision == "int8"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
