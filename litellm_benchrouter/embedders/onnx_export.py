"""From a sentence-transformers model to an ONNX graph; needed by the build alone."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from litellm_benchrouter.embedders.sentence_transformers import SentenceTransformersEmbedder
from litellm_benchrouter.errors import EmbedderError

_log = logging.getLogger(__name__)

_OPSET = 17
_UNMASKED = "benchrouter_unmasked"
_PROBE = 512  # tokens
_SAME = 1e-5  # of an element of a vector of length 1
_MISSING = (
    "exporting to ONNX needs torch, sentence-transformers, onnx and onnxruntime: "
    'pip install "litellm-benchrouter[onnx-build]"'
)


def export_graph(model: str, graph: Path, tokenizer: Path, *, quantise: bool) -> None:
    """Write a model's graph (encoder, pooling, normalisation) and its tokenizer.

    Parameters
    ----------
    model : str
        A name on the Hugging Face Hub or a local folder.
    graph, tokenizer : Path
        Where to write; the tokenizer is written last, so that it says that both are there.
    quantise : bool
        Products in 8-bit integers; see `onnx_int8`.

    Raises
    ------
    EmbedderError
        If something is not installed, or the model cannot be exported.
    """
    try:
        import onnx
        import torch
        import transformers
    except ImportError as error:
        raise EmbedderError(_MISSING) from error
    opened = SentenceTransformersEmbedder(model)
    encoder: Any = opened.encoder

    class Vector(torch.nn.Module):
        """The model as a function of the ids: texts come alone, so that there is no padding."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            given = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
            found: torch.Tensor = self.encoder(given)["sentence_embedding"]
            return found

    vector = Vector().eval()
    _attend_to_everything(torch, transformers, encoder, vector)
    with tempfile.TemporaryDirectory(prefix="benchrouter-onnx-") as scratch:
        full = Path(scratch) / "full.onnx"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Not the newer exporter: it writes paths of this machine into the graph.
                torch.onnx.export(
                    vector,
                    (torch.ones(2, 8, dtype=torch.int64),),
                    str(full),
                    dynamo=False,
                    opset_version=_OPSET,
                    input_names=["input_ids"],
                    output_names=["vector"],
                    dynamic_axes={
                        "input_ids": {0: "batch", 1: "length"},
                        "vector": {0: "batch"},
                    },
                )
            if quantise:
                from litellm_benchrouter.embedders.onnx_int8 import quantise_products

                made = onnx.load(str(full))
                if not quantise_products(made):
                    _log.warning("%s has no products to quantise; it stays in fp32", model)
                onnx.save(made, str(graph))
            else:
                graph.write_bytes(full.read_bytes())
        except Exception as error:  # of whatever class: an operator without a counterpart, ...
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EmbedderError(
                f"{model} cannot be exported to ONNX ({first}); use kind: sentence-transformers."
            ) from error
    fast: Any = encoder.tokenizer.backend_tokenizer
    fast.no_padding()
    fast.enable_truncation(opened.own_limit)
    tokenizer.write_text(fast.to_str(), encoding="utf-8")


def _attend_to_everything(torch: Any, transformers: Any, encoder: Any, vector: Any) -> None:
    """Leave the mask of the padding out of the attention, where the vectors stay the same.

    The exporter writes the mask as an array of each text's length squared, and what guards it
    against rows that are all padding: a tenth of the time of a long text. Models that do not take
    an attention from outside, or need their mask (of a window, of positions), keep their own.
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
            if torch.allclose(vector(ids), expected, atol=_SAME):
                return
    except Exception as error:  # of whatever class: not all models can be changed
        _log.debug("the attention stays as it is: %s", error)
    if own is not None:
        inner.set_attn_implementation(own)
