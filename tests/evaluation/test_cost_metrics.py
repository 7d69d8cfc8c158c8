"""The field's metrics of quality against cost, by hand and by their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litellm_benchrouter.evaluation.cost_metrics import (
    aiq,
    arena_score,
    average_gap_recovered,
    call_curve,
    call_threshold,
    cheapest_reaching,
    cost_saved,
    gap_recovered,
    non_decreasing_hull,
    performance_gain,
    quality_at,
    relative_gain,
    relative_gap,
)

points = hnp.arrays(np.float64, (12, 2), elements=st.floats(0.01, 1.0))


def hull_of(*rows):
    cost, quality = np.array(rows, dtype=float).T
    return non_decreasing_hull(cost, quality)


def test_the_hull_leaves_out_what_a_coin_beats_and_what_is_dearer_and_worse():
    cost, quality = hull_of((1, 0.2), (2, 0.3), (3, 0.8), (4, 0.7), (2, 0.1), (5, 0.8))
    np.testing.assert_array_equal(cost, [1, 3])  # (2, .3) lies below the line; (5, .8) is dearer
    np.testing.assert_array_equal(quality, [0.2, 0.8])


def test_of_two_points_of_one_cost_the_hull_keeps_the_better():
    cost, quality = hull_of((1, 0.2), (1, 0.4), (2, np.nan))
    np.testing.assert_array_equal(cost, [1])
    np.testing.assert_array_equal(quality, [0.4])


@given(points)
def test_the_hull_rises_and_is_concave_and_lies_above_every_point(points):
    cost, quality = points.T
    hull = non_decreasing_hull(cost, quality)
    assert (np.diff(hull[0]) > 0).all()
    assert (np.diff(hull[1]) > 0).all()
    slopes = np.diff(hull[1]) / np.diff(hull[0])
    assert (np.diff(slopes) <= 1e-6 * np.abs(slopes[:-1]) + 1e-9).all()
    assert (quality_at(cost, hull) >= quality - 1e-9).all()
    assert hull[0][0] == cost.min()
    assert hull[1][-1] == quality.max()


def test_below_the_hull_some_get_no_answer_and_above_it_nothing_is_won():
    hull = hull_of((2, 0.4), (4, 0.8))
    np.testing.assert_allclose(quality_at(np.array([0, 1, 2, 3, 9]), hull), [0, 0.2, 0.4, 0.6, 0.8])


def test_no_answer_is_not_better_than_an_answer_of_negative_worth():
    np.testing.assert_allclose(quality_at(np.array([0.0, 1.0]), hull_of((2, -3.4))), -3.4)


def test_aiq_is_the_mean_height_of_the_hull():
    hull = hull_of((1, 0.4), (3, 0.8))
    assert aiq(hull, 1, 3) == pytest.approx(0.6)
    assert aiq(hull, 1, 5) == pytest.approx(0.7)  # .6 over two, .8 over two
    assert aiq(hull, 3, 3) == pytest.approx(0.8)
    assert aiq(hull_of((2, 0.5)), 1, 3) == pytest.approx((0.375 + 0.5) / 2)  # from .25 to .5, flat


@given(points)
def test_aiq_never_falls_when_a_point_is_added_that_is_not_the_cheapest(points):
    points = points[points[:, 0].argsort()]
    low, high = float(points[0, 0]), float(points[-1, 0])
    every = aiq(non_decreasing_hull(*points.T), low, high)
    for added in range(1, len(points)):
        fewer = np.delete(points, added, axis=0)
        assert every >= aiq(non_decreasing_hull(*fewer.T), low, high) - 1e-9
    assert points[0, 1] - 1e-9 <= every <= points[:, 1].max() + 1e-9


def test_the_strong_model_answers_first_where_its_advantage_is_largest():
    advantage = np.array([0.9, -0.5, 0.1, 0.0])
    weak = np.array([0.0, 1.0, 0.0, 1.0])
    strong = np.array([1.0, 0.0, 1.0, 1.0])
    share, quality = call_curve(advantage, weak, strong)
    np.testing.assert_allclose(share, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quality, [0.5, 0.75, 1.0, 1.0, 0.75])


def test_requests_of_one_advantage_go_together_and_unlabelled_ones_are_left_out():
    advantage = np.array([0.5, 0.5, np.nan, 0.9])
    weak = np.array([0.0, 0.0, 0.0, np.nan])
    strong = np.array([1.0, 0.0, 1.0, 1.0])
    share, quality = call_curve(advantage, weak, strong)
    np.testing.assert_allclose(share, [0, 2 / 3, 1])
    np.testing.assert_allclose(quality, [0, 1 / 3, 2 / 3])


def test_a_coin_recovers_half_the_gap_and_needs_as_many_calls_as_it_recovers():
    share, quality = call_curve(np.zeros(4), np.zeros(4), np.array([1.0, 0.0, 1.0, 1.0]))
    recovered = gap_recovered(quality, 0.0, 0.75)
    assert average_gap_recovered(share, recovered) == pytest.approx(0.5)
    for target in (0.2, 0.5, 0.8):
        assert call_threshold(share, recovered, target) == pytest.approx(target)


def test_a_perfect_router_recovers_the_gap_with_the_calls_that_matter():
    weak, strong = np.array([0, 0, 1, 1.0]), np.array([1, 1, 1, 1.0])
    share, quality = call_curve(strong - weak, weak, strong)
    recovered = gap_recovered(quality, 0.5, 1.0)
    assert call_threshold(share, recovered, 0.5) == pytest.approx(0.25)
    assert call_threshold(share, recovered, 1.0) == pytest.approx(0.5)
    assert average_gap_recovered(share, recovered) == pytest.approx(0.75)


def test_no_gap_is_not_recovered():
    recovered = gap_recovered(np.array([0.5, 0.4]), 0.5, 0.4)
    assert np.isnan(recovered).all()
    assert math.isnan(call_threshold(np.array([0.0, 1.0]), recovered, 0.5))


def test_the_arena_score_by_hand():
    # C = (log2 200 - log2 1) / (log2 200 - log2 .0044) = 7.6439 / 15.4722
    C = math.log2(200) / math.log2(200 / 0.0044)
    assert pytest.approx(0.49404, abs=1e-5) == C
    assert arena_score(0.7, 1.0) == pytest.approx(1.1 * 0.7 * C / (0.07 + C))
    assert arena_score(0.7, 1.0) == pytest.approx(0.6744, abs=1e-4)


def test_the_arena_score_holds_costs_within_its_range():
    assert arena_score(0.8, 200.0) == arena_score(0.8, 5_000.0) == 0.0
    assert arena_score(0.8, 0.0) == arena_score(0.8, 0.0044) == pytest.approx(1.1 * 0.8 / 1.08)
    assert arena_score(0.0, 200.0) == 0.0


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.floats(0.005, 199.0), st.floats(0.005, 199.0))
def test_the_arena_score_rises_with_accuracy_and_falls_with_cost(a, b, c, d):
    assert arena_score(max(a, b), c) >= arena_score(min(a, b), c) - 1e-12
    assert arena_score(a, min(c, d)) >= arena_score(a, max(c, d)) - 1e-12


def test_gains_and_gaps_are_means_over_tasks_of_ratios():
    router, reference = np.array([0.6, 0.4, 0.3]), np.array([0.5, 0.5, 0.0])
    assert relative_gain(router, reference) == pytest.approx((0.2 - 0.2) / 2)
    assert relative_gain(np.array([0.6]), np.array([0.5])) == pytest.approx(0.2)
    assert relative_gap(np.array([0.6, 0.9]), np.array([0.8, 0.9])) == pytest.approx(0.125)
    assert math.isnan(relative_gain(router, np.zeros(3)))


def test_perf_gain_is_the_best_point_over_the_best_single_model():
    assert performance_gain(np.array([0.5, 0.66, 0.4]), 0.6) == pytest.approx(0.1)
    assert performance_gain(np.array([0.5, 0.54]), 0.6) == pytest.approx(-0.1)


def test_the_cheapest_point_at_a_quality_says_what_is_saved():
    cost, quality = np.array([8.0, 3.0, 2.0, 1.0]), np.array([0.9, 0.8, 0.8, 0.5])
    assert cheapest_reaching(cost, quality, 0.8) == 2
    assert cheapest_reaching(cost, quality, 0.95) is None
    assert cost_saved(cost, quality, 0.8, 10.0) == pytest.approx(0.8)
    assert math.isnan(cost_saved(cost, quality, 0.95, 10.0))
    assert math.isnan(cost_saved(cost, quality, 0.8, 0.0))
