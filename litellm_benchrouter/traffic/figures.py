"""What prompts of own traffic are like: how near the benchmark, of what kinds, changing or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.costs.policy import Terms
from litellm_benchrouter.embedders import HostedEmbedder, PrecomputedEmbedder, embed_with_cache
from litellm_benchrouter.guarded.formulas import FAR_PERCENTILE, K
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.traffic.alarms import NEAREST, similarity_alarm

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

_MOST_CLUSTERS = 8
_SMALLEST_CLUSTER = 5  # prompts that one is expected to have
_EXAMPLES = 3
_PERMUTATIONS = 199
_QUANTILES = (0.1, 0.5, 0.9)


def describe(
    prompts: pl.DataFrame,
    router: BenchRouter | None,
    terms: Terms,
    progress: Progress,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Describe prompts of own traffic, as JSON; no text of theirs is in it but the examples'.

    Parameters
    ----------
    prompts : DataFrame
        Of `prompts.SCHEMA`, the oldest first.
    router : BenchRouter or None
        Of the version that serves; without one only what is there is counted.
    terms : Terms
        The policy that is asked about.
    """
    document: dict[str, Any] = {"amount": _amount(prompts), "benchmark": None}
    if router is None or prompts.is_empty():
        return document
    rows, vectors = vectors_of(prompts, router.artifact, progress)
    document["without_vector"] = prompts.height - len(rows)
    if not len(rows):
        return document
    texts = prompts["text"].gather(rows).to_list()
    times = prompts["time"].gather(rows).fill_null(np.nan).to_numpy()
    distance = _distances(vectors, router.artifact)
    picks = _picks(texts, vectors, router, terms, progress)
    far = None if router.artifact.guarded is None else router.artifact.guarded.far
    document["benchmark"] = _nearness(distance, router.artifact)
    document["routing"] = _routing(picks, router)
    document["clusters"] = _clusters(texts, vectors, distance, far, picks[0], seed)
    document["drift"] = _drift(vectors, distance, far, times, seed)
    own = router.artifact.own_labels
    document["alarm"] = None
    if own is not None and len(own.model.vectors) > NEAREST:
        labelled = normalize(own.model.vectors)
        document["alarm"] = alarm = similarity_alarm(labelled, vectors)
        alarm["time"] = None if alarm["at"] is None else float(times[alarm["at"]])
    return document


def vectors_of(
    prompts: pl.DataFrame, artifact: Artifact, progress: Progress
) -> tuple[NDArray[np.intp], Vectors]:
    """Return the rows of prompts that have a vector of the version's embedder, and the vectors.

    Those that were kept are taken; others are computed, unless somebody would have to be asked.
    """
    embedder = artifact.embedder
    fingerprint, d = artifact.manifest.embedder.get("fingerprint"), embedder.dimension
    vectors = np.zeros((prompts.height, d), dtype=np.float32)
    missing = []
    columns = zip(prompts["vector"], prompts["embedder"], strict=True)
    for row, (content, made_by) in enumerate(columns):
        if content is not None and made_by == fingerprint and len(content) == 2 * d:
            vectors[row] = np.frombuffer(content, dtype="<f2")
        else:
            missing.append(row)
    if missing and not isinstance(embedder, HostedEmbedder | PrecomputedEmbedder):
        texts = prompts["text"].gather(missing).to_list()
        with progress.stage("embedding prompts", len(texts)) as advance:
            # No cache on disk: what is erased must be gone.
            vectors[missing] = embed_with_cache(embedder, texts, None, advance)[0]
    vectors = normalize(vectors)
    rows = np.flatnonzero(vectors.any(axis=1) & np.isfinite(vectors).all(axis=1))
    return rows, vectors[rows]


def _amount(prompts: pl.DataFrame) -> dict[str, Any]:
    """Count prompts, in all and by who answered and how."""
    times = prompts["time"].drop_nulls()
    return {
        "prompts": prompts.height,
        "different": prompts["text"].n_unique(),
        "first": times.min(),
        "last": times.max(),
        "with_vector": prompts["vector"].count(),
        "keys": prompts["key"].drop_nulls().n_unique(),
        "users": pl.concat([prompts["user"], prompts["end_user"]]).drop_nulls().n_unique(),
        "answered_by": _counts(prompts["model"].drop_nulls()),
        "outcome": _counts(prompts["outcome"].drop_nulls()),
        "cost_usd": prompts["cost_usd"].sum() if prompts["cost_usd"].count() else None,
        "median_latency_s": prompts["latency_s"].median(),
    }


