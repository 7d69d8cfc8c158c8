"""What embedders have in common: the protocol, tokens, model files; and vectors without a text."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import EmbedderError

Advance = Callable[[int], None]
"""Called with the number of texts finished since the last call."""


DEFAULT_CUT = 512
"""Tokens read of a prompt where nothing else is configured.

Beyond it no measurement showed a gain (docs/embedders.md), and every token costs an encoder time.
"""

# A token is four characters on average; nothing is lost by cutting at eight times that, and the
# tokenizer never sees a text of megabytes.
CHARACTERS_PER_TOKEN = 32

# What decides the vectors. Other formats of the same weights (onnx, openvino) lie in folders of
# their own; documentation and hidden files do not count.
_MODEL_FILES = {".bin", ".json", ".model", ".safetensors", ".txt"}
_OTHER_FORMATS = {"onnx", "openvino"}
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot"]


class Embedder(Protocol):
    """Turns texts into vectors; cosine similarity between them is what routing works with.

    An embedder is ready when it exists: whatever must be trained or downloaded is done by the
    constructor or by a class method that returns it. Embedders keep no state between calls, and
    `embed` may be called from several threads at once.

    `kind` is the name in the configuration and the manifest. `cacheable` says that a text's vector
    depends on the text and the fingerprint alone, so that keeping it on disk pays: not of an
    embedder that each build fits anew.
    """

    @property
    def kind(self) -> str: ...

    @property
    def cacheable(self) -> bool: ...

    @property
    def dimension(self) -> int: ...

    def embed(
        self, texts: Sequence[str], *, progress: Advance | None = None
    ) -> NDArray[np.float32]:
        """Embed n texts of any length and content; lone surrogates and NULs are not an error.

        Returns float32 of shape (n, dimension). Each row has unit length, or is all zeros where the
        text holds nothing that the embedder knows: it has no direction and thus no neighbours, and
        callers answer as to an empty prompt. `progress` takes the number of texts finished since
        its last call. Raises EmbedderError.
        """
        ...

    def identity(self) -> dict[str, object]:
        """Say who this is, in values that JSON can hold, for the manifest.

        `kind`, `dimension`, the parameters, and `fingerprint`: 64 hexadecimal digits that change
        whenever the vectors would.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_embedder` needs besides the identity; same embedder, same bytes."""
        ...


class PrecomputedEmbedder:
    """Knows no text: every row is zero, so requests go to the best model on average.

    Named tasks are decided all the same, from vectors of their inputs.
    """

    kind = "precomputed"
    cacheable = False

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return zeros of shape (len(texts), dimension)."""
        if progress is not None:
            progress(len(texts))
        return np.zeros((len(texts), self.dimension), dtype=np.float32)

    def identity(self) -> dict[str, object]:
        """Return kind and dimension; there is nothing else to know."""
        return {"kind": self.kind, "dimension": self.dimension, "fingerprint": ""}

    def save(self, folder: Path) -> None:
        """Write nothing."""


class Tokens:
    """Texts to token ids by a tokenizer's JSON, cut at a limit, with or without `special` ones.

    The limits are set once, here: a fast tokenizer raises "Already borrowed" when one thread sets
    them while another is inside.
    """

    def __init__(self, text: str, max_tokens: int, *, special: bool = False) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EmbedderError(
                'tokenizers is not installed: pip install "litellm-benchrouter[onnx]"'
            ) from error
        self.text = text
        self.max_tokens = max_tokens
        self._special = special
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the class is `Exception` itself
            raise EmbedderError(f"not a tokenizer ({error}); build again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    @property
    def size(self) -> int:
        """Ids are smaller than this."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the ids of each text, one array each."""
        limit = self.max_tokens * CHARACTERS_PER_TOKEN
        clean = [utf8(text[:limit]) for text in texts]
        if len(clean) == 1:  # a batch, even of one, would start a thread for every core
            encodings = [self._tokenizer.encode(clean[0], add_special_tokens=self._special)]
        else:
            encodings = self._tokenizer.encode_batch_fast(clean, add_special_tokens=self._special)
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]


def model_folder(model: str, *, downloaded: bool = False) -> Path:
    """Return the folder of a model: a local one, or this machine's copy of the Hub's.

    One that was `downloaded` before is not looked for on the Hub. Raises `EmbedderError` if there
    is no such model.
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
        raise EmbedderError(
            f"cannot find the files of {model!r} ({first_line(error)}); give a local folder, or "
            f"the name of a model that can be downloaded from here."
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
    return cache / "encoders" / fingerprint_of(recipe)[:32]


def fingerprint_of(decisive: Mapping[str, object]) -> str:
    """Return 64 hexadecimal digits of what decides about the vectors."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def utf8(text: str) -> str:
    """Return a text without lone surrogates, which neither tokenizers nor providers take."""
    return text.encode("utf-8", "replace").decode()


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
