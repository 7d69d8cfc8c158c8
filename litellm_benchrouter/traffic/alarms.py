"""Alarms of drift: traffic unlike the labelled prompts, and answers worse than was predicted.

Both are one-sided CUSUMs (Page, 1954) over calls in the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

NEAREST = 5
THRESHOLD = 15.0
"""Of both alarms, in standard deviations."""
SIMILARITY_DRIFT, SUCCESS_DRIFT = 0.25, 0.15
REFERENCE = 200
"""Scored calls of a version whose mean shortfall is what is expected of the next."""
LATEST = 1_000
"""Calls among which the proxy and `benchrouter traffic` count alarms."""

ALERT = {"similarity": 3, "success": 6}
"""Alarms among these from which `doctor` warns and deploy/prometheus-alerts.yaml alerts."""


def cusum(shortfall: Sequence[float] | Floats, drift: float) -> dict[str, Any]:
    """Sum up by how much values fall short, less a drift that is allowed to each.

    The sum never falls below 0 and starts anew after each alarm; `at` is the position of the last,
    and `recent` counts those among the last `LATEST` values.
    """
    total, alarms, values = 0.0, list[int](), np.asarray(shortfall).tolist()
    for position, short in enumerate(values):
        total = max(0.0, total + short - drift)
        if total > THRESHOLD:
            alarms.append(position)
            total = 0.0
    return {
        "sum": total,
        "threshold": THRESHOLD,
        "alarms": len(alarms),
        "recent": sum(position >= len(values) - LATEST for position in alarms),
        "at": alarms[-1] if alarms else None,
    }


class Likeness:
    """How like one another the labelled prompts are, to compare others with.

    Parameters
    ----------
    labelled : ndarray of float32, shape (n, d), unit length
        More than 5.
    """

    def __init__(self, labelled: Vectors) -> None:
        near = labelled @ labelled.T
        np.fill_diagonal(near, -np.inf)
        own = _top_mean(near)
        self._labelled = labelled
        self._mean, self._deviation = float(own.mean()), max(float(own.std()), 1e-6)

    def shortfall(self, vectors: Vectors) -> Floats:
        """By how much less like the labelled prompts others are, in standard deviations.

        It is of the mean cosine similarity to the 5 nearest, of vectors (q, d); shape (q,).
        """
        short: Floats = (self._mean - _top_mean(vectors @ self._labelled.T)) / self._deviation
        return short


def similarity_alarm(labelled: Vectors, vectors: Vectors) -> dict[str, Any]:
    """Watch, prompt by prompt, whether traffic is still like the prompts that have labels.

    Parameters
    ----------
    labelled, vectors : ndarray of float32, shapes (n, d) and (q, d), unit length
        n is more than 5, and the others are in the order of time.
    """
    return cusum(Likeness(labelled).shortfall(vectors), SIMILARITY_DRIFT)


def success_alarm(score: Floats, expected: Floats) -> dict[str, Any] | None:
    """Watch whether answers are as good as was predicted of those who gave them.

    A benchmark's predictions may be too high or too low for all of the traffic: what is watched is
    the prediction less the score beyond its mean over the first `REFERENCE` calls, in their
    standard deviations. None while there are no more than these.

    Parameters
    ----------
    score, expected : ndarray of float64, shape (q,)
        In [0, 1], in the order of time, under one version.
    """
    short = expected - score
    if len(short) <= REFERENCE:
        return None
    first = short[:REFERENCE]
    return cusum((short[REFERENCE:] - first.mean()) / max(float(first.std()), 0.05), SUCCESS_DRIFT)


def _top_mean(similarity: NDArray[np.floating]) -> Floats:
    """Return the mean of the largest `NEAREST` of each row."""
    top: Floats = np.partition(similarity, -NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)
    return top
