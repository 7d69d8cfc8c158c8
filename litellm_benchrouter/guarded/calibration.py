"""Calibrated probabilities: isotonic regression per model on leave-one-out scores, and the ECE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]

MIN_LABELS = 50
"""A model with fewer labels keeps the map of all models together."""


@dataclass(frozen=True)
class Calibration:
    """A monotone piecewise linear map for each model; serving needs `numpy.interp` alone.

    Attributes
    ----------
    scores, probabilities : tuple of ndarray of float64, one pair of equal length for each model
    """

    scores: tuple[Floats, ...]
    probabilities: tuple[Floats, ...]

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of shape (q, M) for raw scores of shape (q, M)."""
        columns = [
            np.interp(scores[:, m], x, p)
            for m, (x, p) in enumerate(zip(self.scores, self.probabilities, strict=True))
        ]
        return np.stack(columns, axis=1)

    def columns(self, models: NDArray[np.intp], scores: Floats) -> Floats:
        """Probabilities of some models for their raw scores of one request, same shape."""
        found = [self.column(int(m), float(s)) for m, s in zip(models, scores, strict=True)]
        return np.array(found)

    def column(self, model: int, score: float) -> float:
        """Probability of one model for one raw score."""
        return float(np.interp(score, self.scores[model], self.probabilities[model]))


def fit(scores: Floats, labels: Labels) -> Calibration:
    """Fit on held-out scores: leave-one-out, or of folds.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, M)
    labels : ndarray of float32, shape (n, M), NaN is missing
    """
    from sklearn.isotonic import IsotonicRegression  # build side only

    known = ~np.isnan(labels)

    def knots(x: Floats, y: Labels) -> tuple[Floats, Floats]:
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
        return (
            np.asarray(model.X_thresholds_, np.float64),
            np.asarray(model.y_thresholds_, np.float64),
        )

    shared = knots(scores[known], labels[known])
    maps = [
        knots(scores[known[:, m], m], labels[known[:, m], m])
        if known[:, m].sum() >= MIN_LABELS
        else shared
        for m in range(labels.shape[1])
    ]
    return Calibration(tuple(x for x, _ in maps), tuple(p for _, p in maps))


def cross_fitted(scores: Floats, labels: Labels, n_folds: int = 5, seed: int = 0) -> Floats:
    """Calibrated training rows, each by a map fitted without its fold; shape (n, M)."""
    fold = np.random.default_rng(seed).permutation(len(scores)) % n_folds
    out = np.empty_like(scores)
    for f in range(n_folds):
        out[fold == f] = fit(scores[fold != f], labels[fold != f])(scores[fold == f])
    return out


def expected_calibration_error(probabilities: Floats, labels: Labels, n_bins: int = 15) -> float:
    """ECE over equal-width bins of all known entries: sum_b |sum (p - y)| / n."""
    known = ~np.isnan(labels)
    p, y = probabilities[known], labels[known]
    index = np.minimum((p * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(index, p - y, minlength=n_bins)).sum() / max(len(p), 1))
