"""When a conversation may leave its model: when the expected gain exceeds what the move costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from litellm_benchrouter.costs import Prices

WARM_SECONDS = 300.0
"""How long providers keep a prompt in their caches; after it, a move costs nothing more."""

USUAL_CACHED = 0.1
"""A cached token's price over an input token's where it is unknown: the median of LiteLLM's map."""


@dataclass(frozen=True)
class Move:
    """A conversation's model against the best of the others, for the next answer.

    Attributes
    ----------
    model : str
        The other model.
    points : float
        What it is expected to gain, in points of P(success).
    usd : float
        What its answer costs more than the conversation's model would, whose cache is warm.
    usd_per_point : float
        What the policy pays for a point.
    """

    model: str
    points: float
    usd: float
    usd_per_point: float

    @property
    def pays(self) -> bool:
        """Whether the gain is worth more than the move costs."""
        return self.points * self.usd_per_point > self.usd

    def __str__(self) -> str:
        gain = f"{self.model} would gain {self.points:.1f} points for ${self.usd:.2g} more"
        return f"{gain}, at ${self.usd_per_point:.2g} a point"


def best_move(
    anchor: str,
    probability: Mapping[str, float],
    cost: Mapping[str, float],
    prices: Mapping[str, Prices],
    *,
    weight: float,
    tokens: float,
    is_warm: bool,
) -> Move | None:
    """Return the best move from a conversation's model; None where prices are missing.

    Parameters
    ----------
    anchor : str
        The model that holds the conversation.
    probability : mapping of str to float
        P(success) of each model on offer.
    cost : mapping of str to float
        Expected USD of the request, all of it read at the input's price.
    prices : mapping of str to Prices
        USD per token.
    weight : float
        Of the policy `balanced:WEIGHT`, above 0.
    tokens : float
        Length of the context.
    is_warm : bool
        Whether the context is still in the cache of `anchor`.
    """
    dearest = max(cost.values(), default=0.0)
    if anchor not in prices or dearest <= 0:
        return None
    usd_per_point = dearest / (100 * weight)
    own = prices[anchor]
    cached = own.input * USUAL_CACHED if own.cached is None else own.cached
    stay = cost[anchor] - (tokens * max(own.input - cached, 0.0) if is_warm else 0.0)
    moves = []
    for model, price in prices.items():
        if model == anchor or model not in cost:
            continue
        written = price.input if price.written is None else price.written
        usd = cost[model] + tokens * max(written - price.input, 0.0) - stay
        points = 100 * (probability[model] - probability[anchor])
        moves.append(Move(model, points, usd, usd_per_point))
    return max(moves, key=lambda move: move.points * usd_per_point - move.usd, default=None)
