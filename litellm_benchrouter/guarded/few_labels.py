"""A few labels on a new task: posterior of every model's accuracy, the pick, what is still needed.

With prior mean mu (the score of an unlabelled task plus a level shift), prior covariance Sigma
(that of the leave-one-task-out residuals), covariance R of single labels and n labels of mean
ybar::

    MVN  = mu + Sigma (Sigma + R / n)^-1 (ybar - mu)
    Beta = (n ybar + 20 mu) / (n + 20)
    score = (MVN + Beta) / 2

A model replaces the best on average (BMA) only where P(theta_m > theta_BMA) > eta, with the
posterior covariance of the MVN; eta = .7, from 20 labels .6. Eq. 6 of Shnitzer et al. 2023 has
the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.covariance import extended, pooled, residual_covariance
from litellm_benchrouter.guarded.unseen import Evidence

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

BETA_MASS = 20.0
"""Labels that the prior of a single model is worth."""
CAUTIOUS_BELOW = 20
"""Below this many labels leaving BMA takes P > .7 instead of the paper's .6."""
SETTLED = 1.645
"""Standard deviations between two models that are settled: 95 %."""
LIMIT = 1000
"""Most further labels that `labels_needed` thinks of."""
HERDED = 10


@dataclass(frozen=True)
class TaskPrior:
    """What is expected of a new task before any label.

    Attributes
    ----------
    mean : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
        Sigma: how far tasks stray from their prior mean.
    noise : ndarray of float64, shape (M, M)
        R: covariance of single labels within a task.
    """

    mean: Floats
    covariance: Floats
    noise: Floats


@dataclass(frozen=True)
class LearnedPrior:
    """What the priors of all new tasks have in common, learned from the benchmark's tasks.

    Attributes
    ----------
    shift : float
        gamma in [0, 1].
    covariance, noise : ndarray of float64, shape (M, M)
        As in `TaskPrior`.
    """

    shift: float
    covariance: Floats
    noise: Floats

    def of_task(self, scores: Floats, average: Floats, predicted: Floats) -> TaskPrior:
        """Prior of one task; all of shape (M,).

        Parameters
        ----------
        scores : ndarray of float64
            Of `unseen`, without labels.
        average : ndarray of float64
            L, the mean over the other tasks.
        predicted : ndarray of float64
            The kNN task mean.
        """
        level = float(predicted.mean() - average.mean())
        return TaskPrior(scores + self.shift * level, self.covariance, self.noise)


def learn_prior(
    evidence: Evidence,
    scores: Floats,
    covariances: Floats,
    size: Floats,
) -> LearnedPrior:
    """Learn what new tasks have in common from tasks each of which was left out.

    Parameters
    ----------
    scores : ndarray of float64, shape (D, M)
        Unlabelled scores of the tasks, each without its own group.
    covariances : ndarray of float64, shape (D, M, M)
        As `label_covariances` returns them.
    size : ndarray of float64, shape (D,)
        Samples of each task.

    Notes
    -----
    Rarely measured models teach too little: they are taken to vary as the others do on average.
    """
    rare = evidence.rarely_measured
    if rare.any() and not rare.all():
        columns = np.flatnonzero(~rare)
        square = np.ix_(np.arange(len(size)), columns, columns)
        of_kept = learn_prior(evidence.telling, scores[:, columns], covariances[square], size)
        return LearnedPrior(
            of_kept.shift,
            extended(of_kept.covariance, columns, len(rare)),
            extended(of_kept.noise, columns, len(rare)),
        )
    used = evidence.used
    average, predicted = evidence.average[used], evidence.predicted["knn200"][used]
    shift = level_shift(average, predicted, (evidence.accuracy - scores)[used])
    level = predicted.mean(axis=1) - average.mean(axis=1)
    expected = scores[used] + shift * level[:, None]
    covariance, _ = residual_covariance(
        evidence.accuracy[used] - expected,
        np.nan_to_num(covariances[used]) / size[used, None, None],
    )
    return LearnedPrior(shift, covariance, pooled(covariances[used]))


def beta_prior(mean: Floats, covariances: Floats) -> TaskPrior:
    """Prior worth 20 labels a model, where there are too few tasks to learn one from.

    Parameters
    ----------
    mean : ndarray of float64, shape (M,)
    covariances : ndarray of float64, shape (D, M, M)
        As `label_covariances` returns them.
    """
    spread = np.clip(mean, 0.05, 0.95)
    covariance = np.diag(spread * (1 - spread) / (BETA_MASS + 1))
    # Within-task variances of a tiny benchmark may all be zero; a label is never that certain.
    noise = pooled(covariances)
    np.fill_diagonal(noise, np.maximum(np.diag(noise), spread * (1 - spread)))
    return TaskPrior(mean, covariance, noise)


def level_shift(average: Floats, predicted: Floats, residual: Floats) -> float:
    """gamma in [0, 1]: how much of a predicted change of level carries over.

    Parameters
    ----------
    average, predicted : ndarray of float64, shape (D, M)
        L and the kNN task means of the training tasks, each left out.
    residual : ndarray of float64, shape (D, M)
        Accuracy minus the unlabelled score; NaN is missing.
    """
    level = predicted.mean(axis=1) - average.mean(axis=1)
    error = np.nan_to_num(residual).mean(axis=1)
    return float(np.clip(level @ error / max(float(level @ level), 1e-9), 0, 1))


