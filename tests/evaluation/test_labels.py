"""Labelled samples of the new task, held against protocol `task` and a loop over the equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from litellm_benchrouter.evaluation.labels import SCORED, run_labels
from litellm_benchrouter.evaluation.task import run_task
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.paper.smoother import draws
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import prepare

from .cases import random_case, shared_case

ALPHAS = (0.0, 0.1, 0.3)


def small_case(seed: int, **options):
    """Prepare a random benchmark whose smoother has few pairs, so that it is quick."""
    prepared = random_case(seed, **options)
    routing = prepared.routing.model_copy(update={"alphas": [0.0, 0.2], "repeats": 2, "kappa": 7})
    return replace(prepared, routing=routing)


def by_loop(prepared, d, moved):
    """One sample, neighbour and model at a time: u, g, and the labels of what remains."""
    k, kappa = prepared.routing.k, prepared.routing.kappa
    vectors, correctness = prepared.embeddings, prepared.benchmark.correctness
    rows = prepared.rows[d]
    known = [i for i in range(len(vectors)) if i not in rows or i in rows[moved]]
    distances, g, remaining = [], [], []
    for i in rows:
        if i in rows[moved]:
            continue
        near = sorted((1 - float(vectors[i] @ vectors[j]), j) for j in known)
        distances.append(np.mean([distance for distance, _ in near[:kappa]]))
        voters = correctness[[j for _, j in near[:k]]]
        g.append([votes[votes != MISSING] for votes in voters.T])
        remaining.append(prepared.labels[i])
    means = np.array([[v.mean() if len(v) else np.nan for v in votes] for votes in g])
    return np.mean(distances), means, np.array(remaining)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_without_labels_it_is_protocol_task(seed, missing):
    prepared = small_case(seed, missing=missing)
    task = run_task(prepared, Progress())
    (start,) = run_labels(prepared, Progress(), alphas=[0.0], repeats=3)["alphas"]
    for method in (*SCORED, "bma", "oracle"):
        expected = task["methods"][method]
        assert start["methods"][method]["accuracy"] == pytest.approx(expected["accuracy"])
        assert start["methods"][method]["accuracy_sd"] == pytest.approx(0.0, abs=1e-12)
        if method in SCORED:
            assert start["methods"][method]["pearson"] == pytest.approx(expected["pearson"])
    assert start["predictor_accuracy"] == pytest.approx(task["predictor_accuracy"])
    assert start["smoother_mae"] == pytest.approx(task["smoother_mae"])
    assert start["moved"] == 0


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_every_draw_equals_a_loop_over_the_equations(missing):
    prepared = small_case(3, n=40, n_models=3, missing=missing)
    repeats = 2
    document = run_labels(prepared, Progress(), alphas=ALPHAS, repeats=repeats, max_moved=5)[
        "draws"
    ]
    tables = prepared.smoother_tables(Progress())
    z = 0
    for d in range(prepared.n_tasks):
        average = prepared.average_without(d)
        table_u, table_p = tables[d].pairs()
        size, seed = len(prepared.rows[d]), (prepared.seed, d)
        for at, moved in draws(size, seed, ALPHAS, repeats=repeats, max_moved=5):
            u, g, labels = by_loop(prepared, d, moved)
            accuracy = np.nanmean(labels, axis=0)
            assert document["task"][z] == f"task {d}"
            assert document["alpha"][z] == ALPHAS[at.start // repeats]
            assert document["repeat"][z] == at.start % repeats
            assert document["moved"][z] == len(moved) <= 5
            assert document["u"][z] == pytest.approx(u, abs=2e-6)

            right = np.where(np.isnan(g) | np.isnan(labels), np.nan, (g > 0.5) == (labels == 1))
            true_p = np.nanmean(right, axis=0)
            assert document["predictor_accuracy"][z] == pytest.approx(true_p.mean(), abs=1e-6)

            kernel = np.exp(-((u - table_u) ** 2) / (2 * prepared.routing.sigma**2))
            seen = ~np.isnan(table_p)
            p = (kernel[:, None] * np.nan_to_num(table_p)).sum(axis=0) / (kernel @ seen)
            mae = np.abs(p - true_p).mean()
            assert document["smoother_mae"][z] == pytest.approx(mae, abs=1e-5)

            said = np.where(np.isnan(g), np.nan, g > 0.5)
            s2 = np.nanmean(said, axis=0)
            scores = {"s1": np.nanmean(g, axis=0), "s2": s2}
            scores |= {"s3": s2 * p + (1 - s2) * (1 - p)}
            scores |= {"s3_true_p": s2 * true_p + (1 - s2) * (1 - true_p)}
            for method, score in scores.items():
                pearson = None
                if np.ptp(score) > 1e-9 and np.ptp(accuracy) > 1e-9:
                    pearson = pytest.approx(np.corrcoef(score, accuracy)[0, 1], abs=1e-4)
                assert document["pearson"][method][z] == pearson
            for method in ("s1", "s2"):
                best = np.flatnonzero(np.isclose(scores[method], scores[method].max()))
                pick = best[np.argmax(average[best])]
                assert document["accuracy"][method][z] == pytest.approx(accuracy[pick], abs=1e-6)
            bma = accuracy[np.argmax(average)]
            assert document["accuracy"]["bma"][z] == pytest.approx(bma, abs=1e-6)
            assert document["accuracy"]["oracle"][z] == pytest.approx(accuracy.max(), abs=1e-6)
            z += 1
    assert z == len(document["u"]) == prepared.n_tasks * (1 + 2 * repeats)


def test_means_are_over_tasks_and_deviations_over_repeats():
    prepared = small_case(4, missing=0.0)
    document = run_labels(prepared, Progress(), alphas=[0.2], repeats=4)
    found = np.array(document["draws"]["accuracy"]["s1"]).reshape(prepared.n_tasks, 4)
    (row,) = document["alphas"]
    assert row["methods"]["s1"]["accuracy"] == pytest.approx(found.mean(), abs=1e-6)
    deviation = found.mean(axis=0).std(ddof=1)
    assert row["methods"]["s1"]["accuracy_sd"] == pytest.approx(deviation, abs=1e-6)


def test_a_single_repeat_has_no_deviation():
    document = run_labels(small_case(5), Progress(), alphas=[0.2], repeats=1)
    assert document["alphas"][0]["methods"]["s1"]["accuracy_sd"] == 0.0


def test_the_reference_is_the_best_on_average_of_the_larger_pool():
    whole = small_case(6, missing=0.0)
    names = list(whole.benchmark.models)
    best = [names[int(np.argmax(whole.average_without(d)))] for d in range(whole.n_tasks)]
    pool = whole.pool([name for name in names if name != best[0]])
    document = run_labels(pool, Progress(), alphas=[0.0, 0.2], repeats=2, reference=whole)
    assert document["reference"]["models"] == {name: best.count(name) for name in set(best)}
    expected = np.mean([whole.accuracy[d, names.index(best[d])] for d in range(whole.n_tasks)])
    start = document["alphas"][0]["methods"]
    assert start["reference"]["accuracy"] == pytest.approx(expected)
    assert "pearson" not in start["reference"]


def test_labels_of_the_new_task_teach_what_the_benchmark_does_not_know():
    prepared = small_case(7, n=240, missing=0.0)
    # Every task lies apart from the others and has a model of its own that is always right.
    task = prepared.benchmark.task
    vectors = np.eye(6, dtype=np.float32)[task] + 0.1 * prepared.embeddings
    correctness = (np.arange(4) == task[:, None]).astype(np.uint8)
    benchmark = replace(
        prepared.benchmark, correctness=correctness, scores=correctness.astype(np.float32)
    )
    apart = prepare(benchmark, normalize(vectors), prepared.routing, seed=0, progress=Progress())
    first, last = run_labels(apart, Progress(), alphas=[0.0, 0.14], repeats=2)["alphas"]
    assert first["methods"]["s1"]["accuracy"] == 0.0
    assert last["methods"]["s1"]["accuracy"] == 1.0
    assert last["u"] < first["u"]


def test_openllm_v2_without_labels_gives_the_known_numbers(shared):
    prepared = shared_case(shared, "openllm_v2", k=5)
    routing = prepared.routing.model_copy(update={"alphas": [0.0], "repeats": 1})
    (row,) = run_labels(replace(prepared, routing=routing), Progress(), alphas=[0.0], repeats=1)[
        "alphas"
    ]
    accuracy = {name: method["accuracy"] for name, method in row["methods"].items()}
    assert accuracy["s1"] == pytest.approx(0.6484, abs=0.002)
    assert accuracy["s2"] == pytest.approx(0.6428, abs=0.002)
    assert accuracy["bma"] == pytest.approx(0.6685, abs=0.0005)
    assert accuracy["oracle"] == pytest.approx(0.6845, abs=0.0005)
    assert row["predictor_accuracy"] == pytest.approx(0.593, abs=0.003)
