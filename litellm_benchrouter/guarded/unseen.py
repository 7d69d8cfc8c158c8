"""One model for an unseen task without labels: candidates, leave-one-task-out selection, fallback.

Every candidate is the benchmark mean plus a combination of predicted deviations::

    score(m) = L(m) + sum_p b_p * dev_p(m)
    dev_p(m) = (G_p(m) - mean_m G_p) - (L(m) - mean_m L)

L is the mean accuracy over the training tasks and G_p the task mean of predictor p (S3 and S1, eqs.
5 and 1 of Shnitzer et al. 2023, or ridge on the embedding). S3 and S1 themselves are b = 1: what is
added to them is the same for all models. The other candidates
estimate b >= 0 by least squares over the training tasks, each left out of its own predictors, with
models weighted by exp((L(m) - max L) / tau): only the models that compete for the task decide.
Candidates are tried on families of tasks that are left out in turn. The builder keeps the one that
gains most over the best model on average (BMA) of those with a p-value of at most `LEVEL`, which is
adjusted for all that were tried (`max_t`), and BMA if there is none. A pick whose predicted
advantage over BMA is not above `MARGIN`, and above `SURE` standard errors of such predictions, is
answered with BMA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.formulas import MARGIN, TaskEstimator, centred, pick_for_task
from litellm_benchrouter.guarded.impute import TaskAccuracies, impute_labels
from litellm_benchrouter.guarded.left_out import folds_of, knn_means, leave_out_ridge
from litellm_benchrouter.guarded.max_t import SURE, max_t_p_values, prediction_error
from litellm_benchrouter.paper.benchmark import task_accuracy

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

COMPETITION = 0.03
"""tau: a model this far below the best counts 1/e as much when b is estimated."""
LEVEL = 0.10
"""Largest p-value, over all candidates together, with which one of them is kept."""
MAX_SUM = 1.5
"""Upper bound of sum_p b_p: more would extrapolate beyond the predictors."""


CANDIDATES: Mapping[str, tuple[tuple[str, ...], float | None]] = {
    # name: (predictors, ridge relative to the mean diagonal; None means b = 1, not estimated)
    "s3": (("s3",), None),
    "s1_k200": (("knn200",), None),
    "mean+knn200": (("knn200",), 0.0),
    "mean+ridge0.1": (("ridge0.1",), 0.0),
    "mean+ridge0.3": (("ridge0.3",), 0.0),
    "mean+knn200+ridge0.3": (("knn200", "ridge0.3"), 0.2),
}


@dataclass(frozen=True)
class Evidence:
    """What D tasks say, each left out of what predicts it.

    Attributes
    ----------
    accuracy : ndarray of float64, shape (D, M)
        Accuracy of each model on each task; NaN is missing.
    average : ndarray of float64, shape (D, M)
        L for each task: mean accuracy over the tasks used, without the task's own fold.
    predicted : dict of str to ndarray of float64, shape (D, M)
        Task means of each predictor, fitted without the task's own fold, or group for neighbours.
    group : ndarray of int, shape (D,)
        Tasks of one group (a generator family) are left out together.
    used : ndarray of bool, shape (D,)
        The tasks that may be learned from; the others are to be predicted.
    rarely_measured : ndarray of bool, shape (M,)
        Models with so few labels that nothing can be learned or proved by them.
    """

    accuracy: Floats
    average: Floats
    predicted: Mapping[str, Floats]
    group: Ints
    used: NDArray[np.bool_]
    rarely_measured: NDArray[np.bool_]

    @property
    def fold(self) -> Ints:
        """As `folds_of` returns it."""
        return folds_of(self.group, self.used)

    def pool(self, models: Ints) -> Evidence:
        """Return the same evidence restricted to some models (column indices)."""
        predicted = {name: values[:, models] for name, values in self.predicted.items()}
        accuracy, average = self.accuracy[:, models], self.average[:, models]
        return Evidence(
            accuracy, average, predicted, self.group, self.used, self.rarely_measured[models]
        )

    @property
    def telling(self) -> Evidence:
        """The evidence without the rarely measured models, if any others remain."""
        if self.rarely_measured.all() or not self.rarely_measured.any():
            return self
        return self.pool(np.flatnonzero(~self.rarely_measured))

    def deviation(self, name: str) -> Floats:
        """dev_p, shape (D, M)."""
        return centred(self.predicted[name]) - centred(self.average)


def select(evidence: Evidence, seed: int = 0) -> TaskEstimator:
    """Keep the candidate that gains most of those that a test over all of them leaves."""
    evidence = evidence.telling
    rows = np.arange(len(evidence.group))
    best = evidence.average.argmax(axis=1)
    used, family = evidence.used, evidence.group[evidence.used]
    names = [n for n, (needs, _) in CANDIDATES.items() if set(needs) <= set(evidence.predicted)]
    margins, gains, of_families = [], {}, []
    for name in names:
        scores = candidate_scores(evidence, name)
        error = prediction_error(
            scores[used], evidence.accuracy[used], evidence.average[used], best[used]
        )
        margins.append(max(MARGIN, SURE * error))
        picks = pick_for_task(scores, evidence.average, margins[-1])
        gain = (evidence.accuracy[rows, picks] - evidence.accuracy[rows, best])[used]
        gains[name] = group_mean(gain, family)
        of_families.append(family_means(gain, family))
    p_values = max_t_p_values(np.nan_to_num(np.array(of_families)), seed)
    adjusted = dict(zip(names, p_values.tolist(), strict=True))
    significant = [name for name in names if adjusted[name] <= LEVEL and gains[name][0] > 0]
    if not significant:
        return TaskEstimator(None, {}, gains, adjusted)
    name = max(significant, key=lambda each: gains[each][0])
    predictors, ridge = CANDIDATES[name]
    final = _coefficients(evidence, predictors, ridge)[1].tolist()
    return TaskEstimator(
        name,
        dict(zip(predictors, final, strict=True)),
        gains,
        adjusted,
        margins[names.index(name)],
    )


def candidate_scores(evidence: Evidence, name: str | None) -> Floats:
    """Scores of every task by a candidate fitted without the task's fold; None is L itself."""
    if name is None:
        return evidence.average
    predictors, ridge = CANDIDATES[name]
    own = _coefficients(evidence.telling, predictors, ridge)[0][evidence.fold]
    deviations = np.stack([evidence.deviation(p) for p in predictors], axis=-1)
    scores: Floats = evidence.average + np.einsum("dmp,dp->dm", deviations, own)
    return scores


