"""A build with labelled inputs of a named task, and what the router makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.paper.benchmark import mean
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.sources.tasks import labels_path, prompt_key

INPUTS = [f"Who is number {i}?" for i in range(24)]


class Hashing:
    """A vector for each text from its hash; `seen` holds every text that was embedded."""

    kind = "hashing"
    cacheable = True
    dimension = 8

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        self.seen += texts
        seeds = [int(prompt_key(text), 16) for text in texts]
        return normalize(np.array([np.random.default_rng(s).normal(size=8) for s in seeds]))

    def identity(self) -> dict[str, object]:
        return {"kind": self.kind, "dimension": self.dimension, "fingerprint": "f" * 64}

    def save(self, folder: Path) -> None:
        pass


def label(config: Path, n: int, right: Mapping[str, float], seed: int = 0) -> Path:
    """Append labels of the first n inputs: each model right with its probability."""
    path = labels_path(load_config(config).artifacts, "new")
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with path.open("a", encoding="utf-8") as file:
        for prompt in INPUTS[:n]:
            for model, probability in right.items():
                score = float(generator.random() < probability)
                line = {"prompt_sha256": prompt_key(prompt), "model": model, "score": score}
                file.write(json.dumps(line) + "\n")
    return path


def router_of(built: Built) -> BenchRouter:
    return BenchRouter(read_artifact(built.folder))


def entry_of(built: Built) -> dict[str, Any]:
    document = json.loads((built.folder / "named_tasks.json").read_bytes())
    found: dict[str, Any] = document["new"]
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tiny.write(tmp_path, method="guarded", n=160)


def test_the_posterior_decides_more_labels_change_the_pick_and_without_them_all_is_as_before(
    config: Path,
):
    before = build(load_config(config))
    assert "labels" not in entry_of(before)
    star = router_of(before).best_on_average(tiny.MODELS, "").pick
    better, other = (model for model in tiny.MODELS if model not in (star, "ant"))
    weak = dict.fromkeys(tiny.MODELS, 0.2)

    path = label(config, 10, weak | {better: 1.0})
    first = build(load_config(config))
    decision = router_of(first).decide("", task="new")
    assert (decision.pick, decision.method) == (better, "posterior")
    assert decision.reason.startswith(f"P(better than {star}) = ")
    assert "> 0.7 from 10 labelled inputs; " in decision.reason
    assert decision.task == "new"
    assert decision.artifact == first.manifest.version != before.manifest.version

    label(config, 24, weak | {other: 1.0, better: 0.0})  # the last label of an input counts
    second = build(load_config(config))
    decision = router_of(second).decide("", task="new")
    assert decision.pick == other
    assert "> 0.6 from 24 labelled inputs; " in decision.reason

    path.unlink()
    assert build(load_config(config)).manifest.version == before.manifest.version


def test_a_policy_weighs_the_posterior_against_cost(config: Path):
    tiny.configure(
        config.parent,
        method="guarded",
        models={model: {"params_b": size} for size, model in enumerate(tiny.MODELS, start=1)},
    )
    label(config, 24, {"ant": 0.0, "bee": 0.9, "cat": 0.9, "dog": 1.0})
    router = router_of(build(load_config(config)))
    assert router.decide("", task="new").pick == "dog"
    decision = router.decide("", task="new", terms=Terms(Policy.parse("cheapest:0.5")))
    assert decision.scores["ant"] < 0.5 <= decision.scores["bee"]
    assert (decision.pick, decision.method) == ("bee", "posterior")
    assert decision.reason.endswith("; costs by size; from 24 labelled inputs")
    assert decision.costs_usd is None


def test_equal_labels_give_the_same_version_whatever_the_order_of_the_lines(config: Path):
    path = label(config, 12, dict.fromkeys(tiny.MODELS, 0.5))
    version = build(load_config(config)).manifest.version
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[::-1]) + '\n{"prompt_sha2', encoding="utf-8")
    assert build(load_config(config)).manifest.version == version


def test_the_best_on_average_stays_where_the_labels_do_not_speak_clearly(config: Path):
    label(config, 2, dict.fromkeys(tiny.MODELS, 1.0))
    router = router_of(build(load_config(config)))
    star = router.best_on_average(tiny.MODELS, "").pick
    decision = router.decide("", task="new")
    assert (decision.pick, decision.method) == (star, "posterior")
    assert "from 2 labelled inputs" in decision.reason


def test_the_rule_is_asked_over_the_models_on_offer(config: Path):
    label(config, 24, {"ant": 0.0, "bee": 1.0, "cat": 0.0, "dog": 1.0})
    router = router_of(build(load_config(config)))
    for offer in (["ant", "bee"], ["cat", "dog"], ["ant", "cat"], ["ant", "cat", "dog"]):
        decision = router.decide("", task="new", models=offer)
        assert sorted(decision.ranking) == sorted(offer)
        assert set(decision.scores or {}) == set(offer)
        good = [model for model in offer if model in ("bee", "dog")]
        assert decision.pick in (good or offer)
    alone = router.decide("", task="new", models=["cat"])
    assert (alone.pick, alone.reason) == ("cat", "the only model on offer")


def test_a_model_without_labels_is_expected_to_do_as_the_prior_says(config: Path):
    label(config, 12, {"ant": 0.5, "bee": 0.5})
    artifact = router_of(build(load_config(config))).artifact
    labelled = artifact.labelled_tasks["new"]
    assert labelled.counts.tolist() == [12, 12, 0, 0]
    assert np.isnan(labelled.accuracy[2:]).all()
    assert np.isnan(labelled.p[2:]).all()
    posterior = labelled.posterior
    assert posterior is not None
    spread = np.sqrt(np.diag(posterior.covariance))
    assert (np.abs(posterior.score - posterior.prior)[2:] < 0.1).all()
    assert spread[:2].max() < spread[2:].min()
    assert np.isfinite(posterior.score).all()


def test_an_answer_to_equal_inputs_counts_once(tmp_path: Path):
    config = tiny.write(tmp_path, method="guarded", n=160)
    (tmp_path / "new.txt").write_text("Who is number 0?\n" * 24, encoding="utf-8")
    label(config, 1, dict.fromkeys(tiny.MODELS, 1.0))
    labelled = router_of(build(load_config(config))).artifact.labelled_tasks["new"]
    assert labelled.n_inputs == 1
    assert labelled.counts.tolist() == [1, 1, 1, 1]


def test_the_paper_takes_p_from_the_labels_instead_of_the_smoother(tmp_path: Path):
    config = tiny.write(tmp_path, method="paper")
    before = build(load_config(config))
    smoothed = read_artifact(before.folder).named_tasks["new"]
    label(config, 24, {"ant": 0.9, "bee": 0.1})
    router = router_of(build(load_config(config)))
    scores, labelled = router.artifact.named_tasks["new"], router.artifact.labelled_tasks["new"]
    assert labelled.posterior is None
    np.testing.assert_array_equal(scores.s2, smoothed.s2)
    np.testing.assert_array_equal(scores.p[2:], smoothed.p[2:])
    np.testing.assert_array_equal(scores.p[:2], labelled.p[:2])
    assert not np.allclose(scores.p[:2], smoothed.p[:2])
    # With every input labelled, S3 by the measured p is what the model really got wrong and right.
    p, s2 = scores.p[:2], scores.s2[:2]
    np.testing.assert_allclose(scores.s3[:2], s2 * p + (1 - s2) * (1 - p))
    decision = router.decide("", task="new")
    assert decision.method in ("s3", "bma")
    assert decision.reason.endswith("; p measured on 24 labelled inputs")


def test_p_is_the_share_of_the_labels_that_the_neighbours_predict(tmp_path: Path):
    config = tiny.write(tmp_path, method="paper")
    label(config, 24, dict.fromkeys(tiny.MODELS, 0.5))
    artifact = router_of(build(load_config(config))).artifact
    vectors = np.load(tmp_path / "new.npy")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = np.argsort(-(vectors @ np.asarray(artifact.embeddings).T), axis=1)[:, :5]
    votes = np.where(artifact.correctness == 255, np.nan, artifact.correctness)[near]
    lines = labels_path(load_config(config).artifacts, "new").read_text().splitlines()
    score = {(e["prompt_sha256"], e["model"]): e["score"] for e in map(json.loads, lines)}
    for m, model in enumerate(tiny.MODELS):
        predicted = mean(votes[:, :, m], axis=1) > 0.5
        right = [score[prompt_key(text), model] == 1 for text in INPUTS]
        expected = np.mean(predicted == np.array(right))
        assert artifact.labelled_tasks["new"].p[m] == pytest.approx(expected)


def test_a_small_benchmark_can_be_overruled_by_labels(tmp_path: Path):
    config = tiny.write(tmp_path, method="guarded", n=40)
    assert router_of(build(load_config(config))).decide("", task="new").method == "bma"
    label(config, 24, {"ant": 0.0, "bee": 0.0, "cat": 0.0, "dog": 1.0})
    decision = router_of(build(load_config(config))).decide("", task="new")
    assert (decision.pick, decision.method) == ("dog", "posterior")


def test_scores_become_labels_by_the_threshold_of_the_task(tmp_path: Path):
    task = {"inputs": "new.txt", "embeddings": "new.npy", "labels": "mine.csv", "threshold": 0.2}
    config = tiny.write(tmp_path, method="guarded", n=160, tasks={"new": task})
    rows = [f"{text},{m},0.3\n" for text in INPUTS[:5] for m in tiny.MODELS]
    (tmp_path / "mine.csv").write_text("prompt,model,score\n" + "".join(rows))
    labelled = router_of(build(load_config(config))).artifact.labelled_tasks["new"]
    assert labelled.n_inputs == 5
    assert (labelled.accuracy == 1).all()


def test_a_file_that_is_configured_and_not_there_yet_is_warned_of(tmp_path: Path):
    task = {"inputs": "new.txt", "embeddings": "new.npy", "labels": "mine.jsonl"}
    config = tiny.write(tmp_path, method="guarded", n=160, tasks={"new": task})
    built = build(load_config(config))
    assert any("mine.jsonl does not exist (yet)" in text for text in built.manifest.warnings)
    assert not router_of(built).artifact.labelled_tasks


def test_a_wrong_score_ends_the_build_before_anything_is_written(config: Path, benchrouter):
    before = build(load_config(config)).manifest.version
    path = label(config, 3, {"ant": 1.0})
    with path.open("a") as file:
        file.write('{"prompt": "Who is number 0?", "model": "ant", "score": 70}\n')
    ended = benchrouter("build", "--config", config)
    assert ended.code == 2
    assert "line 4: the score is 70" in ended.err
    assert (path.parents[1] / "CURRENT").read_text().strip() == before


def test_labelled_inputs_are_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tiny.write(tmp_path, method="guarded", n=160)
    tiny.configure(
        tmp_path, method="guarded", tasks={"new": {"inputs": "new.txt"}},
        embedder={"kind": "sentence-transformers"}, sources=[{"path": "benchmark.csv"}],
    )  # fmt: skip
    embedder = Hashing()
    made = "litellm_benchrouter.building.embed.make_embedder"
    monkeypatch.setattr(made, lambda *_, **__: embedder)
    monkeypatch.setattr(
        "litellm_benchrouter.artifact.version.load_embedder", lambda *_, **__: embedder
    )
    assert build(load_config(config)).manifest.counts["embedded_now"] == 160
    label(config, 24, {"ant": 1.0, "bee": 0.0})
    again = build(load_config(config))
    assert again.manifest.counts["embedded_now"] == 0
    assert router_of(again).artifact.labelled_tasks["new"].n_inputs == 24
    assert len(embedder.seen) == len(set(embedder.seen)) == 160 + 24


@pytest.mark.parametrize(
    "damage",
    [
        {"counts": [1]},
        {"posterior": {"prior": [0.5] * 4, "score": [0.5] * 4}},
        {"accuracy": None},
        {"posterior": []},
    ],
)
def test_damaged_labels_in_an_artifact_are_refused(config: Path, damage: dict[str, Any]):
    label(config, 4, {"ant": 1.0, "bee": 0.0})
    folder = build(load_config(config)).folder
    named = json.loads((folder / "named_tasks.json").read_bytes())
    named["new"]["labels"] |= damage
    (folder / "named_tasks.json").write_text(json.dumps(named))
    tiny.write_manifest(folder, tiny.read_document(folder))
    damaged = folder.with_name("damaged")
    folder.rename(damaged)
    with pytest.raises(ArtifactError, match=r"named_tasks\.json does not hold task decisions"):
        read_artifact(damaged)


def test_inspect_and_explain_show_the_labels(config: Path, benchrouter):
    label(config, 6, {"ant": 1.0, "bee": 0.0})
    build(load_config(config))
    shown = benchrouter("inspect", "--config", config)
    assert "Labels of new: 6 of 24 inputs" in shown.out
    task = benchrouter("inspect", "--config", config, "--json").document["named_tasks"]["new"]
    assert task["n_labelled_inputs"] == 6
    by_model = {row["model"]: row for row in task["ranking"]}
    assert by_model["ant"]["labels"] == 6
    assert by_model["ant"]["right"] == 1.0
    assert by_model["cat"]["right"] is None
    assert 0 < by_model["cat"]["posterior"] < 1
    explained = benchrouter("explain", "--config", config, "--task", "new", "--models", "ant,bee")
    assert "Labels of the task" in explained.out
    document = benchrouter("explain", "--config", config, "--task", "new", "--json").document
    assert document["labels"]["bee"]["right"] == 0.0
    assert document["method"] == "posterior"