def label_covariances(labels: Labels, task: Ints, n_tasks: int) -> Floats:
    """Covariance of the labels within each task, shape (D, M, M).

    Of two models it is that over the samples which both have; NaN where that is less than two.
    """
    out = np.full((n_tasks, labels.shape[1], labels.shape[1]), np.nan)
    for t in range(n_tasks):
        rows = labels[task == t].astype(np.float64)
        present = ~np.isnan(rows)
        mean = np.where(present, rows, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        centred = np.where(present, rows - mean, 0.0)
        pairs = present.T.astype(np.float64) @ present
        np.divide(centred.T @ centred, pairs - 1, out=out[t], where=pairs > 1)
    return out


@dataclass(frozen=True)
class Posterior:
    """Posterior of the models' accuracies on the task.

    Attributes
    ----------
    score : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
    """

    score: Floats
    covariance: Floats

    def probability_better(self, model: int, than: int) -> float:
        """P(theta_model > theta_than), normal approximation."""
        difference = float(self.score[model] - self.score[than])
        return _normal_cdf(difference / _spread(self.covariance, model, than))

    def pick(self, bma: int, eta: float) -> int:
        """Best model if it beats BMA with probability above eta, else BMA."""
        best = int(self.score.argmax())
        return best if best != bma and self.probability_better(best, bma) > eta else bma


def required_probability(n_labels: int) -> float:
    """eta for a number of labels."""
    return 0.7 if n_labels < CAUTIOUS_BELOW else 0.6


def update(prior: TaskPrior, labels: Labels) -> Posterior:
    """Posterior after n labelled inputs.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M), NaN where a model was not asked
    """
    count, pairs = _counts(labels)
    total_right = np.where(np.isnan(labels), 0, labels).sum(axis=0)
    mean = total_right / np.maximum(count, 1)
    seen = np.flatnonzero(count)
    score, covariance = prior.mean.copy(), prior.covariance.copy()
    if len(seen):
        noise = prior.noise[np.ix_(seen, seen)] * _shared(count[seen], pairs[np.ix_(seen, seen)])
        total = prior.covariance[np.ix_(seen, seen)] + noise + 1e-9 * np.eye(len(seen))
        gain = np.linalg.solve(total, prior.covariance[seen]).T
        score = score + gain @ (mean[seen] - prior.mean[seen])
        covariance = covariance - gain @ prior.covariance[seen]
    beta = (count * mean + BETA_MASS * prior.mean) / (count + BETA_MASS)
    return Posterior((score + beta) / 2, covariance)


def labels_needed(prior: TaskPrior, labels: Labels, posterior: Posterior) -> NDArray[np.intp]:
    """How many more inputs, labelled for every model, would settle which of two is better.

    Settled is a probability of 95 % with the scores as they are now, so this is a guess.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M), NaN where a model was not asked

    Returns
    -------
    ndarray of int, shape (M, M)
        0 where it is settled already; -1 where `LIMIT` more would not settle it.
    """
    count, pairs = _counts(labels)
    gap = np.abs(posterior.score[:, None] - posterior.score[None, :])
    needed = np.full(gap.shape, -1, dtype=np.intp)
    # In steps of 5 %, as nobody could tell 100 labels from 103.
    for more in [0, *np.unique(np.geomspace(1, LIMIT, 120).round().astype(int)).tolist()]:
        covariance = posterior.covariance
        if more:
            noise = prior.noise * _shared(count + more, pairs + more)
            gain = np.linalg.solve(prior.covariance + noise, prior.covariance).T
            covariance = prior.covariance - gain @ prior.covariance
        variance = np.diag(covariance)
        spread = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 1e-9))
        needed[(needed < 0) & (gap / spread >= SETTLED)] = more
    return needed


def _counts(labels: Labels) -> tuple[Floats, Floats]:
    """Labels of each model, shape (M,), and inputs that two models share, shape (M, M)."""
    present = (~np.isnan(labels)).astype(np.float64)
    return present.sum(axis=0), present.T @ present


def _shared(count: Floats, pairs: Floats) -> Floats:
    """n_ij / (n_i n_j): models that answered different inputs share less of the noise R."""
    return pairs / np.outer(count, count)


def herd(embeddings: NDArray[np.float32], n: int = HERDED) -> NDArray[np.intp]:
    """Inputs to label first: greedily keep the sample's mean embedding close to the task's.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (inputs, E)

    Returns
    -------
    ndarray of int, shape (min(n, inputs),)
    """
    target = embeddings.mean(axis=0)
    total = np.zeros_like(target)
    free = np.ones(len(embeddings), bool)
    picked: list[int] = []
    for i in range(min(n, len(embeddings))):
        distance = (((total + embeddings) / (i + 1) - target) ** 2).sum(axis=1)
        best = int(np.where(free, distance, np.inf).argmin())
        free[best] = False
        total = total + embeddings[best]
        picked.append(best)
    return np.array(picked, dtype=np.intp)


def _spread(covariance: Floats, a: int, b: int) -> float:
    return sqrt(max(float(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]), 1e-9))


def _normal_cdf(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))
