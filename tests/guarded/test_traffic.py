"""The estimator of own traffic: by hand, by its properties, and against what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from litellm_benchrouter.guarded.racing import FEWEST_ASKED, models_to_ask
from litellm_benchrouter.guarded.traffic import (
    BenchmarkPrior,
    TrafficModel,
    estimate_level,
    fit_traffic,
    spread,
    weights_by_age,
)
from litellm_benchrouter.paper.neighbors import normalize

N_MODELS, DIMENSION = 4, 6
EVERYTHING = np.arange(N_MODELS)


def prior_of(n_models: int = N_MODELS, best: int = 0) -> BenchmarkPrior:
    """Return what six tasks of 50 samples expect."""
    generator = np.random.default_rng(1)
    accuracy = np.clip(
        0.6 - 0.05 * np.arange(n_models) + generator.normal(0, 0.1, (6, n_models)), 0, 1
    )
    average = np.linspace(0.7, 0.5, n_models)
    return BenchmarkPrior.of(accuracy, np.full(6, 50.0), average, best)


def traffic(n: int, n_models: int = N_MODELS, seed: int = 0, missing: float = 0.0):
    """Return labels, vectors and scores of n prompts, the second model good on half of them."""
    generator = np.random.default_rng(seed)
    vectors = normalize(generator.normal(size=(n, DIMENSION)))
    chance = np.full((n, n_models), 0.5)
    if n_models > 1:
        chance[:, 1] += 0.4 * np.sign(vectors[:, 0])
    labels = (generator.random((n, n_models)) < chance).astype(np.float64)
    labels[generator.random(labels.shape) < missing] = np.nan
    return labels, vectors, chance + 0.1 * generator.normal(size=chance.shape)


def fitted(n: int, n_models: int = N_MODELS, **options) -> TrafficModel:
    return fit_traffic(*traffic(n, n_models, **options), prior_of(n_models))


def test_the_level_of_two_models_by_hand():
    """One prompt, two models: alpha = (1 - theta_0 - theta_1) / 2.5, eight rounds."""
    prior = BenchmarkPrior(np.array([0.6, 0.4]), np.array([[1.0, -1.0], [-1.0, 1.0]]) / 200, 0)
    theta = np.array([0.6, 0.4])
    for _ in range(8):
        alpha = (1 - theta.sum()) / 2.5
        raw = np.array([1 - alpha, 0 - alpha])
        theta = (raw + 20 * (prior.average + (raw - prior.average).mean())) / 21
    level = estimate_level(np.array([[1.0, 0.0]]), prior)
    np.testing.assert_allclose(level.theta, theta)
    np.testing.assert_allclose(level.difficulty, alpha)
    residual = np.array([1.0, 0.0]) - alpha - theta
    assert level.noise == pytest.approx(max((residual**2).sum() / 10, 0.02))


def test_the_posterior_of_two_models_by_hand():
    """The contrast of two models is one number: a mixture of normals over the scales."""
    prior = BenchmarkPrior(np.array([0.6, 0.4]), np.array([[1.0, -1.0], [-1.0, 1.0]]) / 200, 0)
    labels = np.tile([0.0, 1.0], (10, 1))
    level = estimate_level(labels, prior)
    # Along u = (1, -1) / sqrt(2): Sigma is 1/100, the noise s^2 / 10, what was seen -1 - .2.
    seen, noise = (-1.0 - 0.2) / np.sqrt(2), level.noise / 10
    scales = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    total = scales / 100 + noise
    share = (
        np.exp(-0.5 * seen**2 / total) / np.sqrt(total) * np.exp(-(np.log(scales / 0.2) ** 2) / 8)
    )
    share /= share.sum()
    means = scales / 100 / total * seen
    variance = share @ (scales / 100 * noise / total + means**2) - (share @ means) ** 2
    contrast = level.mean[0] - level.mean[1]
    by_posterior = 0.2 + np.sqrt(2) * (share @ means)
    assert contrast == pytest.approx((by_posterior + level.theta[0] - level.theta[1]) / 2)
    assert spread(level.covariance, 0)[1] == pytest.approx(np.sqrt(2 * variance))


def test_deviations_are_predicted_without_the_own_label():
    """Leave-one-out of the ridge, with its centre and its intercept, equals fitting anew."""
    labels, vectors, _ = traffic(25)
    group = np.arange(25)
    group[3] = group[4] = 7  # three of one group
    from litellm_benchrouter.guarded.traffic import _fit_ridge

    weight = np.linspace(0.2, 1, 25)
    penalty = 1 + 0.005 * weight.sum()

    def coefficients(kept, given):
        """Ridge around a fixed centre with an intercept of its own."""
        design = np.column_stack([(vectors - centre)[kept], np.ones(len(kept))])
        weighted = design.T * weight[kept]
        held = penalty * np.eye(DIMENSION + 1)
        held[-1, -1] = 0
        return np.linalg.solve(weighted @ design + held, weighted @ given[kept])

    mean = weight @ labels / weight.sum()
    centre, ridge, without = _fit_ridge(vectors, labels - mean, weight, group)
    np.testing.assert_allclose(centre, weight @ vectors / weight.sum())
    everything = coefficients(np.arange(25), labels - mean)
    np.testing.assert_allclose(ridge, everything[:-1], atol=1e-10)
    for i in (0, 3, 7, 24):
        kept = np.flatnonzero(group != group[i])
        own = coefficients(kept, labels - mean)
        expected = (vectors[i] - centre) @ own[:-1] + own[-1]
        np.testing.assert_allclose(without[i], expected, atol=1e-8)


def test_it_equals_what_was_measured(shared):
    path = shared / "reference" / "traffic-llmrouter.npz"
    if not path.exists():
        pytest.skip("needs reference/traffic-llmrouter.npz beside the shared data")
    with np.load(path) as case:
        prior = BenchmarkPrior.of(
            *(case["task_accuracy"], case["task_sizes"], case["averages"], int(case["best"]))
        )
        level = estimate_level(case["labels"], prior)
        np.testing.assert_allclose(level.mean, case["mean"], atol=1e-6)
        np.testing.assert_allclose(spread(level.covariance, prior.best), case["sd"], atol=1e-6)
        assert level.noise == pytest.approx(float(case["s2"]), abs=1e-6)
        model = fit_traffic(case["labels"], case["vectors"], case["predictor"], prior)
        np.testing.assert_allclose(model.stack, case["weights"], atol=1e-6)
        score = model.score(case["query_vectors"], case["query_predictor"])
        np.testing.assert_allclose(score, case["score"], atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 21, 60])
@pytest.mark.parametrize("n_models", [1, 2, 4, 30])
@pytest.mark.parametrize("missing", [0.0, 0.5, 1.0])
def test_any_labels_give_finite_scores(n, n_models, missing):
    model = fitted(n, n_models, missing=missing)
    _, vectors, scores = traffic(7, n_models, seed=5)
    found = model.score(vectors, scores)
    assert found.shape == (7, n_models)
    assert np.isfinite(found).all()
    assert np.isfinite(model.blend(found, scores, np.full(7, 20.0))).all()
    assert (model.stack >= 0).all()


def test_without_labels_the_best_on_average_answers():
    model = fit_traffic(*(part[:0] for part in traffic(5)), prior_of())
    _, vectors, scores = traffic(5, seed=1)
    assert (model.score(vectors, scores).argmax(axis=1) == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_that_are_all_equal_speak_for_nobody(value):
    labels, vectors, scores = traffic(40)
    level = estimate_level(np.full_like(labels, value), prior_of())
    assert level.mean.argmax() == 0
    assert (np.diff(level.mean) <= 1e-9).all()  # in the benchmark's order
    model = fit_traffic(np.full_like(labels, value), vectors, scores, prior_of())
    assert (model.mean - model.caution).argmax() == 0


def test_a_missing_label_says_nothing_and_the_others_count():
    """A model without labels moves only with those that it goes with, and is not sure."""
    labels = traffic(60)[0]
    labels[:, 2] = np.nan
    level = estimate_level(labels, prior_of())
    complete = estimate_level(traffic(60)[0], prior_of())
    sure = spread(level.covariance, 0)
    assert sure[2] > spread(complete.covariance, 0)[2]
    assert sure[2] > sure[1]
    # Prompts that nobody answered change nothing.
    empty = np.full((5, N_MODELS), np.nan)
    more = estimate_level(np.vstack([labels, empty]), prior_of())
    np.testing.assert_allclose(more.theta, level.theta)


@pytest.mark.parametrize("n", [25, 400, 1600])
def test_it_is_at_least_as_sure_as_the_labels_alone(n):
    labels = (np.random.default_rng(0).random((n, 4)) < [0.7, 0.3, 0.6, 0.2]).astype(float)
    level = estimate_level(labels, prior_of())
    assert (spread(level.covariance, 0) <= np.sqrt(2 * level.noise / n) + 1e-9).all()


def test_labels_win_over_the_benchmark_in_time():
    labels = (np.random.default_rng(0).random((400, N_MODELS)) < [0.4, 0.4, 0.4, 0.7]).astype(float)
    assert estimate_level(labels, prior_of()).mean.argmax() == 3


def test_the_models_may_come_in_any_order():
    labels, vectors, scores = traffic(50, missing=0.2)
    prior, order = prior_of(), np.array([2, 0, 3, 1])
    swapped = BenchmarkPrior(
        prior.average[order], prior.covariance[np.ix_(order, order)], int(np.argmax(order == 0))
    )
    model = fit_traffic(labels, vectors, scores, prior)
    other = fit_traffic(labels[:, order], vectors, scores[:, order], swapped)
    asked = traffic(9, seed=3)
    found = other.score(asked[1], asked[2][:, order])
    np.testing.assert_allclose(found, model.score(asked[1], asked[2])[:, order], atol=1e-9)


def test_copies_of_a_prompt_do_not_tell_its_label():
    """Eight prompts of a random label, twenty copies each: their labels predict nothing else."""
    generator = np.random.default_rng(4)
    group = np.repeat(np.arange(8), 20)
    vectors = normalize(generator.normal(size=(8, DIMENSION)))[group]
    labels = (generator.random((8, N_MODELS)) < 0.5).astype(float)[group]
    scores = np.full(labels.shape, 0.5)
    apart = fit_traffic(labels, vectors, scores, prior_of(), group=group)
    fooled = fit_traffic(labels, vectors, scores, prior_of())
    assert apart.stack[:2].sum() < 0.5 < fooled.stack[:2].sum()


def test_a_label_counts_half_after_two_hundred_newer_ones():
    weights = weights_by_age(np.arange(401.0))
    np.testing.assert_allclose(weights[[400, 200, 0]], [1, 0.5, 0.25])
    assert (weights_by_age(np.full(7, np.nan)) == 1).all()
    assert (weights_by_age(np.zeros(7)) == 1).all()  # labelled at once
    partly = weights_by_age(np.array([np.nan, 5.0, 7.0]))
    np.testing.assert_allclose(partly, 0.5 ** (np.array([2, 1, 0]) / 200))


def test_a_change_is_followed_sooner_with_ages():
    before, after = np.tile([1.0, 0, 0, 0], (400, 1)), np.tile([0, 1.0, 0, 0], (300, 1))
    labels = np.vstack([before, after])
    aged = estimate_level(labels, prior_of(), weights_by_age(np.arange(700.0)))
    equal = estimate_level(labels, prior_of())
    assert equal.mean.argmax() == 0
    assert aged.mean.argmax() == 1


def test_weights_that_are_equal_are_no_weights():
    labels, vectors, scores = traffic(30)
    model = fit_traffic(labels, vectors, scores, prior_of(), np.ones(30))
    plain = fit_traffic(labels, vectors, scores, prior_of())
    np.testing.assert_allclose(model.ridge, plain.ridge)
    np.testing.assert_allclose(model.stack, plain.stack)


def test_the_benchmark_decides_where_a_prompt_is_like_it_and_labels_are_few():
    model, (_, vectors, scores) = fitted(25), traffic(6, seed=2)
    found = model.score(vectors, scores)
    near, far = (model.blend(found, scores, np.full(6, p)) for p in (50.0, 100.0))
    centre = found - found.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(far, centre)
    expected = 0.2 * centre + 0.8 * (scores - scores.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(near, expected)


def test_a_pool_of_models_has_a_best_on_average_of_its_own():
    model, (_, vectors, scores) = fitted(40), traffic(6, seed=2)
    pool = np.array([1, 3])
    part = model.pool(pool, best=0)
    assert part.caution[0] == pytest.approx(0, abs=1e-5)
    assert part.caution[1] == pytest.approx(spread(model.covariance, 1)[3])
    assert part.score(vectors, scores[:, pool]).shape == (6, 2)


def test_a_race_goes_on_with_models_that_may_be_best():
    labels = (np.random.default_rng(0).random((200, 12)) < np.linspace(0.9, 0.1, 12)).astype(float)
    level = estimate_level(labels, prior_of(12, best=11))
    asked = models_to_ask(level, seed=1)
    assert asked[[0, 11]].all()  # the best, and BMA
    assert FEWEST_ASKED <= asked.sum() < 6
    assert (asked == models_to_ask(level, seed=1)).all()
    assert models_to_ask(estimate_level(traffic(5, 1)[0], prior_of(1))).tolist() == [True]
    undecided = estimate_level(np.empty((0, N_MODELS)), prior_of())
    assert models_to_ask(undecided).sum() >= FEWEST_ASKED
