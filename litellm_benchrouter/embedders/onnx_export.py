"""From a sentence-transformers model to an ONNX graph; needed by the build alone."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from litellm_benchrouter.embedders.sentence_transformers import SentenceTransformersEmbedder
from litellm_benchrouter.errors import EmbedderError

_OPSET = 17
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
        Weights to 8-bit integers, a scale for each channel, activations at run time.

    Raises
    ------
    EmbedderError
        If something is not installed, or the model cannot be exported.
    """
    try:
        import onnx  # noqa: F401  (the exporter and the quantiser need it)
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise EmbedderError(_MISSING) from error
    opened = SentenceTransformersEmbedder(model)
    encoder: Any = opened.encoder

    class Vector(torch.nn.Module):
        """The model as one function of two arrays."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            given = {"input_ids": input_ids, "attention_mask": attention_mask}
            found: torch.Tensor = self.encoder(given)["sentence_embedding"]
            return found

    with tempfile.TemporaryDirectory(prefix="benchrouter-onnx-") as scratch:
        full = Path(scratch) / "full.onnx"
        sides = {0: "batch", 1: "length"}
        example = torch.ones(2, 8, dtype=torch.int64)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Not the newer exporter: it writes paths of this machine into the graph.
                torch.onnx.export(
                    Vector().eval(),
                    (example, example),
                    str(full),
                    dynamo=False,
                    opset_version=_OPSET,
                    input_names=["input_ids", "attention_mask"],
                    output_names=["vector"],
                    dynamic_axes={
                        "input_ids": sides,
                        "attention_mask": sides,
                        "vector": {0: "batch"},
                    },
                )
                if quantise:
                    logging.getLogger().addFilter(_no_advice)
                    quantize_dynamic(
                        str(full), str(graph), weight_type=QuantType.QInt8, per_channel=True
                    )
                else:
                    graph.write_bytes(full.read_bytes())
        except Exception as error:  # of whatever class: an operator without a counterpart, ...
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EmbedderError(
                f"{model} cannot be exported to ONNX ({first}); use kind: sentence-transformers."
            ) from error
        finally:
            logging.getLogger().removeFilter(_no_advice)
    fast: Any = encoder.tokenizer.backend_tokenizer
    fast.no_padding()
    fast.enable_truncation(opened.own_limit)
    tokenizer.write_text(fast.to_str(), encoding="utf-8")


def _no_advice(record: logging.LogRecord) -> bool:
    """Keep the quantiser's advice to optimise first out of the terminal; the session does it."""
    return "pre-processing before quantization" not in record.getMessage()
