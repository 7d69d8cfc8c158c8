"""Own traffic: a few labels of unnamed, mixed prompts, with the benchmark as their prior.

1. Level: with alpha_i the difficulty of prompt i, n_m labels of model m and L the benchmark's
   averages, in eight rounds::

       alpha_i = sum_m (y_im - theta_m) / (count_i + .5)
       raw_m   = mean_i (y_im - alpha_i),  l = mean of raw - L, weighted by n_m
       theta_m = (n_m raw_m + 20 (L_m + l)) / (n_m + 20)

2. Posterior of the contrasts between models: Sigma is the covariance of the benchmark's task
   accuracies less sampling noise, half of it drawn to compound symmetry, s^2 the pooled variance of
   the residuals. V = a Sigma + diag(s^2 / n_m) for each a of `SCALES`, weighted by
   N(raw - L; 0, V) exp(-ln^2(a / .2) / 8); the mixture has mean mu and covariance C, and
   mean = (mu + theta) / 2.
3. Deviations of single prompts from the mean: the nearest own labels, a ridge regression on own
   labels, and the benchmark's own score S, weighted by non-negative least squares on contrasts of
   values without the prompt's own group, drawn to .3, .3 and .5.
4. score = mean - sd(difference to BMA) + the weighted deviations.
5. A prompt like the benchmark is decided by S as well: `TrafficModel.blend`.

Labels lose half of their weight for every `HALF_LIFE` that came after them. The pieces are old:
empirical Bayes (Efron and Morris 1973), stacking (Breiman 1996), closed-form leave-one-out
residuals (Allen 1974), racing (Maron and Moore 1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.formulas import centred

Floats = NDArray[np.float64]
Labels = NDArray[np.floating]
Vectors = NDArray[np.float32]
Ints = NDArray[np.integer]

HALF_LIFE = 200.0
"""Newer labels after which a label counts half."""
K = 20
"""Nearest own labels of a prompt."""
MASS = 20.0
"""Labels that a prior is worth: of a model's level, and of the nearest labels."""
CAUTION = 1.0
"""Standard deviations of the difference to BMA that are taken off a model's mean."""
SCALES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Variances of the traffic's contrasts, as multiples of those of the benchmark's tasks."""
STACK, STACK_PENALTY = (0.3, 0.3, 0.5), 5.0
"""Weights of the deviations before any label, and how firmly they are held."""
BATCH, FEWEST_ASKED = 10, 3
"""Prompts asked before models are dropped, and models that are always asked."""
CLOSE, PLAUSIBLE, DRAWS = 0.03, 0.1, 400
"""A model is asked on if it is `CLOSE` to the best in more than a share of posterior draws."""

_ROUNDS = 8
_LEAST_NOISE = 0.02
_LEAST_VARIANCE = 1e-5
_FIRST_PENALTY, _PENALTY = 1.0, 0.005  # of the ridge, and what each label adds


@dataclass(frozen=True)
class BenchmarkPrior:
    """What a benchmark expects of traffic that nobody has labelled.

    Attributes
    ----------
    average : ndarray of float64, shape (M,)
        L: mean accuracy over tasks.
    covariance : ndarray of float64, shape (M, M)
        Sigma: of the models' contrasts over tasks.
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

    def pool(self, models: Ints) -> BenchmarkPrior:
        """Restrict it to some models; where BMA is not one of them, their best average is BMA."""
        average, own = self.average[models], np.flatnonzero(models == self.best)
        best = int(own[0]) if len(own) else int(average.argmax())
        return BenchmarkPrior(average, self.covariance[np.ix_(models, models)], best)


@dataclass(frozen=True)
class Level:
    """How the models do on the traffic as a whole.

    Attributes
    ----------
    mean : ndarray of float64, shape (M,)
        Accuracy: (mu + theta) / 2.
    covariance : ndarray of float64, shape (M, M)
        C: of the contrasts.
    difficulty : ndarray of float64, shape (n,)
        alpha.
    theta : ndarray of float64, shape (M,)
    noise : float
        s^2.
    best : int
        BMA.
    """

    mean: Floats
    covariance: Floats
    difficulty: Floats
    theta: Floats
    noise: float
    best: int

    @property
    def spread(self) -> Floats:
        """Standard deviation of each model's difference to BMA, shape (M,)."""
        variance = np.diag(self.covariance)
        difference = variance + variance[self.best] - 2 * self.covariance[:, self.best]
        return np.sqrt(np.maximum(difference, 1e-12))


