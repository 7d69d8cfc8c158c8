"""Decisions without the embedding: the same vectors asked of each system, at several sizes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from support.timing import elapsed_ms
from support.vectors import (
    N_TASKS,
    PreparedVectors,
    Vectors,
    artifact_over,
    synthetic,
)

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.index import ROWS_FILE, build_index, open_index
from litellm_benchrouter.paper.neighbors import Index, nearest, recall
from litellm_benchrouter.progress import bars
from litellm_benchrouter.routing.router import BenchRouter
from peers_run.result import CLASSIFIER, COSINE, EXACT, OURS, PAPER, Timed
from peers_run.semantic import SEMANTIC_ROUTER, SemanticRouter

N_QUERIES = 1_000
_FITTED = 4_000  # rows that the default method is fitted on: what it costs to decide is the same
_FEWEST, _MOST = 3, 200  # decisions of a turn
_NEIGHBORS = 20  # of the default method

Ask = Callable[[int], object]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes
    ----------
    rows : tuple of int
    dimension, n_models, k : int
    rounds : int
        Turns of each system.
    turn_ms : float
        About how long a turn takes.
    peer_cap : int
        Peers that read every row for a decision are not asked beyond it.
    """

    rows: tuple[int, ...]
    dimension: int
    n_models: int
    k: int
    rounds: int
    turn_ms: float
    peer_cap: int


def measure(sizes: Sizes, semantic_router: Path | None, console: Console) -> list[dict[str, Any]]:
    """Time decisions at each size; systems that were left out are named, with the reason."""
    found = []
    for rows in sizes.rows:
        every, cluster = synthetic(rows + N_QUERIES, sizes.dimension)
        base, queries = labelled(every[:rows], cluster, sizes.n_models), every[rows:]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-")))
            asks, notes = _ours(folder, base, queries, sizes)
            left_out = {}
            if rows > sizes.peer_cap:
                reason = f"reads every row for a decision; not asked beyond {sizes.peer_cap:,} rows"
                left_out = dict.fromkeys((EXACT, COSINE, CLASSIFIER, SEMANTIC_ROUTER), reason)
            else:
                peers = {EXACT: faiss_exact(base.vectors, base.labels, sizes.k)}
                peers |= scikit_learn(base.vectors, base.labels, sizes.k)
                asks |= {name: _of_row(peer, queries) for name, peer in peers.items()}
                if semantic_router is None:
                    left_out[SEMANTIC_ROUTER] = "no --semantic-router-python that has it"
                else:
                    router = stack.enter_context(SemanticRouter(semantic_router))
                    router.load(folder, base.vectors, base.best, queries, sizes.k)
                    asks[SEMANTIC_ROUTER] = router.ask
            with console.status(f"{rows:,} rows"):
                timed = in_turns(asks, sizes.rounds, sizes.turn_ms)
        for name, note in notes.items():
            timed[name].note = note
        found.append(
            {
                "rows": rows,
                "dimension": sizes.dimension,
                "systems": [each.summary(timed[OURS]) for each in timed.values()],
                "left_out": left_out,
            }
        )
    return found


def in_turns(asks: dict[str, Ask], rounds: int, turn_ms: float) -> dict[str, Timed]:
    """Let each system decide for the first queries of a list, in turns there and back.

    A turn of each takes about as long, so a slow one is asked fewer of the queries.
    """
    n = {}
    for name, ask in asks.items():
        warm = [_milliseconds(ask, query) for query in range(_FEWEST)]
        n[name] = int(np.clip(turn_ms / np.median(warm), _FEWEST, _MOST))
        for query in range(n[name]):
            ask(query)
    timed = {name: Timed(name) for name in asks}
    for number in range(rounds):
        for name in tuple(asks)[:: -1 if number % 2 else 1]:
            first = number * n[name]
            queries = [query % N_QUERIES for query in range(first, first + n[name])]
            timed[name].rounds.append([_milliseconds(asks[name], query) for query in queries])
    return timed


@dataclass(frozen=True)
class Labelled:
    """Rows with labels that differ by cluster, so that routing pays.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
    labels : ndarray of int8, shape (n, M)
    """

    vectors: Vectors
    labels: Labels

    @property
    def best(self) -> NDArray[np.intp]:
        """The first of the models that were right."""
        return self.labels.argmax(axis=1)


def labelled(vectors: Vectors, cluster: NDArray[np.intp], n_models: int) -> Labelled:
    """Draw how good each model is in each cluster, and labels."""
    generator = np.random.default_rng(1)
    right = generator.random((int(cluster.max()) + 1, n_models), dtype=np.float32)
    chances = right[cluster[: len(vectors)]]
    labels = generator.random(chances.shape, dtype=np.float32) < chances
    return Labelled(vectors, labels.astype(np.int8))


