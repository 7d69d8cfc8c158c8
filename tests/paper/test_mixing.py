"""Lists with moved samples merged in, held against sorting the union."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.paper import mixing
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.paper.mixing import MixedLists, votes_of
from litellm_benchrouter.paper.neighbors import nearest, normalize


def case(seed, n_moved, *, n=40, k=3, kappa=6, missing=0.3):
    """Ten samples of a task, lists among the rest of the benchmark, and some that move."""
    generator = np.random.default_rng(seed)
    vectors = normalize(generator.normal(size=(n, 4)))
    correctness = generator.integers(2, size=(n, 3)).astype(np.uint8)
    correctness[generator.random((n, 3)) < missing] = MISSING
    rows = np.arange(10)
    found = nearest(vectors[rows], vectors[10:], max(k, kappa))
    index = np.where(found.index >= 0, found.index + 10, -1)
    lists = type(found)(index, found.distance)
    moved = generator.choice(10, size=n_moved, replace=False)
    mixed = MixedLists(
        lists, np.arange(10), rows, vectors, *votes_of(correctness), k=k, kappa=kappa
    ).draw(moved)
    return vectors, correctness, moved, mixed


def by_sorting(vectors, correctness, moved, k, kappa):
    known = [*range(10, len(vectors)), *moved]
    distance, votes, voters = [], [], []
    for i in range(10):
        near = sorted((max(0.0, 1 - float(vectors[i] @ vectors[j])), j) for j in known)
        distance.append(np.mean([far for far, _ in near[:kappa]]))
        labels = correctness[[j for _, j in near[:k]]]
        votes.append((labels == 1).sum(axis=0))
        voters.append((labels != MISSING).sum(axis=0))
    return np.array(distance), np.array(votes), np.array(voters)


@given(
    st.integers(0, 10_000), st.integers(0, 9), st.sampled_from([(3, 6), (6, 3), (1, 1), (9, 50)])
)
def test_a_draw_equals_sorting_the_union(seed, n_moved, sizes):
    k, kappa = sizes
    vectors, correctness, moved, mixed = case(seed, n_moved, k=k, kappa=kappa)
    distance, votes, voters = by_sorting(vectors, correctness, moved, k, kappa)
    np.testing.assert_allclose(mixed.distance, distance, atol=1e-6)
    np.testing.assert_array_equal(mixed.votes, votes)
    np.testing.assert_array_equal(mixed.voters, np.broadcast_to(voters, mixed.votes.shape))


def test_more_votes_than_a_byte_holds():
    vectors, correctness, moved, mixed = case(0, 5, n=400, k=300)
    _, votes, voters = by_sorting(vectors, correctness, moved, 300, 6)
    np.testing.assert_array_equal(mixed.votes, votes)
    np.testing.assert_array_equal(mixed.voters, voters)


def test_without_missing_labels_one_column_counts_the_voters():
    _, _, _, mixed = case(0, 4, missing=0.0)
    assert mixed.voters.tolist() == [[3]] * 10


def test_a_task_too_large_to_hold_all_its_distances_gives_the_same(monkeypatch):
    _, _, _, held = case(1, 6)
    monkeypatch.setattr(mixing, "_WITHIN_SAMPLES", 5)
    _, _, _, computed = case(1, 6)
    np.testing.assert_allclose(computed.distance, held.distance, atol=1e-6)
    np.testing.assert_array_equal(computed.votes, held.votes)


def test_at_equal_distance_the_lists_own_neighbours_come_first():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32)  # 2 and 3: outside
    correctness = np.array([[0], [0], [0], [1]], dtype=np.uint8)
    rows = np.array([0, 1])
    lists = nearest(vectors[rows], vectors[2:], 2)
    lists = type(lists)(lists.index + 2, lists.distance)
    mixed = MixedLists(lists, rows, rows, vectors, *votes_of(correctness), k=1, kappa=2).draw(
        np.array([1])
    )
    assert mixed.votes[0] == 1


def test_lists_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="2 neighbours, expected at least 5"):
        lists = nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 2)
        votes = votes_of(np.ones((2, 1), dtype=np.uint8))
        rows = np.arange(2)
        MixedLists(lists, rows, rows, np.eye(2, dtype=np.float32), *votes, k=5, kappa=1)
