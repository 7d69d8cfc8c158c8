"""What labels of a named task's inputs say, as the artifact keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.few_labels import Posterior

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class TaskPosterior:
    """Posterior of every model's accuracy on the task.

    Attributes
    ----------
    prior : ndarray of float64, shape (M,)
        What was expected before the labels.
    score : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
    needed : ndarray of int, shape (M, M)
        As `labels_needed` returns it.
    """

    prior: Floats
    score: Floats
    covariance: Floats
    needed: Ints

    def better(self, than: int) -> Floats:
        """P(theta_m > theta_than) of every model, shape (M,); NaN of the model itself."""
        posterior = Posterior(self.score, self.covariance)
        found = [posterior.probability_better(m, than) for m in range(len(self.score))]
        found[than] = float("nan")
        return np.array(found)


@dataclass(frozen=True)
class LabelledTask:
    """Labels of a named task.

    Attributes
    ----------
    n_inputs : int
        Inputs with a label of any model.
    counts : ndarray of int, shape (M,)
        Labels of each model.
    accuracy : ndarray of float64, shape (M,)
        Share of them that are right; NaN without labels.
    p : ndarray of float64, shape (M,)
        p(d', m) of eq. 3, measured on them; NaN where nothing was predicted and labelled.
    posterior : TaskPosterior or None
        None with the method `paper`, which asks p alone.
    """

    n_inputs: int
    counts: Ints
    accuracy: Floats
    p: Floats
    posterior: TaskPosterior | None