def ages_to_weights(time: Floats | None, n: int) -> Floats:
    """Weigh n labelled prompts by how many are newer; without times all count 1.

    Parameters
    ----------
    time : ndarray of float64, shape (n,), or None
        NaN is not known: such prompts count as the oldest.
    """
    if time is None or np.isnan(time).all():
        return np.ones(n)
    known = np.sort(np.where(np.isnan(time), -np.inf, time))
    newer = n - np.searchsorted(known, np.where(np.isnan(time), -np.inf, time), side="right")
    weights: Floats = 0.5 ** (newer / HALF_LIFE)
    return weights


def estimate_level(labels: Labels, prior: BenchmarkPrior, weight: Floats | None = None) -> Level:
    """Estimate how the models do on the traffic (steps 1 and 2).

    Parameters
    ----------
    labels : ndarray of float, shape (n, M)
        Scores in [0, 1]; NaN is missing.
    weight : ndarray of float64, shape (n,), optional
        Of each prompt, at most 1.
    """
    known, average = ~np.isnan(labels), prior.average
    n, n_models = labels.shape
    own = np.ones(n) if weight is None else weight
    present = known.astype(np.float64)
    weighted = present * own[:, None]
    values = np.where(known, labels, 0.0)
    count, total = weighted.sum(axis=0), max(float(weighted.sum()), 1e-9)
    theta, raw, shift = average, average, 0.0
    difficulty = np.zeros(n)
    for _ in range(_ROUNDS if n else 0):
        difficulty = (values - present * theta).sum(axis=1) / (present.sum(axis=1) + 0.5)
        excess = (own[:, None] * (values - present * difficulty[:, None])).sum(axis=0)
        raw = np.where(count > 0, excess / np.maximum(count, 1e-9), 0.0)
        shift = float(count @ (raw - average)) / total
        theta = (count * raw + MASS * (average + shift)) / (count + MASS)
    raw = np.where(count > 0, raw, average + shift)
    error = np.where(known, values - difficulty[:, None] - theta, 0.0)
    freedom = max(total - n_models - 0.5 * float(own.sum()), 10.0)
    noise = max(float((own[:, None] * error**2).sum()) / freedom, _LEAST_NOISE)
    contrasts, covariance = _posterior(raw - average, noise / np.maximum(count, 0.05), prior)
    mean = (average + shift + contrasts + theta) / 2
    return Level(mean, covariance, difficulty, theta, noise, prior.best)


def _posterior(excess: Floats, sampling: Floats, prior: BenchmarkPrior) -> tuple[Floats, Floats]:
    """Mean (M,) and covariance (M, M) of the contrasts: a mixture over `SCALES` (step 2)."""
    n_models = len(excess)
    if n_models == 1:
        return np.zeros(1), np.zeros((1, 1))
    basis = np.linalg.svd(np.eye(n_models) - 1 / n_models)[0][:, : n_models - 1]
    sigma, noise = basis.T @ prior.covariance @ basis, basis.T @ (sampling[:, None] * basis)
    seen = basis.T @ excess
    likelihood, means, covariances = [], [], []
    for scale in SCALES:
        factor = np.linalg.cholesky(scale * sigma + noise)
        z = np.linalg.solve(factor, np.column_stack([seen, scale * sigma]))
        likelihood.append(
            -0.5 * float(z[:, 0] @ z[:, 0])
            - float(np.log(np.diag(factor)).sum())
            - np.log(scale / 0.2) ** 2 / 8
        )
        means.append(z[:, 1:].T @ z[:, 0])
        covariances.append(scale * sigma - z[:, 1:].T @ z[:, 1:])
    share = np.exp(np.array(likelihood) - max(likelihood))
    share /= share.sum()
    mean = share @ np.array(means)
    apart = np.array(means) - mean
    covariance = np.tensordot(share, np.array(covariances), 1) + (share[:, None] * apart).T @ apart
    return basis @ mean, basis @ covariance @ basis.T


