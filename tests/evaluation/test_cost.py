"""Protocol `cost`: what costs are taken from, and what routing by them saves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.cases import prepared_of, random_case, shared_case
from litellm_benchrouter.costs.answers import costs_of
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.cost import run_cost
from litellm_benchrouter.evaluation.cost_metrics import arena_score
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cost import CostRun, cost_runs, prices_of_quality
from litellm_benchrouter.validation.saving import Outcomes, cheapest_of, tuned_saving
from litellm_benchrouter.validation.splits import achieved

NAN = np.nan
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
# The dear model answers everything, the cheap one what lies east.
N = 12
VECTORS = [EAST, NORTH] * (N // 2)
SCORES = [[1, 1], [1, 0]] * (N // 2)
SPLIT = ["train"] * 8 + ["test"] * 4
COSTS = [[10.0, 1.0]] * N


def dear_and_cheap(**kwargs):
    options = {"split": SPLIT, "columns": {"cost_usd": COSTS}, "models": ["dear", "cheap"]}
    return prepared_of(SCORES, VECTORS, **(options | kwargs))


def test_the_cheap_model_answers_what_it_can_at_equal_quality():
    document = run_cost(dear_and_cheap(), Progress())
    row = document["methods"]["s1"]
    assert document["cost_basis"]["unit"] == "usd"
    assert document["bma"] == {"cost": 10.0, "quality": 1.0}
    assert document["oracle"] == {"cost": 5.5, "quality": 1.0}
    assert row["tuned"]["equal_quality"]["saved"] == pytest.approx(0.45)
    assert row["tuned"]["equal_quality"]["saved_over_samples_95"][1] <= 0.9 + 1e-9
    assert row["tuned"]["equal_quality"]["quality_ratio"] == 1.0
    assert row["tuned"]["equal_quality"]["runs_with_bma"] == 0
    assert row["hindsight"]["equal_quality"] == {
        "saved": pytest.approx(0.45),
        "runs_reached": 1,
    }
    assert row["llm_router_bench"]["cost_save"] == pytest.approx(0.45)
    assert row["llm_router_bench"]["gain_at_random"] == pytest.approx(1 / 0.75 - 1)
    assert row["llm_router_bench"]["gap_at_oracle"] == pytest.approx(0.0)


def test_the_curve_runs_from_the_best_to_the_cheapest():
    curve = run_cost(dear_and_cheap(), Progress())["methods"]["s1"]["curve"]
    assert curve[0]["lambda"] == 0.0
    # At lambda = 0 both are right in the east, and the tie goes to the best on average.
    assert (curve[0]["cost"], curve[0]["quality"]) == (10.0, 1.0)
    assert (curve[-1]["cost"], curve[-1]["quality"]) == (1.0, 0.5)
    costs = [point["cost"] for point in curve]
    assert costs == sorted(costs, reverse=True)


def test_aiq_beside_the_zero_router_by_hand():
    document = run_cost(dear_and_cheap(), Progress())
    # Hull of the singles: (1, .5) to (10, 1). The router adds (5.5, 1).
    assert document["zero_router"]["aiq"] == pytest.approx(0.75)
    assert document["methods"]["s1"]["aiq"] == pytest.approx((0.75 * 4.5 + 1.0 * 4.5) / 9)
    assert document["methods"]["s1"]["aiq_gain"] == pytest.approx(0.125)
    assert document["methods"]["s1"]["hull"] == [
        {"cost": 1.0, "quality": 0.5},
        {"cost": 5.5, "quality": 1.0},
    ]
    assert document["zero_router"]["hull"] == [
        {"cost": 1.0, "quality": 0.5},
        {"cost": 10.0, "quality": 1.0},
    ]
    # A coin that keeps .95 pays 1 + 9 x .9 = 9.1.
    assert document["zero_router"]["hindsight"]["quality_95"] == pytest.approx(0.09)
    assert document["zero_router"]["hindsight"]["equal_quality"] == 0.0


def test_the_two_model_curve_goes_from_the_cheapest_to_the_best():
    document = run_cost(dear_and_cheap(), Progress())
    row = document["methods"]["s1"]["route_llm"]
    assert document["by_run"] == [{"bma": "dear", "cheapest": "cheap"}]
    assert row["cpt_50"] == pytest.approx(0.25)  # half of the north, which is half
    assert row["apgr"] == pytest.approx(0.75)
    assert row["pgr"][0] == {"share": 0.0, "pgr": 0.0}
    assert row["pgr"][-1] == {"share": 1.0, "pgr": 1.0}


def test_the_arena_score_needs_dollars():
    cents = {"cost_usd": np.array(COSTS) / 1_000}
    row = run_cost(dear_and_cheap(columns=cents), Progress())["methods"]["s1"]["router_arena"]
    assert row["quality"] == 1.0  # at 5.5 USD per 1,000 C is .34, at half the quality and 1 USD .49
    assert row["cost_per_1k"] == pytest.approx(5.5)
    assert row["score"] == pytest.approx(arena_score(1.0, 5.5))
    assert row["best_single"] == pytest.approx(arena_score(1.0, 10.0))
    sizes = {"dear": ModelFacts(params_b=70), "cheap": ModelFacts(params_b=7)}
    document = run_cost(dear_and_cheap(columns={}, facts=sizes), Progress())
    assert document["cost_basis"]["unit"] == "params_b"
    assert np.isnan(document["methods"]["s1"]["router_arena"]["score"])
    assert document["methods"]["s1"]["tuned"]["equal_quality"]["saved"] == pytest.approx(0.45)


def test_where_nothing_cheaper_reaches_the_quality_the_best_model_answers():
    scores = [[1, 0]] * N
    document = run_cost(
        prepared_of(scores, VECTORS, split=SPLIT, columns={"cost_usd": COSTS}), Progress()
    )
    row = document["methods"]["s1"]["tuned"]["equal_quality"]
    assert row["saved"] == 0.0
    assert row["runs_with_bma"] == 1
    assert row["lambda"] == [None]
    assert row["quality_gain"] == 0.0


def test_a_share_of_a_negative_metric_lies_below_it():
    worth = np.where(np.array(SCORES) == 1, -1.0, -1.04)
    prepared = dear_and_cheap(columns={"cost_usd": COSTS, "metric:bart": worth})
    row = run_cost(prepared, Progress(), metric="metric:bart")["methods"]["s1"]["tuned"]
    assert row["equal_quality"]["saved"] == pytest.approx(0.45)
    assert row["quality_95"]["saved"] == pytest.approx(0.9)


def test_a_further_predictor_competes_and_sees_no_test_label():
    def says_cheap(training, rows):
        test = np.setdiff1d(np.arange(N), training.rows)
        assert np.isnan(training.values[test]).all()
        assert np.isin(test, rows).all()
        return np.tile([0.0, 1.0], (len(rows), 1))

    document = run_cost(dear_and_cheap(), Progress(), predictors={"default": says_cheap})
    curve = document["methods"]["default"]["curve"]
    assert {(point["cost"], point["quality"]) for point in curve} == {(1.0, 0.5)}


def test_lambda_is_chosen_without_a_training_samples_own_label():
    # Two of a kind answer alike but for one pair: there each predicts the other wrong.
    scores = np.array(SCORES, dtype=float)
    vectors = np.repeat(np.eye(6), 2, axis=0)
    scores[:8] = [[1, 1], [1, 1], [1, 0], [1, 0], [1, 1], [1, 0], [1, 1], [1, 1]]
    prepared = prepared_of(scores, vectors, split=SPLIT, columns={"cost_usd": COSTS})

    def neighbour(training, rows):
        g = training.averaged_over(training.near(rows, 1))
        known = np.isin(rows, training.rows)
        np.testing.assert_array_equal(g[known][:, 1], [1, 1, 0, 0, 0, 1, 1, 1])
        return g

    run_cost(prepared, Progress(), predictors={"neighbour": neighbour})


def test_labels_that_are_missing_leave_out_cost_and_quality_together():
    scores = np.array(SCORES, dtype=float)
    scores[8] = [1.0, NAN]  # an eastern test sample that the cheap model has no label for
    prepared = prepared_of(
        scores, VECTORS, split=SPLIT, columns={"cost_usd": COSTS}, models=["dear", "cheap"]
    )
    document = run_cost(prepared, Progress())
    assert document["models"]["cheap"] == {"cost": 1.0, "quality": pytest.approx(1 / 3)}
    saved = document["methods"]["s1"]["hindsight"]["equal_quality"]["saved"]
    assert saved == pytest.approx(1 - (1 + 10 + 10) / 3 / 10)


def nearly_equal(seed, *, accuracy=(0.7, 0.7), n=200):
    """Two models whose answers nothing predicts, of 100 and of 1 billion parameters."""
    generator = np.random.default_rng(seed)
    return prepared_of(
        (generator.random((n, 2)) < accuracy).astype(float),
        generator.normal(size=(n, 8)),
        task=(np.arange(n) % 5).tolist(),
        models=["large", "small"],
        facts={"large": ModelFacts(params_b=100), "small": ModelFacts(params_b=1)},
        k=5,
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_saving_lies_in_its_interval_where_two_models_are_equally_good(seed):
    document = run_cost(nearly_equal(seed), Progress())
    for row in document["methods"].values():
        for tuned in row["tuned"].values():
            low, high = tuned["saved_over_samples_95"]
            assert low <= tuned["lower"] <= tuned["saved"] <= high <= 0.99 + 1e-9
            low, high = tuned["quality_gain_over_samples_95"]
            assert low <= tuned["quality_gain"] <= high


def test_the_interval_of_a_saving_is_as_wide_as_the_choice_of_lambda_is_open():
    def saved(accuracy):
        row = run_cost(nearly_equal(1, accuracy=accuracy), Progress())["methods"]["s1_prior"]
        return row["tuned"]["equal_quality"]["saved_over_samples_95"]

    low, high = saved((0.7, 0.7))
    assert high - low > 0.5  # either model may be the better one
    assert saved((0.9, 0.2)) == [0.0, pytest.approx(0.0, abs=0.05)]
    assert saved((0.2, 0.9)) == [0.0, 0.0]  # the small one is the best: there is nothing to save


def test_a_saving_is_of_all_runs_together():
    prepared = dear_and_cheap(split=None)
    runs, _, _ = cost_runs(CostRun, prepared, test_share=0.3, runs=3)
    curves = [run.curves(run.predictions({})["s1"]) for run in runs]
    tuned = tuned_saving(runs, curves, 1.0)
    spent = paid = gained = 0.0
    for run, (_, _, test), price in zip(runs, curves, tuned["lambda"], strict=True):
        rows, best = run.split.test, np.full(len(run.split.test), run.training.best)
        picks = best if price is None else test.picks[run.lambdas.tolist().index(price)]
        spent += achieved(run.costs, rows, picks).sum()
        paid += achieved(run.costs, rows, best).sum()
        gained += (achieved(run.values, rows, picks) - achieved(run.values, rows, best)).sum()
    assert tuned["runs_with_bma"] < 3
    assert tuned["saved"] == pytest.approx(1 - spent / paid)
    assert tuned["quality_gain"] == pytest.approx(gained / sum(len(r.split.test) for r in runs))


def test_a_model_with_labels_of_the_easy_half_does_not_reach_the_best_by_them():
    easy = np.tile([True, False], 40)
    worth = np.stack([np.where(easy, 1.0, 0.6), np.where(easy, 0.9, np.nan)], axis=1)
    picks = np.array([np.ones(80, dtype=int)])  # the second model throughout
    outcomes = Outcomes.of(worth, np.tile([10.0, 1.0], (80, 1)), np.arange(80), picks, 0)
    sums = outcomes.sums(np.ones((1, 80)))
    assert cheapest_of(sums, 1.0).tolist() == [1]  # .9 against 1, though the best has .8 over all
    assert cheapest_of(sums, 0.9).tolist() == [0]


def test_the_grid_of_lambda_spans_the_costs():
    grid = prices_of_quality(np.array([0.001, 0.005]))
    assert grid[0] == 0.0
    assert grid[1] * 0.004 == pytest.approx(1e-3)
    assert grid[-1] * 0.004 == pytest.approx(1e4)
    assert np.isfinite(prices_of_quality(np.zeros(2))).all()
    assert np.isfinite(prices_of_quality(np.ones(2))).all()


def test_recorded_costs_go_before_prices_and_gaps_get_the_models_mean():
    facts = {"dear": ModelFacts(input_price_usd_per_mtok=99.0)}
    costs = costs_of(
        dear_and_cheap(facts=facts, columns={"cost_usd": [[NAN, 1.0], *COSTS[1:]]}).benchmark
    )
    assert costs.basis == {"dear": "recorded costs", "cheap": "recorded costs"}
    assert costs.values[0].tolist() == [10.0, 1.0]
    assert costs.filled == 1


def test_prices_times_recorded_tokens_then_times_estimated_ones():
    facts = {
        "dear": ModelFacts(input_price_usd_per_mtok=2.0, output_price_usd_per_mtok=8.0),
        "cheap": ModelFacts(output_price_usd_per_mtok=1.0),
    }
    columns = {"prompt_tokens": [[1_000, NAN]] * N, "completion_tokens": [[500, NAN]] * N}
    prepared = dear_and_cheap(facts=facts, columns=columns, prompts=["x" * 400] * N)
    costs = costs_of(prepared.benchmark)
    assert costs.basis == {
        "dear": "prices and recorded tokens",
        "cheap": "prices and estimated tokens",
    }
    assert costs.unit == "usd"
    assert costs.values[0] == pytest.approx([(1_000 * 2 + 500 * 8) / 1e6, (100 + 256) / 1e6])


def test_a_recorded_mean_stands_where_no_price_is_known():
    facts = {"dear": ModelFacts(mean_cost_usd=0.2), "cheap": ModelFacts(mean_cost_usd=0.1)}
    costs = costs_of(dear_and_cheap(facts=facts, columns={}).benchmark)
    assert set(costs.basis.values()) == {"recorded mean cost"}
    assert costs.values[3].tolist() == [0.2, 0.1]


def test_models_of_unknown_cost_are_left_out_and_named():
    facts = {"a": ModelFacts(params_b=7), "b": ModelFacts(params_b=70)}
    scores = np.hstack([SCORES, np.ones((N, 1))])
    prepared = prepared_of(scores, VECTORS, split=SPLIT, models=["b", "a", "secret"], facts=facts)
    document = run_cost(prepared, Progress())
    assert document["cost_basis"]["left_out"] == ["secret"]
    assert list(document["models"]) == document["protocol"]["models"] == ["b", "a"]


def test_a_benchmark_without_any_cost_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"dear, cheap; state them under benchrouter\.models"):
        run_cost(dear_and_cheap(columns={}), Progress())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_no_curve_beats_the_oracle_and_every_hull_is_made_of_its_curve(seed):
    document = run_cost(random_case(seed, missing=0.0), Progress(), runs=2)
    for row in document["methods"].values():
        assert all(point["quality"] <= document["oracle"]["quality"] for point in row["curve"])
        on_curve = {(point["cost"], point["quality"]) for point in row["curve"]}
        assert {(point["cost"], point["quality"]) for point in row["hull"]} <= on_curve
        assert document["zero_router"]["aiq"] + row["aiq_gain"] == pytest.approx(row["aiq"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 20), st.floats(0.0, 0.9))
def test_hardly_any_label_and_free_models_are_no_trouble(seed, n, missing):
    prepared = random_case(seed, n=n, missing=missing)
    prepared.benchmark.columns["cost_usd"][:, : seed % 5] = 0.0
    document = run_cost(prepared, Progress(), runs=2)
    assert document["oracle"]["cost"] >= 0.0


def test_the_same_seed_gives_the_same_document():
    first, second = (repr(run_cost(random_case(4), Progress(), runs=2)) for _ in range(2))
    assert first == second


def test_routerbench_gives_the_areas_of_an_independent_run(shared):
    prepared = shared_case(shared, "routerbench", k=5)
    document = run_cost(prepared, Progress(), runs=3)
    wide = run_cost(prepared, Progress(), runs=3, k=200)["methods"]["s1"]
    # Notes of independent runs: hull of the singles .817 to .827, k = 5 .731 to .751, k = 200 .845,
    # best .858; 67 % saved at .963 of the quality, 10 % at equal quality.
    assert document["zero_router"]["aiq"] == pytest.approx(0.822, abs=0.006)
    assert document["methods"]["s1"]["aiq"] == pytest.approx(0.745, abs=0.03)
    assert wide["aiq"] == pytest.approx(0.85, abs=0.01)
    assert wide["aiq_gain_over_runs_95"][0] > 0
    assert wide["tuned"]["quality_95"]["saved"] == pytest.approx(0.67, abs=0.05)
    assert wide["tuned"]["quality_95"]["quality_ratio"] == pytest.approx(0.965, abs=0.015)
    assert 0.0 <= wide["tuned"]["equal_quality"]["saved"] < 0.2
    assert set(document["cost_basis"]["models"].values()) == {"recorded costs"}
