"""TF-IDF over hashed word pairs, reduced by a truncated SVD: no download, no torch, microseconds.

A text becomes its words, symbols and their adjacent pairs; these are weighted by TF-IDF with
sublinear term frequency and projected on the leading right singular vectors of the benchmark's
TF-IDF matrix (latent semantic analysis), as scikit-learn's `TfidfVectorizer` and `TruncatedSVD` do.
Fitting uses scikit-learn; embedding needs numpy alone, so a proxy's worker never imports it.

What is stored are 32-bit hashes of the pairs, not the pairs: those are fragments of prompts, and an
artifact holds no prompt text unless asked for. A hash cannot be read back; whoever already has a
phrase in mind can test whether it is likely to be there, as with any index. Numbers are folded into
one token before hashing, so account or phone numbers leave no trace at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.embedders.base import Advance
from litellm_benchrouter.errors import ConfigError, EmbedderError

# Thai to Lao, Burmese, Khmer, then Chinese and Japanese: written without spaces, so each character
# is a token, and the pairs of tokens do the work of words.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u2e80-\u2fdf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
_TOKENS_VERSION = 1  # part of the fingerprint; raised whenever the same text gives other tokens

_FILES = {"hashes": "lexical_hashes.npy", "rows": "lexical_rows.npy"}


@dataclass(frozen=True, eq=False)
class LexicalEmbedder:
    """Hashed TF-IDF features projected to a few hundred dimensions. Made by `fit` or `load`."""

    kind: ClassVar[str] = "lexical"
    cacheable: ClassVar[bool] = False

    hashes: NDArray[np.uint32]  # of each feature, ascending, shape (n_features,)
    # right singular vectors times inverse document frequency, shape (n_features, dimension)
    rows: NDArray[np.float32]
    parameters: Mapping[str, int]  # the arguments of `fit`

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        dimensions: int = 256,
        seed: int = 0,
        max_features: int = 32_768,
        max_characters: int = 4_000,
        max_texts: int = 50_000,
    ) -> LexicalEmbedder:
        """Fit on a benchmark's prompts; equal texts, parameters and machine types give equal bytes.

        Features that occur in one text only are left out where at least `dimensions` others remain;
        the `max_features` that occur in most texts stay. A small corpus has a lower rank, and that
        is then the dimension. What follows `max_characters` in a text is not looked at, here and
        when embedding. Of a larger benchmark `max_texts` evenly spaced texts are fitted on, which
        bounds the time and memory of the SVD. Raises EmbedderError where no text holds a word or a
        symbol, and ConfigError where a parameter is not positive.
        """
        from scipy.sparse import csr_array
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.utils.extmath import randomized_svd, svd_flip
        from threadpoolctl import threadpool_limits

        parameters = {
            "dimensions": dimensions,
            "max_features": max_features,
            "max_characters": max_characters,
            "max_texts": max_texts,
        }
        for name, value in parameters.items():
            if value < 1:
                raise ConfigError(
                    f"the lexical embedder's {name} is {value}: it must be 1 or more."
                )

        sample = np.linspace(0, len(texts) - 1, min(len(texts), max_texts)).astype(np.intp)
        counted = [_hashed_counts(texts[i][:max_characters]) for i in sample]
        if not any(len(hashes) for hashes, _ in counted):
            raise EmbedderError(
                f"none of the {len(texts)} texts to fit the lexical embedder on holds a word "
                "or a symbol: check the column that the prompts are read from."
            )
        hashes, column, n_texts = np.unique(
            np.concatenate([hashes for hashes, _ in counted]),
            return_inverse=True,
            return_counts=True,
        )
        columns = _most_frequent(n_texts, dimensions, max_features)
        count = np.concatenate([counts for _, counts in counted]).astype(np.float32)
        ends = np.cumsum([0, *(len(hashes) for hashes, _ in counted)])
        counts = csr_array((count, column, ends), shape=(len(sample), len(hashes)))[:, columns]
        weighting = TfidfTransformer(sublinear_tf=True).fit(counts)
        tfidf = weighting.transform(counts)

        # The solver of TruncatedSVD (its n_iter and its rule for signs), called directly because
        # TruncatedSVD refuses a single feature and divides by zero for a single text. One thread:
        # the order of a parallel sum would change the last bits from run to run.
        with threadpool_limits(limits=1):
            left, singular, right = randomized_svd(
                tfidf, min(dimensions, *tfidf.shape), n_iter=5, flip_sign=False, random_state=seed
            )
        _, right = svd_flip(left, right, u_based_decision=False)
        right = right[singular > 1e-6 * singular[0]]
        return cls(
            hashes=hashes[columns],
            rows=np.ascontiguousarray((right * weighting.idf_).T, dtype=np.float32),
            parameters={**parameters, "seed": seed},
        )

    @property
    def dimension(self) -> int:
        return int(self.rows.shape[1])

    def embed(
        self, texts: Sequence[str], *, progress: Advance | None = None
    ) -> NDArray[np.float32]:
        """Embed texts one by one, so a vector does not depend on what else is in the call."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), 256):
            chunk = texts[start : start + 256]
            for i, text in enumerate(chunk, start):
                self._embed_into(vectors[i], text)
            if progress is not None:
                progress(len(chunk))
        return vectors

    def _embed_into(self, vector: NDArray[np.float32], text: str) -> None:
        hashes, counts = _hashed_counts(text[: self.parameters["max_characters"]])
        position = self.hashes.searchsorted(hashes)
        is_feature = self.hashes.take(position, mode="clip") == hashes
        weight = 1 + np.log(counts[is_feature], dtype=np.float32)
        # einsum rather than a BLAS product: the same bits whatever the number of threads. The
        # norm of the TF-IDF row is left out, for it cancels in the scaling to unit length.
        np.einsum("f,fd->d", weight, self.rows[position[is_feature]], out=vector)
        length = math.sqrt(np.einsum("d,d->", vector, vector))
        # Rounding leaves about 1e-7 of a feature that lies outside the space of the SVD.
        vector /= length if length > 1e-5 else math.inf

    def identity(self) -> dict[str, object]:
        digest = hashlib.sha256(
            json.dumps([_TOKENS_VERSION, self.parameters["max_characters"]]).encode()
        )
        for array in (self.hashes, self.rows):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)  # a copy would hold the interpreter
        return {
            "kind": self.kind,
            "dimension": self.dimension,
            "features": len(self.hashes),
            "parameters": dict(self.parameters),
            "fingerprint": digest.hexdigest(),
        }

    def save(self, folder: Path) -> None:
        """Write `lexical_hashes.npy` and `lexical_rows.npy`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in _FILES.items():
            np.save(folder / file, getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, identity: Mapping[str, object], folder: Path) -> LexicalEmbedder:
        """Read what `save` wrote; raise EmbedderError unless the identity was taken from it."""
        # Mapped, so that workers share the pages; plain views, because memmap slows indexing.
        hashes, rows = (
            np.asarray(np.load(folder / file, mmap_mode="r", allow_pickle=False))
            for file in _FILES.values()
        )
        actual = (str(hashes.dtype), str(rows.dtype), rows.shape)
        expected = ("uint32", "float32", (identity["features"], identity["dimension"]))
        if actual != expected or hashes.shape != rows.shape[:1]:
            raise EmbedderError(
                f"the lexical embedder in {folder} has {actual}, where its manifest says "
                f"{expected}: build again."
            )
        parameters = identity["parameters"]
        if not isinstance(parameters, Mapping):
            raise TypeError("parameters is not a mapping")
        embedder = cls(hashes, rows, dict(parameters))
        fingerprint = embedder.identity()["fingerprint"]
        if fingerprint != identity["fingerprint"]:
            raise EmbedderError(
                f"the lexical embedder in {folder} has the fingerprint {fingerprint}, where its "
                f"manifest says {identity['fingerprint']}: build again."
            )
        return embedder


def tokens(text: str) -> list[str]:
    """Split a text into words, single marks, and characters of scripts without spaces.

    Case is put aside, and so are numbers: each is a 0.
    """
    return _TOKEN.findall(_NUMBER.sub("0", text.lower()))


def _hashed_counts(text: str) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Hash the tokens of a text and their adjacent pairs; return distinct hashes and their counts.

    CRC-32 because it is in the standard library, the same everywhere, and as fast as scikit-learn's
    MurmurHash without its second of import. Where two features share a hash (some tens among
    500,000) they count as one.
    """
    words = tokens(text)
    features = words + [f"{first} {second}" for first, second in pairwise(words)]
    # Not numpy.unique: on the few tokens of a prompt it takes several times as long.
    counts: dict[int, int] = {}
    for feature in features:
        key = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
        counts[key] = counts.get(key, 0) + 1
    hashes = sorted(counts)
    return (
        np.array(hashes, dtype=np.uint32),
        np.array([counts[each] for each in hashes], dtype=np.intp),
    )


def _most_frequent(
    n_texts: NDArray[np.intp], dimensions: int, max_features: int
) -> NDArray[np.intp]:
    """Choose the features to keep by the number of texts they occur in; ties by column."""
    repeated = np.count_nonzero(n_texts >= 2)
    limit = min(max_features, repeated if repeated >= dimensions else len(n_texts))
    return np.sort(np.argsort(-n_texts, kind="stable")[:limit])
