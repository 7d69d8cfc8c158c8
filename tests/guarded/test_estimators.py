"""The guarded method's parts: what they may not look at, and what they equal when done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from litellm_benchrouter.guarded import few_labels, unseen
from litellm_benchrouter.guarded.fit import (
    fit_calibration,
    fit_request,
    fit_ridge,
    neighbors_of_each,
)
from litellm_benchrouter.guarded.formulas import pick_for_task
from litellm_benchrouter.guarded.gain import gate_verdict
from litellm_benchrouter.guarded.impute import impute_accuracy
from litellm_benchrouter.guarded.left_out import (
    MOST_FOLDS,
    confident_s3,
    left_out_s3,
    smoothed_without,
)
from litellm_benchrouter.paper.benchmark import task_accuracy
from litellm_benchrouter.paper.neighbors import nearest_outside_task, normalize
from litellm_benchrouter.paper.scores import expected_calibration_error
from litellm_benchrouter.paper.smoother import SmootherTable, kernel_smoother, smoother_table

N_TASKS, N_MODELS = 6, 4


def benchmark(seed: int = 0, n: int = 240, strength: float = 0.35):
    """Tasks that lie apart, each with a model of its own that is good at it."""
    generator = np.random.default_rng(seed)
    task = np.sort(generator.integers(N_TASKS, size=n)).astype(np.int32)
    centres = generator.normal(size=(N_TASKS, 24))
    vectors = normalize(centres[task] + 0.8 * generator.normal(size=(n, 24)))
    chance = np.full((N_TASKS, N_MODELS), 0.5)
    chance[np.arange(N_TASKS), np.arange(N_TASKS) % N_MODELS] += strength
    correctness = (generator.random((n, N_MODELS)) < chance[task]).astype(np.uint8)
    return vectors, task, correctness, correctness.astype(np.float32)


def evidence_of(vectors, task, correctness, labels, excluded):
    group = np.arange(N_TASKS)
    outside = nearest_outside_task(vectors, task, 60)
    table = smoother_table(
        vectors, task, correctness, outside, n_tasks=N_TASKS, repeats=2,
        left_out=() if excluded is None else (excluded,),
    )[-1]  # fmt: skip
    scores = left_out_s3(
        correctness, task, group, outside, table, k=5, kappa=19, t=0.5, sigma=0.09,
        excluded=excluded,
    )  # fmt: skip

    def s3(d, average):
        names = [str(m) for m in range(N_MODELS)]
        return confident_s3(scores[d], average, [(3, 0.0)] * N_MODELS, names, 0.6)

    similarity = np.where(outside.index < 0, -2.0, 1.0 - outside.distance).astype(np.float32)
    return unseen.leave_out_evidence(
        vectors, labels, task, group, np.maximum(outside.index, 0), similarity, excluded, s3
    )


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_all_tasks_are_smoothed_at_once_as_one_by_one(missing):
    generator = np.random.default_rng(3)
    u = generator.uniform(0.2, 0.6, size=(7, 6))
    u[0, 2:] = u[6] = np.nan
    u[3] = 1.9  # so far from the others that their kernels underflow
    p = generator.random((7, 6, 3))
    p[generator.random(p.shape) < missing] = np.nan
    p[1:, :, 2] = np.nan  # the third model is known in the first task alone
    table, group = SmootherTable(u, p), np.array([0, 1, 1, 2, 3, 4, 6])
    asked = np.array([0.3, 0.31, 0.5, np.nan, 1.9, 0.35, 0.4])
    for sigma in (0.09, 0.004):
        found = smoothed_without(asked, group, table, sigma)
        for d, own in enumerate(group):
            others = np.delete(np.arange(7), own)
            expected = kernel_smoother(float(asked[d]), *table.pairs(others), sigma)
            np.testing.assert_allclose(found[d], expected, rtol=1e-9)


def many_tasks(n_tasks: int):
    generator = np.random.default_rng(4)
    task = np.repeat(np.arange(n_tasks, dtype=np.int32), 2)
    vectors = normalize(generator.normal(size=(len(task), 16)))
    return vectors, task, generator.integers(0, 2, (len(task), 3)).astype(np.float32)


@pytest.mark.parametrize("excluded", [None, 7])
def test_no_task_has_a_say_in_what_is_predicted_of_it_however_many_there_are(excluded):
    n_tasks = 2 * MOST_FOLDS + 30
    vectors, task, labels = many_tasks(n_tasks)
    group = np.arange(n_tasks) // 2  # families of two
    outside = nearest_outside_task(vectors, group[task].astype(np.int32), 40)

    def evidence(of):
        index, similarity = outside.index, (1.0 - outside.distance).astype(np.float32)
        return unseen.leave_out_evidence(vectors, of, task, group, index, similarity, excluded)

    whole = evidence(labels)
    assert len(np.unique(whole.fold)) == MOST_FOLDS + (excluded is not None)
    for family in (0, 7, 14, MOST_FOLDS + 3):
        own = np.flatnonzero(group == family)
        changed = labels.copy()
        changed[group[task] == family] = 1.0
        other = evidence(changed)
        assert (other.accuracy[own] != whole.accuracy[own]).any()
        np.testing.assert_allclose(other.average[own], whole.average[own], rtol=1e-12)
        for name, values in whole.predicted.items():
            np.testing.assert_allclose(other.predicted[name][own], values[own], atol=1e-6)
        if family == excluded:  # what is to be predicted teaches nothing, and all others teach it
            for name in ("s1_k200", "mean+knn200", "mean+knn200+ridge0.3"):
                one, two = (unseen.candidate_scores(each, name)[own] for each in (whole, other))
                np.testing.assert_allclose(one, two, atol=1e-6)
            np.testing.assert_array_equal(other.average, whole.average)
            rest = task_accuracy(labels, task, n_tasks)[group != family]
            np.testing.assert_allclose(whole.average[own[0]], rest.mean(axis=0))


def test_accuracies_without_gaps_are_left_as_they_are():
    _, task, _, labels = benchmark()
    measured = task_accuracy(labels, task, N_TASKS)
    np.testing.assert_array_equal(impute_accuracy(labels, task, N_TASKS), measured)
    for d in range(N_TASKS):
        labels[np.flatnonzero(task == d)[0], d % N_MODELS] = np.nan  # no cell loses 5 %
    assert np.bincount(task).min() > 20
    measured = task_accuracy(labels, task, N_TASKS)
    np.testing.assert_array_equal(impute_accuracy(labels, task, N_TASKS), measured)


def test_a_model_that_was_tried_on_hard_tasks_is_not_held_for_a_bad_one():
    task = np.repeat(np.arange(4, dtype=np.int32), 500)
    chance = np.array([[0.2, 0.2, 0.4], [0.3, 0.3, 0.5], [0.2, 0.2, 0.4], [0.7, 0.7, np.nan]])
    labels = np.where(np.random.default_rng(2).random((2000, 3)) < chance[task], 1.0, 0.0)
    labels[task == 3, 2] = np.nan
    filled = impute_accuracy(labels.astype(np.float32), task, 4)
    assert 0.75 < filled[3, 2] < 0.9
    assert filled.mean(axis=0).argmax() == 2


def test_a_model_without_any_label_is_held_to_less_than_the_mean_of_the_others():
    labels = np.array([[1, 0, np.nan], [1, 1, np.nan]], dtype=np.float32)
    filled = impute_accuracy(labels, np.array([0, 1]), 2)
    # what a model exceeds with probability 0.7, were models 10 points apart
    np.testing.assert_allclose(filled[:, 2], [0.5 - 0.05244, 1.0 - 0.05244], atol=1e-4)


def few_shot(n_shown: int, seed: int = 0, chance: float = 0.55):
    """Ten models on eight tasks, and an eleventh of which some samples are known."""
    generator = np.random.default_rng(seed)
    task = np.sort(generator.integers(8, size=1600)).astype(np.int32)
    hardness = generator.normal(0, 0.25, size=1600)
    skill = np.append(np.linspace(0.3, 0.6, 10), chance)
    drawn = generator.random((1600, 11)) < np.clip(skill + hardness[:, None], 0, 1)
    labels = drawn.astype(np.float32)
    whole = labels.copy()
    shown = generator.choice(1600, size=n_shown, replace=False)
    labels[:, 10] = np.nan
    labels[shown, 10] = whole[shown, 10]
    return whole, labels, task


def test_a_few_labels_are_compared_with_what_others_did_on_the_same_samples():
    error, plain = [], []
    for seed in range(40):
        whole, labels, task = few_shot(50, seed)
        truth = task_accuracy(whole, task, 8)[:, 10].mean()
        error.append(impute_accuracy(labels, task, 8)[:, 10].mean() - truth)
        plain.append(np.nanmean(task_accuracy(labels, task, 8)[:, 10]) - truth)
    assert np.std(error) < 0.7 * np.std(plain)
    assert -0.1 < np.mean(error) < 0  # cautious


def test_a_middling_model_with_a_few_lucky_labels_is_not_the_best_on_average():
    best = 0
    for seed in range(40):
        _, labels, task = few_shot(20, seed, chance=0.45)
        best += int(impute_accuracy(labels, task, 8).mean(axis=0).argmax() == 10)
    assert best <= 2


def test_more_labels_bring_the_estimate_to_the_truth():
    off = []
    for n_shown in (20, 200, 800, 1600):
        whole, labels, task = few_shot(n_shown, seed=5, chance=0.9)
        truth = task_accuracy(whole, task, 8)[:, 10]
        off.append(np.abs(impute_accuracy(labels, task, 8)[:, 10] - truth).mean())
    assert off == sorted(off, reverse=True)
    assert off[-1] == 0


def test_a_model_with_a_few_labels_neither_opens_nor_closes_the_gate():
    _, task, _, labels = benchmark(n=400)
    scores = np.random.default_rng(3).random(labels.shape)
    scores[np.arange(400), task % N_MODELS] += 1
    average = np.array([0.5, 0.6, 0.5, 0.5])
    verdict = gate_verdict(scores, labels, task, average)
    shown = np.full(400, np.nan, dtype=np.float32)
    shown[::20] = 1
    more = np.column_stack([labels, shown])
    for score, mean in ((0.0, 0.1), (9.0, 0.9)):
        with_new = np.column_stack([scores, np.full(400, score)])
        assert gate_verdict(with_new, more, task, np.append(average, mean)) == verdict


def test_of_a_model_with_a_few_labels_a_new_task_knows_what_it_knows_of_models():
    _, task, _, labels = benchmark(n=400)
    evidence = evidence_of(*benchmark(n=400), None)
    covariances = few_labels.label_covariances(labels, task, N_TASKS)
    size = np.bincount(task).astype(float)
    usual = few_labels.learn_prior(evidence, evidence.average, covariances, size)
    sparse = replace(evidence, rarely_measured=np.array([False, False, False, True]))
    prior = few_labels.learn_prior(sparse, evidence.average, covariances, size)
    assert prior.covariance.shape == usual.covariance.shape
    assert prior.covariance[3, 3] == pytest.approx(np.diag(prior.covariance)[:3].mean(), rel=0.05)
    assert (np.linalg.eigvalsh(prior.covariance) > 0).all()
    np.testing.assert_allclose(prior.noise[:3, :3], usual.noise[:3, :3], atol=1e-6)


def test_labels_that_are_missing_do_not_make_the_others_look_certain():
    _, task, _, labels = benchmark(n=2000)
    whole = few_labels.label_covariances(labels, task, N_TASKS)
    labels[np.random.default_rng(6).random(labels.shape) < 0.4] = np.nan
    missing = few_labels.label_covariances(labels, task, N_TASKS)
    diagonal = np.arange(N_MODELS)
    np.testing.assert_allclose(
        missing[:, diagonal, diagonal], whole[:, diagonal, diagonal], rtol=0.15, atol=0.02
    )


def test_the_choice_for_a_task_does_not_look_at_its_labels():
    vectors, task, correctness, labels = benchmark()
    excluded = 2
    other = correctness.copy()
    other[task == excluded] = 1 - other[task == excluded]
    first = evidence_of(vectors, task, correctness, labels, excluded)
    second = evidence_of(vectors, task, other, other.astype(np.float32), excluded)
    for name in first.predicted:
        np.testing.assert_allclose(first.predicted[name], second.predicted[name], atol=1e-9)
    np.testing.assert_array_equal(first.average, second.average)
    a, b = unseen.select(first), unseen.select(second)
    assert (a.candidate, a.coefficients) == (b.candidate, b.coefficients)


def test_no_task_is_predicted_from_its_own_labels():
    vectors, task, correctness, labels = benchmark()
    first = evidence_of(vectors, task, correctness, labels, None)
    other = correctness.copy()
    other[task == 3] = 1 - other[task == 3]
    second = evidence_of(vectors, task, other, other.astype(np.float32), None)
    for name in ("knn200", "ridge0.1", "ridge0.3"):
        np.testing.assert_allclose(first.predicted[name][3], second.predicted[name][3], atol=1e-9)


def test_where_nothing_can_be_gained_the_best_on_average_answers():
    generator = np.random.default_rng(5)
    vectors, task, _, _ = benchmark()
    correctness = (generator.random((len(task), N_MODELS)) < [0.9, 0.3, 0.3, 0.3]).astype(np.uint8)
    evidence = evidence_of(vectors, task, correctness, correctness.astype(np.float32), None)
    choice = unseen.select(evidence)
    picks = pick_for_task(choice.predict(evidence.average, evidence.predicted), evidence.average)
    assert set(picks) == {0}


def test_s3_is_among_the_candidates_that_are_weighed():
    evidence = evidence_of(*benchmark(), None)
    assert "s3" in unseen.select(evidence).gains


def test_the_ridge_is_the_least_of_its_penalised_squares():
    vectors, task, _, labels = benchmark(n=60)
    weight = 1.0 / np.bincount(task)[task]
    weights, bias = fit_ridge(vectors, labels.astype(np.float64), weight, strength=0.1)

    def loss(weights, bias):
        error = vectors @ weights + bias - labels
        return (weight[:, None] * error**2).sum() + 0.1 * (weights**2).sum()

    generator = np.random.default_rng(3)
    for _ in range(20):
        step = 0.01 * generator.normal(size=weights.shape)
        assert loss(weights + step, bias) > loss(weights, bias)
        assert loss(weights, bias + step[0]) > loss(weights, bias)


def test_requests_are_routed_where_routing_pays_and_only_there():
    vectors, task, _, labels = benchmark(n=600)
    fitted = fit_request(vectors, labels, task, N_TASKS, neighbors_of_each(vectors))
    assert fitted.gate.routes
    picks = fitted.guarded.loo_scores.argmax(axis=1)
    best = labels.mean(axis=0).argmax()
    assert labels[np.arange(600), picks].mean() > labels[:, best].mean() + 0.05

    noise = (np.random.default_rng(1).random(labels.shape) < 0.5).astype(np.float32)
    fitted = fit_request(vectors, noise, task, N_TASKS, neighbors_of_each(vectors))
    assert not fitted.gate.routes


def test_out_of_fold_scores_do_not_follow_the_rows_own_label():
    vectors, task, _, labels = benchmark(n=300, strength=0.0)
    inside = neighbors_of_each(vectors)
    scores = fit_request(vectors, labels, task, N_TASKS, inside).guarded.loo_scores
    correlation = np.corrcoef(scores[:, 0] - scores[:, 1], labels[:, 0] - labels[:, 1])[0, 1]
    assert correlation < 0.1  # pure noise: what is learned from the others cannot know the row


def test_a_row_is_scored_without_its_copies():
    vectors, task, _, labels = benchmark(n=60, strength=0.0)
    copies = np.repeat(np.arange(60), 10)
    vectors, task, labels = vectors[copies], task[copies], labels[copies]
    near = neighbors_of_each(vectors)

    def correlation(group):
        scores = fit_request(vectors, labels, task, N_TASKS, near, group).guarded.loo_scores
        return np.corrcoef(scores[:, 0] - scores[:, 1], labels[:, 0] - labels[:, 1])[0, 1]

    assert correlation(copies) < 0.2  # pure noise again
    assert correlation(None) > 0.3  # what the groups are for
    fitted = fit_request(vectors, labels, task, N_TASKS, near, copies)
    assert not fitted.gate.routes
    assert fit_request(vectors, labels, task, N_TASKS, near).gate.routes


def test_an_estimator_for_some_models_scores_them_as_the_whole_one_does():
    vectors, task, _, labels = benchmark(n=300)
    inside = neighbors_of_each(vectors)
    whole = fit_request(vectors, labels, task, N_TASKS, inside).guarded.request
    columns = np.array([3, 1])
    near, near_task = labels[inside.index], task[inside.index]
    np.testing.assert_allclose(
        whole.pool(columns).predict(vectors, near[:, :, columns], near_task),
        whole.predict(vectors, near, near_task)[:, columns],
    )


def test_calibrated_probabilities_rise_with_the_score_and_fit_the_labels():
    generator = np.random.default_rng(2)
    scores = generator.normal(size=(4000, 2))
    chance = 1 / (1 + np.exp(-3 * scores))
    labels = (generator.random(scores.shape) < chance).astype(np.float32)
    fitted = fit_calibration(scores[:2000], labels[:2000])
    said = fitted.predict_proba(scores[2000:])
    assert ((said >= 0) & (said <= 1)).all()
    order = np.argsort(scores[2000:, 0])
    assert (np.diff(said[order, 0]) >= -1e-12).all()
    assert expected_calibration_error(said, labels[2000:]) < 0.05
    assert fitted.of_model(1, 0.3) == pytest.approx(
        fitted.predict_proba(np.array([[0.0, 0.3]]))[0, 1]
    )


def prior(n_models: int = 3) -> few_labels.TaskPrior:
    generator = np.random.default_rng(4)
    root = generator.normal(size=(n_models, n_models)) * 0.1
    return few_labels.TaskPrior(
        np.linspace(0.4, 0.6, n_models),
        root @ root.T + 0.01 * np.eye(n_models),
        0.2 * np.eye(n_models) + 0.05,
    )


def test_the_posterior_equals_conditioning_a_normal_distribution_by_hand():
    known = prior()
    labels = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=np.float32)
    posterior = few_labels.update(known, labels)
    gain = known.covariance @ np.linalg.inv(known.covariance + known.noise / 4)
    normal = known.mean + gain @ (labels.mean(axis=0) - known.mean)
    beta = (labels.sum(axis=0) + 20 * known.mean) / 24
    np.testing.assert_allclose(posterior.score, (normal + beta) / 2, atol=1e-6)
    np.testing.assert_allclose(
        posterior.covariance, known.covariance - gain @ known.covariance, atol=1e-6
    )


def test_without_labels_the_posterior_is_the_prior():
    known = prior()
    posterior = few_labels.update(known, np.empty((0, 3), dtype=np.float32))
    np.testing.assert_allclose(posterior.score, known.mean)
    np.testing.assert_allclose(posterior.covariance, known.covariance)


def test_a_model_that_was_not_asked_is_moved_by_those_it_goes_with_only():
    known = prior()
    labels = np.array([[1, np.nan, np.nan]] * 8, dtype=np.float32)
    posterior = few_labels.update(known, labels)
    direction = np.sign(posterior.score[1:] - known.mean[1:])
    np.testing.assert_array_equal(direction, np.sign(known.covariance[1:, 0]))


def test_the_best_on_average_is_left_only_for_a_probability_above_eta():
    sure = few_labels.Posterior(np.array([0.5, 0.9]), 1e-4 * np.eye(2))
    unsure = few_labels.Posterior(np.array([0.5, 0.52]), np.eye(2))
    assert sure.pick(0, 0.7) == 1
    assert unsure.pick(0, 0.7) == 0


def test_more_labels_are_needed_the_closer_the_models_are():
    known = prior()
    labels = np.array([[1, 0, 1], [1, 1, 0]] * 3, dtype=np.float32)
    covariance = few_labels.update(known, labels).covariance
    scores = np.array([0.2, 0.5, 0.52])
    needed = few_labels.labels_needed(known, labels, few_labels.Posterior(scores, covariance))
    np.testing.assert_array_equal(needed, needed.T)
    assert 0 <= needed[0, 2] <= needed[0, 1]
    assert needed[1, 2] == -1 or needed[1, 2] > needed[0, 1]
    far = few_labels.Posterior(scores * [0, 1, 3], covariance)
    assert few_labels.labels_needed(known, labels, far)[0, 2] == 0


def test_with_as_many_more_labels_as_needed_two_models_are_settled():
    known = prior()
    labels = np.array([[1, 0, 1], [1, 1, 0]] * 3, dtype=np.float32)
    posterior = few_labels.Posterior(
        np.array([0.35, 0.5, 0.7]), few_labels.update(known, labels).covariance
    )
    needed = int(few_labels.labels_needed(known, labels, posterior)[0, 1])
    assert needed > 1

    def probability(more: int) -> float:
        further = np.concatenate([labels, np.zeros((more, 3), dtype=np.float32)])
        covariance = few_labels.update(known, further).covariance
        return few_labels.Posterior(posterior.score, covariance).probability_better(1, 0)

    assert probability(needed) >= 0.95
    assert probability(int(0.9 * needed) - 1) < 0.95


def test_herding_keeps_the_mean_of_what_it_picks_near_the_mean_of_all():
    generator = np.random.default_rng(8)
    vectors = normalize(generator.normal(size=(200, 16))).astype(np.float32)
    picked = few_labels.herd(vectors, 10)
    assert len(set(picked.tolist())) == 10
    target = vectors.mean(axis=0)
    off = np.linalg.norm(vectors[picked].mean(axis=0) - target)
    random = [
        np.linalg.norm(vectors[generator.permutation(200)[:10]].mean(axis=0) - target)
        for _ in range(50)
    ]
    assert off < min(random)