@dataclass(frozen=True)
class TrafficModel:
    """What own labels say of single prompts, and all that serving needs of it.

    Attributes
    ----------
    base : ndarray of float64, shape (M,)
        mean - `CAUTION` spread (steps 1, 2 and 4).
    stack : ndarray of float64, shape (3,)
        Weights of the deviations by nearest labels, ridge and the benchmark's score.
    vectors : ndarray of float32, shape (n, E)
        Of the labelled prompts; unit length.
    residuals : ndarray of float64, shape (n, M)
        Weighted labels less their mean.
    weights : ndarray of float64, shape (n,)
    centre, ridge : ndarray of float64, shapes (E,) and (E, M)
        The ridge deviation is ``(x - centre) @ ridge``.
    predicted : ndarray of float64, shape (M,)
        Mean contrast of the benchmark's score on the labelled prompts.
    """

    base: Floats
    stack: Floats
    vectors: Vectors
    residuals: Floats
    weights: Floats
    centre: Floats
    ridge: Floats
    predicted: Floats

    def score(self, vectors: Vectors, predictor: Floats) -> Floats:
        """Score each model, shape (q, M).

        Parameters
        ----------
        vectors : ndarray of float32, shape (q, E)
            Unit length.
        predictor : ndarray of float64, shape (q, M)
            S: the benchmark's score of each model.
        """
        near, ridge, benchmark = self.stack.tolist()
        scores = self.base + benchmark * (centred(predictor) - self.predicted)
        if near and len(self.vectors):
            index = nearest_of(vectors @ self.vectors.T, K)
            count = self.weights[index].sum(axis=1)[:, None]
            scores = scores + near * self.residuals[index].sum(axis=1) / (count + MASS)
        if ridge:
            scores = scores + ridge * ((vectors - self.centre) @ self.ridge)
        return scores

    def blend(self, scores: Floats, predictor: Floats, percentile: Floats) -> Floats:
        """Let the benchmark decide as well where its gate is open and the prompt is like it.

        ``(1 - h) contrast(score) + h contrast(S)`` with
        ``h = clip((100 - percentile) / 50, 0, 1) 100 / (100 + n)`` (step 5).

        Parameters
        ----------
        scores, predictor : ndarray of float64, shape (q, M)
        percentile : ndarray of float64, shape (q,)
            Of the prompt's distance among the benchmark's own, from 0 to 100.
        """
        like = np.clip((100 - percentile) / 50, 0, 1) * 100 / (100 + float(self.weights.sum()))
        share = like[:, None]
        blended: Floats = (1 - share) * centred(scores) + share * centred(predictor)
        return blended

    def pool(self, models: Ints) -> TrafficModel:
        """Restrict the model to some models (columns)."""
        return replace(
            self,
            base=self.base[models],
            residuals=self.residuals[:, models],
            ridge=self.ridge[:, models],
            predicted=self.predicted[models],
        )


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
    labels : ndarray of float, shape (n, M)
        Scores in [0, 1]; NaN is missing.
    vectors : ndarray of float32, shape (n, E)
        Unit length.
    predictor : ndarray of float64, shape (n, M)
        S: the benchmark's score of each model.
    weight : ndarray of float64, shape (n,), optional
        As `ages_to_weights` returns them.
    group : ndarray of int, shape (n,), optional
        Prompts of one group say nothing of one another; default: each is its own.
    """
    asked = ~np.isnan(labels).all(axis=1)
    own = np.ones(len(labels)) if weight is None else weight
    labels, vectors, predictor, own = labels[asked], vectors[asked], predictor[asked], own[asked]
    group = np.arange(len(labels)) if group is None else group[asked]
    level = estimate_level(labels, prior, own)
    filled = np.where(
        np.isnan(labels), np.clip(level.difficulty[:, None] + level.theta, 0, 1), labels
    )
    base = level.mean - CAUTION * level.spread
    n_models = len(base)
    if len(np.unique(group)) < 2:  # nothing tells one prompt from another
        zeros = np.zeros((vectors.shape[1], n_models))
        return TrafficModel(
            *(base, np.zeros(3), vectors, np.zeros(labels.shape), own),
            *(zeros[:, 0], zeros, np.zeros(n_models)),
        )
    mean = own @ filled / own.sum()
    same = group[:, None] == group
    rest = np.maximum(own.sum() - same @ own, 1e-12)
    without = (own @ filled - same @ (own[:, None] * filled)) / rest[:, None]
    index = nearest_of(np.where(same, -np.inf, vectors @ vectors.T), K)
    near = own[index] * ~np.take_along_axis(same, index, axis=1)
    count = near.sum(axis=1)[:, None]
    by_labels = (np.einsum("nk,nkm->nm", near, filled[index]) - count * without) / (count + MASS)
    centre, ridge, by_ridge = _fit_ridge(vectors, filled - mean, own, group)
    contrasts = centred(predictor)
    predicted = own @ contrasts / own.sum()
    parts = np.stack([by_labels, by_ridge, contrasts - predicted])
    stack = _fit_stack(parts, filled - without, ~np.isnan(labels), own)
    residuals = own[:, None] * (filled - mean)
    return TrafficModel(base, stack, vectors, residuals, own, centre, ridge, predicted)


def nearest_of(similarity: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Columns of the k highest values of each row, in no order; all where there are fewer."""
    if similarity.shape[1] <= k:
        return np.tile(np.arange(similarity.shape[1]), (len(similarity), 1))
    return np.argpartition(-similarity, k - 1, axis=1)[:, :k]


