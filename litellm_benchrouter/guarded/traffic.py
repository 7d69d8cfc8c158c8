"""Own traffic: labels of a few unnamed, mixed prompts, with the benchmark as their prior.

`estimate_level` says how the models do on the traffic as a whole (steps 1 and 2 of
docs/traffic.md), `fit_traffic` adds how single prompts deviate (3 and 4): by the nearest own
labels, by a ridge regression on them, and by the benchmark's score S. A prompt that is like the
benchmark is decided by S as well (`TrafficModel.blend`, step 5).

Empirical Bayes: Efron and Morris (1973); stacking: Breiman (1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.formulas import centred, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.floating]
Vectors = NDArray[np.float32]
Ints = NDArray[np.integer]

HALF_LIFE = 200.0  # newer labelled prompts after which one counts half
K, MASS = 20, 20.0  # nearest own labels of a prompt, and labels that a prior is worth
CAUTION = 1.0  # standard deviations of the difference to BMA that are taken off
SCALES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the traffic's contrasts, in those of tasks
STACK, STACK_PENALTY = (0.3, 0.3, 0.5), 5.0  # weights of the deviations, and how firmly held

_ROUNDS = 8
_LEAST_NOISE, _LEAST_VARIANCE = 0.02, 1e-5
_RIDGE, _RIDGE_PER_LABEL = 1.0, 0.005


@dataclass(frozen=True)
class BenchmarkPrior:
    """What a benchmark expects of traffic without labels.

    Attributes
    ----------
    average, covariance : ndarray of float64, shapes (M,) and (M, M)
        L and Sigma.
    best : int
        The best model on average (BMA).
    """

    average: Floats
    covariance: Floats
    best: int

    @classmethod
    def of(cls, accuracy: Floats, size: Floats, average: Floats, best: int) -> BenchmarkPrior:
        """Learn it from accuracies of shape (D, M) on tasks of `size` samples, shape (D,)."""
        n_tasks, n_models = accuracy.shape
        contrasts = centred(accuracy - accuracy.mean(axis=0))
        sampling = (accuracy * (1 - accuracy) / np.maximum(size, 1)[:, None]).mean(axis=0)
        raw = contrasts.T @ contrasts / max(n_tasks - 1, 1)
        raw -= np.diag(sampling) * (1 - 1 / n_models)
        variance = max(float(np.trace(raw)) / n_models, 1e-4)
        symmetric = (np.eye(n_models) - 1 / n_models) * n_models / max(n_models - 1, 1)
        values, vectors = np.linalg.eigh(0.25 * (raw + raw.T) + 0.5 * variance * symmetric)
        covariance = (vectors * np.maximum(values, _LEAST_VARIANCE)) @ vectors.T
        return cls(np.asarray(average, dtype=np.float64), covariance, best)


@dataclass(frozen=True)
class Level:
    """How the models do on the traffic as a whole.

    Attributes
    ----------
    mean, theta, covariance : ndarray of float64, shapes (M,), (M,) and (M, M)
    difficulty, noise : ndarray of float64, shape (n,), and float
        alpha and s^2.
    best : int
        BMA.
    """

    mean: Floats
    theta: Floats
    covariance: Floats
    difficulty: Floats
    noise: float
    best: int


def spread(covariance: Floats, best: int) -> Floats:
    """Standard deviation of each model's difference to one of them, shape (M,)."""
    variance = np.diag(covariance)
    difference: Floats = variance + variance[best] - 2 * covariance[:, best]
    return np.maximum(difference, 1e-12) ** 0.5


def weights_by_age(time: Floats) -> Floats:
    """Weigh labelled prompts by how many are newer, shape (n,); NaN is a time that is not known.

    Where no time is known all count 1, else such prompts count as the oldest.
    """
    order = np.where(np.isnan(time), -np.inf, time)
    newer = len(time) - np.searchsorted(np.sort(order), order, side="right")
    weights: Floats = 0.5 ** (newer / HALF_LIFE)
    return weights


def estimate_level(labels: Labels, prior: BenchmarkPrior, weight: Floats | None = None) -> Level:
    """Estimate how the models do on the traffic (steps 1 and 2); parameters as of `fit_traffic`."""
    average, (n, n_models) = prior.average, labels.shape
    own = (np.ones(n) if weight is None else weight)[:, None]
    present, values = 1.0 - np.isnan(labels), np.nan_to_num(labels.astype(np.float64))
    count = (own * present).sum(axis=0)
    total = float(count.sum())
    theta, raw, shift, difficulty = average, average, 0.0, np.zeros(n)
    for _ in range(_ROUNDS if total else 0):
        difficulty = (values - present * theta).sum(axis=1) / (present.sum(axis=1) + 0.5)
        above = (own * (values - present * difficulty[:, None])).sum(axis=0)
        raw = above / np.maximum(count, 1e-9)
        shift = float(count @ (raw - average)) / total
        theta = (count * raw + MASS * (average + shift)) / (count + MASS)
    raw = np.where(count > 0, raw, average + shift)
    error = values - present * (difficulty[:, None] + theta)
    freedom = max(total - n_models - 0.5 * float(own.sum()), 10.0)
    noise = max(float((own * error**2).sum()) / freedom, _LEAST_NOISE)
    mu, covariance = _contrasts(raw - average, noise / np.maximum(count, 0.05), prior.covariance)
    mean = (average + shift + mu + theta) / 2
    return Level(mean, theta, covariance, difficulty, noise, prior.best)


