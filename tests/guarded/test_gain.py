"""What a gain is worth: clusters, the shrunk posterior, and one test for many candidates."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from litellm_benchrouter.guarded import unseen
from litellm_benchrouter.guarded.gain import N_FOLDS, draw_folds, gain_of, gate_verdict
from litellm_benchrouter.guarded.impute import coverage_warnings, served_average
from litellm_benchrouter.guarded.max_t import max_t_p_values, prediction_error
from litellm_benchrouter.guarded.named import advantages, fit_named_tasks, paired_differences
from litellm_benchrouter.paper.benchmark import task_accuracy


def drawn(chance, per_task, seed=0):
    """Labels of every model on every task, by chances of shape (D, M)."""
    chance = np.asarray(chance, dtype=float)
    task = np.repeat(np.arange(len(chance), dtype=np.int32), per_task)
    random = np.random.default_rng(seed).random((len(task), chance.shape[1]))
    return (random < chance[task]).astype(np.float32), task


# A gain and its standard error


def test_a_gain_is_the_mean_over_tasks_and_its_error_that_of_independent_samples():
    labels, task = drawn([[0.5, 0.7], [0.5, 0.4], [0.6, 0.6]], 40)
    labels, task = labels[:100], task[:100]  # the last task has 20
    gain = gain_of(np.ones(100, dtype=np.intp), 0, labels, task)
    parts = [(labels[task == d, 1] - labels[task == d, 0]).astype(float) for d in range(3)]
    assert gain.gain == pytest.approx(np.mean([p.mean() for p in parts]))
    error = np.sqrt(sum(p.var(ddof=1) / len(p) for p in parts) / 9 + 1 / 100**2)
    assert gain.standard_error == pytest.approx(error)
    assert gain.lower == pytest.approx(gain.gain - 1.645 * error)
    assert (gain.n_samples, gain.moved_share) == (100, 1.0)


def test_copies_of_samples_do_not_make_a_gain_more_certain():
    labels, task = drawn([[0.5, 0.6], [0.5, 0.6]], 60)
    pick = np.ones(120, dtype=np.intp)
    once = gain_of(pick, 0, labels, task)
    rows = np.repeat(np.arange(120), 5)
    copied = gain_of(pick[rows], 0, labels[rows], task[rows], rows)
    assert copied.gain == pytest.approx(once.gain)
    assert copied.standard_error == pytest.approx(once.standard_error)
    fooled = gain_of(pick[rows], 0, labels[rows], task[rows])
    assert fooled.standard_error < 0.5 * once.standard_error


def test_a_sample_counts_where_both_models_have_a_label():
    nan = np.nan
    labels = np.array([[0, 1], [1, 0], [0, nan], [nan, 1], [0, 1]], dtype=np.float32)
    gain = gain_of(np.ones(5, dtype=np.intp), 0, labels, np.zeros(5, dtype=np.int32))
    assert (gain.n_samples, gain.gain) == (3, pytest.approx(1 / 3))
    alone = gain_of(np.ones(1, dtype=np.intp), 0, labels[:1], np.zeros(1, dtype=np.int32))
    assert alone.gain == 1
    assert not alone.routes
    nothing = gain_of(np.ones(2, dtype=np.intp), 0, labels[2:4], np.zeros(2, dtype=np.int32))
    assert np.isnan(nothing.gain)
    assert not nothing.routes


def test_a_few_picks_that_all_win_are_not_yet_a_gain():
    labels = np.zeros((600, 2), dtype=np.float32)
    task = np.repeat(np.arange(10, dtype=np.int32), 60)
    pick = np.zeros(600, dtype=np.intp)
    for n, routes in ((3, False), (9, True)):  # heads n times: 1 in 8, and 1 in 512
        pick[: 60 * n : 60], labels[: 60 * n : 60, 1] = 1, 1
        assert gain_of(pick, 0, labels, task).routes is routes
    few = gain_of(np.ones(5, dtype=np.intp), 0, np.ones((5, 2), np.float32) * [0, 1], task[:5])
    assert (few.gain, few.routes) == (1, False)


def test_tasks_of_one_sample_each_have_the_error_of_their_spread():
    labels, _ = drawn([[0.5, 0.6]], 400)
    task = np.arange(400, dtype=np.int32)
    gain = gain_of(np.ones(400, dtype=np.intp), 0, labels, task)
    difference = (labels[:, 1] - labels[:, 0]).astype(float)
    assert gain.standard_error == pytest.approx(difference.std() / 20, rel=0.01)


def test_the_gate_opens_for_a_gain_that_is_shown_and_at_chance_in_one_of_twenty():
    opened = []
    for better in (0.5, 0.7):
        routes = 0
        for seed in range(200):
            labels, task = drawn([[0.5, better], [0.5, 0.5]], 100, seed)
            scores = np.tile([0.0, 1.0], (200, 1))
            routes += gate_verdict(scores, labels, task, np.array([0.5, 0.4])).routes
        opened.append(routes / 200)
    assert 0.01 < opened[0] < 0.10
    assert opened[1] > 0.4


def test_folds_hold_groups_together_and_part_each_task_evenly():
    group = np.arange(200) // 2
    task = np.repeat([0, 1], [150, 50])
    fold = draw_folds(group, task, seed=3)[group]
    assert (fold[::2] == fold[1::2]).all()
    for d in (0, 1):
        count = np.bincount(fold[task == d], minlength=N_FOLDS)
        assert np.ptp(count) <= 2
    assert (fold != draw_folds(group, task, seed=4)[group]).any()


# Tasks of the benchmark


def named_picks(labels, task):
    average = np.nanmean(task_accuracy(labels, task, int(task.max()) + 1), axis=0)
    best = int(average.argmax())
    model = fit_named_tasks(labels, task, np.arange(len(task)), int(task.max()) + 1, average, best)
    return model, model.advantages.picks(best), best


def test_a_model_that_is_lucky_on_a_task_is_not_picked_there():
    left, opened, lucky = 0, 0, 0
    for seed in range(10):
        labels, task = drawn(np.full((12, 8), 0.6), 20, seed)
        model, picks, best = named_picks(labels, task)
        left += int((picks != best).sum())
        opened += model.gate.routes
        lucky += int((task_accuracy(labels, task, 12).argmax(axis=1) != best).sum())
    assert lucky > 60  # the best of eight on twenty samples is another one
    assert left <= 12  # of 120
    assert opened <= 1


def test_a_model_that_is_better_on_half_of_the_tasks_is_picked_there():
    chance = np.full((10, 4), 0.55)
    chance[:, 0] = 0.65
    chance[::2, 2] = 0.85
    chance[1::2, 2] = 0.35
    labels, task = drawn(chance, 100)
    model, picks, best = named_picks(labels, task)
    assert best == 0
    assert picks.tolist() == [2, 0] * 5
    assert model.gate.routes
    assert model.gate.gain == pytest.approx(0.1, abs=0.04)
    probability = model.advantages.probability_better()
    assert (probability[::2, 2] > 0.95).all()
    assert (probability[:, 0] == 0).all()


def test_differences_are_of_shared_samples_with_copies_as_one():
    nan = np.nan
    labels = np.array([[0, 1], [0, 1], [1, 0], [0, nan], [1, 1]], dtype=np.float32)
    task = np.array([0, 0, 0, 0, 1])
    between = paired_differences(labels, task, np.array([0, 0, 1, 2, 3]), 3, 0)
    assert between.count[:, 1].tolist() == [2, 1, 0]
    np.testing.assert_allclose(between.mean[:, 1], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(between.variance[0, 1], (2.0 + 1 / 2) / 2)  # of +1 and -1
    posterior = advantages(between, np.array([0.5, 0.4]), 0)
    assert (posterior.mean[:, 0] == 0).all()
    assert np.isfinite(posterior.variance).all()


# New tasks


def test_p_values_are_those_of_all_flips_of_signs():
    gains = np.array([[0.02, 0.03, 0.01, 0.04], [0.05, -0.04, 0.01, 0.0], [0.0, 0.0, 0.0, 0.0]])

    def statistic(values):
        return values.mean() / (np.sqrt((values**2).mean() / 4) or 1.0)

    largest = [max(statistic(g * signs) for g in gains) for signs in product((1, -1), repeat=4)]
    expected = [np.mean([top >= statistic(g) - 1e-9 for top in largest]) for g in gains]
    np.testing.assert_allclose(max_t_p_values(gains), expected)
    assert expected[0] == 1 / 16  # no flip is as good as none
    assert expected[2] == 1.0


def test_trying_more_candidates_costs_and_many_families_are_sampled():
    draws = np.random.default_rng(0)
    gains = draws.normal(0.012, 0.02, size=(1, 20))
    alone = max_t_p_values(gains)[0]
    among = max_t_p_values(np.vstack([gains, draws.normal(0, 0.02, size=(30, 20))]))[0]
    assert alone < 0.05 < among
    assert max_t_p_values(gains, seed=1)[0] == pytest.approx(alone, abs=0.02)


def evidence_of(seed, gain, n_tasks=20, n_models=5):
    """A predictor of new tasks' accuracies, right by `gain` and otherwise noise."""
    draws = np.random.default_rng(seed)
    truth = gain * draws.normal(size=(n_tasks, n_models))
    accuracy = 0.5 + truth + 0.02 * draws.normal(size=truth.shape)
    predicted = 0.5 + truth + 0.03 * draws.normal(size=truth.shape)
    group = np.arange(n_tasks)
    average = np.array([accuracy[group != d].mean(axis=0) for d in range(n_tasks)])
    return unseen.Evidence(
        accuracy,
        average,
        {"knn200": predicted, "ridge0.1": predicted[:, ::-1]},
        group,
        np.ones(n_tasks, dtype=bool),
        np.zeros(n_models, dtype=bool),
    )