def _counts(values: pl.Series | Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _distances(vectors: Vectors, artifact: Artifact) -> Floats:
    """Return the mean cosine distance, in [0, 2], of each prompt to its nearest samples."""
    k = K if artifact.guarded is not None else int(artifact.manifest.parameters["k"])
    near = artifact.index.search(vectors, min(k, len(artifact.task)))
    mean: Floats = near.distance.astype(np.float64).mean(axis=1)
    return mean


def _nearness(distance: Floats, artifact: Artifact) -> dict[str, Any]:
    """Compare distances with those of the benchmark's own samples, each left out."""
    named = {f"p{100 * q:.0f}": float(np.quantile(distance, q)) for q in _QUANTILES}
    guarded = artifact.guarded
    if guarded is None:
        return {"distance": named, "own": None, "far": None, "far_share": None, "percentile": None}
    own = {f"p{100 * q:.0f}": float(guarded.distances[round(100 * q)]) for q in _QUANTILES}
    return {
        "distance": named,
        "own": own,
        "far": guarded.far,
        "far_percentile": FAR_PERCENTILE,
        "far_share": float((distance > guarded.far).mean()),
        "percentile": float(np.median([guarded.percentile(each) for each in distance.tolist()])),
    }


def _picks(
    texts: Sequence[str], vectors: Vectors, router: BenchRouter, terms: Terms, progress: Progress
) -> tuple[list[str], list[str], list[str]]:
    """Return the pick, the method and the kind of the decision on each prompt, over all models."""
    decisions = []
    with progress.stage("deciding", len(texts)) as advance:
        for text, vector in zip(texts, vectors, strict=True):
            decisions.append(router.decide(text, terms=terms, vector=vector[None]))
            advance(1)
    return (
        [decision.pick for decision in decisions],
        [decision.method for decision in decisions],
        [decision.kind for decision in decisions],
    )


def _routing(picks: tuple[list[str], list[str], list[str]], router: BenchRouter) -> dict[str, Any]:
    best = router.best_on_average(router.models, "").pick
    return {
        "version": router.artifact.manifest.version,
        "bma": best,
        "bma_share": picks[0].count(best) / len(picks[0]),
        "picks": _counts(picks[0]),
        "methods": _counts(picks[1]),
        "kinds": _counts(picks[2]),
    }


def _clusters(
    texts: Sequence[str],
    vectors: Vectors,
    distance: Floats,
    far: float | None,
    picks: Sequence[str],
    seed: int,
) -> list[dict[str, Any]]:
    """Describe groups of similar prompts, the largest first, by those nearest to their centre."""
    n = min(_MOST_CLUSTERS, len(np.unique(vectors, axis=0)), 1 + len(texts) // _SMALLEST_CLUSTER)
    made = KMeans(n, n_init=4, random_state=seed).fit(vectors)
    clusters = []
    for number in range(n):
        rows = np.flatnonzero(made.labels_ == number)
        if not len(rows):
            continue
        from_centre = np.linalg.norm(vectors[rows] - made.cluster_centers_[number], axis=1)
        nearest = rows[np.argsort(from_centre, kind="stable")]
        examples = list(dict.fromkeys(texts[row] for row in nearest.tolist()))[:_EXAMPLES]
        pick, n_picks = Counter(picks[row] for row in rows.tolist()).most_common(1)[0]
        clusters.append(
            {
                "prompts": len(rows),
                "share": len(rows) / len(texts),
                "distance": float(distance[rows].mean()),
                "far_share": None if far is None else float((distance[rows] > far).mean()),
                "pick": pick,
                "pick_share": n_picks / len(rows),
                "examples": examples,
            }
        )
    return sorted(clusters, key=lambda cluster: -cluster["prompts"])


def _drift(
    vectors: Vectors, distance: Floats, far: float | None, times: Floats, seed: int
) -> dict[str, Any] | None:
    """Compare the newer half of the prompts with the older; None of fewer than ten with a time.

    `p_value` is of the distance between their mean vectors, by permutation.
    """
    order = np.argsort(times, kind="stable")[: np.isfinite(times).sum()]
    half = len(order) // 2
    if half < _SMALLEST_CLUSTER:
        return None

    def apart(rows: NDArray[np.intp]) -> float:
        difference = vectors[rows[:half]].mean(axis=0) - vectors[rows[half:]].mean(axis=0)
        return float(np.linalg.norm(difference))

    generator, actual = np.random.default_rng(seed), apart(order)
    drawn = [apart(generator.permutation(order)) for _ in range(_PERMUTATIONS)]
    return {
        "distance_between_means": actual,
        "p_value": (1 + sum(each >= actual for each in drawn)) / (1 + _PERMUTATIONS),
        **{
            name: {
                "prompts": len(rows),
                "from": float(times[rows[0]]),
                "to": float(times[rows[-1]]),
                "distance": float(np.median(distance[rows])),
                "far_share": None if far is None else float((distance[rows] > far).mean()),
            }
            for name, rows in (("older", order[:half]), ("newer", order[half:]))
        },
    }
