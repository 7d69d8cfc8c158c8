"""One model for an unseen task without labels: candidates, leave-one-task-out selection, fallback.

Every candidate is the benchmark mean plus a combination of predicted deviations::

    score(m) = L(m) + sum_p b_p * dev_p(m)
    dev_p(m) = (G_p(m) - mean_m G_p) - (L(m) - mean_m L)

L is the mean accuracy over the training tasks and G_p the task mean of predictor p (S3 and S1, eqs.
5 and 1 of Shnitzer et al. 2023, or ridge on the embedding). S3 and S1 themselves are b = 1: what is
added to them is the same for all models. The other candidates
estimate b >= 0 by least squares over the training tasks, each left out of its own predictors, with
models weighted by exp((L(m) - max L) / tau): only the models that compete for the task decide.
The builder keeps the candidate whose leave-one-task-out gain over the best model on average (BMA),
less z standard errors, is highest, and BMA if none is above 0. A pick whose predicted advantage
over BMA is not above `MARGIN` is answered with BMA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.filled import Cells, filled_labels
from litellm_benchrouter.guarded.left_out import knn_means, leave_out_ridge
from litellm_benchrouter.paper.benchmark import task_accuracy

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

COMPETITION = 0.03
"""tau: a model this far below the best counts 1/e as much when b is estimated."""
MARGIN = 0.005
"""Smallest predicted advantage over BMA worth leaving it for (accuracy)."""
Z = 0.25
"""Standard errors subtracted from a candidate's leave-one-task-out gain."""
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
        L for each task: mean accuracy over the tasks used, without the task's own group.
    predicted : dict of str to ndarray of float64, shape (D, M)
        Task means of each predictor, fitted without the task's own group.
    group : ndarray of int, shape (D,)
        Tasks of one group (a generator family) are left out together.
    used : ndarray of bool, shape (D,)
        The tasks that may be learned from; the others are to be predicted.
    sparse : ndarray of bool, shape (M,)
        Models with so few labels that nothing can be learned or proved by them.
    """

    accuracy: Floats
    average: Floats
    predicted: Mapping[str, Floats]
    group: Ints
    used: NDArray[np.bool_]
    sparse: NDArray[np.bool_]

    def pool(self, models: Ints) -> Evidence:
        """Return the same evidence restricted to some models (column indices)."""
        predicted = {name: values[:, models] for name, values in self.predicted.items()}
        accuracy, average = self.accuracy[:, models], self.average[:, models]
        return Evidence(accuracy, average, predicted, self.group, self.used, self.sparse[models])

    @property
    def telling(self) -> Evidence:
        """The same without the sparse models, if any others remain."""
        if self.sparse.all() or not self.sparse.any():
            return self
        return self.pool(np.flatnonzero(~self.sparse))

    def deviation(self, name: str) -> Floats:
        """dev_p, shape (D, M)."""
        return _centred(self.predicted[name]) - _centred(self.average)


@dataclass(frozen=True)
class UnseenChoice:
    """The candidate kept, and what the others scored.

    Attributes
    ----------
    candidate : str or None
        None: answer with the best model on average.
    coefficients : dict of str to float
        b_p of each predictor; empty for BMA.
    gains : dict of str to (mean, standard error)
        Leave-one-task-out gain over BMA of every candidate, as accuracy.
    """

    candidate: str | None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def scores(self, average: Floats, predicted: Mapping[str, Floats]) -> Floats:
        """Score of each model for tasks with averages and predictions of shape (..., M)."""
        total = average.astype(np.float64)
        for name, coefficient in self.coefficients.items():
            total = total + coefficient * (_centred(predicted[name]) - _centred(average))
        return total


def pick_for_task(scores: Floats, average: Floats, margin: float = MARGIN) -> NDArray[np.intp]:
    """Best model of each task, shape (D,), or BMA where the advantage is not above the margin."""
    rows = np.arange(len(scores))
    pick, best = scores.argmax(axis=1), average.argmax(axis=1)
    chosen: NDArray[np.intp] = np.where(
        scores[rows, pick] - scores[rows, best] > margin, pick, best
    )
    return chosen


def select(evidence: Evidence, z: float = Z, margin: float = MARGIN) -> UnseenChoice:
    """Keep the candidate with the best leave-one-task-out gain less z standard errors."""
    gains: dict[str, tuple[float, float]] = {}
    evidence = evidence.telling
    best, kept = 0.0, UnseenChoice(None)
    rows = np.arange(len(evidence.group))
    base = evidence.accuracy[rows, evidence.average.argmax(axis=1)]
    for name, (predictors, ridge) in CANDIDATES.items():
        if not set(predictors) <= set(evidence.predicted):
            continue
        scores = candidate_scores(evidence, name)
        gain = evidence.accuracy[rows, pick_for_task(scores, evidence.average, margin)] - base
        mean, error = group_mean(gain[evidence.used], evidence.group[evidence.used])
        gains[name] = (mean, error)
        if mean - z * error > best:
            best = mean - z * error
            final = _coefficients(evidence, predictors, ridge)[1].tolist()
            kept = UnseenChoice(name, dict(zip(predictors, final, strict=True)))
    return UnseenChoice(kept.candidate, kept.coefficients, gains)


def candidate_scores(evidence: Evidence, name: str | None) -> Floats:
    """Scores of every task by a candidate fitted without the task's group; None is L itself."""
    if name is None:
        return evidence.average
    predictors, ridge = CANDIDATES[name]
    own = _coefficients(evidence.telling, predictors, ridge)[0][evidence.group]
    deviations = np.stack([evidence.deviation(p) for p in predictors], axis=-1)
    scores: Floats = evidence.average + np.einsum("dmp,dp->dm", deviations, own)
    return scores


