"""Both graphs held against exact search; the last tests are of one library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import IndexConfig, load_config
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index import Graph, build_index, engine_of, open_index
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.paper.neighbors import ExactIndex, Index, Neighbors, nearest, normalize
from litellm_benchrouter.paper.neighbors import recall as recall_of
from litellm_benchrouter.routing.router import BenchRouter

Vectors = NDArray[np.float32]
ENGINES = ("hnswlib", "faiss")


def unit_vectors(n: int, dimension: int = 16, seed: int = 0) -> Vectors:
    return normalize(np.random.default_rng(seed).normal(size=(n, dimension)))


def built(vectors: Vectors, engine: str, seed: int = 0, **block: object) -> Graph:
    return with_figures(vectors, engine, seed, **block)[0]


def with_figures(
    vectors: Vectors, engine: str, seed: int = 0, **block: object
) -> tuple[Graph, dict[str, float | str]]:
    steps: list[int] = []
    config = IndexConfig(engine=engine, **block)
    index, measured = build_index(vectors, config, k=5, seed=seed, progress=steps.append)
    assert sum(steps) == len(index) == len(vectors)
    assert measured["engine"] == engine
    return index, measured


def opened(folder: Path, vectors: Vectors, ef: int = 64) -> Index:
    rows = folder / "index_rows.npy"
    return open_index(folder, ef, vectors, np.load(rows) if rows.exists() else None)


def saved(folder: Path, vectors: Vectors, engine: str) -> Path:
    """Return the file of a graph, alone in its folder but for the rows of faiss."""
    built(vectors, engine).save(folder)
    return folder / ("index.hnsw" if engine == "hnswlib" else "index.faiss")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_finds_what_exact_search_finds_at_its_distances(engine):
    vectors, queries = unit_vectors(2_500), unit_vectors(50, seed=1)
    exact, found = (
        index.search(queries, 5) for index in (ExactIndex(vectors), built(vectors, engine, ef=400))
    )
    np.testing.assert_array_equal(found.index, exact.index)
    np.testing.assert_allclose(found.distance, exact.distance, atol=1e-6)
    assert (found.index.dtype, found.distance.dtype) == (exact.index.dtype, exact.distance.dtype)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_saved_graph_answers_as_before(tmp_path, engine):
    vectors, queries = unit_vectors(1_500), unit_vectors(20, seed=1)
    index = built(vectors, engine)
    index.save(tmp_path)
    half = vectors.astype(index.vectors)
    before, after = index.search(queries, 5), opened(tmp_path, half, index.ef).search(queries, 5)
    np.testing.assert_allclose(after.distance, before.distance, atol=2e-3)
    assert (after.index == before.index).mean() > (0.99 if engine == "hnswlib" else 0.95)
    assert len(opened(tmp_path, half)) == 1_500


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path, engine):
    content = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        built(unit_vectors(1_500), engine, seed).save(tmp_path / name)
        content[name] = [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]
    assert content["a"] == content["b"] != content["c"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 25])
def test_a_benchmark_of_a_few_samples_gets_an_index(n, engine):
    index, measured = with_figures(unit_vectors(n), engine)
    assert measured["recall"] == 1.0
    found = index.search(unit_vectors(n)[:1], n + 3)
    assert sorted(found.index[0].tolist()) == list(range(n))


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_are_all_alike_get_an_index(engine):
    vectors = np.repeat(unit_vectors(1), 300, axis=0)
    assert with_figures(vectors, engine)[1]["recall"] == 1.0


@pytest.mark.parametrize("engine", ENGINES)
def test_distances_stay_within_the_range_of_cosine_distance(engine):
    vectors = np.concatenate([unit_vectors(20), -unit_vectors(20)])
    distance = built(vectors, engine).search(vectors, 40).distance
    assert distance.min() >= 0.0
    assert distance.max() <= 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_ef_is_raised_until_recall_is_reached_and_for_a_search_of_more_rows(engine):
    index, measured = with_figures(unit_vectors(2_000, 64), engine, m=4, ef_construction=16, ef=8)
    assert measured["recall"] >= 0.99
    assert measured["ef"] == index.ef > 8
    assert index.search(unit_vectors(1, 64), 1_500).index.shape == (1, 1_500)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_that_never_reaches_the_recall_is_refused_with_both_values(engine):
    with pytest.raises(
        ArtifactError,
        match=r"finds 0\.\d+ of .* at ef=\d+, less than benchrouter\.index\.min_recall=1; "
        r"raise benchrouter\.index\.m or",
    ):
        built(unit_vectors(3_000, 64), engine, m=2, ef_construction=8, min_recall=1.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_another_size_is_refused_with_both(tmp_path, engine):
    vectors = unit_vectors(400, 8)
    path = saved(tmp_path, vectors, engine)
    with pytest.raises(
        ArtifactError,
        match=rf"{path.name} holds 400 rows of dimension 8, .*says 400 of dimension 7",
    ):
        opened(tmp_path, vectors[:, :-1])
    (tmp_path / "index_rows.npy").unlink(missing_ok=True)
    if engine == "faiss":
        np.save(tmp_path / "index_rows.npy", np.arange(399, dtype=np.int32))
    with pytest.raises(ArtifactError, match=r"says 399 of dimension 8"):
        opened(tmp_path, vectors[:-1])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [0, 10, 47, 95, 1_000])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path, engine, size):
    vectors = unit_vectors(400, 8)
    path = saved(tmp_path, vectors, engine)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=path.name):
        opened(tmp_path, vectors)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_disk_that_fills_up_is_an_error_though_hnswlib_says_nothing(tmp_path, engine):
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.index import build_index
vectors = np.eye(64, dtype=np.float32)
config = IndexConfig(engine=sys.argv[2], min_recall=0.0)
index, _ = build_index(vectors, config, k=5, seed=0, progress=lambda _: None)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    index.save(Path(sys.argv[1]))
except OSError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "could be written" in ended.stdout or "could not be written" in ended.stdout


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(0, 1_000))
def test_a_small_graph_finds_what_exact_search_finds(n, seed):
    vectors, queries = unit_vectors(n, 4, seed), unit_vectors(8, 4, seed + 1)
    found = built(vectors, "hnswlib", seed).search(queries, 5)
    exact = nearest(queries, vectors, min(5, n))
    np.testing.assert_allclose(found.distance, exact.distance, atol=1e-6)


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


class Listed:
    """An index that answers with what it was given, or cannot."""

    def __init__(self, distance: list[list[float]] | None) -> None:
        self._distance = distance

    def __len__(self) -> int:
        return 10

    def search(self, queries: Vectors, n_neighbors: int) -> Neighbors:
        if self._distance is None:
            raise RuntimeError("Cannot return the results in a contiguous 2D array")
        distance = np.array(self._distance, dtype=np.float32)
        return Neighbors(np.zeros(distance.shape, dtype=np.int64), distance)


@pytest.mark.parametrize(
    ("distance", "recall"),
    [
        ([[0.1, 0.2], [0.3, 0.3]], 1.0),
        ([[0.1, 0.25], [0.3, 0.3]], 0.75),
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),
        (None, 0.0),
    ],
)
def test_recall_counts_what_is_as_near_as_the_exact_neighbours(distance, recall):
    exact = Neighbors(np.zeros((2, 2), dtype=np.int64), np.array([[0.1, 0.2], [0.3, 0.3]], "f4"))
    assert recall_of(Listed(distance), unit_vectors(2), exact) == recall


def test_the_engine_follows_the_size_of_the_file():
    auto = IndexConfig()
    assert engine_of(4_000, 384, auto) == "hnswlib"
    assert engine_of(6_000, 384, auto) == "faiss"
    assert engine_of(10, 8, IndexConfig(engine="faiss")) == "faiss"
    assert engine_of(10**6, 384, IndexConfig(engine="hnswlib")) == "hnswlib"


def test_vectors_that_eight_bits_cannot_tell_apart_get_sixteen():
    # Two far clusters stretch every dimension; within one, rows differ by less than a step.
    draws = np.random.default_rng(0)
    near = draws.normal(size=(600, 8)) * 5e-3
    vectors = normalize(np.where(np.arange(600)[:, None] % 2, 1.0, -1.0) + near)
    config = IndexConfig(engine="faiss")
    _, measured = build_index(vectors, config, k=10, seed=0, progress=lambda _: None)
    assert measured["codes"] == "float16"
    assert measured["recall"] >= 0.99


def test_rows_that_are_not_each_there_once_are_refused(tmp_path):
    vectors = unit_vectors(300)
    saved(tmp_path, vectors, "faiss")
    rows = np.load(tmp_path / "index_rows.npy")
    for wrong in (300, -1, int(rows[1])):
        twice = rows.copy()
        twice[0] = wrong
        with pytest.raises(ArtifactError, match=r"index_rows\.npy does not hold each of 300 rows"):
            open_index(tmp_path, 64, vectors, twice)


def test_a_version_serves_by_faiss_as_by_hnswlib(tmp_path):
    distances = {}
    for engine in ENGINES:
        (tmp_path / engine).mkdir()
        config = tiny.write(
            tmp_path / engine,
            index={"engine": engine},
            embedder={"kind": "lexical"},
            sources=[{"path": "benchmark.csv"}],
            tasks={},
        )
        folder = build(load_config(config)).folder
        artifact = read_artifact(folder)
        assert artifact.manifest.index["engine"] == engine
        assert (folder / "index.hnsw").exists() == (engine == "hnswlib")
        assert artifact.embeddings.dtype == (np.float32 if engine == "hnswlib" else np.float16)
        router = BenchRouter(artifact)
        decisions = [router.decide(f"What is number {i}?") for i in range(20)]
        assert {decision.method for decision in decisions} == {"s1"}
        distances[engine] = [decision.distance for decision in decisions]
    np.testing.assert_allclose(distances["faiss"], distances["hnswlib"], atol=2e-3)
