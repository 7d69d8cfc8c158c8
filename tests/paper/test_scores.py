"""Eqs. 1, 2, 5 and 7, held against scikit-learn and against the numbers by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import KNeighborsClassifier

from litellm_benchrouter.paper.benchmark import MISSING, average_accuracy, labels, task_accuracy
from litellm_benchrouter.paper.neighbors import Neighbors, nearest, normalize
from litellm_benchrouter.paper.scores import correctness_predictor, predictor_accuracy, s1, s2, s3


def random_benchmark(seed: int, n: int = 200, n_models: int = 6, dimension: int = 12):
    generator = np.random.default_rng(seed)
    vectors = normalize(generator.normal(size=(n, dimension)))
    correctness = (generator.random((n, n_models)) < 0.5).astype(np.uint8)
    return generator, vectors, correctness


@pytest.mark.parametrize("k", [1, 5, 19])
def test_g_equals_the_probability_of_scikit_learns_classifier(k):
    generator, vectors, correctness = random_benchmark(k)
    queries = normalize(generator.normal(size=(40, vectors.shape[1])))
    g = correctness_predictor(correctness, nearest(queries, vectors, k))
    for m in range(correctness.shape[1]):
        classifier = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        classifier.fit(vectors, correctness[:, m])
        np.testing.assert_allclose(g[:, m], classifier.predict_proba(queries)[:, 1], atol=1e-12)
        np.testing.assert_allclose(s1(g)[m], classifier.predict_proba(queries)[:, 1].mean())
        np.testing.assert_allclose(s2(g)[m], classifier.predict(queries).mean())


def test_a_missing_label_is_left_out_and_not_a_zero():
    correctness = np.array([[1, MISSING], [0, MISSING], [MISSING, MISSING]], dtype=np.uint8)
    near = Neighbors(np.array([[0, 2], [2, 2], [0, 1]]), np.zeros((3, 2), dtype=np.float32))
    g = correctness_predictor(correctness, near)
    np.testing.assert_array_equal(g, [[1.0, np.nan], [np.nan, np.nan], [0.5, np.nan]])
    np.testing.assert_array_equal(s1(g), [0.75, np.nan])
    np.testing.assert_array_equal(s2(g), [0.5, np.nan])


def test_a_neighbour_that_does_not_exist_is_left_out():
    correctness = np.array([[1], [0]], dtype=np.uint8)
    near = Neighbors(np.array([[0, -1]]), np.array([[0.1, np.inf]], dtype=np.float32))
    assert correctness_predictor(correctness, near)[0, 0] == 1.0


def test_g_averages_continuous_scores_where_it_is_given_them():
    scores = np.array([[0.2], [0.4], [np.nan]], dtype=np.float32)
    near = Neighbors(np.array([[0, 1, 2]]), np.zeros((1, 3), dtype=np.float32))
    assert correctness_predictor(scores, near)[0, 0] == pytest.approx(0.3)


def test_half_is_not_above_the_threshold_of_half():
    assert s2(np.array([[0.5]]), t=0.5)[0] == 0.0


@given(hnp.arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_s3_is_one_half_where_the_predictions_are_worth_nothing(second):
    np.testing.assert_allclose(s3(second, np.full(7, 0.5)), 0.5)


@given(hnp.arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_s3_is_s2_where_the_predictions_are_always_right(second):
    np.testing.assert_allclose(s3(second, np.ones(7)), second)


@given(st.integers(0, 10_000))
def test_permuting_rows_and_models_permutes_the_scores(seed):
    generator, vectors, correctness = random_benchmark(seed, n=60)
    queries = normalize(generator.normal(size=(9, vectors.shape[1])))
    rows, models = generator.permutation(60), generator.permutation(correctness.shape[1])
    g = correctness_predictor(correctness, nearest(queries, vectors, 5))
    permuted = correctness_predictor(
        correctness[rows][:, models], nearest(queries, vectors[rows], 5)
    )
    np.testing.assert_allclose(permuted, g[:, models])


def test_predictor_accuracy_counts_labelled_samples_only():
    g = np.array([[0.8], [0.2], [0.9], [np.nan]])
    correctness = np.array([[1], [1], [MISSING], [1]], dtype=np.uint8)
    assert predictor_accuracy(g, correctness)[0] == 0.5


def test_the_average_is_over_tasks_and_not_over_samples():
    correctness = np.array([[1], [1], [1], [0]], dtype=np.uint8)
    accuracy = task_accuracy(labels(correctness), np.array([0, 0, 0, 1], dtype=np.int32), 2)
    assert average_accuracy(accuracy)[0] == 0.5


def test_a_task_without_labels_of_a_model_is_left_out_of_its_average():
    correctness = np.array([[1, 1], [MISSING, 0]], dtype=np.uint8)
    accuracy = task_accuracy(labels(correctness), np.array([0, 1], dtype=np.int32), 2)
    np.testing.assert_array_equal(average_accuracy(accuracy), [1.0, 0.5])
