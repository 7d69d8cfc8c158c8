"""Decisions over the models on offer, held against the same computed from the benchmark itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import load_config
from litellm_benchrouter.paper.benchmark import (
    MISSING,
    Benchmark,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.paper.neighbors import (
    Neighbors,
    nearest,
    nearest_outside_task,
    normalize,
)
from litellm_benchrouter.paper.scores import correctness_predictor, probability_better, s2, s3
from litellm_benchrouter.paper.smoother import kernel_smoother, smoother_table, task_distance
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.routing.router import BenchRouter

Vectors = NDArray[np.float32]
OFFERS = [offer for size in (1, 2, 3, 4) for offer in combinations(tiny.MODELS, size)]


class TaskFolds:
    """An embedder that knows some prompts."""

    kind = "prepared"
    cacheable = False
    dimension = 8

    def __init__(self, vectors: Mapping[str, Vectors]) -> None:
        self._vectors = vectors

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Vectors:
        zero = np.zeros(self.dimension, dtype=np.float32)
        return np.stack([self._vectors.get(text, zero) for text in texts])

    def identity(self) -> dict[str, object]:
        return {}

    def save(self, folder: Path) -> None:
        pass


def unit(*values: float) -> Vectors:
    return normalize(np.array([values]))[0]


@pytest.fixture(scope="module")
def queries(tiny_built: Path) -> Vectors:
    """Return 24 unit vectors that are not in the benchmark."""
    return normalize(np.load(tiny_built / "new.npy"))


@pytest.fixture(scope="module")
def artifact(tiny_built: Path, queries: Vectors) -> Artifact:
    """Return a version whose embedder knows the prompts "q0" to "q23" and some bad ones."""
    opened = read_artifact(build(load_config(tiny_built / "config.yaml")).folder)
    known = {f"q{i}": query for i, query in enumerate(queries)}
    known |= {"nan": np.full(8, np.nan, dtype="f4"), "inf": np.full(8, np.inf, dtype="f4")}
    return replace(opened, embedder=TaskFolds(known))


@pytest.fixture(scope="module")
def benchmark(tiny_built: Path) -> Benchmark:
    """Return the results as they were read."""
    return load_benchmark(load_config(tiny_built / "config.yaml"), Progress())[0]


@pytest.fixture(scope="module")
def router(artifact: Artifact) -> BenchRouter:
    return BenchRouter(artifact)


def opened(config: Path, **vectors: Vectors) -> BenchRouter:
    """Build, and open with an embedder that knows some prompts."""
    artifact = read_artifact(build(load_config(config)).folder)
    return BenchRouter(replace(artifact, embedder=TaskFolds(vectors)))


def best_first(scores: Mapping[str, float], average: Mapping[str, float]) -> tuple[str, ...]:
    """Rank as the paper's rule and ours for ties say, where nothing is known of costs."""
    return tuple(sorted(scores, key=lambda m: (-round(scores[m], 9), -round(average[m], 9), m)))


def averages(benchmark: Benchmark) -> dict[str, float]:
    accuracy = task_accuracy(labels(benchmark.correctness), benchmark.task, len(benchmark.tasks))
    return dict(zip(benchmark.models, average_accuracy(accuracy).tolist(), strict=True))


# A prompt


@pytest.mark.parametrize("offer", OFFERS)
def test_a_prompt_goes_by_the_mean_correctness_of_its_neighbours_over_the_models_on_offer(
    router, artifact, benchmark, queries, offer
):
    average = averages(benchmark)
    embeddings = np.asarray(artifact.embeddings)
    for i, query in enumerate(queries):
        rows = np.argsort(1 - embeddings @ query, kind="stable")[:5]
        scores = {}
        for model in offer:
            column = benchmark.correctness[rows, benchmark.models.index(model)]
            known = column[column != MISSING]
            scores[model] = known.mean() if len(known) else average[model]
        decision = router.decide(f"q{i}", models=offer)
        assert decision.method == "s1"
        assert decision.scores == pytest.approx(scores)
        assert decision.ranking == best_first(scores, average)
        assert decision.pick == decision.ranking[0]
        assert decision.artifact == artifact.manifest.version
        assert decision.task is None


def test_neither_the_order_of_the_models_on_offer_nor_repetitions_matter(router):
    once = router.decide("q3", models=["ant", "bee", "cat"])
    assert router.decide("q3", models=["cat", "ant", "bee", "ant"]) == once
    assert router.decide("q3") == router.decide("q3", models=tiny.MODELS[::-1])


