"""Exploration: a small share of the requests is answered by a random one of the plausible models.

What is learned from feedback on the picks alone misleads, as they are picked where they are
expected to be good; what is learned from explored requests does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from litellm_benchrouter.conversation.ask import Ask, first_ask
from litellm_benchrouter.conversation.text import named_task, refuses_exploration
from litellm_benchrouter.costs.policy import Policy
from litellm_benchrouter.routing.decision import GIVEN_UP, Decision

NEAR = 0.2 + 1e-9
"""How much less than the pick a plausible model may be expected to succeed."""
MOST = 5
"""Plausible models, the best of them."""
DEARER = 2.0
"""How often the pick's expected cost a plausible model may cost, under a policy that saves."""

Draw = Callable[[], float]


class Explorer:
    """Draws the requests that are explored, and who answers them."""

    def __init__(self, share: float, draw: Draw = random.random) -> None:
        self._share, self._draw = share, draw

    def draws(
        self, turn: Ask | None, messages: object, request: Mapping[str, Any], *, is_sticky: bool
    ) -> bool:
        """Say whether a request is explored, as far as it is what a person asks and nobody objects.

        Of conversations that stay with their model it is the first turn alone.
        """
        if not self._share or self._draw() >= self._share:
            return False
        if turn is None or turn.kind != "ask" or not turn.text:
            return False
        if named_task(request) is not None or refuses_exploration(request):
            return False
        return not is_sticky or first_ask(messages, request) == turn.text

    def explored(self, decision: Decision, policy: Policy) -> Decision:
        """Put a random plausible model first; the decision as it is where the pick alone is one.

        The decision's `propensity` is the probability with which its model was to be picked, over
        all requests: of the pick also by those that are not explored.
        """
        models = plausible(decision, policy)
        if len(models) < 2:
            return decision
        pick = models[min(int(self._draw() * len(models)), len(models) - 1)]
        ranking = (pick, *(model for model in decision.ranking if model != pick))
        propensity = self._share / len(models)
        if pick == decision.pick:
            propensity += 1 - self._share
        reason = f"explored: one of {len(models)} plausible models at random; {decision.reason}"
        return replace(
            decision, ranking=ranking, kind="explored", reason=reason, propensity=propensity
        )


def plausible(decision: Decision, policy: Policy) -> list[str]:
    """Return the models that a decision might as well have picked, its pick first."""
    likely, pick = decision.probability or {}, decision.pick
    if decision.kind in GIVEN_UP or pick not in likely:
        return [pick]
    costs = decision.costs_usd or {}
    most = DEARER * costs[pick] if policy.saves and pick in costs else float("inf")
    # NaN, of which nothing is known, is never near.
    near = [
        model
        for model in decision.ranking[1:]
        if likely.get(model, 0.0) >= likely[pick] - NEAR and costs.get(model, 0.0) <= most
    ]
    return [pick, *near][:MOST]
