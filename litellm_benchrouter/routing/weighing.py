"""From what is expected of the models on offer to a decision: the policy weighs it against cost."""

from __future__ import annotations

from collections.abc import Callable

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.costs import CostModel, Lengths, Prices, cost_model
from litellm_benchrouter.costs.policy import QUALITY, Terms
from litellm_benchrouter.paper.scores import rank_with
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.estimates import (
    NONE,
    Candidates,
    Estimate,
    LookUp,
    Scores,
    cached_method,
)

_TIE = 1e-12  # sums of the same labels in another order differ in the last bits
_KEPT = 1024  # sets of models on offer and of their prices

_OfModels = tuple[tuple[str, Prices], ...]


class Weighing:
    """Knows what the models of an artifact cost.

    Parameters
    ----------
    artifact : Artifact

    Attributes
    ----------
    costs : callable
        (models, prices) -> CostModel, or None where nothing covers all of the models.
    """

    costs: Callable[[tuple[str, ...], _OfModels], CostModel | None]

    def __init__(self, artifact: Artifact) -> None:
        self._version = artifact.manifest.version
        self._facts = dict(zip(artifact.models, artifact.facts, strict=True))
        self._lengths = Lengths.of(artifact.facts)
        self.costs = cached_method(self._cost_model, _KEPT)

    def decide(
        self,
        offer: Candidates,
        estimate: Estimate,
        terms: Terms,
        task: str | None = None,
        look_up: LookUp = NONE,
    ) -> Decision:
        """Weigh what is expected against what it costs."""
        costs = self.costs(offer.models, terms.prices)
        expected = None if costs is None else costs.of(terms.characters or 0)
        policy, scores = terms.policy, estimate.quality
        if policy.saves and costs is not None and expected is not None:
            scores = estimate.probability
            order = policy.order(scores.values, expected, offer.preferred)
            why = policy.explain(order, scores.values, expected, offer.preferred, offer.models)
            reason = f"{why}; {costs.basis}; {scores.reason}"
        else:
            ready = scores.order
            order = rank_with(scores.values, offer.preferred) if ready is None else ready
            reason = scores.reason + _ties(scores, int(order[0]))
            if policy.saves:
                reason = f"nothing tells the costs of all models on offer; {reason}"
                policy = QUALITY
        return Decision(
            ranking=tuple([offer.models[m] for m in order.tolist()]),
            method=scores.method,
            reason=f"{terms.note}; {reason}" if terms.note else reason,
            task=task,
            scores=dict(zip(offer.models, scores.values.tolist(), strict=True)),
            artifact=self._version,
            kind=scores.kind,
            distance=look_up.distance,
            embed_seconds=look_up.embed_seconds,
            embedder=look_up.embedder,
            policy=str(policy),
            costs_usd=dict(zip(offer.models, expected.tolist(), strict=True))
            if expected is not None and costs is not None and costs.in_usd
            else None,
        )

    def _cost_model(self, models: tuple[str, ...], prices: _OfModels) -> CostModel | None:
        return cost_model(self._facts, models, self._lengths, dict(prices))


def _ties(scores: Scores, best: int) -> str:
    if scores.method == "bma":
        return ""
    values = scores.values.tolist()
    tied = sum(abs(value - values[best]) <= _TIE for value in values)
    return f"; best on average of {tied} that tie" if tied > 1 else ""
