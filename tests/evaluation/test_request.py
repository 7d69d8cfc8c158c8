"""Protocol `request`: per-request routing, held against numbers by hand and the shared sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.cases import prepared_of, random_case, shared_case
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.request import run_request
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.metrics import bootstrap_samples
from litellm_benchrouter.validation.splits import choose_splits

NAN = np.nan
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
SPLIT = ["train"] * 5 + ["test"] * 3
# Model 0 answers what lies east, model 1 what lies north; in training model 0 is right more often.
VECTORS = [EAST, EAST, EAST, NORTH, NORTH, EAST, NORTH, NORTH]
SCORES = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [0, 1]]


def two_regions(**kwargs):
    return prepared_of(SCORES, VECTORS, split=SPLIT, **kwargs)


def test_s1_picks_by_the_neighbours_of_each_request():
    document = run_request(two_regions(), Progress())
    methods = document["methods"]
    assert document["protocol"]["split"] == "given"
    assert (document["protocol"]["n_train"], document["protocol"]["n_test"]) == ([5], [3])
    assert methods["s1"]["mean_score"] == 1.0
    assert methods["bma"]["mean_score"] == pytest.approx(1 / 3)
    assert methods["random"]["mean_score"] == pytest.approx(1 / 2)
    assert methods["oracle"]["mean_score"] == 1.0
    assert methods["task_oracle"]["mean_score"] == pytest.approx(2 / 3)  # one task: model 1
    assert methods["s1"]["gain"] == pytest.approx(2 / 3)
    assert methods["s1"]["task_oracle_share"] == pytest.approx(2.0)
    assert methods["s1"]["bma_share"] == pytest.approx(1 / 3)
    assert document["by_run"][0]["bma"] == "model-0"
    assert document["models"]["model-1"]["correctness"] == pytest.approx(2 / 3)
    assert document["baselines"]["fixed_best_in_hindsight"]["model"] == "model-1"
    assert (document["brier"], document["ece"]) == (0.0, 0.0)


def test_table_4_counts_the_calls_of_each_method():
    said = np.arange(16).reshape(8, 2)
    columns = {"log_likelihood": said, "ranker:PairRanker": said}
    methods = run_request(two_regions(columns=columns), Progress())["methods"]
    calls = {name: row["calls_per_request"] for name, row in methods.items()}
    assert calls == {
        "s1": 2,
        "bma": None,
        "best_per_task": None,
        "random": None,
        "task_oracle": None,
        "oracle": 2,
        "ll": 2,
        "ranker:PairRanker": 2,
    }


def test_log_likelihood_and_rankers_pick_what_they_score_highest():
    said = np.tile([-1.0, -2.0], (8, 1))
    columns = {"log_likelihood": said, "ranker:reversed": -said}
    methods = run_request(two_regions(columns=columns), Progress())["methods"]
    assert methods["ll"]["mean_score"] == pytest.approx(1 / 3)
    assert methods["ranker:reversed"]["mean_score"] == pytest.approx(2 / 3)


def test_a_request_without_log_likelihoods_gets_no_pick_from_them():
    said = np.tile([-1.0, -2.0], (8, 1))
    said[5] = NAN
    document = run_request(two_regions(columns={"log_likelihood": said}), Progress())
    assert document["methods"]["ll"]["missing"] == 1
    assert document["methods"]["ll"]["mean_score"] == 0.0  # samples 6 and 7 by model 0


def test_a_pick_without_a_label_is_left_out_and_counted():
    scores = np.array(SCORES, dtype=float)
    scores[6, 1] = NAN  # what S1 picks there
    methods = run_request(prepared_of(scores, VECTORS, split=SPLIT), Progress())["methods"]
    assert methods["s1"]["missing"] == 1
    assert methods["s1"]["mean_score"] == 1.0
    assert methods["bma"]["missing"] == 0
    assert methods["s1"]["gain"] == pytest.approx(1 / 2)  # over samples 5 and 7, which both have
    assert methods["oracle"]["mean_score"] == pytest.approx(2 / 3)  # sample 6: only 0 is known


def test_ties_go_to_the_best_on_average_and_not_to_the_first_column():
    scores = [[0, 1], [1, 1], [0, 1]]  # the only neighbour in the east holds both models right
    prepared = prepared_of(scores, [NORTH, EAST, EAST], split=["train", "train", "test"])
    assert run_request(prepared, Progress())["methods"]["s1"]["mean_score"] == 1.0


def test_a_request_without_a_vector_goes_to_the_best_on_average():
    vectors = [*VECTORS[:7], [0.0, 0.0]]
    document = run_request(prepared_of(SCORES, vectors, split=SPLIT), Progress())
    assert document["methods"]["s1"]["mean_score"] == pytest.approx(2 / 3)
    assert document["methods"]["s1"]["bma_share"] == pytest.approx(2 / 3)
    assert document["curve"][-1]["share"] == pytest.approx(2 / 3)  # it is at no distance


def test_continuous_metrics_are_averaged_and_reported_one_by_one():
    far = [[0.2, 0.3]] * 8
    prepared = two_regions(columns={"metric:bleurt": far, "metric:near": np.array(SCORES) - 1.0})
    by_labels = run_request(prepared, Progress())["methods"]
    assert by_labels["s1"]["metrics"]["metric:bleurt"] == pytest.approx((0.2 + 0.3 + 0.3) / 3)
    assert by_labels["oracle"]["metrics"]["metric:bleurt"] == pytest.approx(0.3)
    assert by_labels["s1"]["metrics"]["metric:near"] == 0.0
    by_bleurt = run_request(prepared, Progress(), metric="metric:bleurt")
    assert by_bleurt["methods"]["s1"]["mean_score"] == pytest.approx(0.3)
    assert by_bleurt["methods"]["s1"]["metrics"]["correctness"] == pytest.approx(2 / 3)
    assert by_bleurt["by_run"][0]["bma"] == "model-1"


def test_a_further_method_sees_no_label_of_a_test_sample():
    def peek(training, rows):
        assert np.isnan(training.values[rows]).all()
        assert np.isnan(training.prepared.labels[rows]).all()
        assert (training.prepared.benchmark.correctness[rows] == MISSING).all()
        assert np.isnan(training.prepared.benchmark.scores[rows]).all()
        assert np.isnan(training.prepared.benchmark.columns["cost_usd"][rows]).all()
        assert not np.isin(training.near(rows, 3).index, rows).any()
        assert (training.near(training.rows, 3).index != training.rows[:, None]).all()
        return np.ones(len(rows), dtype=np.intp)

    document = run_request(random_case(1), Progress(), extra={"default": peek}, runs=2)
    single = document["models"]["model-1"]["correctness"]
    assert document["methods"]["default"]["mean_score"] == pytest.approx(single)
    assert document["methods"]["default"]["calls_per_request"] == 2


def test_the_curve_over_the_distance_ends_with_the_whole_test_set():
    document = run_request(random_case(2), Progress(), runs=1)
    limits = [row["max_distance"] for row in document["curve"]]
    shares = [row["share"] for row in document["curve"]]
    assert limits == sorted(limits)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    last = document["curve"][-1]["metrics"]["correctness"]
    assert last["s1"] == pytest.approx(document["methods"]["s1"]["mean_score"])
    assert last["oracle"] == pytest.approx(document["methods"]["oracle"]["mean_score"])


def test_the_curve_keeps_the_requests_within_the_distance():
    angle = np.radians([0, 90, 10, 100])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vectors[3] = [np.cos(np.radians(60)), np.sin(np.radians(60))]
    scores = [[1, 0], [0, 1], [1, 0], [1, 0]]  # sample 3 lies nearer north and is answered by 0
    prepared = prepared_of(scores, vectors, split=["train", "train", "test", "test"])
    curve = run_request(prepared, Progress())["curve"]
    assert curve[0]["max_distance"] == pytest.approx(1 - np.cos(np.radians(10)), abs=5e-3)
    assert (curve[0]["share"], curve[0]["metrics"]["correctness"]["s1"]) == (0.5, 1.0)
    assert (curve[-1]["share"], curve[-1]["metrics"]["correctness"]["s1"]) == (1.0, 0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_beats_the_oracle_and_no_fixed_model_beats_the_task_oracle(seed):
    document = run_request(random_case(seed, missing=0.0), Progress(), runs=2)
    methods = document["methods"]
    fixed = document["baselines"]["fixed_best_in_hindsight"]["mean_score"]
    assert fixed == pytest.approx(max(row["correctness"] for row in document["models"].values()))
    assert methods["bma"]["mean_score"] <= fixed + 1e-12
    assert fixed <= methods["task_oracle"]["mean_score"] + 1e-12
    assert all(
        row["mean_score"] <= methods["oracle"]["mean_score"] + 1e-12 for row in methods.values()
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_intervals_hold_the_gain_and_bma_gains_nothing_over_itself(seed):
    methods = run_request(random_case(seed), Progress(), runs=3)["methods"]
    assert methods["bma"]["gain"] == 0.0
    assert methods["bma"]["gain_over_samples_95"] == [0.0, 0.0]
    for row in methods.values():
        low, high = row["gain_over_runs_95"]
        assert low - 1e-12 <= row["gain"] <= high + 1e-12


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_the_models_does_not_matter(seed):
    prepared = random_case(seed)
    names = list(prepared.benchmark.models)
    first = run_request(prepared, Progress(), runs=2)["methods"]
    second = run_request(prepared.pool(names[::-1]), Progress(), runs=2)["methods"]
    for name, row in first.items():
        assert second[name]["mean_score"] == pytest.approx(row["mean_score"], abs=1e-12)
        assert second[name]["bma_share"] == row["bma_share"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 20), st.floats(0.0, 0.9))
def test_hardly_any_label_is_no_trouble(seed, n, missing):
    prepared = random_case(seed, n=n, missing=missing)
    prepared.embeddings[: n // 4] = 0.0
    methods = run_request(prepared, Progress(), runs=2)["methods"]
    assert methods["oracle"]["missing"] == 0  # every sample has a label of some model


def test_the_same_seed_gives_the_same_document():
    assert repr(run_request(random_case(3), Progress())) == repr(
        run_request(random_case(3), Progress())
    )


def test_random_splits_leave_every_sample_in_one_part():
    splits, kind = choose_splits(random_case(0), test_share=0.3, runs=4)
    assert kind == "random"
    for split in splits:
        assert len(split.test) == 18
        np.testing.assert_array_equal(
            np.sort(np.concatenate([split.train, split.test])), np.arange(60)
        )
    assert len({tuple(split.test) for split in splits}) == 4


def test_the_given_split_may_be_ignored_and_must_exist_to_be_asked_for():
    document = run_request(two_regions(), Progress(), given=False, test_share=0.5, runs=3)
    assert document["protocol"]["split"] == "random"
    assert document["protocol"]["n_test"] == [4, 4, 4]
    with pytest.raises(ConfigError, match="use random splits"):
        run_request(random_case(0), Progress(), given=True)


def test_samples_of_other_splits_are_left_out():
    prepared = prepared_of(SCORES, VECTORS, split=["Train", "validation", *SPLIT[2:]])
    assert run_request(prepared, Progress())["protocol"]["n_train"] == [4]


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001, 1.5])
def test_a_split_with_an_empty_part_is_refused(share):
    with pytest.raises(ConfigError, match="--test-share"):
        run_request(random_case(0), Progress(), test_share=share)


def test_an_unknown_metric_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="it has correctness, score, metric:bleurt"):
        run_request(
            two_regions(columns={"metric:bleurt": SCORES}), Progress(), metric="metric:bleu"
        )


def test_a_sample_that_several_runs_asked_is_drawn_as_one():
    rows = [np.array([0, 1]), np.array([0, 1])]
    differences = [np.array([1.0, 0.0]), np.array([1.0, 0.0])]
    # Two samples: a mean of 0 or 1 each with probability 1/4. Four rows would narrow it.
    assert bootstrap_samples(rows, differences, seed=0) == [0.0, 1.0]
    assert bootstrap_samples(rows[:1], [np.array([0.5, NAN])], seed=0) == [0.5, 0.5]
    assert np.isnan(bootstrap_samples(rows[:1], [np.array([NAN, NAN])], seed=0)).all()


def test_flask_rougel_has_the_scores_that_its_source_states(shared):
    document = run_request(shared_case(shared, "flask_rougel", k=10), Progress(), metric="score")
    methods = document["methods"]
    assert [run["bma"] for run in document["by_run"]] == ["tulu_65b"] * 5
    # The source states macro means over 17 tasks (best model .272, sample oracle .449); these are
    # means over samples.
    assert methods["bma"]["mean_score"] == pytest.approx(0.280, abs=0.01)
    assert methods["oracle"]["mean_score"] == pytest.approx(0.460, abs=0.015)
    assert methods["s1"]["mean_score"] == pytest.approx(0.299, abs=0.01)
    assert methods["random"]["mean_score"] < methods["bma"]["mean_score"]
    low, high = methods["s1"]["gain_over_samples_95"]
    assert 0 < low < methods["s1"]["gain"] < high


def test_k_5_loses_to_the_best_single_model_and_k_50_does_not_on_openllm_v2(shared):
    small = shared_case(shared, "openllm_v2", k=5)
    small = small.pool(
        [m for m, b in zip(small.benchmark.models, small.params, strict=True) if b <= 34]
    )
    near = run_request(small, Progress(), runs=3)["methods"]
    wide = run_request(small, Progress(), runs=3, k=50)["methods"]
    # Notes of an independent run, ties to the first column: .568 (k=5), .607 (best single model).
    assert near["bma"]["mean_score"] == pytest.approx(0.607, abs=0.01)
    assert near["s1"]["mean_score"] == pytest.approx(0.58, abs=0.015)
    assert near["s1"]["gain_over_samples_95"][1] < 0
    assert wide["s1"]["gain"] == pytest.approx(0.0, abs=0.01)


def test_the_best_of_a_known_task_is_chosen_on_the_training_part_alone():
    # Model 1 is the best of the test samples, model 0 was the best of the training samples.
    scores = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    prepared = prepared_of(
        scores, np.eye(5, dtype=np.float32), split=["train"] * 3 + ["test"] * 2, k=1
    )
    methods = run_request(prepared, Progress())["methods"]
    assert methods["best_per_task"]["mean_score"] == 0.0
    assert methods["task_oracle"]["mean_score"] == 1.0


def test_probabilities_of_a_method_are_measured_over_all_models_and_over_its_picks():
    prepared = prepared_of(
        [[1, 0], [1, 0], [1, 0], [1, 0]],
        np.eye(4, dtype=np.float32),
        split=["train"] * 2 + ["test"] * 2,
    )
    document = run_request(
        prepared,
        Progress(),
        extra={"sure": lambda known, rows: np.zeros(len(rows), dtype=np.intp)},
        probabilities={"sure": lambda known, rows: np.tile([1.0, 0.5], (len(rows), 1))},
    )
    found = document["methods"]["sure"]
    assert found["ece_of_picks"] == 0.0
    assert found["ece"] == pytest.approx(0.25)
    assert found["brier"] == pytest.approx(0.125)
    assert "ece" not in document["methods"]["s1"]
