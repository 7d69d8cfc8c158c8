"""What a decision is made from: the models on offer, and how good each is expected to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.paper.benchmark import cost_ranks
from litellm_benchrouter.paper.scores import preference

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Offer:
    """Some of the models, and what every decision over them needs.

    Attributes
    ----------
    models : tuple of str
        Sorted by name.
    columns : ndarray of int, shape (M,)
        Their columns in the artifact.
    average : ndarray of float64, shape (M,)
    cost_ranks : list of (int, float)
    preferred : ndarray of int, shape (M,)
        The order in which those that tie are taken: positions in `models`.
    """

    models: tuple[str, ...]
    columns: Positions
    average: Floats
    cost_ranks: list[tuple[int, float]]
    preferred: Positions

    @classmethod
    def of(cls, artifact: Artifact, models: tuple[str, ...]) -> Offer:
        """Return what is on offer.

        Raises
        ------
        KeyError
            If a model is not in the artifact.
        ValueError
            If there is none.
        """
        if not models:
            raise ValueError("no model is on offer")
        columns = np.array([artifact.column[model] for model in models], dtype=np.intp)
        average = artifact.average[columns]
        ranks = cost_ranks([artifact.facts[m] for m in columns])
        return cls(models, columns, average, ranks, preference(average, ranks, models))


@dataclass(frozen=True)
class Scores:
    """How good each model on offer is expected to be.

    Attributes
    ----------
    values : ndarray of float64, shape (M,)
        Of the models on offer; NaN where nothing is known.
    method, reason : str
        As in `Decision`.
    order : ndarray of int, shape (M,), or None
        Best first, where it is not that of the values: eq. 6 may keep the best on average.
    kind : str
        As in `Decision`.
    """

    values: Floats
    method: str
    reason: str
    order: Positions | None = None
    kind: str = "routed"


@dataclass(frozen=True)
class LookUp:
    """How a prompt was compared with the benchmark; None where it was not.

    Attributes
    ----------
    embedder : str or None
    embed_seconds, distance : float or None
        As in `Decision`.
    """

    embedder: str | None = None
    embed_seconds: float | None = None
    distance: float | None = None


NONE = LookUp()
"""No prompt was compared."""


@dataclass(frozen=True)
class Estimate:
    """What a decision rests on.

    Attributes
    ----------
    quality : Scores
        They rank by quality.
    probability : Scores
        They are weighed against cost.
    """

    quality: Scores
    probability: Scores

    @classmethod
    def same(cls, scores: Scores) -> Estimate:
        """Return scores that serve for both."""
        return cls(scores, scores)

    @classmethod
    def by_average(cls, offer: Offer, reason: str, kind: str) -> Estimate:
        """Return the mean accuracy over the benchmark's tasks (BMA)."""
        return cls.same(Scores(offer.average, "bma", reason, kind=kind))
