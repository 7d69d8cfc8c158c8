"""Which model to ask next, or to stop: routing and cascading as one decision. docs/cascades.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs.evidence import EDGE, Evidence, Floats, Ints, combined, logit

__all__ = ["OTHERS", "STOP", "Cascade", "Evidence", "choose", "learned"]

STOP = -1
OTHERS = "*"
"""In `together`: pairs that are not named."""

_CANDIDATES = 4  # models that the look-ahead goes through
_BLOCK = 300  # rows at a time: the arrays of more leave the processor's cache
_TIE = 1e-9  # values that count as equal


@dataclass(frozen=True)
class Cascade:
    """Chooses the next model to ask by looking two answers ahead.

    Attributes
    ----------
    price : float
        What a USD is worth, as probability: lambda.
    evidence : mapping of Evidence by verifier
        Empty: it routes and never asks on.
    together : mapping by model of mappings by model
        How the rightness of two models goes together beyond what P(success) foresees, a correlation
        of residuals; `OTHERS` for pairs that are not named.
    steps : int
        Most models that are asked.
    keep : float
        An answer of another model than the most probable one is kept only from this P(right) on.
    """

    price: float
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    together: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    steps: int = 3
    keep: float = 0.0

    @cached_property
    def _ahead(self) -> Evidence:
        return combined(self.evidence.values())

    def next_model(
        self,
        probability: Mapping[str, float],
        cost: Mapping[str, float],
        answers: Mapping[str, float],
    ) -> str | None:
        """Return the model to ask next, None to stop; on the first step never None.

        Parameters
        ----------
        probability, cost : mapping by model on offer
            P(success) before anything was asked; expected USD.
        answers : mapping by model asked, in the order asked
            Summed log likelihood ratios of what the verifiers said.
        """
        names = [model for model in probability if model in cost or model in answers]
        if not names or len(answers) >= self.steps:
            return None
        before, now, asked, together = self._state(names, probability, answers)
        if asked.all():
            return None
        costs = np.array([[cost.get(model, math.inf) for model in names]])
        picked = choose(
            *(now[None], costs, asked[None], self._ahead, together),
            price=self.price,
            left=self.steps - len(answers),
            keep=self.keep,
            top=np.array([int(before.argmax())]),
        )[0]
        return None if picked == STOP else names[int(picked)]

    def order(
        self, probability: Floats, cost: Floats, preferred: Ints, names: Sequence[str]
    ) -> Ints:
        """Order the models on offer: the one to ask first, then the others by P - price * cost.

        As `Policy.order`; costs are in USD.
        """
        value = np.where(np.isnan(probability), 0.0, probability) - self.price * cost
        order = preferred[np.argsort(-value[preferred], kind="stable")]
        chances = {names[m]: float(probability[m]) for m in order}
        first = self.next_model(chances, {names[m]: float(cost[m]) for m in order}, {})
        is_first = np.array([names[m] == first for m in order])
        return np.concatenate([order[is_first], order[~is_first]])

    def posterior(
        self, probability: Mapping[str, float], answers: Mapping[str, float]
    ) -> dict[str, float]:
        """Return P(right) of each answer; the model with the highest has the answer to give."""
        names = list(dict.fromkeys([*probability, *answers]))
        _, now, _, _ = self._state(names, probability, answers)
        return {model: float(now[names.index(model)]) for model in answers}

    def _state(
        self, names: list[str], probability: Mapping[str, float], answers: Mapping[str, float]
    ) -> tuple[Floats, Floats, NDArray[np.bool_], Floats]:
        before = np.array([_inside(probability.get(model, 0.5)) for model in names])
        others = float(self.together.get(OTHERS, {}).get(OTHERS, 0.0))
        together = np.array(
            [[self.together.get(a, {}).get(b, others) for b in names] for a in names]
        )
        now, asked = before[None], np.zeros(len(names), dtype=bool)
        for model, evidence in answers.items():
            if model in names:
                at = np.array([names.index(model)])
                now = learned(now, at, np.array([evidence]), together)
                asked[at] = True
        return before, now[0], asked, together

    @classmethod
    def of(cls, block: Mapping[str, Any], quality: float | None = None) -> Self:
        """Read the manifest's block, with the row of a quality.

        That is the least that reaches it, and the highest where none does or none is asked for.
        """
        rows = sorted(block["qualities"], key=lambda row: float(row["quality"]))
        enough = [row for row in rows if quality is not None and row["quality"] >= quality - _TIE]
        row = (enough or rows[-1:])[0]
        return cls(
            price=float(row["price"]),
            evidence={n: Evidence.of_dict(v["evidence"]) for n, v in block["verifiers"].items()},
            together=block["together"],
            steps=int(block["steps"]),
            keep=float(row["keep"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what `of` reads, with one row."""
        return {
            "verifiers": {
                n: {"evidence": of_verifier.as_dict()} for n, of_verifier in self.evidence.items()
            },
            "together": {a: dict(row) for a, row in self.together.items()},
            "steps": self.steps,
            "qualities": [{"quality": 1.0, "price": self.price, "keep": self.keep}],
        }