def test_the_reason_holds_the_distance_and_none_of_the_prompt(router, artifact):
    prompt = "a secret that nobody may log"
    known = TaskFolds({prompt: np.asarray(artifact.embeddings[0])})
    for task in (None, "new", "east", "another secret"):
        decision = BenchRouter(replace(artifact, embedder=known)).decide(prompt, task=task)
        assert "secret" not in decision.reason
    decision = router.decide("q0")
    assert decision.reason.endswith(f"at mean distance {decision.distance:.2f}")
    assert decision.embed_seconds >= 0


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        *(("", "no text"), (" \n\t\u3000", "no text")),
        *(("unheard of", "found nothing that it knows"), ("nan", "found nothing")),
        ("inf", "found nothing"),
    ],
)
def test_without_a_usable_text_the_best_on_average_comes_first(router, benchmark, prompt, said):
    average = averages(benchmark)
    decision = router.decide(prompt)
    assert decision.method == "bma"
    assert said in decision.reason
    assert decision.ranking == best_first(average, average)
    assert decision.scores == pytest.approx(average)
    assert decision == router.best_on_average(tiny.MODELS, decision.reason, kind="no_text")
    assert (decision.embed_seconds is None) == (not prompt.strip())


def test_a_model_that_is_not_in_the_artifact_is_an_error(router):
    with pytest.raises(KeyError, match="eel"):
        router.decide("q0", models=["ant", "eel"])
    with pytest.raises(ValueError, match="no model is on offer"):
        router.decide("q0", models=[])


def test_an_index_that_gives_up_is_replaced_by_exact_search(router, artifact):
    class Unconnected:
        def __len__(self) -> int:
            return 80

        def search(self, queries: Vectors, n_neighbors: int) -> Neighbors:
            raise RuntimeError("Cannot return the results in a contiguous 2D array")

    exact = BenchRouter(replace(artifact, index=Unconnected()))
    for i in range(24):
        assert exact.decide(f"q{i}") == router.decide(f"q{i}")


def test_concurrent_decisions_equal_the_serial_ones(router):
    asked = [
        (f"q{i}", task, offer) for i in range(24) for task in (None, "new") for offer in OFFERS
    ]

    def decide(question: tuple[str, str | None, tuple[str, ...]]) -> Any:
        prompt, task, offer = question
        return router.decide(prompt, task=task, models=offer)

    with ThreadPoolExecutor(64) as pool:
        together = list(pool.map(decide, asked))
    assert together == [decide(question) for question in asked]


# Labels that are missing, and ties


def write_two_clusters(folder: Path, names: str, east: str, west: str, **block: Any) -> Path:
    """Write six samples of `east` around (1, 0) and six of `west` around (0, 1)."""
    rows = [f"e{i},east,east {i},{east}" for i in range(6)]
    rows += [f"w{i},west,west {i},{west}" for i in range(6)]
    (folder / "benchmark.csv").write_text("\n".join([f"sample_id,task,prompt,{names}", *rows]))
    near = [[1, 0.01 * i] for i in range(6)] + [[0.01 * i, 1] for i in range(6)]
    np.save(folder / "vectors.npy", np.array(near, dtype=float))
    return tiny.configure(folder, tasks={}, **block)


def test_a_model_without_labels_nearby_is_expected_to_do_as_on_average(tmp_path):
    config = write_two_clusters(tmp_path, "ant,bee,cat", east="1,0,", west="0,1,1")
    router = opened(config, east=unit(1, 0), west=unit(0, 1))
    decision = router.decide("east")
    assert decision.scores == pytest.approx({"ant": 1.0, "bee": 0.0, "cat": 1.0})
    # ant and cat tie at 1; cat was right wherever it was asked, ant on half of the tasks
    assert decision.ranking == ("cat", "ant", "bee")
    assert router.decide("west").ranking == ("cat", "bee", "ant")


def test_without_any_label_nearby_the_average_decides_and_the_reason_says_so(tmp_path):
    config = write_two_clusters(tmp_path, "ant,bee,cat", east="1,,", west="0,1,0")
    router = opened(config, east=unit(1, 0))
    decision = router.decide("east", models=["bee", "cat"])
    assert (decision.method, decision.ranking) == ("bma", ("bee", "cat"))
    assert "have no label of a model on offer" in decision.reason
    assert decision.kind == "no_evidence"
    assert router.decide("east").method == "s1"


