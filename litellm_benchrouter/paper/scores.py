"""Section 3: the correctness predictor g, the three scores, and the rule of eq. 6 on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING, mean, ratio
from litellm_benchrouter.paper.neighbors import Neighbors

Array = NDArray[np.float64]

DIGITS = 12
"""Sums of the same labels in another order differ in the last bits; a tie is still a tie."""

_NEGLIGIBLE = 1e-18  # probability mass that cannot move eq. 6 by a digit that is printed


def correctness_predictor(
    correctness: NDArray[np.uint8] | NDArray[np.float32], neighbors: Neighbors
) -> Array:
    """g_m(x): the mean correctness of model m over the neighbours of x (eq. 7).

    Correctness, shape (n, M), has uint8 labels with 255 for missing, or float32 scores with NaN for
    missing (appendix D). Returns shape (n_queries, M), in [0, 1] for labels: NaN where none of the
    neighbours has a label.
    """
    value = correctness[neighbors.index]  # (n_queries, k, M); row -1 is masked out next
    present = value != MISSING if correctness.dtype == np.uint8 else ~np.isnan(value)
    present &= (neighbors.index >= 0)[:, :, None]
    total = np.where(present, value, 0).sum(axis=1, dtype=np.float64)
    count = present.sum(axis=1)
    return ratio(total, count)


def predict(g: Array, t: float = 0.5) -> Array:
    """The thresholded prediction I(g_m(x) > t) of eq. 2, as 0.0 and 1.0; NaN stays NaN."""
    return np.where(np.isnan(g), np.nan, g > t)


def s1(g: Array) -> Array:
    """S1(m, d'): the mean of g over the inputs of the task (eq. 1).

    From shape (n_inputs, M) to (M,): NaN for a model that has no label near any of the inputs.
    """
    return mean(g)


def s2(g: Array, t: float = 0.5) -> Array:
    """S2(m, d'): the share of the inputs that g predicts to be answered correctly (eq. 2)."""
    return s1(predict(g, t))


def s3(s2_score: Array, p: Array) -> Array:
    """S3(m, d'): S2 under the confidence model, S2 p + (1 - S2)(1 - p) (eq. 5).

    p(d', m), shape (M,), is the probability that the prediction is right on the task (eq. 3).
    """
    return s2_score * p + (1.0 - s2_score) * (1.0 - p)


def predictor_accuracy(g: Array, correctness: NDArray[np.uint8], t: float = 0.5) -> Array:
    """p(d, m), shape (M,): how often the prediction I(g_m(x) > t) is right (eq. 3).

    g and correctness have the shape (n_inputs, M); missing labels and undefined predictions are
    left out.
    """
    present = (correctness != MISSING) & ~np.isnan(g)
    right = np.where(present, (g > t) == (correctness == 1), np.nan)
    return mean(right)


def rank(
    scores: Array,
    average: Array,
    cost_ranks: Sequence[tuple[int, float]],
    names: Sequence[str],
) -> NDArray[np.intp]:
    """Order models by score; ties go to the best on average, then the cheaper, then the name.

    A score that is NaN ranks last; `average` is the mean accuracy over the benchmark's tasks, and
    `cost_ranks` are those of `benchmark.cost_ranks`. Returns the models' positions, best first; the
    order of the columns never matters.
    """

    return rank_with(scores, preference(average, cost_ranks, names))


def preference(
    average: Array, cost_ranks: Sequence[tuple[int, float]], names: Sequence[str]
) -> NDArray[np.intp]:
    """Order in which models that tie are taken; parameters and result as for `rank`."""

    def key(m: int) -> tuple[float, tuple[int, float], str]:
        mean = round(float(average[m]), DIGITS)
        return (math.inf if math.isnan(mean) else -mean, cost_ranks[m], names[m])

    return np.array(sorted(range(len(names)), key=key), dtype=np.intp)


def rank_with(scores: Array, preferred: NDArray[np.intp]) -> NDArray[np.intp]:
    """Order models by score, NaN last; those that tie stay in the order of `preferred`."""
    return preferred[np.rint(scores[preferred] * -(10.0**DIGITS)).argsort(kind="stable")]


def probability_better(n_inputs: int, s2_a: float, p_a: float, s2_b: float, p_b: float) -> float:
    """P(S~(a, d') > S~(b, d')) under the confidence model (eqs. 4 and 6), exactly.

    Given eq. 4, the number of inputs that a model answers correctly is the sum of two binomials: n
    S2 trials with probability p and n (1 - S2) trials with probability 1 - p. Their distributions
    are convolved; nothing is sampled. The two models are taken as independent, as in the paper.
    """
    first_a, mass_a = _correct_answers(n_inputs, s2_a, p_a)
    first_b, mass_b = _correct_answers(n_inputs, s2_b, p_b)
    # P(A > B) = sum_a P(A = a) P(B < a)
    below = np.concatenate(([0.0], np.cumsum(mass_b)))
    position = np.clip(np.arange(len(mass_a)) + first_a - first_b, 0, len(mass_b))
    return float(np.clip(mass_a @ below[position], 0.0, 1.0))


def _correct_answers(n_inputs: int, s2: float, p: float) -> tuple[int, Array]:
    """Distribution of the number of correct answers: its lowest value and its mass."""
    positive = round(n_inputs * s2)
    first_1, mass_1 = _binomial(positive, p)
    first_0, mass_0 = _binomial(n_inputs - positive, 1.0 - p)
    return first_1 + first_0, np.convolve(mass_1, mass_0)


def _binomial(n: int, p: float) -> tuple[int, Array]:
    """Binomial mass over the values that matter: the lowest of them, and the mass of each."""
    if p <= 0.0 or n == 0:
        return 0, np.ones(1)
    if p >= 1.0:
        return n, np.ones(1)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    k = np.arange(n + 1)
    log_mass = (
        log_factorial[n]
        - log_factorial
        - log_factorial[::-1]
        + k * np.log(p)
        + (n - k) * np.log1p(-p)
    )
    mass = np.exp(log_mass)
    likely = np.flatnonzero(mass > _NEGLIGIBLE)
    return int(likely[0]), mass[likely[0] : likely[-1] + 1]


@dataclass(frozen=True)
class TaskScores:
    """What the builder knows of a task: all that eqs. 5 and 6 need, for all M models."""

    n_inputs: int
    u: float  # distance of the task from the benchmark, u(d') (eq. 8), in [0, 2]
    s1: Array  # eq. 1, shape (M,)
    s2: Array  # eq. 2
    s3: Array  # eq. 5
    p: Array  # eq. 10


@dataclass(frozen=True)
class TaskChoice:
    """The outcome of eq. 6."""

    order: NDArray[np.intp]  # positions of the models, best first: the pick, then the others by S3
    m3: int  # position of m_3
    best_on_average: int  # position of m*
    # P(S~(m_3, d') > S~(m*, d')); None where m_3 is m* or S3 is not defined
    probability: float | None


def probabilities_better(task: TaskScores, than: int) -> Array:
    """P(S~(m, d') > S~(m*, d')) of every model, shape (M,); NaN where it is not defined.

    `than` is the position of m*, which has NaN itself.
    """
    defined = ~np.isnan(task.s2) & ~np.isnan(task.p)
    better = np.full(len(task.s2), np.nan)
    for m in np.flatnonzero(defined) if defined[than] else ():
        if m != than:
            better[m] = probability_better(
                task.n_inputs, task.s2[m], task.p[m], task.s2[than], task.p[than]
            )
    return better


def decide_by_eq6(
    task: TaskScores,
    average: Array,
    cost_ranks: Sequence[tuple[int, float]],
    names: Sequence[str],
    *,
    eta: float = 0.6,
) -> TaskChoice:
    """Pick m_3 where it is better than m* with probability above eta, else m* (eq. 6).

    The other arguments are as in `rank`.
    """
    by_s3 = rank(task.s3, average, cost_ranks, names)
    star = int(rank(average, average, cost_ranks, names)[0])
    m3 = int(by_s3[0])
    probability: float | None = None
    pick = star
    if m3 != star and not np.isnan(task.s3[m3]):
        if np.isnan(task.s3[star]):
            pick = star  # nothing to compare with: stay with the best on average
        else:
            probability = probability_better(
                task.n_inputs, task.s2[m3], task.p[m3], task.s2[star], task.p[star]
            )
            pick = m3 if probability > eta else star
    order = np.concatenate(([pick], by_s3[by_s3 != pick]))
    return TaskChoice(order, m3, star, probability)


_ECE_BINS = 10


def reliability(
    probability: NDArray[np.float64], outcome: NDArray[np.floating], bins: int = _ECE_BINS
) -> list[dict[str, float]]:
    """Mean probability and observed frequency in equal-width bins; empty bins are left out."""
    both = ~np.isnan(probability) & ~np.isnan(outcome)
    said, seen = probability[both], outcome[both]
    which = np.minimum((said * bins).astype(int), bins - 1)
    return [
        {
            "probability": float(said[which == b].mean()),
            "frequency": float(seen[which == b].mean()),
            "count": float((which == b).sum()),
        }
        for b in range(bins)
        if (which == b).any()
    ]


def expected_calibration_error(
    probability: NDArray[np.float64], outcome: NDArray[np.floating], bins: int = _ECE_BINS
) -> float:
    """Expected calibration error over equal-width bins."""
    rows = reliability(probability, outcome, bins)
    total = sum(row["count"] for row in rows)
    if not total:
        return float("nan")
    return sum(row["count"] * abs(row["probability"] - row["frequency"]) for row in rows) / total