def learned(p: Floats, asked: Ints, evidence: Floats, together: Floats) -> Floats:
    """Update P(right) of all models by the evidence on one answer each: shape (n, M).

    The answer by Bayes, the others by their correlation with it: P(b) + r sd(b) / sd(a) dP(a).
    """
    rows = np.arange(len(p))
    old = p[rows, asked]
    new = 1.0 / (1.0 + np.exp(-(logit(old) + evidence)))
    spread = np.sqrt(p * (1 - p))
    moved = p + together[asked] * spread * ((new - old) / spread[rows, asked])[:, None]
    moved[rows, asked] = new
    return np.clip(moved, EDGE, 1 - EDGE)


def choose(
    p: Floats,
    cost: Floats,
    asked: NDArray[np.bool_],
    evidence: Evidence,
    together: Floats,
    *,
    price: float,
    left: int,
    keep: float = 0.0,
    top: Ints | None = None,
) -> Ints:
    """Return for each row the model to ask next, or `STOP`.

    Parameters
    ----------
    p, cost, asked : ndarray, shape (n, M)
        P(right) as it stands, expected cost, and whether the model has been asked.
    evidence : Evidence
        Of an answer that is not there yet, by its atoms.
    together : ndarray of float64, shape (M, M)
    price, left, keep
        Lambda, models that may still be asked, and the least P(right) that is kept.
    top : ndarray of int, shape (n,), optional
        The most probable model before anything was asked, whose answer is always kept.
    """
    rows = np.arange(len(p))
    offered = np.isfinite(cost) & ~asked
    fee = np.where(offered, price * np.where(offered, cost, 0.0), np.inf)
    plain: Ints = (p - fee).argmax(axis=1)
    best = np.where(asked, p, 0.0).max(axis=1)
    started = bool(asked.any())
    if not evidence.tells or left < 1:  # routing
        return np.full_like(plain, STOP) if started else plain
    picks = plain.copy()
    value = np.full(len(p), -np.inf)
    for part in np.array_split(rows, max(1, len(rows) // _BLOCK)):
        picks[part], value[part] = _ahead(
            p[part], fee[part], best[part], plain[part], evidence, together, left
        )
    if not started:
        return picks
    stops = value <= best + _TIE
    if keep > 0.0 and top is not None:
        doubtful = (best < keep) & ~asked[rows, top]
        stops &= ~doubtful
        picks = np.where(doubtful & ((left == 1) | (value <= best + _TIE)), top, picks)
    stopped: Ints = np.where(stops | asked.all(axis=1), STOP, picks)
    return stopped


def _ahead(
    p: Floats,
    fee: Floats,
    best: Floats,
    plain: Ints,
    evidence: Evidence,
    together: Floats,
    left: int,
) -> tuple[Ints, Floats]:
    """Return the best model to ask and the value of asking it, by what can come after it."""
    right, wrong = evidence.right, evidence.wrong
    rows = np.arange(len(p))
    seen = p[..., None] * right + (1 - p[..., None]) * wrong
    hit = p[..., None] * right
    fallback = best if left < 2 else np.maximum(best, (p - fee)[rows, plain])
    once = np.maximum(seen * fallback[:, None, None], hit).sum(axis=-1) - fee
    if left < 2 or p.shape[1] < 2:
        first: Ints = once.argmax(axis=1)
        return first, once.max(axis=1)
    once[rows, plain] = np.inf  # what routing would ask is always looked at
    few = np.argsort(-once, axis=1, kind="stable")[:, : min(_CANDIDATES, p.shape[1])]
    q, due = (np.take_along_axis(of, few, axis=1) for of in (p, fee))
    r = together[few[:, :, None], few[:, None, :]]  # (n, a, b)
    seen, hit = (np.take_along_axis(of, few[..., None], axis=1) for of in (seen, hit))
    after = hit / seen  # (n, a, J): P(right) of the first answer
    spread = np.sqrt(q * (1 - q))
    step = (after - q[..., None]) / spread[..., None]
    then = q[:, None, None] + step[..., None] * (r * spread[:, None])[:, :, None]
    then = np.clip(then, EDGE, 1 - EDGE)  # (n, a, J, b)
    held = np.maximum(after, best[:, None, None])[..., None]
    # where the second answer is right, the first is more probable to be right, too
    pull = r[:, :, None] * np.sqrt(held * (1 - held) * then * (1 - then))
    gain = np.zeros(then.shape)
    for of_right, of_wrong in zip(right, wrong, strict=True):
        more = of_right - of_wrong
        gain += np.maximum(held * (of_wrong + then * more) + pull * more, then * of_right)
    gain -= due[:, None, None]
    gain[:, np.arange(few.shape[1]), :, np.arange(few.shape[1])] = -np.inf
    value = (seen * np.maximum(held[..., 0], gain.max(axis=-1))).sum(axis=-1) - due
    chosen = value.argmax(axis=1)
    return few[rows, chosen], value[rows, chosen]


def _inside(p: float) -> float:
    return 0.5 if math.isnan(p) else min(max(p, EDGE), 1 - EDGE)
