"""The sentence-transformers embedder with a real model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from litellm_benchrouter.embedders import SentenceTransformersEmbedder, load_embedder
from litellm_benchrouter.errors import EmbedderError

HUB_NAME = "sentence-transformers/all-mpnet-base-v2"


@pytest.fixture
def copied_model(minilm_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the model that a test may change."""
    return Path(shutil.copytree(minilm_folder, tmp_path / "copied"))


def perturb(folder: Path, noise: float) -> None:
    """Train the model a little further, as it were."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = "embeddings.word_embeddings.weight"
    generator = np.random.default_rng(0)
    tensors[name] = tensors[name] + generator.normal(0, noise, tensors[name].shape).astype("f4")
    save_file(tensors, file, metadata={"format": "pt"})


def test_vectors_equal_those_made_elsewhere(
    shared: Path, minilm: SentenceTransformersEmbedder
) -> None:
    folder = shared / "data" / "openllm_v2"
    rows = list(range(0, 11_228, 400))
    samples = pl.read_parquet(folder / "samples.parquet")["prompt"].to_list()
    expected = np.load(folder / "embeddings.npy", mmap_mode="r")[rows].astype(np.float32)

    found = minilm.embed([samples[row] for row in rows])

    assert (found * expected).sum(axis=1).min() > 0.999


def test_batches_and_progress_do_not_change_the_vectors(
    minilm_folder: Path, minilm: SentenceTransformersEmbedder, corpus: list[str]
) -> None:
    single = SentenceTransformersEmbedder(str(minilm_folder), batch_size=1)
    done: list[int] = []

    found = single.embed(corpus, progress=done.append)

    np.testing.assert_allclose(found, minilm.embed(corpus), rtol=0, atol=1e-5)
    assert len(done) > 1
    assert sum(done) == len(corpus)


def test_the_fingerprint_is_the_models_not_the_folders(
    copied_model: Path, minilm: SentenceTransformersEmbedder
) -> None:
    (copied_model / "README.md").write_text("moved")
    (copied_model / ".cache").mkdir()
    (copied_model / ".cache" / "download.json").write_text("{}")
    moved = SentenceTransformersEmbedder(str(copied_model))

    assert moved.identity()["fingerprint"] == minilm.identity()["fingerprint"]
    assert moved.identity()["model"] == str(copied_model)


def test_another_limit_or_other_weights_have_another_fingerprint(
    copied_model: Path, minilm_folder: Path, minilm: SentenceTransformersEmbedder
) -> None:
    shorter = SentenceTransformersEmbedder(str(minilm_folder), max_seq_length=32)
    perturb(copied_model, 1e-6)
    trained = SentenceTransformersEmbedder(str(copied_model))

    fingerprints = {e.identity()["fingerprint"] for e in (minilm, shorter, trained)}
    assert len(fingerprints) == 3


def test_tokens_beyond_the_limit_are_not_looked_at(minilm_folder: Path) -> None:
    shorter = SentenceTransformersEmbedder(str(minilm_folder), max_seq_length=8)
    beginning = "one two three four five six seven eight nine ten"

    vectors = shorter.embed([beginning, beginning + " eleven and something else altogether"])

    assert vectors[0] @ vectors[1] > 0.99999


def test_more_tokens_than_the_model_has_positions_fail_at_once(minilm_folder: Path) -> None:
    with pytest.raises(EmbedderError, match=r"max_seq_length \(now 2000\)"):
        SentenceTransformersEmbedder(str(minilm_folder), max_seq_length=2_000)


def test_other_files_with_the_same_vectors_are_accepted(copied_model: Path, tmp_path: Path) -> None:
    built = SentenceTransformersEmbedder(str(copied_model))
    built.save(tmp_path / "artifact")
    config = copied_model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text())))

    loaded = load_embedder(built.identity(), tmp_path / "artifact")

    assert loaded.identity()["fingerprint"] != built.identity()["fingerprint"]
    text = ["Is this the same model?"]
    np.testing.assert_array_equal(loaded.embed(text), built.embed(text))


def test_another_model_under_the_same_name_is_refused(copied_model: Path, tmp_path: Path) -> None:
    built = SentenceTransformersEmbedder(str(copied_model))
    built.save(tmp_path / "artifact")
    perturb(copied_model, 0.05)

    with pytest.raises(EmbedderError, match=r"another .*copied than .* cosine of 0\.\d+"):
        load_embedder(built.identity(), tmp_path / "artifact")


def test_another_dimension_under_the_same_name_is_refused(
    copied_model: Path, tmp_path: Path
) -> None:
    built = SentenceTransformersEmbedder(str(copied_model))
    built.save(tmp_path)
    np.save(tmp_path / "probe.npy", np.ones((3, 768), dtype=np.float32))
    identity = built.identity() | {"fingerprint": "0" * 64}

    with pytest.raises(EmbedderError, match=r"of dimension 768, but .* has dimension 384"):
        load_embedder(identity, tmp_path)


def test_a_model_is_found_by_its_name_on_the_hub(minilm_folder: Path, tmp_path: Path) -> None:
    # What a download leaves behind; the contents are another model's, which nothing looks at.
    cached = tmp_path / "hub" / f"models--{HUB_NAME.replace('/', '--')}"
    revision = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(minilm_folder, cached / "snapshots" / revision)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    program = (
        "import json\n"
        "from litellm_benchrouter.embedders import SentenceTransformersEmbedder\n"
        "print(json.dumps(SentenceTransformersEmbedder().identity()))\n"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        text=True,
    )

    identity = json.loads(finished.stdout)
    assert identity["model"] == HUB_NAME
    assert str(tmp_path) not in finished.stdout
    by_folder = SentenceTransformersEmbedder(str(minilm_folder)).identity()
    assert identity["fingerprint"] == by_folder["fingerprint"]
    assert "Loading weights" not in finished.stderr


def test_a_model_that_is_not_there_is_an_embedder_error(tmp_path: Path) -> None:
    for name in ("nobody/nothing", str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(EmbedderError, match=r"cannot load .*give the name"):
            SentenceTransformersEmbedder(name)


def test_damaged_weights_are_an_embedder_error(copied_model: Path) -> None:
    weights = copied_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])

    with pytest.raises(EmbedderError, match="cannot load"):
        SentenceTransformersEmbedder(str(copied_model))


def test_a_device_that_is_not_there_is_an_embedder_error(minilm_folder: Path) -> None:
    with pytest.raises(EmbedderError, match="on 'abacus'"):
        SentenceTransformersEmbedder(str(minilm_folder), device="abacus")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(EmbedderError) as caught:
        SentenceTransformersEmbedder()

    assert 'pip install "litellm-benchrouter[sentence-transformers]"' in str(caught.value)
