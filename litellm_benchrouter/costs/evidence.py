"""What a verifier's scores say of an answer: log likelihood ratios from labelled answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MOST_ATOMS = 8
EDGE = 1e-6
"""Probabilities stay this far from 0 and 1."""

_MASS = 10.0  # answers at the base rate that every step of a fit is drawn to
_SURE = 2.33  # standard errors above .5 that an area under the curve must be: one chance in 100
_SCALES = np.linspace(0.0, 1.0, 41)


@dataclass(frozen=True)
class Evidence:
    """What a verifier's scores say of an answer, as log likelihood ratios right to wrong.

    Attributes
    ----------
    scores, values : ndarray of float64
        Knots, both ascending, of the ratio of a score.
    atoms, right, wrong : ndarray of float64, at most 8 each
        Ratios, and the share of right and of wrong answers that gets each of them.
    """

    scores: Floats
    values: Floats
    atoms: Floats
    right: Floats
    wrong: Floats

    @classmethod
    def none(cls) -> Self:
        """Return what a verifier says that knows nothing."""
        return cls(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1), np.ones(1))

    @property
    def tells(self) -> bool:
        """Whether any score moves a probability."""
        return bool(np.any(self.atoms != 0.0))

    def of(self, score: float) -> float:
        """Return the log likelihood ratio of a score; 0 where it is not a number."""
        return float(self.of_each(np.array([score]))[0])

    def of_each(self, scores: Floats) -> Floats:
        """Return the log likelihood ratios of many scores, in their shape."""
        ratios = np.interp(scores, self.scores, self.values)
        return np.where(np.isnan(scores), 0.0, ratios)

    @classmethod
    def fit(cls, scores: Floats, is_right: Floats, probability: Floats | None = None) -> Self:
        """Learn from labelled answers: isotonic regression, drawn to the base rate.

        Where the area under the curve is not surely above one half nothing is learned.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)
            Higher is better; NaN where the verifier said nothing, which is no evidence.
        is_right : ndarray, shape (n,)
            0 or 1.
        probability : ndarray of float64, shape (n,), optional
            P(right) before the score was known. The ratios are scaled down to what the scores add
            to it; else they are taken to add to the base rate.
        """
        scores, is_right = np.asarray(scores, np.float64), np.asarray(is_right, np.float64)
        spoke = ~np.isnan(scores)
        s, y = scores[spoke], is_right[spoke]
        n, n_right = len(y), float(y.sum())
        if not _is_sure(area(s, y), n_right, n - n_right):
            return cls.none()
        base = n_right / n
        edges, first, size, hits = _steps(s, y)
        # Steps that hold few answers are drawn to the base rate, and may then be out of order.
        level = _pooled((hits + _MASS * base) / (size + _MASS), size + _MASS)
        if probability is not None:
            level = _scaled(level, base, first, y, probability[spoke])
        ratio = logit(level) - math.log(n_right / (n - n_right))
        knots, values = np.concatenate(edges), np.concatenate([ratio, ratio])
        order = np.lexsort((values, knots))
        silent = 1.0 - n / len(scores)
        atoms = _atoms(np.append(ratio, 0.0), np.append(size / len(scores), silent), base)
        return cls(knots[order], values[order], *atoms)

    def and_then(self, other: Evidence) -> Evidence:
        """Return the evidence of both, taken to be independent given right or wrong: atoms only."""
        atoms = np.add.outer(self.atoms, other.atoms).ravel()
        right, wrong = (
            np.outer(mine, its).ravel()
            for mine, its in ((self.right, other.right), (self.wrong, other.wrong))
        )
        return Evidence(np.zeros(1), np.zeros(1), *_merged(atoms, right, wrong))

    def as_dict(self) -> dict[str, list[float]]:
        """Return it as the manifest holds it."""
        return {name: [float(v) for v in value] for name, value in vars(self).items()}

    @classmethod
    def of_dict(cls, block: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned."""
        names = ("scores", "values", "atoms", "right", "wrong")
        return cls(*(np.array(block[name], dtype=np.float64) for name in names))