def test_new_tasks_are_left_to_the_best_on_average_where_predictors_are_noise():
    chosen = [unseen.select(evidence_of(seed, gain=0.0)) for seed in range(30)]
    assert sum(choice.candidate is not None for choice in chosen) <= 3
    assert all(len(choice.p_values) == 3 for choice in chosen)


def test_a_predictor_that_is_right_is_kept_with_a_margin_of_its_errors():
    for seed in range(5):
        choice = unseen.select(evidence_of(seed, gain=0.1))
        assert choice.candidate in ("s1_k200", "mean+knn200")
        assert choice.p_values[choice.candidate] <= 0.10 < choice.p_values["mean+ridge0.1"]
        assert 0.005 < choice.margin < 0.05  # the noise of predictions is about 4 points


def test_variants_of_a_task_are_one_family_in_the_test():
    one = evidence_of(0, gain=0.1, n_tasks=4)
    rows = np.repeat(np.arange(4), 5)
    copied = replace(
        one,
        accuracy=one.accuracy[rows],
        average=one.average[rows],
        predicted={name: values[rows] for name, values in one.predicted.items()},
        group=rows,
        used=np.ones(20, dtype=bool),
    )
    assert unseen.select(copied).p_values == pytest.approx(unseen.select(one).p_values)


def test_the_error_of_predictions_is_that_of_the_models_that_compete():
    average = np.array([[0.8, 0.79, 0.1]] * 2)
    predicted = np.array([[0.8, 0.79, 0.9]] * 2)  # the third is far off, and out of the question
    realised = np.array([[0.8, 0.83, 0.1], [0.8, 0.75, 0.1]])
    best = np.zeros(2, dtype=np.intp)
    assert prediction_error(predicted, realised, average, best) == pytest.approx(0.04, abs=1e-4)


