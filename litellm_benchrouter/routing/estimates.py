"""How good the models on offer are expected to be, and for one prompt by the guarded method."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.guarded.direct import DirectModel
from litellm_benchrouter.guarded.formulas import (
    FAR_PERCENTILE,
    GuardedModel,
    K,
    RequestEstimator,
    capped,
)
from litellm_benchrouter.guarded.gain import Gain, gate_verdict
from litellm_benchrouter.guarded.own_labels import serves
from litellm_benchrouter.guarded.traffic import TrafficModel
from litellm_benchrouter.paper.benchmark import CORRECT, MISSING, cost_ranks, labels
from litellm_benchrouter.paper.scores import preference, rank_with

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Candidates:
    """Some of the models, and what every decision over them needs."""

    models: tuple[str, ...]  # sorted by name
    columns: Positions  # theirs in the artifact, shape (M,)
    average: Floats
    cost_ranks: list[tuple[int, float]]
    preferred: Positions  # positions in `models` in the order in which those that tie are taken

    @classmethod
    def of(cls, artifact: Artifact, models: tuple[str, ...]) -> Candidates:
        """Return what is on offer; raise KeyError for an unknown model, ValueError for none."""
        if not models:
            raise ValueError("no model is on offer")
        columns = np.array([artifact.column[model] for model in models], dtype=np.intp)
        average = artifact.average[columns]
        ranks = cost_ranks([artifact.facts[m] for m in columns])
        return cls(models, columns, average, ranks, preference(average, ranks, models))


@dataclass(frozen=True)
class Scores:
    """How good each model on offer is expected to be."""

    values: Floats  # shape (M,); NaN where nothing is known
    method: str
    reason: str
    # best first, where it is not that of the values: eq. 6 may keep the best on average
    order: Positions | None = None
    kind: str = "routed"


@dataclass(frozen=True)
class LookUp:
    """How a prompt was compared with the benchmark, as in `Decision`; None where it was not."""

    embedder: str | None = None
    embed_seconds: float | None = None
    distance: float | None = None
    vector: NDArray[np.float32] | None = None


NONE = LookUp()
"""No prompt was compared."""


@dataclass(frozen=True)
class Estimate:
    """What a decision rests on."""

    quality: Scores  # ranks by quality
    probability: Scores  # is weighed against cost

    @classmethod
    def same(cls, scores: Scores) -> Estimate:
        """Return scores that serve for both."""
        return cls(scores, scores)

    @classmethod
    def by_average(cls, offer: Candidates, reason: str, kind: str) -> Estimate:
        """Return the mean accuracy over the benchmark's tasks (BMA)."""
        return cls.same(Scores(offer.average, "bma", reason, kind=kind))


T = TypeVar("T")


def cached_method(method: Callable[..., T], n_results: int) -> Callable[..., T]:
    """Return a bound method that remembers its latest results, to be kept as an attribute.

    `lru_cache` around a bound method would make a circle: a version that is replaced would hold its
    memory and its mapped files until the collector of cycles gets to it, which in a proxy can take
    long.
    """
    weak = WeakMethod(method)

    @lru_cache(maxsize=n_results)
    def ask(*arguments: Hashable) -> T:
        bound = weak()
        if bound is None:
            raise ReferenceError("the object of a cached_method method is gone")
        return bound(*arguments)

    return ask


Columns = NDArray[np.intp]


def by_s1(g: Floats, values_are: str, n: int, distance: float, offer: Candidates) -> Estimate:
    """S1 of a single input, which is its g over n neighbours (eqs. 1 and 7)."""
    if np.isnan(g).all():
        reason = f"the {n} nearest benchmark samples have no label of a model on offer"
        return Estimate.by_average(offer, reason, "no_evidence")
    # A model without a label nearby is expected to do as it does on average.
    values = np.where(np.isnan(g), offer.average, g)
    grounds = (
        f"mean {values_are} over the {n} nearest benchmark samples, at mean distance {distance:.2f}"
    )
    return Estimate(Scores(values, "s1", f"highest {grounds}"), Scores(values, "s1", grounds))


MOST_OFFERS = 256
"""Sets of models on offer whose gate is remembered."""


