"""Which of several embedders that were tried is built with; docs/embedders.md has it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNNOTICED_MS = 1.0
"""Milliseconds of one prompt that make no embedder the faster one."""

RULE = (
    "of the candidates whose loss (how far behind the best one, in the protocol where that is "
    "most) is at most the tolerance above the smallest loss, the one that serves already; else, "
    f"of those within {UNNOTICED_MS:g} ms of the fastest, the one with the smallest loss"
)


@dataclass(frozen=True)
class Tried:
    """One candidate and what was measured of it.

    Attributes
    ----------
    kind : str
    precision : str or None
        Of an exported encoder.
    dimension : int
    p50_ms : float
        Median time of one prompt on one thread of the machine that built.
    unseen, requests : mapping or None
        As `embedder_quality.describe` says of it; None where the benchmark is too small.
    """

    kind: str
    precision: str | None
    dimension: int
    p50_ms: float
    unseen: Mapping[str, Any] | None
    requests: Mapping[str, Any] | None

    @property
    def loss(self) -> float:
        """Accuracy by which it is behind the best candidate, in the protocol where that is most."""
        behind = [part["behind"] for part in (self.unseen, self.requests) if part is not None]
        return max((loss for loss in behind if loss is not None), default=0.0)


@dataclass(frozen=True)
class Chosen:
    """The candidate that is built with, and why.

    Attributes
    ----------
    kind, because : str
    level : list of str
        The candidates that the tolerance leaves.
    """

    kind: str
    because: str
    level: list[str]


def choose(
    tried: Sequence[Tried], *, tolerance: float, serves: str | None, limit_ms: float
) -> Chosen:
    """Apply the rule.

    Parameters
    ----------
    tried : sequence of Tried
        At least one; of equals the first is taken.
    tolerance : float
        Accuracy.
    serves : str or None
        The kind that the version which serves was built with by the same settings. It stays as long
        as it is level, so that noise between two builds does not change the embedder.
    limit_ms : float
        Time of a whole decision; what needs more for one prompt is out where anything needs less.
    """
    in_time = [each for each in tried if each.p50_ms <= limit_ms] or list(tried)
    least = min(each.loss for each in in_time)
    level = [each for each in in_time if each.loss <= least + tolerance + 1e-9]
    kinds = [each.kind for each in level]
    if len(tried) == 1:
        return Chosen(tried[0].kind, "no other candidate could be tried", kinds)
    if serves in kinds:
        return Chosen(str(serves), "it serves already, and is still level with the best", kinds)
    fastest = min(each.p50_ms for each in level)
    near = [each for each in level if each.p50_ms <= fastest + UNNOTICED_MS]
    found = min(near, key=lambda each: each.loss)
    if len(level) == 1:
        because = "all others are behind by more than the tolerance, or too slow"
    elif len(near) == 1:
        because = "it is the fastest of those that are level with the best"
    else:
        because = f"of those level and within {UNNOTICED_MS:g} ms of the fastest, it loses least"
    return Chosen(found.kind, because, kinds)
