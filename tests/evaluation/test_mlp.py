"""The MLP as correctness predictor, ATC, and the table that its smoother reads."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.mlp import confidence_threshold, confident_share, run_mlp
from litellm_benchrouter.evaluation.nets import Recipe, train
from litellm_benchrouter.evaluation.task import distance_of
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.paper.scores import predictor_accuracy
from litellm_benchrouter.paper.smoother import kernel_smoother
from litellm_benchrouter.progress import Progress

from .cases import prepared_of, random_case

SMALL = Recipe(hidden=(16,), epochs=40)


class Counted(Progress):
    """Counts the steps of each stage."""

    def __init__(self):
        super().__init__()
        self.total, self.done = {}, {}

    @contextmanager
    def stage(self, name, total):
        self.total[name] = total
        steps: list[int] = []
        yield steps.append
        self.done[name] = sum(steps)


def two_kinds(n: int, seed: int):
    """Vectors of two kinds; model 0 answers the first kind right, model 1 the second."""
    generator = np.random.default_rng(seed)
    kind = generator.integers(2, size=n)
    vectors = np.eye(5)[kind] + 0.2 * generator.normal(size=(n, 5))
    correctness = np.stack([kind == 0, kind == 1], axis=1).astype(np.uint8)
    return vectors.astype(np.float32), correctness


def trained(vectors, correctness, recipe=SMALL, seed=(0,)):
    return train(vectors, correctness, recipe, seed=seed, progress=lambda _: None)


@pytest.mark.parametrize("each_model", [False, True])
def test_the_nets_learn_who_is_right_on_what(each_model):
    vectors, correctness = two_kinds(300, seed=0)
    new, answers = two_kinds(100, seed=1)
    g = trained(vectors, correctness, replace(SMALL, each_model=each_model)).predict(new)
    assert g.shape == (100, 2)
    assert (predictor_accuracy(g, answers) > 0.98).all()


@pytest.mark.parametrize("each_model", [False, True])
def test_missing_labels_teach_nothing(each_model):
    vectors, correctness = two_kinds(600, seed=0)
    new, answers = two_kinds(100, seed=1)
    # Were a missing label read as wrong (or as right), a model would seem wrong (right) throughout.
    correctness[np.random.default_rng(2).random(correctness.shape) < 0.8] = MISSING
    g = trained(vectors, correctness, replace(SMALL, each_model=each_model)).predict(new)
    assert (predictor_accuracy(g, answers) > 0.95).all()


@pytest.mark.parametrize("each_model", [False, True])
def test_a_model_without_labels_has_no_prediction(each_model):
    vectors, correctness = two_kinds(100, seed=0)
    correctness[:, 1] = MISSING
    g = trained(vectors, correctness, replace(SMALL, each_model=each_model)).predict(vectors[:3])
    assert not np.isnan(g[:, 0]).any()
    assert np.isnan(g[:, 1]).all()


def test_the_seed_decides_and_the_callers_random_numbers_stay_its_own():
    vectors, correctness = two_kinds(100, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = trained(vectors, correctness, seed=(1, 2)).predict(vectors)
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(
        trained(vectors, correctness, seed=(1, 2)).predict(vectors), first
    )
    assert (trained(vectors, correctness, seed=(1, 3)).predict(vectors) != first).any()


def test_training_stops_early_and_keeps_the_best_epoch():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(200, 5)).astype(np.float32)
    correctness = generator.integers(2, size=(200, 1)).astype(np.uint8)  # nothing to learn
    reports: list[int] = []
    recipe = Recipe(hidden=(64,), epochs=60, patience=3)
    net = train(vectors, correctness, recipe, seed=(0,), progress=reports.append)
    assert sum(reports) == 60
    assert len(reports) < 60
    held = net.validation
    kept = predictor_accuracy(net.predict(vectors[held]), correctness[held])
    longer = train(
        vectors, correctness, replace(recipe, patience=60), seed=(0,), progress=lambda _: None
    )
    best = predictor_accuracy(longer.predict(vectors[held]), correctness[held])
    assert best >= kept >= 0.5


@given(st.integers(0, 1000), st.integers(1, 60), st.floats(0, 0.5))
def test_as_many_validation_predictions_are_confident_as_are_right(seed, n, missing):
    generator = np.random.default_rng(seed)
    g = generator.random((n, 3))
    correctness = generator.integers(2, size=(n, 3)).astype(np.uint8)
    correctness[generator.random((n, 3)) < missing] = MISSING
    threshold = confidence_threshold(g, correctness)
    seen = np.where(correctness == MISSING, np.nan, g)
    np.testing.assert_allclose(
        confident_share(seen, threshold), predictor_accuracy(g, correctness), atol=1e-12
    )


def test_atc_by_hand():
    g = np.array([[0.9], [0.2], [0.6], [0.55]])  # confidence .9, .8, .6, .55
    correctness = np.array([[1], [0], [0], [1]], dtype=np.uint8)  # one of four is wrong
    threshold = confidence_threshold(g, correctness)
    assert threshold == pytest.approx([0.6])
    new = np.array([[0.59], [0.61], [0.41], [0.3], [np.nan]])
    assert confident_share(new, threshold) == pytest.approx([0.5])


def test_atc_where_nothing_is_right_or_known():
    g = np.array([[0.9, 0.9], [0.8, 0.8]])
    threshold = confidence_threshold(g, np.array([[0, MISSING], [0, MISSING]], dtype=np.uint8))
    share = confident_share(g, threshold)
    assert share[0] == 0.0
    assert np.isnan(share[1])


def test_on_a_new_task_the_nets_pick_the_model_that_its_inputs_need():
    vectors, correctness = two_kinds(900, seed=3)
    kind = correctness[:, 1]
    # Tasks 0 and 1 mix both kinds, task 2 holds one kind only.
    task = np.where(np.arange(900) < 800, np.arange(900) % 2, 2)
    kept = (task < 2) | (kind == 1)
    prepared = prepared_of(
        correctness[kept].astype(np.float32), vectors[kept], task=task[kept].tolist(), k=5
    )
    document = run_mlp(prepared, Progress(), hidden=(16,), epochs=40)
    assert document["tasks"][2]["picks"]["s1"] == "model-1"
    assert document["tasks"][2]["picks"]["s2"] == "model-1"
    assert document["predictor_accuracy"] > 0.95
    assert document["validation_accuracy"] > 0.95
    assert set(document["methods"]) >= {"s1", "s2", "s3", "s3_atc", "s3_true_p", "bma", "oracle"}
    assert document["protocol"]["net"]["hidden"] == (16,)


@pytest.mark.parametrize("table_alphas", [(0.0,), (0.0, 0.2)])
def test_the_errors_of_both_estimates_equal_a_loop(table_alphas):
    prepared = random_case(2, n=90, missing=0.0)
    routing = prepared.routing.model_copy(update={"kappa": 3})
    prepared = replace(prepared, routing=routing)
    recipe = Recipe(hidden=(8,), epochs=5)
    vectors, correctness = prepared.embeddings, prepared.benchmark.correctness
    document = run_mlp(prepared, Progress(), hidden=(8,), epochs=5, table_alphas=table_alphas)

    p = np.zeros((3, 4))
    thresholds, g = [], []
    for d, rows in enumerate(prepared.rows):
        others = np.setdiff1d(np.arange(90), rows)
        net = trained(vectors[others], correctness[others], recipe, seed=(prepared.seed, d, 0))
        g.append(net.predict(vectors[rows]))
        p[d] = predictor_accuracy(g[d], correctness[rows])
        held = others[net.validation]
        thresholds.append(confidence_threshold(net.predict(vectors[held]), correctness[held]))
    atc = [np.abs(confident_share(g[d], thresholds[d]) - p[d]).mean() for d in range(3)]
    assert document["mae"]["s3_atc"] == pytest.approx(np.mean(atc))
    assert document["predictor_accuracy"] == pytest.approx(p.mean())

    smoother = []
    for new in range(3):
        pairs = []
        for d in set(range(3)) - {new}:
            far = (
                1
                - vectors[prepared.rows[d]] @ vectors[~np.isin(prepared.benchmark.task, [d, new])].T
            )
            pairs.append((np.sort(far, axis=1)[:, :3].mean(), p[d]))
        table_u, table_p = (np.array(column) for column in zip(*pairs, strict=True))
        estimate = kernel_smoother(distance_of(prepared, new), table_u, table_p)
        smoother.append(np.abs(estimate - p[new]).mean())
    if table_alphas == (0.0,):
        assert document["mae"]["s3"] == pytest.approx(np.mean(smoother), abs=1e-6)
    else:
        assert document["mae"]["s3"] != pytest.approx(np.mean(smoother), abs=1e-6)


@pytest.mark.parametrize("each_model", [False, True])
def test_the_bar_of_the_nets_ends_where_it_said(each_model):
    progress = Counted()
    prepared = random_case(3, n=60, missing=0.0)
    run_mlp(
        prepared,
        progress,
        hidden=(4,),
        epochs=6,
        patience=2,
        each_model=each_model,
        table_alphas=(0.0, 0.1),
    )
    assert progress.done["nets"] == progress.total["nets"] == 3 * 2 * 6 * (4 if each_model else 1)


def test_without_torch_the_error_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "litellm_benchrouter.evaluation.nets")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"litellm-benchrouter\[eval\]"):
        run_mlp(random_case(1), Progress())
