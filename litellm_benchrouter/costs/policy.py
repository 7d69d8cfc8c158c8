"""Quality against cost: which of the models on offer to ask, and why. docs/policies.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs import Prices
from litellm_benchrouter.paper.scores import DIGITS, rank_with

Floats = NDArray[np.float64]
Order = NDArray[np.intp]

Kind = Literal["quality", "balanced", "cheapest", "within", "cascade"]
KINDS: tuple[Kind, ...] = get_args(Kind)

RANGES: dict[Kind, tuple[float, float]] = {
    "quality": (0.0, 0.0),
    "balanced": (0.0, math.inf),
    "cheapest": (0.0, 1.0),
    "within": (0.0, 1.0),
    "cascade": (0.0, 2.0),
}
"""The values that each kind can have; `quality` has none but 0."""

SPELLING = "quality, balanced:WEIGHT, cheapest:TARGET, within:EPSILON or cascade:QUALITY"


@dataclass(frozen=True)
class Policy:
    """How much quality may be given up for cost.

    `quality`: the best expected model, whatever it costs. `balanced`: argmax P(success) - value *
    cost / cost of the dearest model on offer; the WEIGHT in [0, inf) is what that cost is worth, in
    probability. `cheapest`: the cheapest model with P(success) >= value; the most probable if none
    has it. `within`: the cheapest model whose P(success) is at most value below the best. TARGET
    and EPSILON are probabilities. `cascade`: ask a cheap model first, and a better one where its
    answer does not hold, at the price that holds value times the quality of the best single model;
    the artifact has that price (`costs.cascade`), and without one it is `quality`.
    """

    kind: Kind = "quality"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one spelling: `quality`, `balanced:0.1`, `cheapest:0.7`, `within:0.02`, `cascade:1`.

        Raises ValueError in one sentence, without a full stop.
        """
        name, colon, number = text.strip().lower().partition(":")
        kind = next((kind for kind in KINDS if kind == name.strip()), None)
        if kind is None or (kind == "quality") == bool(colon):
            raise ValueError(f"{_shown(text)} is not a policy; write {SPELLING}")
        if kind == "quality":
            return cls(kind)
        low, high = RANGES[kind]
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)):
            wanted = "a number from 0" + ("" if math.isinf(high) else f" to {high:g}")
            raise ValueError(f"{_shown(text)} needs {wanted} after `{kind}:`")
        return cls(kind, value)

    def __str__(self) -> str:
        return self.kind if self.kind == "quality" else f"{self.kind}:{self.value:g}"

    @property
    def saves(self) -> bool:
        """Whether cost counts."""
        return self.kind != "quality"

    def order(self, probability: Floats, cost: Floats, preferred: Order) -> Order:
        """Order the M models on offer, best first; those that fail the policy by probability.

        P(success) that is NaN ranks last; costs are in one unit and at least 0; `preferred` is the
        order in which those that tie are taken.
        """
        if self.kind in ("quality", "cascade"):
            return rank_with(probability, preferred)
        if self.kind == "balanced":
            return rank_with(balanced(probability, cost, self.value), preferred)
        likely = np.round(probability[preferred], DIGITS)
        allowed = self.allowed(probability)[preferred]
        price = np.where(allowed, cost[preferred], 0.0)
        return preferred[np.lexsort((-likely, price, ~allowed))]

    def allowed(self, probability: Floats) -> NDArray[np.bool_]:
        """Say which models are good enough for `cheapest` and `within`, shape (M,)."""
        likely = np.round(probability, DIGITS)
        if self.kind == "cheapest":
            return likely >= round(self.value, DIGITS)
        if self.kind == "within" and not np.isnan(likely).all():
            return likely >= np.round(np.nanmax(likely) - self.value, DIGITS)
        return np.ones(len(likely), dtype=bool)

    def explain(
        self,
        order: Order,
        probability: Floats,
        cost: Floats,
        preferred: Order,
        names: Sequence[str],
    ) -> str:
        """Say in one sentence why the first of `order` was picked; not for `quality`."""
        pick, best = int(order[0]), int(rank_with(probability, preferred)[0])
        likely = f"P = {probability[pick]:.2f}"
        saved = "" if pick == best else _saved(float(cost[pick]), float(cost[best]))
        n = int(self.allowed(probability).sum())
        if self.kind == "cascade":
            return f"asked first ({likely}){saved}; its answer decides whether another is asked"
        if self.kind == "balanced":
            why = f"most probable ({likely}), and no cheaper one pays at weight {self.value:g}"
            if pick != best:
                behind = 100 * (probability[best] - probability[pick])
                beside = f"{behind:.1f} points below {names[best]} ({likely}){saved}"
                why = f"{beside}, which pays at weight {self.value:g}"
            return why
        if self.kind == "cheapest":
            which = "the only model" if n == 1 else f"cheapest of {n} models"
            if n == 0:
                return f"no model has P >= {self.value:g}; the most probable ({likely})"
            return f"{which} with P >= {self.value:g} ({likely}){saved}"
        points = f"within {100 * self.value:g} points of {names[best]}"
        if pick == best:
            return f"no cheaper model is {points} ({likely})"
        return f"cheapest of {n} models {points} ({likely}){saved}"


QUALITY = Policy()


@dataclass(frozen=True)
class Terms:
    """What a decision has to respect besides the prompt and the models on offer."""

    policy: Policy = QUALITY
    note: str = ""  # why the policy is not the one that the request asked for; empty where it is
    # by model: what its deployments cost; others have the prices that the build knew
    prices: tuple[tuple[str, Prices], ...] = ()
    # length of the whole request's text; None where it is that of the prompt
    characters: int | None = None


PLAIN = Terms()


def balanced(probability: Floats | float, cost: Floats, weight: float) -> Floats:
    """P(success) - weight * cost / cost of the dearest model, shape (..., M)."""
    dearest = np.max(cost, axis=-1, keepdims=True)
    relative = np.divide(cost, dearest, out=np.zeros_like(cost), where=dearest > 0)
    scores: Floats = probability - weight * relative
    return scores


def _saved(cost: float, of: float) -> str:
    return f", saves {100 * (1 - cost / of):.0f} %" if of > cost else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
