"""What was measured of embedders, kept for the next build of the same benchmark."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from litellm_benchrouter.building.auto_rule import Tried
from litellm_benchrouter.building.encoder_check import MadeEmbedder
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import LexicalEmbedder
from litellm_benchrouter.embedders.model_files import model_digest
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.benchmark import Benchmark

AUTO = "auto"
FILE = "auto.json"

_RECIPE = 1  # changes whenever the same benchmark would give other figures
_LIBRARIES = (
    *("litellm-benchrouter", "model2vec", "onnx", "onnxruntime", "sentence-transformers"),
    *("tokenizers", "torch"),
)
_SETTINGS = (
    *("candidates", "tolerance", "model", "dimensions", "max_seq_length", "precision"),
    "on_disagreement",
)


@dataclass(frozen=True)
class Trial:
    """What came of trying the candidates.

    Attributes
    ----------
    tried : list of Tried
    failed : list of dict
        `kind` and `reason` of the candidates that do not work here.
    n_samples : int
        How many prompts of the benchmark they were tried on.
    made : dict of str to MadeEmbedder
        Those that were made in this very run; never kept.
    """

    tried: list[Tried]
    failed: list[dict[str, str]]
    n_samples: int
    made: dict[str, MadeEmbedder] = field(default_factory=dict)


def settings_of(config: BenchRouterConfig) -> dict[str, Any]:
    """Return what the user decides about the choice; with other settings it is made afresh."""
    return config.embedder.model_dump(mode="json", include=set(_SETTINGS))


def key_of(config: BenchRouterConfig, benchmark: Benchmark) -> str:
    """Return a hash of everything that the figures depend on, but the machine's speed."""
    model = None
    if set(config.embedder.candidates) != {LexicalEmbedder.kind}:
        with suppress(EmbedderError):  # not here: then neither are the candidates made from it
            model = model_digest(config.embedder.model)
    what = [
        *(_RECIPE, config.parameters, settings_of(config), config.embedder.device, model),
        *(benchmark.models, benchmark.tasks, {name: _version(name) for name in _LIBRARIES}),
    ]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for prompt in benchmark.prompts:
        text = prompt.encode("utf-8", "surrogatepass")
        key.update(len(text).to_bytes(8, "little") + text)
    for array in (benchmark.task, benchmark.correctness, benchmark.scores):
        key.update(np.ascontiguousarray(array).data)
    return key.hexdigest()


def read(path: Path | None, key: str) -> Trial | None:
    """Return the figures that were kept; what cannot be read is measured again."""
    try:
        found = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
        if found.get("key") != key:
            return None
        tried = [Tried(**each) for each in found["tried"]]
        return Trial(tried, found["failed"], found["n_samples"])
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def write(path: Path, key: str, trial: Trial) -> None:
    """Keep the figures; only the latest, as a benchmark that changes every day leaves no trail."""
    document = {
        "key": key,
        "tried": [asdict(each) for each in trial.tried],
        "failed": trial.failed,
        "n_samples": trial.n_samples,
    }
    with suppress(OSError):  # then the next build measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
