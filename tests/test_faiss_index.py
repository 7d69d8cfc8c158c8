"""The graph that is searched on disk: held against exact search, grown, and opened with care."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import IndexConfig, load_config
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.index import growth
from litellm_benchrouter.index.build import build_index, engine_of, open_index, save_index
from litellm_benchrouter.index.faiss_graph import FaissIndex
from litellm_benchrouter.index.graph import recall
from litellm_benchrouter.paper.neighbors import nearest, normalize
from litellm_benchrouter.routing.router import BenchRouter

Vectors = NDArray[np.float32]


def vectors_of(n: int, dimension: int = 24, seed: int = 0) -> Vectors:
    draws = np.random.default_rng(seed)
    centre = draws.normal(size=(20, dimension))
    return normalize(centre[draws.integers(20, size=n)] + draws.normal(size=(n, dimension)))


def built(vectors: Vectors, cache: Path | None = None, **block: object) -> FaissIndex:
    steps: list[int] = []
    config = IndexConfig(engine="faiss", **block)
    index, measured = build_index(vectors, config, k=10, seed=0, progress=steps.append, cache=cache)
    assert measured["engine"] == "faiss"
    assert isinstance(index, FaissIndex)
    assert len(index) == len(vectors)
    return index


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let graphs of some hundred rows grow in chunks."""
    monkeypatch.setattr(growth, "CHUNK", 200)
    monkeypatch.setattr("litellm_benchrouter.index.faiss_graph.CHUNK", 200)


def files(folder: Path, index: FaissIndex) -> list[bytes]:
    folder.mkdir()
    save_index(folder, index)
    return [(folder / name).read_bytes() for name in ("index.faiss", "index_rows.npy")]


def test_distances_are_exact_though_the_search_is_by_short_vectors(tmp_path):
    vectors, queries = vectors_of(3_000), vectors_of(40, seed=1)
    index, exact = built(vectors), nearest(queries, vectors, 10)
    found = index.search(queries, 10)
    np.testing.assert_array_equal(found.index.shape, exact.index.shape)
    here = 1.0 - np.einsum("qd,qkd->qk", queries, vectors[found.index])
    np.testing.assert_allclose(found.distance, here, atol=1e-6)
    assert (np.diff(found.distance, axis=1) >= 0).all()
    assert recall(index, queries, exact) >= 0.98


def test_what_was_saved_is_searched_where_it_lies_and_answers_alike(tmp_path):
    vectors, queries = vectors_of(2_000), vectors_of(40, seed=1)
    index = built(vectors)
    save_index(tmp_path, index)
    half = vectors.astype(np.float16)
    again = open_index(tmp_path, index.ef, half, np.load(tmp_path / "index_rows.npy"))
    before, after = index.search(queries, 10), again.search(queries, 10)
    np.testing.assert_allclose(after.distance, before.distance, atol=2e-3)
    assert (after.index == before.index).mean() > 0.95


def test_a_graph_that_grew_has_the_bytes_of_one_built_at_once(tmp_path, small_chunks):
    vectors = vectors_of(1_150)
    built(vectors[:1_000], tmp_path / "cache")
    kept = (tmp_path / "cache" / "graph.faiss").stat().st_mtime_ns
    grown = files(tmp_path / "grown", built(vectors, tmp_path / "cache"))
    assert (tmp_path / "cache" / "graph.faiss").stat().st_mtime_ns == kept  # no chunk is full now
    assert grown == files(tmp_path / "anew", built(vectors))


def test_a_build_goes_on_with_the_graph_that_a_killed_one_kept(tmp_path, small_chunks, monkeypatch):
    vectors = vectors_of(2_300)
    added: list[int] = []
    config = IndexConfig(engine="faiss")

    class KilledError(Exception):
        pass

    def until_late(n: int) -> None:
        added.append(n)
        if sum(added) > 2_100:
            raise KilledError

    with pytest.raises(KilledError):
        build_index(vectors, config, k=10, seed=0, progress=until_late, cache=tmp_path / "c")
    steps: list[int] = []
    index, _ = build_index(
        vectors, config, k=10, seed=0, progress=steps.append, cache=tmp_path / "c"
    )
    assert steps[0] > 1_900  # what was kept, in one step
    assert isinstance(index, FaissIndex)
    assert files(tmp_path / "resumed", index) == files(tmp_path / "anew", built(vectors))


@pytest.mark.parametrize("what", ["a vector", "the links", "the graph", "the note", "no note"])
def test_a_kept_graph_of_something_else_is_not_taken(tmp_path, small_chunks, what):
    vectors = vectors_of(1_000)
    built(vectors, tmp_path / "cache")
    m = 16
    if what == "a vector":
        vectors[3] = vectors_of(1, seed=9)
    elif what == "the links":
        m = 8
    elif what == "the graph":
        path = tmp_path / "cache" / "graph.faiss"
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    elif what == "the note":
        (tmp_path / "cache" / "graph.json").write_text('{"chunks": "all"}')
    else:
        (tmp_path / "cache" / "graph.json").unlink()
    taken = files(tmp_path / "a", built(vectors, tmp_path / "cache", m=m))
    assert taken == files(tmp_path / "b", built(vectors, m=m))


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
    _, measured = build_index(
        vectors, IndexConfig(engine="faiss"), k=10, seed=0, progress=lambda _: None
    )
    assert measured["codes"] == "float16"
    assert measured["recall"] >= 0.99


def test_a_recall_that_is_never_reached_is_an_error():
    draws = np.random.default_rng(0)
    vectors = normalize(draws.normal(size=(3_000, 64)))
    with pytest.raises(ArtifactError, match=r"the index finds 0\.\d+ of .*; raise benchrouter"):
        built(vectors, m=2, ef_construction=8, min_recall=1.0)


def test_rows_that_are_not_each_there_once_are_refused(tmp_path):
    vectors = vectors_of(300)
    save_index(tmp_path, built(vectors))
    rows = np.load(tmp_path / "index_rows.npy")
    for wrong in (300, -1, int(rows[1])):
        twice = rows.copy()
        twice[0] = wrong
        with pytest.raises(ArtifactError, match=r"index_rows\.npy does not hold each of 300 rows"):
            open_index(tmp_path, 64, vectors, twice)


def test_a_graph_over_other_vectors_is_refused(tmp_path):
    vectors = vectors_of(300)
    save_index(tmp_path, built(vectors))
    rows = np.load(tmp_path / "index_rows.npy")
    with pytest.raises(ArtifactError, match=r"its vectors are not those of the artifact"):
        open_index(tmp_path, 64, vectors_of(300, seed=1), rows)
    with pytest.raises(ArtifactError, match=r"holds 300 rows of dimension 24, the manifest says"):
        open_index(tmp_path, 64, vectors[:, :20], rows)


def test_a_version_serves_by_it_as_by_hnswlib(tmp_path):
    distances = {}
    for engine in ("hnswlib", "faiss"):
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