class GuardedScorer:
    """Estimates shrunk to the local mix of tasks, behind the gate and the distance guard."""

    n_neighbors = K

    def __init__(self, artifact: Artifact, guarded: GuardedModel) -> None:
        self._artifact = artifact
        self._guarded = guarded
        # mapped still, without the cost of np.memmap's indexing
        self._correctness = np.asarray(artifact.correctness)
        self._task = np.asarray(artifact.task)
        self._fitted = artifact.fitted_rows
        self._groups = np.asarray(artifact.groups)
        self._own, self._direct = artifact.own_labels, artifact.direct
        self._offer: Callable[[tuple[int, ...]], _Offer]
        self._offer = cached_method(self._make_offer, MOST_OFFERS)

    def prepare(self, offer: Candidates) -> None:
        """Do what the first estimate over some models would wait for."""
        self._offer(tuple(offer.columns.tolist()))

    def routes(self, offer: Candidates) -> bool:
        """Say whether the gate is open over the models on offer, or own traffic decides."""
        _, gate, traffic, direct = self._offer(tuple(offer.columns.tolist()))
        return gate.routes or traffic is not None or direct is not None

    def closed(self, offer: Candidates) -> Estimate:
        """Return what every prompt gets where the gate is closed."""
        estimator, gate, *_ = self._offer(tuple(offer.columns.tolist()))
        return Estimate.same(_closed(gate, estimator))

    def estimate(
        self,
        vector: NDArray[np.float32],
        rows: NDArray[np.int64],
        distance: float,
        offer: Candidates,
        *,
        weighed: bool,
    ) -> Estimate:
        """Estimate how good the models on offer are for a prompt.

        Parameters
        ----------
        vector : ndarray of float32, shape (d,)
        rows : ndarray of int64, shape (k,)
            The nearest samples, `n_neighbors` of them where there are.
        distance : float
            Their mean distance.
        weighed : bool
            Whether anything but quality counts: then the probabilities are worth their time.
        """
        guarded, columns = self._guarded, offer.columns
        estimator, gate, traffic, direct = self._offer(tuple(columns.tolist()))
        if distance > guarded.far and traffic is None and direct is None:
            reason = (
                f"the prompt is farther from the benchmark (mean distance {distance:.2f}) than "
                f"{FAR_PERCENTILE} % of its own samples"
            )
            return Estimate.same(Scores(estimator.average, "bma", reason, kind="far"))
        near = self._correctness[rows[:, None], columns]
        share = np.bincount(self._task[rows], minlength=len(estimator.task_bias)) / len(rows)
        scores = estimator.score(
            vector.astype(np.float64),
            (near == CORRECT).sum(axis=0),
            (near != MISSING).sum(axis=0),
            share,
        )
        grounds = (
            f"{len(rows)} neighbours at mean distance {distance:.2f} "
            f"(percentile {guarded.percentile(distance):.0f})"
        )
        if traffic is not None:
            told = traffic.estimate(vector, scores, guarded.percentile(distance), grounds)
            return told if direct is None else _with_feedback(told, direct, vector, offer, grounds)
        if direct is not None:
            told = Estimate.same(Scores(scores, "guarded", grounds))
            return _with_feedback(told, direct, vector, offer, grounds)
        probability = Scores(scores, "guarded", grounds)
        if weighed:
            likely = guarded.calibration.of_models(columns, scores)
            if not gate.routes:
                star = int(rank_with(estimator.average, offer.preferred)[0])
                likely = capped(likely, star)
            probability = Scores(likely, "guarded", grounds)
        if not gate.routes:
            return Estimate(_closed(gate, estimator), probability)
        best = int(scores.argmax())
        chance = guarded.calibration.of_model(int(columns[best]), float(scores[best]))
        reason = f"right with probability {chance:.2f} by {grounds}"
        return Estimate(Scores(scores, "guarded", reason), probability)

    def _make_offer(self, columns: tuple[int, ...]) -> _Offer:
        """The estimator over the models on offer, its gain over the best of them, own labels, and
        feedback on the estimate that decides.

        Own labels decide where they show no loss over these models.
        """
        index = np.array(columns, dtype=np.intp)
        estimator = self._guarded.request.pool(index)
        gate = gate_verdict(
            np.asarray(self._guarded.loo_scores[:, index], dtype=np.float64),
            labels(self._correctness[self._fitted[:, None], index]),
            self._task[self._fitted],
            estimator.average,
            self._groups[self._fitted],
        )
        own, best = self._own, int(estimator.average.argmax())
        traffic = direct = None
        if own is not None and serves(gain := own.gain(index, best, routes=gate.routes)):
            traffic = _Traffic(own.model.pool(index, best), gain, gate.routes)
        if self._direct is not None and bool(self._direct.on_labels) == (traffic is not None):
            direct = self._direct.pool(index)
        return estimator, gate, traffic, direct


@dataclass(frozen=True)
class _Traffic:
    """Own labels over the models on offer, and whether the benchmark's gate is open over them."""

    model: TrafficModel
    gain: Gain
    routes: bool

    def estimate(
        self, vector: NDArray[np.float32], predictor: Floats, percentile: float, grounds: str
    ) -> Estimate:
        """Estimate how good the models are for a prompt that the benchmark scores so."""
        model, queries, scores = self.model, vector[None], predictor[None]
        expected = model.predict(queries, scores)
        ranked = expected - model.caution
        if self.routes:
            ranked = model.blend(ranked, scores, np.array([percentile]))
        likely = np.clip(expected[0], 0.0, 1.0)
        reason = (
            f"right with probability {likely[int(ranked.argmax())]:.2f} by "
            f"{len(model.weights)} labelled prompts of own traffic and {grounds}"
        )
        return Estimate(Scores(ranked[0], "traffic", reason), Scores(likely, "traffic", reason))


_Offer = tuple[RequestEstimator, Gain, _Traffic | None, DirectModel | None]


def _with_feedback(
    told: Estimate,
    direct: DirectModel,
    vector: NDArray[np.float32],
    offer: Candidates,
    grounds: str,
) -> Estimate:
    """Add what feedback on explored requests says to an estimate."""
    added = direct.adjust(vector[None])[0]
    ranked = told.quality.values + added - direct.caution(int(offer.average.argmax()))
    likely = np.clip(told.probability.values + added, 0.0, 1.0)
    reason = (
        f"right with probability {likely[int(ranked.argmax())]:.2f} by "
        f"{direct.count.sum():.0f} scored answers to explored requests and {grounds}"
    )
    return Estimate(Scores(ranked, "feedback", reason), Scores(likely, "feedback", reason))


def _closed(gate: Gain, estimator: RequestEstimator) -> Scores:
    """What ranks the models where the gate is closed: their averages."""
    reason = (
        f"routing among these models gains {100 * gate.gain:.2f} points on the benchmark, at least "
        f"{100 * gate.lower:.2f}: that is not shown to be a gain"
    )
    return Scores(estimator.average, "bma", reason, kind="gate")