def combined(evidence: Iterable[Evidence]) -> Evidence:
    """Return the evidence of several verifiers, atoms only."""
    total = Evidence.none()
    for one in evidence:
        total = total.and_then(one)
    return total


def area(scores: Floats, is_right: Floats) -> float:
    """Return the area under the ROC curve, ties counted half; NaN with one kind of answer."""
    n_right = float(is_right.sum())
    n_wrong = len(is_right) - n_right
    if not n_right or not n_wrong:
        return math.nan
    _, inverse, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return float((rank @ is_right - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def _is_sure(auc: float, n_right: float, n_wrong: float) -> bool:
    if not n_right or not n_wrong:
        return False
    return auc - 0.5 > _SURE * math.sqrt((n_right + n_wrong + 1) / (12 * n_right * n_wrong))


def _steps(s: Floats, y: Floats) -> tuple[tuple[Floats, Floats], Ints, Floats, Floats]:
    """Isotonic regression: each step's ends, each answer's step, and answers and right ones."""
    unique, inverse = np.unique(s, return_inverse=True)
    size = np.bincount(inverse).astype(np.float64)
    level = _pooled(np.bincount(inverse, y) / size, size)
    start = np.flatnonzero(np.diff(level, prepend=-1.0) > 0)
    step = np.searchsorted(start, np.arange(len(unique)), side="right") - 1
    of = step[inverse]
    ends = np.append(start[1:], len(unique)) - 1
    size, hits = np.bincount(of).astype(np.float64), np.bincount(of, y).astype(np.float64)
    return (unique[start], unique[ends]), of, size, hits


def _pooled(level: Floats, weight: Floats) -> Floats:
    """Return the ascending values nearest to `level`: pool adjacent violators."""
    blocks: list[list[float]] = []
    for value, mass in zip(level.tolist(), weight.tolist(), strict=True):
        blocks.append([value, mass, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, mass2, n = blocks.pop()
            into = blocks[-1]
            into[0] = (into[0] * into[1] + last * mass2) / (into[1] + mass2)
            into[1] += mass2
            into[2] += n
    return np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks])


def _scaled(level: Floats, base: float, step: Ints, y: Floats, probability: Floats) -> Floats:
    """Scale the ratios so that with P(right) from before they fit best; never up."""
    ratio, before = logit(level) - float(logit(np.array(base))), logit(probability)
    sign = 2 * y - 1
    fits = [-np.logaddexp(0, -sign * (before + t * ratio[step])).sum() for t in _SCALES]
    scale = _SCALES[int(np.argmax(fits))]
    scaled: Floats = 1 / (1 + np.exp(-(logit(np.array(base)) + scale * ratio)))
    return scaled


def _atoms(ratio: Floats, mass: Floats, base: float) -> tuple[Floats, Floats, Floats]:
    """Return a distribution given right and wrong whose ratios are these, as near as can be."""
    wrong = mass / (base * np.exp(ratio) + 1 - base)
    right = wrong * np.exp(ratio)
    return _merged(ratio, right / right.sum(), wrong / wrong.sum())


def _merged(atoms: Floats, right: Floats, wrong: Floats) -> tuple[Floats, Floats, Floats]:
    """Merge neighbouring atoms into at most `MOST_ATOMS` of about equal mass."""
    order = np.argsort(atoms, kind="stable")
    right, wrong = right[order], wrong[order]
    there = right + wrong > 0
    right, wrong = right[there], wrong[there]
    mass = right + wrong
    bins = np.minimum((np.cumsum(mass) - mass / 2) / mass.sum() * MOST_ATOMS, MOST_ATOMS - 1)
    _, at = np.unique(bins.astype(int), return_inverse=True)
    right, wrong = (np.bincount(at, of).astype(np.float64) for of in (right, wrong))
    return np.log(right / wrong), right, wrong


def logit(p: Floats) -> Floats:
    p = np.clip(p, EDGE, 1 - EDGE)
    logit: Floats = np.log(p) - np.log1p(-p)
    return logit