def test_ties_go_to_the_best_on_average(tmp_path):
    config = write_two_clusters(tmp_path, "ant,bee,cat", east="1,1,0", west="0,1,1")
    decision = opened(config, east=unit(1, 0)).decide("east")
    assert decision.ranking == ("bee", "ant", "cat")
    assert decision.reason.endswith("; best on average of 2 that tie")


def test_equal_averages_go_to_the_cheaper_and_equal_costs_to_the_name(tmp_path):
    config = write_two_clusters(
        tmp_path, "dog,cat,bee,ant", east="1,1,1,1", west="1,1,1,1",
        models={
            "cat": {"input_price_usd_per_mtok": 1.0},
            "dog": {"input_price_usd_per_mtok": 0.5, "output_price_usd_per_mtok": 0.1},
            "bee": {"params_b": 1},
        },
    )  # fmt: skip
    router = opened(config, east=unit(1, 0))
    # prices are known and lower, known, not known but a size is, nothing is
    assert router.decide("east").ranking == ("dog", "cat", "bee", "ant")
    assert router.decide("").ranking == ("dog", "cat", "bee", "ant")
    config = tiny.configure(tmp_path, tasks={})
    router = opened(config, east=unit(1, 0))
    assert router.decide("east").ranking == ("ant", "bee", "cat", "dog")
    assert "of 4 that tie" in router.decide("east").reason


def test_s1_averages_the_scores_where_the_configuration_says_so(tmp_path):
    block = {"routing": {"s1_on": "score", "alphas": [0.0], "repeats": 1}}
    config = write_two_clusters(tmp_path, "ant,bee", east="0.3,0.2", west="0.1,0.9", **block)
    decision = opened(config, east=unit(1, 0)).decide("east")
    assert decision.scores == pytest.approx({"ant": 0.3, "bee": 0.2})
    assert decision.pick == "ant"
    assert "highest mean score over" in decision.reason
    assert opened(config).decide("").scores == pytest.approx({"ant": 0.2, "bee": 0.55})
    # by labels, none is right in the east, and the better on average wins
    decision = opened(tiny.configure(tmp_path, tasks={}), east=unit(1, 0)).decide("east")
    assert decision.pick == "bee"


# A task


def with_eta(artifact: Artifact, eta: float) -> BenchRouter:
    parameters = artifact.manifest.parameters | {"eta": eta}
    manifest = artifact.manifest.model_copy(update={"parameters": parameters})
    return BenchRouter(replace(artifact, manifest=manifest))


def recomputed(
    benchmark: Benchmark, vectors: Vectors, queries: Vectors, eta: float
) -> tuple[tuple[str, ...], str, dict[str, float], float | None]:
    """Decide the task by eqs. 1-10 from a pool's results alone: ranking, method, S3 and P."""
    near = nearest(queries, vectors, 19)
    (table,) = smoother_table(
        vectors, benchmark.task, benchmark.correctness,
        nearest_outside_task(vectors, benchmark.task, 19),
        n_tasks=4, alphas=[0.0, 0.1], repeats=2,
    )  # fmt: skip
    second = s2(correctness_predictor(benchmark.correctness, near.first(5)))
    p = kernel_smoother(task_distance(near), *table.pairs())
    third = dict(zip(benchmark.models, s3(second, p).tolist(), strict=True))
    average = averages(benchmark)
    by_s3, star = best_first(third, average), best_first(average, average)[0]
    if by_s3[0] == star:
        return by_s3, "s3", third, None
    a, b = benchmark.models.index(by_s3[0]), benchmark.models.index(star)
    better = probability_better(len(queries), second[a], p[a], second[b], p[b])
    if better > eta:
        return by_s3, "s3", third, better
    return (star, *(model for model in by_s3 if model != star)), "bma", third, better


@pytest.mark.parametrize(("eta", "methods"), [(0.05, {"s3"}), (0.6, {"s3"}), (0.999, {"bma"})])
def test_a_named_task_is_decided_as_if_the_benchmark_held_only_the_models_on_offer(
    artifact, benchmark, queries, eta, methods
):
    router = with_eta(artifact, eta)
    vectors = np.asarray(artifact.embeddings)
    ended = set()
    for offer in OFFERS:
        ranking, method, third, better = recomputed(benchmark.pool(offer), vectors, queries, eta)
        decision = router.decide("q0", task="new", models=offer)
        assert (decision.ranking, decision.method) == (ranking, method)
        assert decision.scores == pytest.approx(third, abs=1e-6)
        assert decision.task == "new"
        if better is None:
            assert decision.reason == "best by S3 and best on average, from 24 example inputs"
            assert decision.kind == "routed"
        else:
            assert f"= {better:.2f} {'>' if better > eta else '<='} {eta:g}" in decision.reason
            assert decision.kind == ("routed" if better > eta else "unsure")
            ended.add(method)
    assert ended == methods  # of those where m_3 is not the best on average


