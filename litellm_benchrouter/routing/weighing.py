"""The policy and the costs that turn estimates into a decision."""

from __future__ import annotations

from collections.abc import Callable

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.costs import CostModel, Lengths, Prices, cost_model
from litellm_benchrouter.costs.cascade import Cascade
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

OFFERS = 1024
"""Sets of models, and of their prices, that are remembered."""

_QUALITIES = 64  # of cascades
_TIE = 1e-12  # sums of the same labels in another order differ in the last bits

_OfModels = tuple[tuple[str, Prices], ...]


class Weighing:
    """The policy and the costs that turn estimates into a decision.

    `costs(models, prices)` is None where nothing covers all of the models, `cascade(quality)` where
    the version has no evidence of verifiers.
    """

    costs: Callable[[tuple[str, ...], _OfModels], CostModel | None]
    cascade: Callable[[float], Cascade | None]

    def __init__(self, artifact: Artifact) -> None:
        self._version = artifact.manifest.version
        self._facts = dict(zip(artifact.models, artifact.facts, strict=True))
        self._lengths = Lengths.of(artifact.facts)
        self.costs = cached_method(self._cost_model, OFFERS)
        self._cascade = artifact.manifest.cascade
        self.cascade = cached_method(self._make_cascade, _QUALITIES)

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
        policy, scores, note = terms.policy, estimate.quality, ""
        cascade = self.cascade(policy.value) if policy.kind == "cascade" else None
        if policy.kind == "cascade" and (cascade is None or costs is None or not costs.in_usd):
            missing = "labelled answers" if cascade is None else "costs in USD of all models"
            policy, cascade, note = QUALITY, None, f"no cascade without {missing}; "
        if policy.saves and costs is not None and expected is not None:
            scores = estimate.probability
            given = (scores.values, expected, offer.preferred)
            order = policy.order(*given) if cascade is None else cascade.order(*given, offer.models)
            why = policy.explain(order, scores.values, expected, offer.preferred, offer.models)
            reason = f"{why}; {costs.basis}; {scores.reason}"
        else:
            ready = scores.order
            order = rank_with(scores.values, offer.preferred) if ready is None else ready
            reason = note + scores.reason + _ties(scores, int(order[0]))
            if policy.saves:
                reason = f"nothing tells the costs of all models on offer; {reason}"
                policy = QUALITY
        return Decision(
            ranking=tuple([offer.models[m] for m in order.tolist()]),
            method=scores.method,
            reason=f"{terms.note}; {reason}" if terms.note else reason,
            task=task,
            scores=dict(zip(offer.models, scores.values.tolist(), strict=True)),
            probability=dict(zip(offer.models, estimate.probability.values.tolist(), strict=True)),
            artifact=self._version,
            kind=scores.kind,
            distance=look_up.distance,
            embed_seconds=look_up.embed_seconds,
            embedder=look_up.embedder,
            vector=look_up.vector,
            policy=str(policy),
            costs_usd=dict(zip(offer.models, expected.tolist(), strict=True))
            if expected is not None and costs is not None and costs.in_usd
            else None,
            cascade=cascade,
        )

    def _make_cascade(self, quality: float) -> Cascade | None:
        return None if self._cascade is None else Cascade.of(self._cascade.model_dump(), quality)

    def _cost_model(self, models: tuple[str, ...], prices: _OfModels) -> CostModel | None:
        return cost_model(self._facts, models, self._lengths, dict(prices))


def _ties(scores: Scores, best: int) -> str:
    if scores.method == "bma":
        return ""
    values = scores.values.tolist()
    tied = sum(abs(value - values[best]) <= _TIE for value in values)
    return f"; best on average of {tied} that tie" if tied > 1 else ""
