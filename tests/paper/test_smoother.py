"""Task distance, the (u, p) table and the kernel smoother, beside loops over the equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.paper.neighbors import nearest_outside_task, normalize
from litellm_benchrouter.paper.smoother import (
    kernel_smoother,
    n_moved,
    smoother_table,
    task_distance,
)

ALPHAS = (0.0, 0.1, 0.4)


def small_benchmark(missing: bool):
    generator = np.random.default_rng(3)
    task = np.repeat(np.arange(4, dtype=np.int32), [12, 7, 20, 9])
    generator.shuffle(task)
    vectors = normalize(generator.normal(size=(48, 5)) + 2 * np.eye(5)[task])
    correctness = (generator.random((48, 3)) < 0.6).astype(np.uint8)
    if missing:
        correctness[generator.random((48, 3)) < 0.3] = MISSING
    return vectors, task, correctness


def table_by_loops(vectors, task, correctness, k, kappa, t, repeats, max_moved, seed, without):
    """Appendix B, one sample, neighbour and model at a time."""
    n_tasks, n_models = 4, correctness.shape[1]
    u = np.full((n_tasks, len(ALPHAS) * repeats), np.nan)
    p = np.full((n_tasks, len(ALPHAS) * repeats, n_models), np.nan)
    for d in range(n_tasks):
        rows = np.flatnonzero(task == d)
        generator = np.random.default_rng([seed, d])
        for a, alpha in enumerate(ALPHAS):
            size = n_moved(alpha, len(rows), max_moved)
            for repeat in range(repeats):
                if size or not repeat:
                    moved = rows[generator.choice(len(rows), size=size, replace=False)]
                if d == without:
                    continue
                training = [
                    i for i in range(len(task)) if task[i] not in (d, without) or i in moved
                ]
                distances, hits = [], [[] for _ in range(n_models)]
                for i in rows:
                    if i in moved:
                        continue
                    far = sorted((1 - float(vectors[i] @ vectors[j]), j) for j in training)
                    distances.append(np.mean([distance for distance, _ in far[:kappa]]))
                    for m in range(n_models):
                        near = [correctness[j, m] for _, j in far[:k]]
                        near = [y for y in near if y != MISSING]
                        if near and correctness[i, m] != MISSING:
                            hits[m].append((np.mean(near) > t) == correctness[i, m])
                z = a * repeats + repeat
                u[d, z] = np.mean(distances)
                p[d, z] = [np.mean(hit) if hit else np.nan for hit in hits]
    return u, p


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("k", "kappa"), [(3, 7), (5, 2), (3, 60)])
def test_the_table_equals_a_loop_over_the_equations(missing, k, kappa):
    vectors, task, correctness = small_benchmark(missing)
    outside = nearest_outside_task(vectors, task, max(k, kappa))
    options = {"k": k, "kappa": kappa, "t": 0.5, "repeats": 2, "max_moved": 5, "seed": 1}
    (table,) = smoother_table(
        vectors, task, correctness, outside, n_tasks=4, alphas=ALPHAS, **options
    )
    u, p = table_by_loops(vectors, task, correctness, without=-1, **options)
    np.testing.assert_allclose(table.u, u, atol=1e-6)
    np.testing.assert_allclose(table.p, p, atol=1e-12)


@pytest.mark.parametrize("longer", [0, 6])
def test_leaving_a_task_out_equals_a_loop_without_it(longer):
    vectors, task, correctness = small_benchmark(missing=True)
    outside = nearest_outside_task(vectors, task, 7 + longer)
    options = {"k": 3, "kappa": 7, "t": 0.5, "repeats": 2, "max_moved": 5, "seed": 1}
    tables = smoother_table(
        vectors, task, correctness, outside, n_tasks=4, alphas=ALPHAS, left_out=[0, 2], **options
    )
    for table, without in zip(tables, [-1, 0, 2], strict=True):
        u, p = table_by_loops(vectors, task, correctness, without=without, **options)
        np.testing.assert_allclose(table.u, u, atol=1e-6)
        np.testing.assert_allclose(table.p, p, atol=1e-12)


def test_the_distance_of_a_task_is_the_mean_over_its_kappa_nearest_others():
    vectors, task, _ = small_benchmark(missing=False)
    outside = nearest_outside_task(vectors, task, 19)
    rows = np.flatnonzero(task == 2)
    others = vectors[task != 2]
    by_hand = np.mean([np.sort(1 - others @ vectors[i])[:4].mean() for i in rows])
    assert task_distance(outside.rows(rows), kappa=4) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(
    ("alpha", "n", "moved"),
    [(0.04, 40, 2), (0.04, 1000, 40), (0.14, 1000, 50), (0.0, 1000, 0), (0.07, 100, 7), (1, 3, 2)],
)
def test_the_number_of_moved_samples_is_the_papers(alpha, n, moved):
    assert n_moved(alpha, n) == moved


@given(
    st.floats(0, 2),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=30),
    st.floats(0.001, 1),
)
def test_the_smoother_stays_within_what_it_has_seen(u, pairs, sigma):
    table_u, table_p = np.array(pairs).T
    p = kernel_smoother(u, table_u, table_p[:, None], sigma)[0]
    assert table_p.min() - 1e-12 <= p <= table_p.max() + 1e-12


def test_the_smoother_far_from_everything_gives_the_nearest_pair():
    p = kernel_smoother(2.0, np.array([0.1, 0.2]), np.array([[0.3], [0.9]]), sigma=0.001)
    assert p[0] == pytest.approx(0.9)


def test_the_smoother_equals_eq_10():
    u, table_u = 0.42, np.array([0.3, 0.4, 0.6])
    table_p = np.array([[0.5, 0.1], [0.7, np.nan], [0.9, 0.3]])
    weight = np.exp(-((u - table_u) ** 2) / (2 * 0.09**2))
    expected = [
        weight @ table_p[:, 0] / weight.sum(),
        (weight[[0, 2]] @ table_p[[0, 2], 1]) / weight[[0, 2]].sum(),
    ]
    np.testing.assert_allclose(kernel_smoother(u, table_u, table_p), expected)


def test_a_model_without_any_pair_has_no_p():
    assert np.isnan(kernel_smoother(0.3, np.array([0.3]), np.array([[np.nan]]))[0])