def test_a_named_task_needs_no_text_and_the_text_does_not_matter(router):
    decisions = {router.decide(text, task="new").ranking for text in ("", "q1", "nan", "anything")}
    assert len(decisions) == 1


def test_an_unknown_task_is_decided_by_the_prompt_and_the_reason_says_so(router):
    by_prompt = router.decide("q4")
    decision = router.decide("q4", task="unheard of")
    assert (decision.method, decision.ranking) == ("s1", by_prompt.ranking)
    assert decision.reason == f"the task is not in the artifact; {by_prompt.reason}"
    assert (by_prompt.kind, decision.kind) == ("routed", "unknown_task")
    assert decision.task == "unheard of"
    without_text = router.decide("", task="unheard of")
    assert without_text.method == "bma"
    assert without_text.reason.startswith("the task is not in the artifact; no text")
    assert [router.knows_task(name) for name in ("new", "east", "unheard of")] == [
        *(True, True, False)
    ]


def test_a_task_of_the_benchmark_is_decided_by_what_was_measured_there(router, benchmark):
    accuracy = task_accuracy(labels(benchmark.correctness), benchmark.task, 4)
    for d, task in enumerate(tiny.TASKS):
        decision = router.decide("q0", task=task)
        measured = dict(zip(tiny.MODELS, accuracy[d].tolist(), strict=True))
        assert decision.method == "measured"
        assert decision.scores == pytest.approx(measured)
        assert decision.ranking == best_first(measured, averages(benchmark))
        assert "20 samples of this task" in decision.reason


def test_where_s3_is_not_defined_for_the_best_on_average_it_stays_first(artifact):
    router = BenchRouter(artifact)
    star = router.decide("").pick
    scores = artifact.named_tasks["new"]
    undefined = np.array([model == star for model in tiny.MODELS])
    scores = replace(scores, s3=np.where(undefined, np.nan, scores.s3))
    decision = BenchRouter(replace(artifact, named_tasks={"new": scores})).decide("", task="new")
    assert (decision.pick, decision.method) == (star, "bma")
    assert decision.reason == f"S3 is not defined for {star}, the best on average"
    assert decision.kind == "no_evidence"
    nothing = replace(scores, s3=np.full(4, np.nan))
    decision = BenchRouter(replace(artifact, named_tasks={"new": nothing})).decide("", task="new")
    assert decision.pick == star


# Explanations


def test_an_explanation_shows_the_neighbours_and_what_they_say(
    router, artifact, benchmark, queries
):
    explained = router.explain("q2", models=["ant", "cat"])
    near = nearest(queries[2:3], np.asarray(artifact.embeddings), 5)
    g = correctness_predictor(benchmark.correctness, near)[0]
    assert [row[0] for row in explained.neighbors] == [
        benchmark.sample_ids[row] for row in near.index[0]
    ]
    assert [row[1] for row in explained.neighbors] == [
        benchmark.tasks[benchmark.task[row]] for row in near.index[0]
    ]
    assert [row[2] for row in explained.neighbors] == pytest.approx(near.distance[0].tolist())
    assert explained.g == pytest.approx({"ant": g[0], "cat": g[2]})
    assert explained.average == pytest.approx(
        {model: averages(benchmark)[model] for model in ("ant", "cat")}
    )
    assert explained.decision == router.decide("q2", models=["ant", "cat"])
    assert (explained.task_scores, explained.u) == ({}, None)


def test_an_explanation_of_a_named_task_shows_its_scores(router, artifact):
    scores = artifact.named_tasks["new"]
    explained = router.explain("", task="new", models=["bee", "dog"])
    assert explained.u == scores.u
    assert explained.task_scores == {
        model: {key: getattr(scores, key)[m] for key in ("s1", "s2", "s3", "p")}
        for m, model in ((1, "bee"), (3, "dog"))
    }
    assert explained.neighbors == []
    assert all(math.isnan(value) for value in explained.g.values())
    assert explained.decision == router.decide("", task="new", models=["bee", "dog"])
