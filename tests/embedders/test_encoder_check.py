"""An exported encoder beside its original, on the benchmark that it is to be used for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from litellm_benchrouter.building.build import build
from litellm_benchrouter.building.encoder_check import EQUAL_PICKS, Agreement, checked_encoder
from litellm_benchrouter.config import EmbedderConfig, load_config
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.paper.benchmark import Benchmark

from .conftest import CORPUS

MODELS = ["ant", "bee", "cat", "dog", "eel", "fox"]


def benchmark(*, by_chance: bool, n: int = 75) -> Benchmark:
    """Return prompts whose labels say nothing, so that any noise decides, or say who is best."""
    generator = np.random.default_rng(0)
    labels = generator.random((n, len(MODELS))) < (0.5 if by_chance else 0.05)
    if not by_chance:
        labels[:, 2] = True
    return Benchmark(
        sample_ids=[f"s{i}" for i in range(n)],
        prompts=[f"{CORPUS[i % len(CORPUS)]} ({i})" for i in range(n)],
        task=(np.arange(n) % 3).astype(np.int32),
        tasks=["east", "north", "west"],
        models=MODELS,
        correctness=labels.astype(np.uint8),
        scores=labels.astype(np.float32),
    )


@pytest.fixture
def config(small_model: Path) -> EmbedderConfig:
    return EmbedderConfig(kind="onnx", model=str(small_model))


@pytest.fixture
def stubborn(model_with_outliers: Path) -> EmbedderConfig:
    """Return an encoder whose vectors 8 bits turn."""
    return EmbedderConfig(kind="onnx", model=str(model_with_outliers))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that keeps the exports of `stubborn`."""
    return tmp_path_factory.mktemp("exports")


def test_an_encoder_that_picks_as_its_original_does_is_kept(
    config: EmbedderConfig, tmp_path: Path
) -> None:
    made = checked_encoder(config, benchmark(by_chance=False), tmp_path)

    assert made.measured is not None and made.warnings == []
    (found,) = (Agreement(**each) for each in made.measured["agreement"])
    assert made.embedder.identity()["precision"] == found.precision == "int8"
    assert found.equal_picks == found.accuracy == found.accuracy_original == 1.0
    assert 0.9999 < found.cosine_min <= found.cosine_median
    assert made.n_new == found.n_samples == 75


def test_one_that_picks_otherwise_gives_way_to_the_exact_export(
    stubborn: EmbedderConfig, exports: Path
) -> None:
    made = checked_encoder(stubborn, benchmark(by_chance=True), exports)

    assert made.measured is not None
    int8, fp32 = (Agreement(**each) for each in made.measured["agreement"])
    assert int8.equal_picks is not None and int8.equal_picks < EQUAL_PICKS
    assert fp32.equal_picks is not None and fp32.equal_picks >= EQUAL_PICKS
    assert fp32.cosine_min > 0.9999
    assert made.embedder.identity()["precision"] == "fp32"
    (warning,) = made.warnings
    assert "int8 picks differently" in warning and "built in fp32 instead" in warning


def test_a_build_that_may_not_give_way_refuses(stubborn: EmbedderConfig, exports: Path) -> None:
    strict = stubborn.model_copy(update={"on_disagreement": "refuse"})
    with pytest.raises(EmbedderError, match=r"98 % are wanted\); set benchrouter\.embedder"):
        checked_encoder(strict, benchmark(by_chance=True), exports)


def test_the_same_sample_is_not_compared_again(config: EmbedderConfig, tmp_path: Path) -> None:
    first = checked_encoder(config, benchmark(by_chance=False), tmp_path)
    (kept,) = tmp_path.glob("encoders/*/agreement.json")
    figures = json.loads(kept.read_text())
    (digest,) = figures
    kept.write_text(json.dumps({digest: figures[digest] | {"cosine_min": 0.5}}))

    again = checked_encoder(config, benchmark(by_chance=False), tmp_path)
    assert again.n_new == 0
    assert again.measured is not None and again.measured["agreement"][0]["cosine_min"] == 0.5

    grown = checked_encoder(config, benchmark(by_chance=False, n=76), tmp_path)
    assert grown.n_new == 1, "one prompt is new"
    kept.write_text("{")
    assert checked_encoder(config, benchmark(by_chance=False), tmp_path).measured == first.measured


def test_cosines_decide_where_the_sample_is_too_small_to_pick_from(
    config: EmbedderConfig, tmp_path: Path
) -> None:
    made = checked_encoder(config, benchmark(by_chance=True, n=20), tmp_path)
    assert made.measured is not None
    found = Agreement(**made.measured["agreement"][-1])
    assert found.equal_picks is None
    assert "equal picks" not in str(found) and "20 prompts" in str(found)


def test_the_manifest_says_what_was_measured_and_the_version_does_not_hang_on_it(
    model_with_outliers: Path, tmp_path: Path, benchrouter: object
) -> None:
    samples = benchmark(by_chance=True)
    rows = ["sample_id,task,prompt," + ",".join(MODELS)]
    for i, prompt in enumerate(samples.prompts):
        quoted = prompt.replace("\n", " ").replace('"', "'")
        label = ",".join(map(str, samples.correctness[i]))
        rows.append(f's{i},{samples.tasks[samples.task[i]]},"{quoted}",{label}')
    (tmp_path / "results.csv").write_text("\n".join(rows))
    block = {
        "sources": [{"path": "results.csv"}],
        "publish": {"require": "nothing"},
        "embedder": {"kind": "onnx", "model": str(model_with_outliers)},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": block}))

    manifest = build(load_config(path)).manifest
    assert manifest.embedder["precision"] == "fp32"
    assert manifest.embedder_measured is not None
    assert [a["precision"] for a in manifest.embedder_measured["agreement"]] == ["int8", "fp32"]
    assert any("built in fp32 instead" in warning for warning in manifest.warnings)
    assert manifest.counts["embedded_now"] == 75
    assert manifest.model_copy(update={"embedder_measured": {}}).content_id == manifest.version

    shown = benchrouter("inspect", "--config", path)  # type: ignore[operator]
    assert "int8 beside the original: " in shown.out and "fp32 beside the original: " in shown.out
    assert "% equal picks, median cosine" in shown.out
    checks = benchrouter("doctor", "--config", path, "--json")  # type: ignore[operator]
    assert "precision" not in checks.out, "int8 is still what is wanted"
