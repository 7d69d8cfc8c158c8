"""What holds for every embedder."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders import (
    Embedder,
    PrecomputedEmbedder,
    load_embedder,
    make_embedder,
)
from litellm_benchrouter.errors import ConfigError, EmbedderError

STRANGE = {
    "empty": "",
    "blanks": " \t\n\u3000",
    "nul": "\0",
    "lone surrogate": "\ud800",
    "surrogates in text": "hello \udfff world \ud83d",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "\u202eمرحبا بالعالم",
    "combining": "e" + "\u0301" * 1_000,
    "ten megabytes of words": "word " * 2_000_000,
    "ten megabytes of one word": "a" * 10_000_000,
    "ten megabytes of Chinese": "中" * 3_500_000,
    "ten megabytes of blanks": " " * 10_000_000,
}


@pytest.fixture(params=["lexical", "minilm", "onnx", "precomputed", "static"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "precomputed":
        return PrecomputedEmbedder(16)
    found: Embedder = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["lexical", "minilm", "onnx", "static"])
def knowing(request: pytest.FixtureRequest) -> Embedder:
    """Return an embedder that knows the words of the corpus."""
    found: Embedder = request.getfixturevalue(request.param)
    return found


def assert_unit_or_zero(vectors: np.ndarray, n: int, dimension: int) -> None:
    assert vectors.shape == (n, dimension)
    assert vectors.dtype == np.float32
    length = np.linalg.norm(vectors, axis=1)
    assert np.all((np.abs(length - 1) < 1e-5) | (length == 0)), length


def test_rows_have_unit_length_or_are_zero(embedder: Embedder, corpus: list[str]) -> None:
    assert_unit_or_zero(embedder.embed(corpus), len(corpus), embedder.dimension)


def test_known_texts_are_not_zero(knowing: Embedder, corpus: list[str]) -> None:
    assert knowing.embed(corpus).any(axis=1).all()


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert_unit_or_zero(embedder.embed([]), 0, embedder.dimension)


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())
def test_strange_texts_are_embedded_without_an_exception(embedder: Embedder, text: str) -> None:
    assert_unit_or_zero(embedder.embed([text]), 1, embedder.dimension)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(categories=None)))
def test_any_text_is_embedded_without_an_exception(embedder: Embedder, text: str) -> None:
    assert_unit_or_zero(embedder.embed([text]), 1, embedder.dimension)


def test_blank_texts_are_zero_rows(embedder: Embedder) -> None:
    assert not embedder.embed(["", " \n\t"]).any()


def test_a_vector_does_not_depend_on_the_other_texts(knowing: Embedder, corpus: list[str]) -> None:
    together = knowing.embed(corpus)
    alone = np.concatenate([knowing.embed([text]) for text in corpus])

    # Batches of other widths cost a sentence encoder the last bits, the others nothing.
    tolerance = 1e-5 if knowing.kind == "sentence-transformers" else 0
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)


def test_progress_counts_every_text_once(embedder: Embedder, corpus: list[str]) -> None:
    done: list[int] = []

    embedder.embed(corpus * 11, progress=done.append)

    assert sum(done) == 11 * len(corpus)


def test_sixteen_threads_give_the_vectors_of_one(knowing: Embedder, corpus: list[str]) -> None:
    expected = [knowing.embed([text]) for text in corpus]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda text: knowing.embed([text]), corpus))

    np.testing.assert_array_equal(found, expected)


def test_the_identity_survives_json(embedder: Embedder) -> None:
    identity = embedder.identity()

    assert json.loads(json.dumps(identity)) == identity
    assert identity["kind"] == embedder.kind
    assert identity["dimension"] == embedder.dimension


def test_the_fingerprint_is_a_sha256(knowing: Embedder) -> None:
    assert re.fullmatch("[0-9a-f]{64}", str(knowing.identity()["fingerprint"]))


def test_what_was_saved_loads_to_the_same_embedder(
    embedder: Embedder, corpus: list[str], tmp_path: Path
) -> None:
    embedder.save(tmp_path)

    loaded = load_embedder(json.loads(json.dumps(embedder.identity())), tmp_path)

    assert loaded.identity() == embedder.identity()
    np.testing.assert_array_equal(loaded.embed(corpus), embedder.embed(corpus))


def test_saving_twice_writes_the_same_bytes(embedder: Embedder, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        embedder.save(folder)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})

    assert contents[0] == contents[1]


def test_files_that_are_gone_are_an_embedder_error(tmp_path: Path, lexical: Embedder) -> None:
    with pytest.raises(EmbedderError, match=r"lexical embedder in .* cannot be loaded"):
        load_embedder(lexical.identity(), tmp_path)


def test_an_identity_without_its_keys_is_an_embedder_error(tmp_path: Path) -> None:
    for kind in ("lexical", "onnx", "precomputed", "sentence-transformers", "static"):
        with pytest.raises(EmbedderError, match=f"the {kind} embedder in .* cannot be loaded"):
            load_embedder({"kind": kind}, tmp_path)


def test_a_kind_from_the_future_is_an_embedder_error(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="of kind 'telepathic', which this version"):
        load_embedder({"kind": "telepathic"}, tmp_path)


@pytest.mark.parametrize("kind", ["precomputed", "lexicla"])
def test_a_kind_that_embeds_nothing_is_a_config_error(kind: str) -> None:
    config = EmbedderConfig.model_construct(kind=kind)
    with pytest.raises(ConfigError, match=f"embedder.kind is '{kind}'.*'lexical'"):
        make_embedder(config, ["text"])


def test_the_configuration_chooses_the_embedder(corpus: list[str], minilm_folder: Path) -> None:
    lexical = make_embedder(EmbedderConfig(dimensions=7), corpus)
    encoder = make_embedder(
        EmbedderConfig(
            kind="sentence-transformers", model=str(minilm_folder), max_seq_length=32, batch_size=2
        ),
        corpus,
    )

    assert (lexical.kind, lexical.dimension) == ("lexical", 7)
    assert (encoder.kind, encoder.dimension) == ("sentence-transformers", 384)
    assert encoder.identity()["max_seq_length"] == 32
