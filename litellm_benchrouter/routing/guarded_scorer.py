"""Estimates of the models on offer for one prompt by the guarded method, and when it holds back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.guarded import request
from litellm_benchrouter.guarded.guarded import FAR_PERCENTILE, Guarded
from litellm_benchrouter.guarded.request import GateVerdict, RequestEstimator, capped
from litellm_benchrouter.paper.benchmark import CORRECT, MISSING, labels
from litellm_benchrouter.paper.scores import rank_with
from litellm_benchrouter.routing.estimate import Estimate, Offer, Scores
from litellm_benchrouter.routing.remember import remembered

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]

MOST_OFFERS = 256
"""Sets of models on offer whose gate is remembered."""


class GuardedScorer:
    """Estimates shrunk to the local mix of tasks, behind the gate and the distance guard.

    Parameters
    ----------
    artifact : Artifact
    guarded : Guarded
    """

    n_neighbors = request.K

    def __init__(self, artifact: Artifact, guarded: Guarded) -> None:
        self._artifact = artifact
        self._guarded = guarded
        # mapped still, without the cost of np.memmap's indexing
        self._correctness = np.asarray(artifact.correctness)
        self._task = np.asarray(artifact.task)
        self._fitted = artifact.fitted_rows
        self._offer: Callable[[tuple[int, ...]], tuple[RequestEstimator, GateVerdict]]
        self._offer = remembered(self._make_offer, MOST_OFFERS)

    def prepare(self, offer: Offer) -> None:
        """Do what the first estimate over some models would wait for."""
        self._offer(tuple(offer.columns.tolist()))

    def routes(self, offer: Offer) -> bool:
        """Say whether the gate is open over the models on offer."""
        return self._offer(tuple(offer.columns.tolist()))[1].routes

    def closed(self, offer: Offer) -> Estimate:
        """Return what every prompt gets where the gate is closed."""
        estimator, gate = self._offer(tuple(offer.columns.tolist()))
        return Estimate.same(_closed(gate, estimator))

    def estimate(
        self,
        vector: NDArray[np.float32],
        rows: NDArray[np.int64],
        distance: float,
        offer: Offer,
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
        offer : Offer
        weighed : bool
            Whether anything but quality counts: then the probabilities are worth their time.

        Returns
        -------
        Estimate
        """
        guarded, columns = self._guarded, offer.columns
        estimator, gate = self._offer(tuple(columns.tolist()))
        if distance > guarded.far:
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
        probability = Scores(scores, "guarded", grounds)
        if weighed:
            likely = guarded.calibration.columns(columns, scores)
            if not gate.routes:
                star = int(rank_with(estimator.average, offer.preferred)[0])
                likely = capped(likely, star)
            probability = Scores(likely, "guarded", grounds)
        if not gate.routes:
            return Estimate(_closed(gate, estimator), probability)
        best = int(scores.argmax())
        chance = guarded.calibration.column(int(columns[best]), float(scores[best]))
        reason = f"right with probability {chance:.2f} by {grounds}"
        return Estimate(Scores(scores, "guarded", reason), probability)

    def _make_offer(self, columns: tuple[int, ...]) -> tuple[RequestEstimator, GateVerdict]:
        """The estimator over the models on offer, and whether it gains over the best of them."""
        index = np.array(columns, dtype=np.intp)
        estimator = self._guarded.request.pool(index)
        gate = request.gate(
            np.asarray(self._guarded.left_out[:, index], dtype=np.float64),
            labels(self._correctness[self._fitted[:, None], index]),
            self._task[self._fitted],
            estimator.average,
        )
        return estimator, gate


def _closed(gate: GateVerdict, estimator: RequestEstimator) -> Scores:
    """What ranks the models where the gate is closed: their averages."""
    reason = (
        f"routing among these models gains {100 * gate.gain:.2f} +/- "
        f"{100 * gate.standard_error:.2f} points on the benchmark: not significant"
    )
    return Scores(estimator.average, "bma", reason, kind="gate")
