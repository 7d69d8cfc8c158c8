"""Prompts of routed requests, drawn at random, redacted, and written by a thread of their own.

The request's thread does no more than add a row to a bounded queue. What finds no room, cannot be
redacted or cannot be written is counted and gone; nothing waits for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np

from litellm_benchrouter.config import CollectConfig
from litellm_benchrouter.traffic.parts import PromptStore

logger = logging.getLogger("litellm_benchrouter")

STORED, DROPPED, REFUSED, FAILED = "stored", "dropped", "refused", "failed"
LONGEST_QUEUE = 1_000
_LOOK_SECONDS = 1.0  # by a clock and not by a signal: to wake a thread costs the request's
_BATCH = 200  # rows that a remote object is worth
_BATCH_SECONDS = 30.0  # ... or so long waited
_PRUNE_SECONDS = 3_600.0
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Redact = Callable[[str], str]

# Each is linear in the text: a pattern holds the interpreter while it looks.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,256}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<!\d)\d{3,19}(?:[ -]\d{3,7}){0,6}(?!\d)")
_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
    r"|(?<![\w-])(?:[srp]k[-_][\w-]{16,}|gh[oprsu]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|hf_\w{20,}|xox[abeprs]-[\w-]{10,}|A(?:KI|SI)A[A-Z0-9]{16}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,})"
    r"|(?<![\w-])(?i:bearer) [\w.~+/-]{16,}=*",
    re.DOTALL,
)


def user_hash(user: str | None) -> str | None:
    """Return what stands for a user's id: its BLAKE2b, by which the user's prompts are erased."""
    if not user:
        return None
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def is_function(entry: str) -> bool:
    """Say whether an entry of `redact` is a function of the operator's, and no pattern."""
    return _FUNCTION.fullmatch(entry) is not None


def redactor(entries: Sequence[str]) -> Redact:
    """Return a function that takes out what `redact` lists, one after another.

    Raises whatever the import of an operator's function raises.
    """
    steps: list[Redact] = []
    for entry in entries:
        match entry:
            case "email":
                steps.append(lambda text: _EMAIL.sub("[email]", text) if "@" in text else text)
            case "card":
                steps.append(lambda text: _CARD.sub(_card, text))
            case "key":
                steps.append(lambda text: _KEY.sub("[key]", text))
            case _ if is_function(entry):
                steps.append(_imported(entry))
            case _:
                steps.append(partial(re.compile(entry).sub, "[redacted]"))

    def redact(text: str) -> str:
        for step in steps:
            text = step(text)
            if not isinstance(text, str):
                raise TypeError("a function under `redact` returned no text")
        return text

    return redact


def _imported(entry: str) -> Redact:
    """Import a function of the operator's; a script that ends at import ends nothing else."""
    try:
        function: Redact = EntryPoint("redact", entry, "").load()
    except SystemExit as error:
        raise ImportError(f"{entry}: its module ends the process that imports it") from error
    return function


def _card(match: re.Match[str]) -> str:
    """Return what stands for digits of which some, as they are grouped, are a card's number."""
    groups = re.split("[ -]", match.group())
    for first in range(len(groups)):
        for end in range(first + 1, len(groups) + 1):
            digits = "".join(groups[first:end])
            if 13 <= len(digits) <= 19 and _luhn(digits):
                return "[card]"
    return match.group()


def _luhn(digits: str) -> bool:
    numbers = [int(digit) for digit in reversed(digits)]
    twice = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(twice)) % 10 == 0


class Collector:
    """The queue of drawn prompts, and the thread that writes them.

    Parameters
    ----------
    config : CollectConfig
    options : mapping
        For the file system of a remote store.
    count : callable
        Told what became of how many: `stored`, `dropped` for want of room, `refused` where
        redaction fails, `failed` where the store does.
    """

    def __init__(
        self,
        config: CollectConfig,
        options: Mapping[str, Any],
        count: Callable[[str, int], None] = lambda result, n: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._config, self._count, self._draw = config, count, draw
        self._queue: deque[dict[str, Any]] = deque()
        self._store = PromptStore(config, options)
        self._redact: Redact | None = None
        self._warned: set[str] = set()
        self._wrote = self._pruned = time.monotonic()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start writing, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="benchrouter-collect", daemon=True).start()

    def stop(self) -> None:
        """Stop writing."""
        self._stopped.set()

    def draws(self) -> bool:
        """Say whether a request is among the share that is kept."""
        return self._draw() < self._config.share

    def add(self, row: dict[str, Any]) -> None:
        """Queue a row, its vector as an array; counted where there is no room."""
        if len(self._queue) >= LONGEST_QUEUE:
            self._count(DROPPED, 1)
        else:
            self._queue.append(row)

    def drop(self) -> None:
        """Count a prompt that was drawn and never came to an end."""
        self._count(DROPPED, 1)

    def flush(self) -> None:
        """Write what waits."""
        rows = [self._queue.popleft() for _ in range(len(self._queue))]
        lines = [line for row in rows if (line := self._line(row)) is not None]
        try:
            while lines:
                n = self._store.add(lines)
                lines = lines[n:]
                self._count(STORED, n)
        except Exception as error:
            self._count(FAILED, len(lines))
            self._warn(f"{self._store.name} takes no prompts", error)
        self._wrote = time.monotonic()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            now = time.monotonic()
            waits = self._store.is_remote and len(self._queue) < _BATCH
            if self._queue and not (waits and now - self._wrote < _BATCH_SECONDS):
                self.flush()
            if now - self._pruned >= _PRUNE_SECONDS:
                self._pruned = now
                try:
                    self._store.prune()
                except Exception as error:
                    self._warn(f"old prompts cannot be removed from {self._store.name}", error)

    def _line(self, row: dict[str, Any]) -> bytes | None:
        """Return a row as it is written; None where it cannot be redacted."""
        try:
            if self._redact is None:
                self._redact = redactor(self._config.redact)
            text = self._redact(row["text"])
            vector = row.pop("vector", None)
            if text != row["text"] or vector is None:  # a vector would tell what was taken out
                row.pop("embedder", None)
            else:
                row["vector"] = base64.b64encode(vector.astype("<f2").tobytes()).decode()
            row["text"] = text
            written = {key: value for key, value in row.items() if value is not None}
            if text.strip():
                return json.dumps(written).encode() + b"\n"
            self._count(REFUSED, 1)
            return None
        except Exception as error:
            self._count(REFUSED, 1)
            self._warn("benchrouter.traffic.collect.redact fails, and nothing is kept", error)
            return None

    def _warn(self, what: str, error: Exception) -> None:
        """Say once of each kind of fault what happened; not its message, which may quote a text."""
        reason = getattr(error, "strerror", None) or type(error).__name__
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("benchrouter: %s (%s); requests go on", what, reason)


def vector_of(row: Mapping[str, Any]) -> bytes | None:
    """Return a row's vector as little-endian float16, as prompts have it; None where there is none.

    Vectors that are no numbers count as none.
    """
    try:
        content = base64.b64decode(row.get("vector") or "", validate=True)
        vector = np.frombuffer(content, dtype="<f2")
    except (TypeError, ValueError):
        return None
    return content if len(vector) and np.isfinite(vector).all() else None
