"""Approximate search held against exact search, and files that hnswlib must not be given."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index.build import build_index
from litellm_benchrouter.index.graph import ExactIndex, recall
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.paper.neighbors import Neighbors, nearest, normalize

Vectors = NDArray[np.float32]


def unit_vectors(n: int, dimension: int = 16, seed: int = 0) -> Vectors:
    return normalize(np.random.default_rng(seed).normal(size=(n, dimension)))


def built(vectors: Vectors, seed: int = 0, **config: float) -> tuple[HnswIndex, dict[str, float]]:
    steps: list[int] = []
    index, measured = build_index(
        vectors, IndexConfig(**config), k=5, seed=seed, progress=steps.append
    )
    assert sum(steps) == len(index) == len(vectors)
    return index, measured


def loaded(path: Path, vectors: Vectors) -> HnswIndex:
    return HnswIndex.load(path, vectors, ef=64)


def test_both_indexes_answer_alike():
    vectors, queries = unit_vectors(2_500), unit_vectors(50, seed=1)
    exact = ExactIndex(vectors).search(queries, 5)
    found = built(vectors, ef=400)[0].search(queries, 5)
    np.testing.assert_array_equal(found.index, exact.index)
    np.testing.assert_allclose(found.distance, exact.distance, atol=1e-6)
    assert found.index.dtype == exact.index.dtype
    assert len(ExactIndex(vectors)) == 2_500


def test_a_search_for_more_rows_than_there_are_returns_all_of_them():
    vectors = unit_vectors(3)
    for index in (built(vectors)[0], ExactIndex(vectors)):
        found = index.search(vectors[:1], 5)
        assert sorted(row for row in found.index[0] if row >= 0) == [0, 1, 2]


def test_a_search_for_more_rows_than_ef_raises_ef():
    index, _ = built(unit_vectors(500), ef=64)
    index.search(unit_vectors(1), 100)
    assert index.ef == 100


def test_distances_stay_within_the_range_of_cosine_distance():
    vectors = np.concatenate([unit_vectors(20), -unit_vectors(20)])
    distance = built(vectors)[0].search(vectors, 40).distance
    assert distance.min() >= 0.0
    assert distance.max() <= 2.0


def test_a_saved_graph_answers_as_before(tmp_path):
    vectors, queries = unit_vectors(600), unit_vectors(20, seed=1)
    index, measured = built(vectors)
    index.save(tmp_path / "index")
    again = HnswIndex.load(tmp_path / "index", vectors, ef=int(measured["ef"]))
    before, after = index.search(queries, 5), again.search(queries, 5)
    np.testing.assert_array_equal(before.index, after.index)
    np.testing.assert_array_equal(before.distance, after.distance)


def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path):
    vectors = unit_vectors(1_500)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        built(vectors, seed=seed)[0].save(tmp_path / name)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert content["a"] == content["b"] != content["c"]


def test_the_recall_written_down_is_that_of_rows_that_the_graph_had_not_seen():
    vectors = unit_vectors(1_000, 32)
    config = IndexConfig(m=4, ef_construction=16, ef=20, min_recall=0.0)
    _, measured = build_index(vectors, config, k=5, seed=3, progress=lambda _: None)

    order = np.random.default_rng(3).permutation(1_000)
    unseen, first = order[:100], np.sort(order[100:])
    graph = HnswIndex.empty(1_000, 32, config, seed=3)
    graph.add(vectors, first, lambda _: None)
    listed = graph.search(vectors[unseen], 5).index
    exact = first[nearest(vectors[unseen], vectors[first], 5).index]
    hits = [len(set(a) & set(b)) for a, b in zip(listed.tolist(), exact.tolist(), strict=True)]
    assert measured == {
        "engine": "hnswlib",
        "recall": sum(hits) / 500,
        "recall_at": 5.0,
        "ef": 20.0,
    }
    assert measured["recall"] < 0.9  # else this would say nothing


def test_ef_is_raised_until_recall_is_reached():
    _, measured = built(unit_vectors(2_000, 64), m=4, ef_construction=16, ef=8)
    assert measured["recall"] >= 0.99
    assert measured["ef"] > 8


def test_a_graph_that_never_reaches_the_recall_is_refused_with_both_values():
    with pytest.raises(
        ArtifactError,
        match=r"finds 0\.\d+ of .* at ef=\d+, less than benchrouter\.index\.min_recall=0\.99; "
        r"raise benchrouter\.index\.m or",
    ):
        built(unit_vectors(1_000, 32), m=2, ef_construction=8)


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 25])
def test_a_benchmark_of_a_few_samples_gets_an_index(n):
    index, measured = built(unit_vectors(n))
    assert measured["recall"] == 1.0
    assert len(index) == n


def test_rows_that_are_all_alike_get_an_index():
    vectors = np.repeat(unit_vectors(1), 300, axis=0)
    assert built(vectors)[1]["recall"] == 1.0


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(0, 1_000))
def test_a_small_graph_finds_what_exact_search_finds(n, seed):
    vectors, queries = unit_vectors(n, 4, seed), unit_vectors(8, 4, seed + 1)
    found = built(vectors, seed=seed)[0].search(queries, 5)
    exact = nearest(queries, vectors, min(5, n))
    np.testing.assert_allclose(found.distance, exact.distance, atol=1e-6)


class Listed:
    """An index that answers with what it was given."""

    def __init__(self, distance: list[list[float]]) -> None:
        self._distance = np.array(distance, dtype=np.float32)

    def __len__(self) -> int:
        return 10

    def search(self, queries: Vectors, n_neighbors: int) -> Neighbors:
        return Neighbors(np.zeros(self._distance.shape, dtype=np.int64), self._distance)


def test_recall_counts_what_is_as_near_as_the_exact_neighbours():
    exact = Neighbors(np.zeros((2, 2), dtype=np.int64), np.array([[0.1, 0.2], [0.3, 0.3]], "f4"))
    queries = unit_vectors(2)
    assert recall(Listed([[0.1, 0.2], [0.3, 0.3]]), queries, exact) == 1.0
    assert recall(Listed([[0.1, 0.25], [0.3, 0.3]]), queries, exact) == 0.75
    assert recall(Listed([[0.5, 0.5], [0.5, 0.5]]), queries, exact) == 0.0


def test_a_graph_that_reaches_too_few_rows_has_no_recall():
    class Unconnected(Listed):
        def search(self, queries: Vectors, n_neighbors: int) -> Neighbors:
            raise RuntimeError("Cannot return the results in a contiguous 2D array")

    exact = nearest(unit_vectors(2), unit_vectors(10), 5)
    assert recall(Unconnected([[]]), unit_vectors(2), exact) == 0.0


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Vectors]:
    """Return the file of a graph and its vectors."""
    vectors = unit_vectors(40, 8)
    built(vectors)[0].save(tmp_path / "index.hnsw")
    return tmp_path / "index.hnsw", vectors


def test_a_graph_of_another_size_is_refused_with_both(saved):
    path, vectors = saved
    with pytest.raises(ArtifactError, match=r"index\.hnsw holds 40 rows of dimension 8, .*says 39"):
        loaded(path, vectors[:-1])
    with pytest.raises(ArtifactError, match=r"says 40 of dimension 7"):
        loaded(path, vectors[:, :-1])


@pytest.mark.parametrize("size", [0, 10, 47, 48, 1_000])
def test_a_graph_that_is_cut_off_is_refused(saved, size):
    path, vectors = saved
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=r"index\.hnsw"):
        loaded(path, vectors)


def test_a_graph_cut_off_behind_its_rows_is_refused(saved):
    path, vectors = saved
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtifactError, match=r"index\.hnsw is not an index that hnswlib reads"):
        loaded(path, vectors)


@pytest.mark.parametrize("label", [40, 2**63, 7])
def test_a_row_that_is_not_there_or_there_twice_is_refused(saved, label):
    path, vectors = saved
    content = bytearray(path.read_bytes())
    row_bytes, label_offset = struct.unpack_from("=QQ", content, 24)
    struct.pack_into("=Q", content, 96 + 3 * row_bytes + label_offset, label)
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="does not hold each of the 40 rows once"):
        loaded(path, vectors)


def test_a_disk_that_fills_up_is_an_error_though_hnswlib_says_nothing(tmp_path):
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.index.build import build_index
vectors = np.eye(64, dtype=np.float32)
index, _ = build_index(vectors, IndexConfig(), k=5, seed=0, progress=lambda _: None)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    index.save(Path(sys.argv[1]))
except OSError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index.hnsw")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith("9000 of the ")