def group_mean(gain: Floats, group: Ints) -> tuple[float, float]:
    """Mean over tasks and its standard error over groups; missing gains are left out."""
    known = ~np.isnan(gain)
    _, index = np.unique(group[known], return_inverse=True)
    means = np.bincount(index, gain[known]) / np.bincount(index)
    if len(means) < 2:
        return 0.0, float("inf")
    error = means.std(ddof=1) / np.sqrt(len(means))
    return float(gain[known].mean()), float(error)


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
    """Evidence of every task, learned without its own group and without one more.

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
    cells = Cells.of(labels, task, n_tasks)
    used = np.ones(n_tasks, bool) if excluded is None else group != excluded
    average = np.empty_like(cells.accuracy)
    for g in np.unique(group):
        average[group == g] = cells.tasks(used & (group != g)).filled().mean(axis=0)
    # A few labels say little of a task; without any the task says nothing of the model.
    accuracy = np.where(cells.count > 0, cells.filled(), np.nan)
    left = similarity >= -1
    if excluded is not None:
        left &= sample_group[neighbors] != excluded
    learned = used[task]
    filled = np.zeros(labels.shape, dtype=np.float32)
    known = Cells.of(labels[learned], task[learned], n_tasks)
    filled[learned] = filled_labels(labels[learned], task[learned], known, known.filled())
    predicted = {"knn200": knn_means(neighbors, left, filled, average[task])}
    lambdas = {"ridge0.1": 0.1, "ridge0.3": 0.3}
    ridge = leave_out_ridge(embeddings, filled, task, group, used, tuple(lambdas.values()))
    predicted |= dict(zip(lambdas, ridge, strict=True))
    of_task = np.asarray(task, dtype=np.int32)
    means = {
        name: task_accuracy(values.astype(np.float32), of_task, n_tasks)
        for name, values in predicted.items()
    }
    if s3 is not None:
        means["s3"] = np.array([s3(d, average[d]) for d in range(n_tasks)])
    return Evidence(accuracy, average, means, group, used, known.sparse)


def _coefficients(
    evidence: Evidence, predictors: tuple[str, ...], ridge: float | None
) -> tuple[Floats, Floats]:
    """b without each group, shape (groups, P), and b from all used tasks, shape (P,)."""
    n_groups, p = int(evidence.group.max()) + 1, len(predictors)
    if ridge is None:
        return np.ones((n_groups, p)), np.ones(p)
    best = evidence.average.max(axis=1, keepdims=True)
    weight = np.exp((evidence.average - best) / COMPETITION)
    weight /= weight.sum(axis=1, keepdims=True)
    residual = np.nan_to_num(evidence.accuracy - evidence.average)
    residual = residual - (weight * residual).sum(axis=1, keepdims=True)
    deviation = np.stack([evidence.deviation(name) for name in predictors], axis=-1)
    deviation = deviation - (weight[..., None] * deviation).sum(axis=1, keepdims=True)
    deviation = deviation * evidence.used[:, None, None]
    gram, moment = np.zeros((n_groups, p, p)), np.zeros((n_groups, p))
    np.add.at(gram, evidence.group, np.einsum("dm,dmp,dmq->dpq", weight, deviation, deviation))
    np.add.at(moment, evidence.group, np.einsum("dm,dmp,dm->dp", weight, deviation, residual))
    all_gram, all_moment = gram.sum(axis=0), moment.sum(axis=0)
    per_group = [
        _nonnegative(all_gram - gram[g], all_moment - moment[g], ridge) for g in range(n_groups)
    ]
    return np.array(per_group), _nonnegative(all_gram, all_moment, ridge)


def _nonnegative(gram: Floats, moment: Floats, ridge: float) -> Floats:
    """argmin over b >= 0 of b'Gb - 2 m'b + ridge * mean(diag G) b'b, its sum held to MAX_SUM."""
    from scipy.optimize import nnls  # build side only

    p = len(moment)
    gram = gram + (ridge * np.trace(gram) / p + 1e-12) * np.eye(p)
    factor = np.linalg.cholesky(gram)
    solution: Floats = nnls(factor.T, np.linalg.solve(factor, moment))[0]
    return solution * min(1.0, MAX_SUM / max(float(solution.sum()), 1e-12))


def _centred(values: Floats) -> Floats:
    centred: Floats = values - values.mean(axis=-1, keepdims=True)
    return centred