# Missing labels


def easy_half(seed=0):
    """Four models of which the last was scored on the easier half of every task alone."""
    draws = np.random.default_rng(seed)
    task = np.repeat(np.arange(4, dtype=np.int32), 200)
    easiness = draws.uniform(-0.3, 0.3, size=800)
    skill = np.array([0.6, 0.55, 0.5, 0.55])
    whole = (draws.random((800, 4)) < skill + easiness[:, None]).astype(np.float32)
    labels = whole.copy()
    labels[easiness < 0, 3] = np.nan
    return whole, labels, task


def test_a_model_scored_on_the_easy_half_is_not_the_best_on_average():
    off, plainly_off, best, plainly_best = [], [], 0, 0
    for seed in range(20):
        whole, labels, task = easy_half(seed)
        truth = task_accuracy(whole, task, 4).mean(axis=0)
        plain = task_accuracy(labels, task, 4).mean(axis=0)
        served = served_average(labels, task, 4)
        np.testing.assert_array_equal(served[:3], plain[:3])
        off.append(served[3] - truth[3])
        plainly_off.append(plain[3] - truth[3])
        best += served.argmax() == 3
        plainly_best += plain.argmax() == 3
    assert min(plainly_off) > 0.1
    assert abs(np.mean(off)) < 0.02
    assert plainly_best == 20
    assert best <= 1


def test_without_missing_labels_what_is_served_is_the_mean_over_tasks():
    whole, _, task = easy_half()
    expected = task_accuracy(whole[:500], task[:500], 4)[:3].mean(axis=0)
    np.testing.assert_allclose(served_average(whole[:500], task[:500], 4), expected)


def test_a_model_scored_on_few_or_easier_samples_is_named():
    _, labels, task = easy_half()
    labels[task == 2, 1] = np.nan
    labels[:20, 0] = np.nan  # 97.5 % are left
    names, tasks = ["a", "b", "c", "d"], ["code", "law", "math", "verse"]
    some, easy = coverage_warnings(labels, task, names, tasks)
    assert some.startswith("b has labels of 75% of the samples, none of 1 tasks such as math:")
    assert easy.startswith("d has labels of ")
    assert "points easier for the other models" in easy
    assert coverage_warnings(easy_half()[0], task, names, tasks) == []


def test_a_task_without_samples_to_learn_from_stays_with_the_best_on_average():
    labels, task = drawn([[0.6, 0.5], [0.6, 0.5]], 50)
    average = np.array([0.6, 0.5])
    model = fit_named_tasks(labels, task, np.arange(100), 3, average, 0)
    assert model.advantages.mean.shape == (3, 2)
    assert model.advantages.picks(0)[2] == 0
