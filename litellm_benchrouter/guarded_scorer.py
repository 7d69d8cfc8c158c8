"""Scores of the models on offer for one prompt by the guarded method, and when it holds back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact import Artifact
from litellm_benchrouter.core.benchmark import labels
from litellm_benchrouter.core.neighbors import Neighbors
from litellm_benchrouter.estimators import request
from litellm_benchrouter.estimators.guarded import FAR_PERCENTILE, Guarded
from litellm_benchrouter.estimators.request import GateVerdict, RequestEstimator

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]

_OFFERS = 256  # sets of models on offer whose gate is remembered


@dataclass(frozen=True)
class PromptScores:
    """What ranks the models for a prompt.

    Attributes
    ----------
    values : ndarray of float64, shape (M,)
        Of the models on offer.
    method, reason : str
        As in `Decision`.
    """

    values: Floats
    method: str
    reason: str


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
        self._offer: Callable[[tuple[int, ...]], tuple[RequestEstimator, GateVerdict]]
        self._offer = lru_cache(maxsize=_OFFERS)(self._make_offer)

    def score(
        self, vector: NDArray[np.float32], neighbors: Neighbors, columns: Columns
    ) -> PromptScores:
        """Score the models in `columns` for a prompt.

        Parameters
        ----------
        vector : ndarray of float32, shape (1, d)
        neighbors : Neighbors
            Of the prompt, `n_neighbors` of them where there are.
        columns : ndarray of int, shape (M,)

        Returns
        -------
        PromptScores
        """
        guarded = self._guarded
        estimator, gate = self._offer(tuple(columns.tolist()))
        distance = float(neighbors.distance.mean())
        if distance > guarded.far:
            reason = (
                f"the prompt is farther from the benchmark (mean distance {distance:.2f}) than "
                f"{FAR_PERCENTILE} % of its own samples"
            )
            return PromptScores(estimator.average, "bma", reason)
        if not gate.routes:
            reason = (
                f"routing among these models gains {100 * gate.gain:.2f} +/- "
                f"{100 * gate.standard_error:.2f} points on the benchmark: not significant"
            )
            return PromptScores(estimator.average, "bma", reason)
        rows = neighbors.index[0]
        near = labels(self._correctness[rows[:, None], columns])
        scores = estimator.predict(vector, near[None], self._task[rows][None])[0]
        best = int(np.argmax(scores))
        probability = guarded.calibration.column(int(columns[best]), float(scores[best]))
        reason = (
            f"right with probability {probability:.2f} by {len(rows)} neighbours at mean distance "
            f"{distance:.2f} (percentile {guarded.percentile(distance):.0f})"
        )
        return PromptScores(scores, "guarded", reason)

    def _make_offer(self, columns: tuple[int, ...]) -> tuple[RequestEstimator, GateVerdict]:
        """The estimator over the models on offer, and whether it gains over the best of them."""
        index = np.array(columns, dtype=np.intp)
        estimator = self._guarded.request.pool(index)
        gate = request.gate(
            np.asarray(self._guarded.left_out[:, index], dtype=np.float64),
            labels(self._correctness[:, index]),
            self._task,
            estimator.average,
        )
        return estimator, gate