def _contrasts(above: Floats, sampling: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Posterior mean (M,) and covariance (M, M): the mixture over `SCALES` of step 2."""
    n = len(above)
    basis = np.linalg.svd(np.eye(n) - 1 / n)[0][:, : n - 1]
    sigma, noise = basis.T @ prior @ basis, basis.T @ (sampling[:, None] * basis)
    seen, likelihood, means, covariances = basis.T @ above, [], [], []
    for scale in SCALES:
        factor = np.linalg.cholesky(scale * sigma + noise)
        z, root = np.linalg.solve(factor, seen), np.linalg.solve(factor, scale * sigma)
        log_density = -0.5 * float(z @ z) - float(np.log(np.diag(factor)).sum())
        likelihood.append(log_density - np.log(scale / 0.2) ** 2 / 8)
        means.append(root.T @ z)
        covariances.append(scale * sigma - root.T @ root)
    share = softmax(np.array(likelihood))
    mean = share @ np.array(means)
    apart = np.sqrt(share)[:, None] * (np.array(means) - mean)
    covariance = np.tensordot(share, np.array(covariances), 1) + apart.T @ apart
    return basis @ mean, basis @ covariance @ basis.T


@dataclass(frozen=True)
class TrafficModel:
    """What own labels say of single prompts: all that serving needs.

    Attributes
    ----------
    mean, covariance, best
        As in `Level`.
    stack : ndarray of float64, shape (3,)
        Weights of the deviations.
    vectors, weights : ndarray of float32 and float64, shapes (n, E) and (n,)
        Of the labelled prompts.
    residuals : ndarray of float64, shape (n, M)
        Weighted labels less their mean.
    centre, ridge : ndarray of float64, shapes (E,) and (E, M)
        The ridge deviation is ``(x - centre) @ ridge``.
    predicted : ndarray of float64, shape (M,)
        Mean contrast of S on the labelled prompts.
    """

    mean: Floats
    covariance: Floats
    stack: Floats
    vectors: Vectors
    weights: Floats
    residuals: Floats
    centre: Floats
    ridge: Floats
    predicted: Floats
    best: int

    @cached_property
    def caution(self) -> Floats:
        """By how much a model's score is below what is expected of it, shape (M,)."""
        return CAUTION * spread(self.covariance, self.best)

    def score(self, vectors: Vectors, predictor: Floats) -> Floats:
        """Score each model for prompts of vectors (q, E), from S of shape (q, M); shape (q, M)."""
        return self.predict(vectors, predictor) - self.caution

    def predict(self, vectors: Vectors, predictor: Floats) -> Floats:
        """Mean and deviations, as accuracy; parameters and shape as of `score`."""
        by_labels, ridge, benchmark = self.stack.tolist()
        index = nearest_columns(vectors @ self.vectors.T)
        count = self.weights[index].sum(axis=1)[:, None]
        expected: Floats = (
            self.mean
            + by_labels * self.residuals[index].sum(axis=1) / (count + MASS)
            + ridge * ((vectors - self.centre) @ self.ridge)
            + benchmark * (centred(predictor) - self.predicted)
        )
        return expected

    def blend(self, scores: Floats, predictor: Floats, percentile: Floats) -> Floats:
        """Let the benchmark decide as well, where its gate is open and a prompt is like it.

        ``(1 - h) contrast(score) + h contrast(S)``, h = clip((100 - percentile) / 50, 0, 1) 100 /
        (100 + n); the percentile, shape (q,), is that of the distance among the benchmark's own.
        """
        near = np.clip((100 - percentile) / 50, 0, 1)[:, None]
        share = near * 100 / (100 + float(self.weights.sum()))
        blended: Floats = (1 - share) * centred(scores) + share * centred(predictor)
        return blended

    def pool(self, models: Ints, best: int) -> TrafficModel:
        """Restrict it to some models (columns), the best on average of which is given."""
        rows = {name: getattr(self, name)[models] for name in ("mean", "predicted")}
        columns = {name: getattr(self, name)[:, models] for name in ("residuals", "ridge")}
        covariance = self.covariance[np.ix_(models, models)]
        return replace(self, covariance=covariance, best=best, **rows, **columns)


def fit_traffic(
    labels: Labels,
    vectors: Vectors,
    predictor: Floats,
    prior: BenchmarkPrior,
    weight: Floats | None = None,
    group: Ints | None = None,
) -> TrafficModel:
    """Fit on labelled prompts (steps 1 to 4).

    Parameters
    ----------
    labels, predictor : ndarray of float, shape (n, M)
        Scores in [0, 1], of which NaN is missing, and S.
    vectors : ndarray of float32, shape (n, E), unit length
    weight : ndarray of float64, shape (n,), optional
        As `weights_by_age` returns them.
    group : ndarray of int, shape (n,), optional
        Prompts of one group say nothing of one another; default: there are none.
    """
    own = np.ones(len(labels)) if weight is None else weight
    group = np.arange(len(labels)) if group is None else group
    level, present = estimate_level(labels, prior, own), ~np.isnan(labels)
    filled = np.where(present, labels, np.clip(level.difficulty[:, None] + level.theta, 0, 1))
    contrasts, total = centred(predictor), max(float(own.sum()), 1e-12)
    mean, predicted = own @ filled / total, own @ contrasts / total
    same = group[:, None] == group
    stack, centre = np.zeros(3), np.zeros(vectors.shape[1])
    ridge = np.zeros((len(centre), len(mean)))
    if not same.all():  # else nothing tells one prompt from another
        rest = (own.sum() - same @ own)[:, None]
        without = (own @ filled - same @ (own[:, None] * filled)) / rest
        index = nearest_columns(np.where(same, -np.inf, vectors @ vectors.T))
        near = own[index] * ~np.take_along_axis(same, index, axis=1)
        above = filled[index] - without[:, None]
        by_labels = np.einsum("nk,nkm->nm", near, above) / (near.sum(axis=1)[:, None] + MASS)
        centre, ridge, by_ridge = _fit_ridge(vectors, filled - mean, own, group)
        parts = [by_labels, by_ridge, contrasts - predicted]
        stack = _fit_stack(parts, filled - without, present, own)
    return TrafficModel(
        *(level.mean, level.covariance, stack, vectors, own, own[:, None] * (filled - mean)),
        *(centre, ridge, predicted, prior.best),
    )


def nearest_columns(similarity: NDArray[np.floating]) -> NDArray[np.intp]:
    """Columns of the `K` highest values of each row, in no order; all where there are fewer."""
    if similarity.shape[1] <= K:
        return np.tile(np.arange(similarity.shape[1]), (len(similarity), 1))
    return np.argpartition(-similarity, K - 1, axis=1)[:, :K]


def _fit_ridge(
    vectors: Vectors, deviation: Floats, weight: Floats, group: Ints
) -> tuple[Floats, Floats, Floats]:
    """Centre (E,), coefficients (E, M), and what is predicted of each row without its group."""
    root, total = np.sqrt(weight)[:, None], float(weight.sum())
    centre = weight @ vectors / total
    left, size, right = np.linalg.svd(root * (vectors - centre), full_matrices=False)
    shrinkage = size**2 / (size**2 + _RIDGE + _RIDGE_PER_LABEL * total)
    told = left.T @ (root * deviation)
    coefficients = (right.T * (shrinkage / np.maximum(size, 1e-12))) @ told
    error = root * deviation - left @ (shrinkage[:, None] * told)
    hat = left**2 @ shrinkage + weight / total
    without = error / (1 - hat)[:, None]
    _, number, members = np.unique(group, return_inverse=True, return_counts=True)
    for several in np.flatnonzero(members > 1):
        rows = np.flatnonzero(number == several)
        block = (left[rows] * shrinkage) @ left[rows].T + root[rows] @ root[rows].T / total
        without[rows] = np.linalg.solve(np.eye(len(rows)) - block, error[rows])
    return centre, coefficients, deviation - without / root


def _fit_stack(
    parts: Sequence[Floats], target: Floats, present: NDArray[np.bool_], weight: Floats
) -> Floats:
    """Non-negative weights of the deviations, on contrasts of the labels that are known."""
    from scipy.optimize import nnls  # build side only

    count, held = np.maximum(present.sum(axis=1, keepdims=True), 1), np.sqrt(STACK_PENALTY)

    def contrast(values: Floats) -> Floats:
        middle = np.where(present, values, 0.0).sum(axis=1, keepdims=True) / count
        contrasts: Floats = (np.sqrt(weight)[:, None] * (values - middle))[present]
        return contrasts

    design = np.vstack([np.stack([contrast(p) for p in parts], axis=1), held * np.eye(len(parts))])
    solution: Floats = nnls(design, np.concatenate([contrast(target), held * np.array(STACK)]))[0]
    return solution