def _fit_ridge(
    vectors: Vectors, deviation: Floats, weight: Floats, group: Ints
) -> tuple[Floats, Floats, Floats]:
    """Centre (E,), coefficients (E, M), and the deviations predicted without the own group."""
    root = np.sqrt(weight)[:, None]
    centre = weight @ vectors / weight.sum()
    left, size, right = np.linalg.svd(root * (vectors - centre), full_matrices=False)
    penalty = _FIRST_PENALTY + _PENALTY * float(weight.sum())
    kept = size**2 / (size**2 + penalty)
    told = left.T @ (root * deviation)
    coefficients = (right.T * (size / (size**2 + penalty))) @ told
    error = root * deviation - left @ (kept[:, None] * told)
    hat = (left**2) @ kept + weight / weight.sum()
    error_without = error / (1 - hat)[:, None]
    _, number, members = np.unique(group, return_inverse=True, return_counts=True)
    for g in np.flatnonzero(members > 1):
        rows = np.flatnonzero(number == g)
        block = (left[rows] * kept) @ left[rows].T + root[rows] @ root[rows].T / weight.sum()
        error_without[rows] = np.linalg.solve(np.eye(len(rows)) - block, error[rows])
    return centre, coefficients, deviation - error_without / root


def _fit_stack(parts: Floats, target: Floats, known: NDArray[np.bool_], weight: Floats) -> Floats:
    """Non-negative weights of the deviations, on contrasts of the labels that are known."""
    from scipy.optimize import nnls  # build side only

    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    root = np.sqrt(weight)[:, None]

    def contrast(values: Floats) -> Floats:
        middle = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
        contrasts: Floats = (root * (values - middle))[known]
        return contrasts

    held = np.sqrt(STACK_PENALTY)
    design = np.vstack([np.stack([contrast(p) for p in parts], axis=1), held * np.eye(len(parts))])
    solution: Floats = nnls(design, np.concatenate([contrast(target), held * np.array(STACK)]))[0]
    return solution


def models_to_ask(level: Level, seed: int | Sequence[int] = 0) -> NDArray[np.bool_]:
    """Choose the models that are worth more labels, shape (M,): the race's next batch.

    A model stays while its accuracy is within `CLOSE` of the best one with a probability above
    `PLAUSIBLE`; `FEWEST_ASKED` stay in any case, and BMA.

    Parameters
    ----------
    level : Level
        Of the labels so far.
    seed : int or sequence of int
        Of the posterior draws.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.multivariate_normal(level.mean, level.covariance, DRAWS, method="eigh")
    share = (drawn >= drawn.max(axis=1, keepdims=True) - CLOSE).mean(axis=0)
    asked = share > PLAUSIBLE
    asked[np.argsort(-share, kind="stable")[:FEWEST_ASKED]] = True
    asked[level.best] = True
    return np.asarray(asked)
