"""Neither the order of the samples nor that of the models changes a decision."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import PROMPTS
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

TEXTS = [prompt for prompt, *_ in PROMPTS]
N_FACTS = 3  # columns before those of the models: sample_id, task, prompt


def permuted(built: Path, folder: Path, *, rows: bool, models: bool) -> BenchRouter:
    """Build the demo's benchmark again with its rows or its models in another order."""
    for name in ("config.yaml", "report-queries.txt"):
        shutil.copy(built / name, folder / name)
    with (built / "benchmark.csv").open(newline="", encoding="utf-8") as file:
        header, *body = csv.reader(file)
    random = Random(7)
    if rows:
        random.shuffle(body)
    order = list(range(N_FACTS, len(header)))
    if models:
        random.shuffle(order)
    columns = [*range(N_FACTS), *order]
    with (folder / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([line[c] for c in columns] for line in (header, *body))
    config = load_config(folder / "config.yaml").model_copy(update={"method": "paper"})
    return BenchRouter(read_artifact(build(config).folder))


@pytest.mark.parametrize("what", ["rows", "models"])
def test_samples_and_models_in_another_order_are_decided_alike(
    demo_built: Path, tmp_path: Path, what: str
) -> None:
    folders = [tmp_path / name for name in ("as it is", "permuted")]
    for folder in folders:
        folder.mkdir()
    plain = permuted(demo_built, folders[0], rows=False, models=False)
    other = permuted(demo_built, folders[1], rows=what == "rows", models=what == "models")
    written = [(folder / "benchmark.csv").read_bytes() for folder in folders]
    assert written[0] != written[1]
    for prompt in TEXTS:
        expected, found = plain.decide(prompt), other.decide(prompt)
        assert found.ranking == expected.ranking
        assert found.scores == pytest.approx(dict(expected.scores or {}), abs=1e-9)
    assert (
        other.decide("", task="report-queries").pick == plain.decide("", task="report-queries").pick
    )


def test_a_prompts_scores_are_the_probabilities_of_scikit_learns_classifier(
    demo_built: Path, tmp_path: Path
) -> None:
    router = permuted(demo_built, tmp_path, rows=False, models=False)
    artifact = router.artifact
    k = int(artifact.manifest.parameters["k"])
    vectors = artifact.embedder.embed(TEXTS)
    for m, model in enumerate(artifact.models):
        labels = np.asarray(artifact.correctness[:, m])
        assert set(labels) <= {0, 1}
        neighbors = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute")
        expected = neighbors.fit(artifact.embeddings, labels).predict_proba(vectors)[:, 1]
        found = [dict(router.decide(text).scores or {})[model] for text in TEXTS]
        assert found == pytest.approx(expected, abs=1e-9)


def test_the_approximate_index_found_nearly_all_that_exact_search_finds(demo_built: Path) -> None:
    store = Store(demo_built / "router_artifacts")
    version = store.current()
    assert version is not None
    assert read_artifact(store.folder(version)).manifest.index["recall"] >= 0.99
