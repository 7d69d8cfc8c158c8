"""`named_tasks.json`: what a version knows of each named task, and of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.few_labels import Posterior
from litellm_benchrouter.paper.scores import TaskChoice, TaskScores

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class TaskPosterior:
    """Posterior of the accuracy of all M models on the task."""

    prior: Floats  # what was expected before the labels, shape (M,)
    score: Floats  # shape (M,)
    covariance: Floats  # shape (M, M)
    needed: Ints  # as `labels_needed` returns it, shape (M, M)

    def better(self, than: int) -> Floats:
        """P(theta_m > theta_than) of every model, shape (M,); NaN of the model itself."""
        posterior = Posterior(self.score, self.covariance)
        better_than = [posterior.probability_better(m, than) for m in range(len(self.score))]
        better_than[than] = float("nan")
        return np.array(better_than)


@dataclass(frozen=True)
class LabelledTask:
    """Labels of a named task."""

    n_inputs: int  # inputs with a label of any model
    counts: Ints  # labels of each model, shape (M,)
    accuracy: Floats  # share of them that are right, shape (M,); NaN without labels
    # p(d', m) of eq. 3 measured on them, shape (M,); NaN where nothing predicted is labelled
    p: Floats
    posterior: TaskPosterior | None  # None with the method `paper`, which asks p alone


def to_json(
    scores: TaskScores,
    guarded: Floats | None,
    choice: TaskChoice,
    better: Floats,
    labelled: LabelledTask | None,
) -> dict[str, Any]:
    """Return the entry of one task; eq. 6's choice and P(better than BMA) are for people."""
    entry = {
        "n_inputs": scores.n_inputs,
        "u": None if np.isnan(scores.u) else scores.u,
        "s1": _values(scores.s1),
        "s2": _values(scores.s2),
        "s3": _values(scores.s3),
        "p": _values(scores.p),
        "guarded": None if guarded is None else _values(guarded),
        "ranking": choice.order.tolist(),
        "p_better": _values(better),
    }
    return entry if labelled is None else entry | {"labels": _labels_to_json(labelled)}


def from_json(
    document: dict[str, Any], n_models: int
) -> tuple[dict[str, TaskScores], dict[str, Floats], dict[str, LabelledTask]]:
    """Read the entries of all tasks: scores, scores by `guarded`, and labels.

    Raises AttributeError, KeyError, TypeError or ValueError where something is missing, of another
    kind, or of another number of models.
    """
    shape = (n_models,)
    named, guarded, labelled = {}, {}, {}
    for name, entry in document.items():
        named[name] = TaskScores(
            int(entry["n_inputs"]),
            float("nan") if entry["u"] is None else float(entry["u"]),
            *(_array(entry[key], shape) for key in ("s1", "s2", "s3", "p")),
        )
        if entry["guarded"] is not None:
            guarded[name] = _array(entry["guarded"], shape)
        if "labels" in entry:
            labelled[name] = _labels_from_json(entry["labels"], n_models)
    return named, guarded, labelled


def _labels_to_json(labelled: LabelledTask) -> dict[str, Any]:
    posterior = labelled.posterior
    return {
        "n_inputs": labelled.n_inputs,
        "counts": labelled.counts.tolist(),
        "accuracy": _values(labelled.accuracy),
        "p": _values(labelled.p),
        "posterior": None
        if posterior is None
        else {
            "prior": _values(posterior.prior),
            "score": _values(posterior.score),
            "covariance": [_values(row) for row in posterior.covariance],
            "needed": posterior.needed.tolist(),
        },
    }


def _labels_from_json(document: dict[str, Any], n_models: int) -> LabelledTask:
    posterior = document["posterior"]
    square = (n_models, n_models)
    return LabelledTask(
        int(document["n_inputs"]),
        _array(document["counts"], (n_models,)).astype(np.intp),
        _array(document["accuracy"], (n_models,)),
        _array(document["p"], (n_models,)),
        None
        if posterior is None
        else TaskPosterior(
            _finite(posterior["prior"], (n_models,)),
            _finite(posterior["score"], (n_models,)),
            _finite(posterior["covariance"], square),
            _finite(posterior["needed"], square).astype(np.intp),
        ),
    )


def _values(array: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in array]


def _array(values: object, shape: tuple[int, ...]) -> Floats:
    array = np.array(values, dtype=np.float64)  # null becomes NaN
    if array.shape != shape:
        raise ValueError(f"values of shape {array.shape} for {shape[0]} models")
    if np.isinf(array).any():
        raise ValueError("an infinite number")
    return array


def _finite(values: object, shape: tuple[int, ...]) -> Floats:
    array = _array(values, shape)
    if not np.isfinite(array).all():
        raise ValueError("a posterior that is not finite")
    return array