def served_index(folder: Path, base: Vectors) -> tuple[Index, NDArray[np.floating], str]:
    """Build and write the index that serves this many rows, and open it as a proxy would.

    Parameters
    ----------
    folder : Path
    base : ndarray of float32, shape (n, d)

    Returns
    -------
    Index
    ndarray of float32 or float16, shape (n, d)
        The vectors as a version keeps them beside it, memory-mapped.
    str
        The engine.
    """
    with bars() as progress, progress.stage("index", len(base)) as advance:
        index, about = build_index(base, IndexConfig(), k=_NEIGHBORS, seed=0, progress=advance)
    index.save(folder)
    np.save(folder / "embeddings.npy", base.astype(about.get("vectors", "float32")))
    kept = np.load(folder / "embeddings.npy", mmap_mode="r")
    rows = folder / ROWS_FILE
    order = np.load(rows) if rows.exists() else None
    return open_index(folder, int(about["ef"]), kept, order), kept, str(about["engine"])


def faiss_exact(base: Vectors, labels: Labels, k: int) -> Callable[[Vectors], int]:
    """Decide by the mean score of the neighbours, as below, found among all rows by faiss.

    The fastest search of every row that is installed here; it reads the vectors where they are.
    """

    def by_mean_score(query: Vectors) -> int:
        _, rows = faiss.knn(query, base, k, metric=faiss.METRIC_INNER_PRODUCT)
        return int(labels[rows[0]].mean(axis=0).argmax())

    return by_mean_score


def scikit_learn(base: Vectors, labels: Labels, k: int) -> dict[str, Callable[[Vectors], int]]:
    """Decide as RouterBench and LLMRouter do.

    RouterBench averages the scores of the neighbours that `NearestNeighbors(metric="cosine")`
    finds; LLMRouter asks `KNeighborsClassifier`, with Euclidean distances, for the most frequent
    best model of the neighbours. Both search by brute force at this dimension. They are given one
    thread, float32 and numpy in pandas' place, which is the faster of the two.
    """
    neighbors = NearestNeighbors(n_neighbors=k, metric="cosine", n_jobs=1).fit(base)
    classifier = KNeighborsClassifier(n_neighbors=k, n_jobs=1).fit(base, labels.argmax(axis=1))

    def by_mean_score(query: Vectors) -> int:
        _, rows = neighbors.kneighbors(query)
        return int(labels[rows[0]].mean(axis=0).argmax())

    return {COSINE: by_mean_score, CLASSIFIER: lambda query: int(classifier.predict(query)[0])}


def _ours(
    folder: Path, base: Labelled, queries: Vectors, sizes: Sizes
) -> tuple[dict[str, Ask], dict[str, str]]:
    """Routers of the default method and of the paper over all rows, and what to know of them."""
    index, kept, engine = served_index(folder, base.vectors)
    some = queries[:200]
    found = recall(index, some, nearest(some, base.vectors, _NEIGHBORS))
    asks: dict[str, Ask] = {}
    notes: dict[str, str] = {}
    for name, method in ((OURS, "guarded"), (PAPER, "paper")):
        (folder / method).mkdir()
        small = artifact_over(
            *(folder / method, base.vectors[:_FITTED], base.labels[:_FITTED]),
            method=method,
            k=sizes.k,
        )
        artifact = replace(
            _over(small, kept, base.labels, index), embedder=PreparedVectors(queries)
        )
        router = BenchRouter(artifact)
        router.prepare(router.models)
        asks[name] = lambda _, router=router: router.decide("a prompt")
        methods = [router.decide("a prompt").method for _ in range(200)]
        notes[name] = f"{engine}, recall {found:.3f}; {routed(methods)}"
    return asks, notes


def _over(artifact: Artifact, kept: NDArray[np.floating], labels: Labels, index: Index) -> Artifact:
    """Put all rows in the place of those that the version was fitted on, which come first."""
    n = len(kept)
    return replace(
        artifact,
        embeddings=kept,
        correctness=labels.astype(np.uint8),
        task=(np.arange(n) % N_TASKS).astype(np.int32),
        index=index,
    )


def routed(methods: Sequence[str]) -> str:
    """Say how many decisions did all that one can take: the others held back."""
    return f"{np.mean([method != 'bma' for method in methods]):.0%} routed"


def _of_row(decide: Callable[[Vectors], int], queries: Vectors) -> Ask:
    return lambda query: decide(queries[query, None])


def _milliseconds(ask: Ask, query: int) -> float:
    """Ask; a system in another process says itself how long it took."""
    found: list[object] = []
    elapsed = elapsed_ms(lambda: found.append(ask(query)))
    return found[0] if isinstance(found[0], float) else elapsed
