"""What a run finds, and the tables and bars that are printed of it; all of it goes into JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from support.timing import percentiles, spread

FAST = ("lexical", "static")
"""The embedders that cost less than the rest of a request."""

Ask = Callable[[str], float | tuple[float, float]]
"""Decides for a text; returns its milliseconds, or those of all and those of the embedding."""


@dataclass
class Timed:
    """One system at one size.

    Attributes
    ----------
    system : str
    rounds : list of list of float
        Milliseconds of each decision, by round.
    note : str
        What a reader has to know of it, such as the recall of an index.
    embedding : list of float
        Milliseconds of the embedding alone, of each decision that had one.
    """

    system: str
    rounds: list[list[float]] = field(default_factory=list)
    note: str = ""
    embedding: list[float] = field(default_factory=list)

    def summary(self, beside: Timed) -> dict[str, Any]:
        """Return median, p99, count, and the ratio of medians to another's, round by round."""
        p50, p99 = percentiles(np.concatenate(self.rounds))
        pairs = zip(self.rounds, beside.rounds, strict=True)
        ratio, half = spread([float(np.median(a) / np.median(b)) for a, b in pairs])
        found: dict[str, Any] = {
            "system": self.system,
            "p50_ms": p50,
            "p99_ms": p99,
            "n": sum(map(len, self.rounds)),
            "ratio": ratio,
            "ratio_half_width": half,
            "note": self.note,
        }
        if self.embedding:
            found["embedding_p50_ms"], found["embedding_p99_ms"] = percentiles(self.embedding)
        return found


@dataclass(frozen=True)
class Bar:
    """What had to hold, what was found, and whether it held.

    Attributes
    ----------
    says : str
    found, wanted : float
    at_least : bool
        Whether more is better.
    """

    says: str
    found: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it held."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    def as_json(self) -> dict[str, Any]:
        """Return it for the result."""
        return {"says": self.says, "found": self.found, "wanted": self.wanted, "met": self.met}


ROWS_OF_THE_BAR = 36_000
EXACT = "faiss, exact"
COSINE, CLASSIFIER = "scikit-learn, cosine", "scikit-learn, classifier"
OURS, PAPER = "benchrouter", "benchrouter, paper's S1"


def bars(result: dict[str, Any]) -> Iterator[Bar]:
    """Return the bars for which a run has figures."""
    for at in result.get("decisions", ()):
        if at["rows"] == ROWS_OF_THE_BAR:
            ratio = {each["system"]: each["ratio"] for each in at["systems"]}
            for peer in (COSINE, CLASSIFIER):
                if peer in ratio:
                    yield Bar(f"36,000 rows: times as fast as {peer}", ratio[peer], 50)
    texts = {each["system"]: each for each in result.get("texts", {}).get("systems", ())}
    slow = texts.get(whole("sentence-transformers"))
    for kind, wanted in (("static", 40.0), ("onnx", 2.0)):
        if slow and whole(kind) in texts:
            ratio = slow["embedding_p50_ms"] / texts[whole(kind)]["embedding_p50_ms"]
            yield Bar(f"embedding: {kind}, times as fast as sentence-transformers", ratio, wanted)
    for kind in FAST:
        if whole(kind) in texts:
            p50_ms = texts[whole(kind)]["p50_ms"]
            yield Bar(f"whole decision, {kind}: p50 in ms", p50_ms, 2.0, at_least=False)
    for each in result.get("proxies", {}).get("systems", ()):
        if each["at_once"] == 8 and each["proxy"] in map(whole, FAST):
            says = f"proxy at concurrency 8, {each['proxy']}: throughput, of that with none"
            yield Bar(says, each["rate_ratio"], 0.95)


def whole(kind: str) -> str:
    """Name our system with an embedder."""
    return f"{OURS}, {kind}"


def note_of(proxy: dict[str, Any]) -> str:
    """Say what a reader has to know of a proxy's figures."""
    without = proxy["decided"].get("bma", 0.0)
    if without > 0.1:
        return f"no decision for {without:.0%}: the best on average answered"
    return str(proxy.get("note", ""))
