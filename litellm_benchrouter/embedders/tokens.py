"""A tokenizer that several threads may use at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import EmbedderError

DEFAULT_CUT = 512
"""Tokens read of a prompt where nothing else is configured.

Beyond it no measurement showed a gain (docs/embedders.md), and every token costs an encoder time.
"""

# A token is four characters on average; nothing is lost by cutting at eight times that, and the
# tokenizer never sees a text of megabytes.
_CHARACTERS_PER_TOKEN = 32


class Tokens:
    """Texts to token ids, cut at a limit.

    The limits are set once, here: a fast tokenizer raises "Already borrowed" when one thread sets
    them while another is inside.

    Parameters
    ----------
    text : str
        The tokenizer's JSON.
    max_tokens : int
    special : bool
        Whether to add the tokens that an encoder expects around a text.

    Raises
    ------
    EmbedderError
        If tokenizers is not installed, or the JSON is not a tokenizer.
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
        """Return the ids of each text, one array each.

        Tokenizers take UTF-8, which has no lone surrogates.
        """
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN
        clean = [text[:limit].encode("utf-8", "replace").decode() for text in texts]
        if len(clean) == 1:  # a batch, even of one, would start a thread for every core
            found = [self._tokenizer.encode(clean[0], add_special_tokens=self._special)]
        else:
            found = self._tokenizer.encode_batch_fast(clean, add_special_tokens=self._special)
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in found]
