"""The predictors that candidates for new tasks are made of, as they are served."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import fit_ridge
from litellm_benchrouter.guarded.impute import TaskAccuracies, impute_labels
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.neighbors import Neighbors
from litellm_benchrouter.paper.scores import correctness_predictor, s1

Floats = NDArray[np.float64]

NEIGHBORS = 200
"""Neighbours of an input in the predictor knn200."""
_BLOCK = 256  # inputs whose neighbours' labels are gathered at once


class TaskPredictors:
    """The predictors of `unseen.CANDIDATES`, fitted on the whole benchmark.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, E)
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int32, shape (n,)
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        labels: NDArray[np.float32],
        task: NDArray[np.int32],
        n_tasks: int,
    ) -> None:
        cells = TaskAccuracies.of(labels, task, n_tasks)
        accuracy = cells.imputed()
        filled = impute_labels(labels, task, cells, accuracy)
        weight = 1.0 / np.maximum(np.bincount(task, minlength=n_tasks), 1)[task]
        self._ridge = {
            f"ridge{strength:g}": fit_ridge(vectors, filled, weight, strength)
            for strength in (0.1, 0.3)
        }
        self._filled = filled.astype(np.float32)
        self.average = accuracy.mean(axis=0)

    def predict(
        self, inputs: NDArray[np.float32], near: Neighbors, s3: Floats
    ) -> Mapping[str, Floats]:
        """Task means of every predictor, shape (M,) each.

        Parameters
        ----------
        inputs : ndarray of float32, shape (q, E)
        near : Neighbors
            Of the inputs in the benchmark, 200 of them where there are.
        s3 : ndarray of float64, shape (M,)
            With eq. 6, as `confident_s3` returns it.
        """
        blocks = [
            correctness_predictor(
                self._filled, near.rows(np.arange(i, min(i + _BLOCK, len(inputs))))
            )
            for i in range(0, len(inputs), _BLOCK)
        ]
        knn = s1(np.concatenate(blocks))
        by_candidate = {"knn200": np.where(np.isnan(knn), self.average, knn)}
        for name, (weights, bias) in self._ridge.items():
            by_candidate[name] = mean(inputs @ weights + bias)
        by_candidate["s3"] = s3
        return by_candidate
