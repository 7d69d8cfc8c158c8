"""Which samples of a large benchmark are learned from, and who their neighbours are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_benchrouter.guarded.fit import neighbors_of_each
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.neighbors import ExactIndex, normalize
from litellm_benchrouter.validation.subset import TrainingSubset, fitting_rows


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(12, 300))
def test_each_task_gives_alike_and_none_is_left_out(sizes, most):
    task = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    rows = fitting_rows(task, len(sizes), most, seed=0)
    if len(task) <= most:
        assert rows is None
        return
    assert rows is not None
    taken = np.bincount(task[rows], minlength=len(sizes))
    assert (np.diff(rows) > 0).all()
    assert most - len(sizes) < len(rows) <= most
    cut = taken < np.array(sizes)
    assert len(set(taken[cut])) <= 1  # those that were cut give the same number
    assert (taken[~cut] <= taken[cut].max()).all()


def benchmark_of(n: int) -> Benchmark:
    draws = np.random.default_rng(0)
    correctness = draws.integers(0, 2, size=(n, 3)).astype(np.uint8)
    return Benchmark(
        sample_ids=[str(i) for i in range(n)],
        prompts=[f"p{i}" for i in range(n)],
        task=(np.arange(n) % 5).astype(np.int32),
        tasks=("a", "b", "c", "d", "e"),
        models=("x", "y", "z"),
        correctness=correctness,
        scores=correctness.astype(np.float32),
    )


@pytest.mark.parametrize("copies", [1, 6])
def test_neighbours_are_those_of_the_whole_without_the_sample_itself(copies):
    draws = np.random.default_rng(0)
    vectors = normalize(np.repeat(draws.normal(size=(300 // copies, 8)), copies, axis=0))
    learned = TrainingSubset.of(benchmark_of(300), vectors, 100, seed=0)
    assert learned.rows is not None
    assert learned.benchmark.prompts == [f"p{row}" for row in learned.rows]
    found = learned.neighbors(ExactIndex(vectors), 4)
    exact = neighbors_of_each(vectors, 4)
    assert not (found.index == learned.rows[:, None]).any() or copies > 4
    np.testing.assert_allclose(found.distance, exact.distance[learned.rows], atol=1e-6)


def test_a_small_benchmark_is_learned_from_as_a_whole():
    whole = benchmark_of(50)
    vectors = normalize(np.random.default_rng(0).normal(size=(50, 8)))
    learned = TrainingSubset.of(whole, vectors, 1_000, seed=0)
    assert learned.benchmark is whole
    assert learned.vectors is vectors
    assert learned.rows is None
