"""The files of a sentence-transformers model: where they are, and what they hash to."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from litellm_benchrouter.errors import EmbedderError

# What decides the vectors. Other formats of the same weights (onnx, openvino) lie in folders of
# their own; documentation and hidden files do not count.
_MODEL_FILES = {".bin", ".json", ".model", ".safetensors", ".txt"}
_OTHER_FORMATS = {"onnx", "openvino"}
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot"]


def model_folder(model: str, *, downloaded: bool = False) -> Path:
    """Return the folder of a model: a local one, or this machine's copy of the Hub's.

    Parameters
    ----------
    model : str
        A local folder or a name on the Hugging Face Hub.
    downloaded : bool
        Whether it was opened before, so that what counts of it is here.

    Raises
    ------
    EmbedderError
        If it is neither here nor to be downloaded.
    """
    if Path(model).is_dir():
        return Path(model)
    # sentence-transformers takes a bare name for one of its own models.
    name = model if "/" in model else f"sentence-transformers/{model}"
    try:
        from huggingface_hub import snapshot_download

        if not downloaded:
            with contextlib.suppress(Exception):  # offline, or it is here and the Hub is not
                return Path(snapshot_download(name, ignore_patterns=_NOT_NEEDED))
        return Path(snapshot_download(name, local_files_only=True))
    except Exception as error:  # not installed, no such model, ...
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EmbedderError(
            f"cannot find the files of {model!r} ({first}); give a local folder, or the name of a "
            f"model that can be downloaded from here."
        ) from error


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's files, wherever the folder is."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix not in _MODEL_FILES or inside.parts[0] in _OTHER_FORMATS:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{inside.as_posix()}\n{content}\n".encode())
    return digest.hexdigest()


def model_digest(model: str, *, downloaded: bool = False) -> str:
    """SHA-256 of a model's files; see `model_folder`."""
    return folder_digest(model_folder(model, downloaded=downloaded))


def cached_folder(cache: Path | None, recipe: Mapping[str, object]) -> Path | None:
    """Return where what a recipe makes is kept between builds; None where nothing is kept."""
    if cache is None:
        return None
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return cache / "encoders" / key[:32]