def family_means(gain: Floats, family: Ints) -> Floats:
    """Mean gain of each family, in the order of their numbers; NaN where no gain is known."""
    _, index = np.unique(family, return_inverse=True)
    present = ~np.isnan(gain)
    size = int(index.max(initial=-1)) + 1
    count = np.bincount(index[present], minlength=size)
    total = np.bincount(index[present], gain[present], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def group_mean(gain: Floats, family: Ints) -> tuple[float, float]:
    """Mean over families and its standard error; missing gains are left out."""
    means = family_means(gain, family)
    means = means[~np.isnan(means)]
    if len(means) < 2:
        return 0.0, float("inf")
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def leave_out_evidence(
    embeddings: NDArray[np.float32],
    labels: Labels,
    task: Ints,
    group: Ints,
    neighbors: Ints,
    similarity: NDArray[np.float32],
    excluded: int | None = None,
    s3: Callable[[int, Floats], Floats] | None = None,
) -> Evidence:
    """Evidence of every task, learned without its own fold (`folds_of`) and without one more group.

    Parameters
    ----------
    embeddings, labels, task : of n samples, shapes (n, E), (n, M) with NaN for missing, and (n,)
    group : ndarray of int, shape (D,), group of each task, numbered from 0
    neighbors, similarity : ndarray, shape (n, K)
        Nearest samples outside the sample's own group, best first; similarity below -1 pads.
        Computed once; K = 500 leaves 200 after excluding one more group, except in huge tasks.
    excluded : int, optional
        Group held out by the outer loop: predicted, never learned from.
    s3 : callable, optional
        S3 of a task with eq. 6, left out in the same way, from its number and its average; without
        it S3 is no candidate.
    """
    n_tasks, sample_group = len(group), group[task]
    cells = TaskAccuracies.of(labels, task, n_tasks)
    used = np.ones(n_tasks, bool) if excluded is None else group != excluded
    average, fold = np.empty_like(cells.accuracy), folds_of(group, used)
    for f in np.unique(fold):
        average[fold == f] = cells.tasks(used & (fold != f)).imputed().mean(axis=0)
    # A few labels say little of a task; without any the task says nothing of the model.
    accuracy = np.where(cells.count > 0, cells.imputed(), np.nan)
    left = similarity >= -1
    if excluded is not None:
        left &= sample_group[neighbors] != excluded
    learned = used[task]
    filled = np.zeros(labels.shape, dtype=np.float32)
    learned_cells = TaskAccuracies.of(labels[learned], task[learned], n_tasks)
    filled[learned] = impute_labels(
        labels[learned], task[learned], learned_cells, learned_cells.imputed()
    )
    predicted = {"knn200": knn_means(neighbors, left, filled, average[task])}
    lambdas = {"ridge0.1": 0.1, "ridge0.3": 0.3}
    ridge = leave_out_ridge(embeddings, filled, task, fold, used, tuple(lambdas.values()))
    predicted |= dict(zip(lambdas, ridge, strict=True))
    of_task = np.asarray(task, dtype=np.int32)
    means = {
        name: task_accuracy(values.astype(np.float32), of_task, n_tasks)
        for name, values in predicted.items()
    }
    if s3 is not None:
        means["s3"] = np.array([s3(d, average[d]) for d in range(n_tasks)])
    return Evidence(accuracy, average, means, group, used, learned_cells.rarely_measured)


def _coefficients(
    evidence: Evidence, predictors: tuple[str, ...], ridge: float | None
) -> tuple[Floats, Floats]:
    """b without each fold, shape (folds, P), and b from all used tasks, shape (P,)."""
    fold, p = evidence.fold, len(predictors)
    n_folds = int(fold.max()) + 1
    if ridge is None:
        return np.ones((n_folds, p)), np.ones(p)
    best = evidence.average.max(axis=1, keepdims=True)
    weight = np.exp((evidence.average - best) / COMPETITION)
    weight /= weight.sum(axis=1, keepdims=True)
    residual = np.nan_to_num(evidence.accuracy - evidence.average)
    residual = residual - (weight * residual).sum(axis=1, keepdims=True)
    deviation = np.stack([evidence.deviation(name) for name in predictors], axis=-1)
    deviation = deviation - (weight[..., None] * deviation).sum(axis=1, keepdims=True)
    deviation = deviation * evidence.used[:, None, None]
    gram, moment = np.zeros((n_folds, p, p)), np.zeros((n_folds, p))
    np.add.at(gram, fold, np.einsum("dm,dmp,dmq->dpq", weight, deviation, deviation))
    np.add.at(moment, fold, np.einsum("dm,dmp,dm->dp", weight, deviation, residual))
    all_gram, all_moment = gram.sum(axis=0), moment.sum(axis=0)
    per_fold = [
        _nonnegative(all_gram - gram[f], all_moment - moment[f], ridge) for f in range(n_folds)
    ]
    return np.array(per_fold), _nonnegative(all_gram, all_moment, ridge)


def _nonnegative(gram: Floats, moment: Floats, ridge: float) -> Floats:
    """argmin over b >= 0 of b'Gb - 2 m'b + ridge * mean(diag G) b'b, its sum held to MAX_SUM."""
    from scipy.optimize import nnls  # build side only

    p = len(moment)
    gram = gram + (ridge * np.trace(gram) / p + 1e-12) * np.eye(p)
    factor = np.linalg.cholesky(gram)
    solution: Floats = nnls(factor.T, np.linalg.solve(factor, moment))[0]
    return solution * min(1.0, MAX_SUM / max(float(solution.sum()), 1e-12))
