"""Cascades in a build: evidence, prices and bounds from labelled answers, into the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.building.cascade import calibrate, upper_bound
from litellm_benchrouter.building.verdicts import Verdicts, compared
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.cascade import Cascade, Evidence
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.sources.answers import ScoredAnswers
from litellm_benchrouter.sources.tasks import prompt_key
from litellm_benchrouter.validation.cascade import Answered, run_cascade, simulated_scores

MODELS = ("cheap", "dear")
COST = np.array([0.0001, 0.01])
CHANCES = {"cheap": 0.7, "dear": 0.85}


def answered(n: int, seed: int = 0) -> Answered:
    """Draw answers of a cheap model that is right by 70 %, and of a dear one, by 85 %."""
    generator = np.random.default_rng(seed)
    p = np.tile([0.7, 0.85], (n, 1))
    value = (generator.random((n, 2)) < p).astype(np.float64)
    cost = np.tile(COST, (n, 1))
    return Answered(p, cost, value, cost, np.zeros((n, 2)))


def calibrated(n: int, auc: float, alpha: float = 0.1, seed: int = 0):
    known = answered(n, seed)
    verdicts = {"judge": Verdicts(simulated_scores(known.value, auc, seed))}
    return calibrate(known, verdicts, MODELS, 1, alpha=alpha, confidence=0.95, seed=seed)


def test_the_bound_is_that_of_clopper_and_pearson():
    assert upper_bound(0, 59, 0.95) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert upper_bound(3, 100, 0.95) == pytest.approx(0.07572, abs=1e-5)
    assert upper_bound(5, 5, 0.95) == 1.0


def test_prices_and_bounds_are_of_prompts_that_nothing_was_learned_from():
    record, why = calibrated(1_200, 0.85)
    assert record is not None, why
    assert record.prompts == 600
    row = next(row for row in record.qualities if row.quality == 1.0)
    assert row.kept_and_wrong <= row.kept_and_wrong_bound <= record.alpha
    assert row.saved_beside_bma is not None and row.saved_beside_bma > 0.2
    assert row.reached == pytest.approx(1.0, abs=0.08)
    assert record.verifiers["judge"].auc == pytest.approx(0.85, abs=0.03)


def test_the_bound_holds_on_new_requests():
    """Of many calibrations one in twenty may break it."""
    broken, alpha = 0, 0.08
    for seed in range(8):
        record, _ = calibrated(400, 0.8, alpha, seed)
        if record is None:
            continue
        row = record.qualities[-1]
        new = answered(2_000, 99)
        cascade = Cascade.of(record.model_dump(), row.quality)
        scores = simulated_scores(new.value, 0.8, 99)
        known = cascade.evidence["judge"].of_each(scores)
        new = Answered(new.p, new.expected, new.value, new.cost, known)
        ran = run_cascade(
            new,
            cascade.evidence["judge"],
            np.eye(2),
            price=cascade.price,
            keep=cascade.keep,
        )
        broken += ran.kept_wrong.mean() > alpha + 0.01
    assert broken <= 1


def test_what_tells_nothing_or_is_too_little_makes_no_cascade():
    record, why = calibrated(2_000, 0.5)
    assert record is None
    assert "no verifier tells right from wrong" in why
    record, why = calibrated(100, 0.9, alpha=0.01)
    assert record is None
    assert "alpha 0.01" in why


def test_verifying_is_paid_once_and_what_was_asked_to_compare_is_free():
    known, same = answered(40), Evidence.none()
    tells = Evidence.fit(simulated_scores(known.value, 0.9, 0).ravel(), known.value.ravel())
    assert tells.tells and not same.tells
    beside = np.tile([1, 0], (40, 1))
    fee = np.full((40, 2), 0.5)
    compared = replace(known, fee=fee, beside=beside)
    alone = run_cascade(compared, tells, np.eye(2), price=0.0, steps=1)
    assert alone.cost == pytest.approx(np.full(40, 0.5 + COST.sum()))  # the dear one, and another
    silent = run_cascade(compared, same, np.eye(2), price=0.0, steps=1)
    assert silent.cost == pytest.approx(np.full(40, COST[1]))  # nothing is verified
    wrong = replace(compared, evidence=np.full((40, 2), -9.0))
    both = run_cascade(wrong, tells, np.eye(2), price=20.0, steps=2)
    assert (both.calls == 2).all()
    assert both.cost == pytest.approx(np.full(40, 2 * 0.5 + COST.sum()))


def test_answers_are_compared_with_the_cheapest_other():
    texts = {(0, 0): "4", (0, 1): "4", (0, 2): "five", (1, 2): "alone"}
    empty = np.full((2, 3), np.nan)
    answers = ScoredAnswers(["a", "b"], texts, empty, empty, empty)
    verdicts = compared(answers, np.array([[0.3, 0.1, 0.2], [0.3, 0.1, 0.2]]))
    assert verdicts.beside is not None
    assert verdicts.beside.tolist() == [[1, 2, 1], [-1, -1, -1]]
    np.testing.assert_array_equal(verdicts.scores, [[1, 0, 0], [np.nan] * 3])


REFUSAL = "I'm sorry, I can't help with that."


def benchmark(
    folder: Path,
    *,
    answers: int,
    policy: str = "cascade:1",
    verifiers: Sequence[str] = ("answer",),
    chances: Mapping[str, float] = CHANCES,
) -> Path:
    """Write a benchmark, a named task, and a journal of labelled answers to its inputs."""
    generator = np.random.default_rng(0)
    words = ["sort", "merge", "queue", "stack", "graph", "tree", "heap", "list", "trie", "ring"]
    with (folder / "results.csv").open("w") as file:
        file.write(f"task,prompt,{','.join(chances)}\n")
        for i in range(120):
            text = " ".join(generator.choice(words, 4))
            right = [str(int(generator.random() < chance)) for chance in chances.values()]
            file.write(f"t{i % 4},{text} {i},{','.join(right)}\n")
    prompts = [" ".join(generator.choice(words, 5)) + f" {i}" for i in range(max(answers, 1))]
    (folder / "inputs.jsonl").write_text(
        "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    )
    lines = []
    for prompt in prompts if answers else ():
        for model, chance in chances.items():
            right = generator.random() < chance
            knows = generator.random() < 0.9  # wrong answers are mostly refusals
            text = "42" if right or not knows else REFUSAL
            if "answer" not in verifiers:  # wrong answers differ from one another
                text = "42" if right else f"{model} {generator.integers(10**6)}"
            at = {"prompt_sha256": prompt_key(prompt), "model": model}
            likely = {"mean_probability": 0.9 if right == knows else 0.5}
            lines.append(at | {"score": None, "event": "answer", "answer": text} | likely)
            lines.append(at | {"score": float(right), "event": "score", "metric": "exact"})
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    block = {
        "sources": [{"path": "results.csv"}],
        "artifacts": "artifacts",
        "embedder": {"dimensions": 16},
        "models": {
            model: {"input_price_usd_per_mtok": price, "output_price_usd_per_mtok": price}
            for model in chances
            for price in [10.0 if model == "dear" else 0.1]
        },
        "tasks": {"own": {"inputs": "inputs.jsonl", "labels": "labels.jsonl"}},
        "policy": policy,
        "cascade": {"alpha": 0.1, "verifiers": list(verifiers)},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": block}))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    path = benchmark(tmp_path_factory.mktemp("cascade"), answers=400)
    return build(load_config(path), force=True)


def test_a_build_learns_cascades_from_the_journal(built: Built):
    record = built.manifest.cascade
    assert record is not None
    assert set(record.verifiers) == {"answer"}  # no answer has a schema
    assert record.verifiers["answer"].answers == 400
    assert (record.verifiers["answer"].auc or 0) > 0.8
    assert not any("cascade" in warning for warning in built.manifest.warnings)


def test_the_router_cascades_by_the_manifest(built: Built):
    router = BenchRouter(read_artifact(built.folder))
    decision = router.decide("sort queue", terms=Terms(Policy.parse("cascade:1")))
    assert decision.policy == "cascade:1"
    assert decision.cascade is not None
    assert decision.pick == "cheap"
    assert "asked first" in decision.reason
    found = decision.cascade
    refused, whole = (found.evidence["answer"].of(score) for score in (0.3, 1.0))
    assert refused < 0 < whole
    probability, costs = decision.probability or {}, decision.costs_usd or {}
    assert found.next_model(probability, costs, {"cheap": refused}) == "dear"
    plain = router.decide("sort queue", terms=Terms(Policy.parse("quality")))
    assert plain.cascade is None


@pytest.mark.parametrize("name", ["agreement", "logprobs"])
def test_agreement_and_log_probabilities_are_learned_from_the_journal(tmp_path: Path, name: str):
    chances = {"cheap": 0.7, "second": 0.65, "dear": 0.85}
    path = benchmark(tmp_path, answers=400, verifiers=[name], chances=chances)
    record = build(load_config(path), force=True).manifest.cascade
    assert record is not None
    assert list(record.verifiers) == [name]
    of_verifier = record.verifiers[name]
    assert of_verifier.auc is not None and of_verifier.auc > 0.75
    assert of_verifier.answers == 600  # of half of the prompts
    assert (record.qualities[-1].saved_beside_bma or 0) > 0.2
    wrong, right = (Evidence.of_dict(of_verifier.evidence.model_dump()).of(s) for s in (0, 1))
    assert wrong < 0 < right


def test_without_labelled_answers_it_routes_plainly_and_says_so(tmp_path: Path):
    built = build(load_config(benchmark(tmp_path, answers=0)), force=True)
    assert built.manifest.cascade is None
    assert b'"cascade"' not in built.manifest.to_bytes()
    (warning,) = [w for w in built.manifest.warnings if "cascade" in w]
    assert "there are 0" in warning and "`benchrouter label`" in warning
    router = BenchRouter(read_artifact(built.folder))
    decision = router.decide("sort queue", terms=Terms(Policy.parse("cascade:1")))
    assert (decision.policy, decision.cascade) == ("quality", None)
    assert decision.reason.startswith("no cascade without labelled answers; ")


def test_names_that_are_no_verifiers_are_refused(tmp_path: Path):
    path = benchmark(tmp_path, answers=0)
    for name in ("answr", "judge:", "a b.c"):
        block = yaml.safe_load(path.read_text())
        block["benchrouter"]["cascade"]["verifiers"] = [name]
        path.write_text(yaml.safe_dump(block))
        with pytest.raises(ConfigError, match="is not a verifier"):
            load_config(path)
