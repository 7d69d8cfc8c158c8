"""Ties and eq. 6, held against Monte Carlo and brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from litellm_benchrouter.paper.scores import (
    TaskScores,
    decide_by_eq6,
    probabilities_better,
    probability_better,
    rank,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("n", "s2_a", "p_a", "s2_b", "p_b"),
    [
        (40, 0.6, 0.7, 0.5, 0.7),
        (1000, 0.55, 0.6, 0.5, 0.65),
        (7, 1.0, 0.9, 0.0, 0.9),
        (200, 0.3, 0.5, 0.9, 0.5),
    ],
)
def test_eq_6_is_within_three_sigma_of_monte_carlo(n, s2_a, p_a, s2_b, p_b):
    generator = np.random.default_rng(0)
    draws = 200_000

    def correct(s2, p):
        positive = round(n * s2)
        return generator.binomial(positive, p, draws) + generator.binomial(
            n - positive, 1 - p, draws
        )

    sampled = (correct(s2_a, p_a) > correct(s2_b, p_b)).mean()
    exact = probability_better(n, s2_a, p_a, s2_b, p_b)
    sigma = max(np.sqrt(exact * (1 - exact) / draws), 1e-6)
    assert abs(exact - sampled) < 3 * sigma


# six digits: scipy's own mass function overflows for probabilities such as 1e-308
PROBABILITY = st.integers(0, 1_000_000).map(lambda millionths: millionths / 1_000_000)


@given(st.integers(1, 30), PROBABILITY, PROBABILITY, PROBABILITY, PROBABILITY)
def test_eq_6_equals_the_sum_over_all_outcomes(n, s2_a, p_a, s2_b, p_b):
    def mass(s2, p):
        positive = round(n * s2)
        first = stats.binom.pmf(np.arange(positive + 1), positive, p)
        second = stats.binom.pmf(np.arange(n - positive + 1), n - positive, 1 - p)
        return np.convolve(first, second)

    joint = np.outer(mass(s2_a, p_a), mass(s2_b, p_b))
    expected = joint[np.tril_indices(n + 1, -1)].sum()
    assert probability_better(n, s2_a, p_a, s2_b, p_b) == pytest.approx(expected, abs=1e-9)


def test_eq_6_of_equal_models_leaves_room_for_the_tie():
    assert probability_better(1, 1.0, 0.5, 1.0, 0.5) == pytest.approx(0.25)


def test_eq_6_is_computed_for_a_hundred_thousand_inputs():
    assert probability_better(100_000, 0.51, 0.7, 0.5, 0.7) > 0.95


def test_ties_go_to_the_best_on_average_then_the_cheaper_then_the_name():
    names = ["d", "c", "b", "a", "e"]
    scores = np.array([0.5, 0.5, 0.5, 0.5, 0.6])
    average = np.array([0.7, 0.6, 0.6, 0.6, 0.1])
    cost = [(0, 9.0), (0, 2.0), (0, 1.0), (0, 1.0), (0, 9.0)]
    expected = ["e", "d", "a", "b", "c"]
    for order in permutations(range(5)):
        columns = list(order)
        ranked = rank(
            scores[columns],
            average[columns],
            [cost[m] for m in columns],
            [names[m] for m in columns],
        )
        assert [names[columns[m]] for m in ranked] == expected


def test_scores_that_differ_in_the_last_bits_tie():
    scores = np.array([0.1 + 0.2, 0.3])
    ranked = rank(scores, np.array([0.1, 0.2]), [(3, 0.0)] * 2, ["a", "b"])
    assert list(ranked) == [1, 0]


def test_a_model_without_a_score_ranks_last():
    ranked = rank(np.array([NAN, 0.0]), np.array([0.9, NAN]), [(3, 0.0)] * 2, ["a", "b"])
    assert list(ranked) == [1, 0]


def scores_of(s3, p=(0.8, 0.8, 0.8), n=100):
    s3 = np.array(s3)
    s2 = (s3 - (1 - np.array(p))) / (2 * np.array(p) - 1)
    return TaskScores(n, 0.3, s2, s2, s3, np.array(p))


def test_m3_is_picked_where_it_is_surely_better_and_the_best_on_average_otherwise():
    names, average, cost = ["a", "b", "c"], np.array([0.7, 0.6, 0.5]), [(3, 0.0)] * 3
    sure = decide_by_eq6(scores_of([0.5, 0.7, 0.3]), average, cost, names)
    assert (sure.order[0], sure.m3, sure.best_on_average) == (1, 1, 0)
    assert sure.probability > 0.99
    unsure = decide_by_eq6(scores_of([0.5, 0.505, 0.3]), average, cost, names)
    assert list(unsure.order) == [0, 1, 2]
    assert unsure.probability <= 0.6


def test_the_threshold_of_eq_6_is_eta():
    names, average, cost = ["a", "b", "c"], np.array([0.7, 0.6, 0.5]), [(3, 0.0)] * 3
    task = scores_of([0.5, 0.52, 0.3])
    probability = decide_by_eq6(task, average, cost, names).probability
    assert decide_by_eq6(task, average, cost, names, eta=probability - 0.01).order[0] == 1
    assert decide_by_eq6(task, average, cost, names, eta=probability).order[0] == 0


def test_every_model_is_compared_with_the_best_on_average():
    task = scores_of([0.5, 0.52, 0.3])
    better = probabilities_better(task, 0)
    assert np.isnan(better[0])
    assert better[1] == probability_better(100, task.s2[1], 0.8, task.s2[0], 0.8)
    assert better[2] < 0.01 < better[1]


def test_without_any_s3_the_best_on_average_is_picked():
    nothing = np.full(2, NAN)
    task = TaskScores(0, NAN, nothing, nothing, nothing, nothing)
    choice = decide_by_eq6(task, np.array([0.1, 0.4]), [(3, 0.0)] * 2, ["a", "b"])
    assert list(choice.order) == [1, 0]
    assert choice.probability is None
