"""The lexical embedder against scikit-learn, and what an artifact may hold of the prompts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from litellm_benchrouter.embedders import LexicalEmbedder, load_embedder
from litellm_benchrouter.embedders.lexical import _NUMBER, _TOKEN
from litellm_benchrouter.errors import ConfigError, EmbedderError


def prompts(shared: Path, name: str, step: int) -> list[str]:
    """Every step-th prompt of a benchmark."""
    table = pl.read_parquet(shared / "data" / name / "samples.parquet")
    return table["prompt"].to_list()[::step]


def scikit_learn(
    texts: list[str], queries: list[str], dimensions: int, min_df: int
) -> NDArray[np.float64]:
    """TfidfVectorizer and TruncatedSVD, with the columns in the order of the hashes."""
    options = {
        "preprocessor": lambda text: _NUMBER.sub("0", text.lower()),
        "token_pattern": _TOKEN.pattern,
        "ngram_range": (1, 2),
        "sublinear_tf": True,
        "dtype": np.float32,
    }
    words = TfidfVectorizer(**options, min_df=min_df).fit(texts).vocabulary_
    hashes = {word: zlib.crc32(word.encode()) for word in words}
    assert len(set(hashes.values())) == len(words), "choose texts without a collision"
    vectorizer = TfidfVectorizer(**options, vocabulary=sorted(words, key=hashes.__getitem__))
    svd = TruncatedSVD(dimensions, random_state=0)
    with threadpool_limits(limits=1):  # neighbouring singular vectors mix by the last bits
        svd.fit(vectorizer.fit_transform(texts))
    return normalize(svd.transform(vectorizer.transform(queries)))


@pytest.mark.parametrize("name", ["openllm_v2", "routerdc"])
def test_vectors_equal_scikit_learns_pipeline(shared: Path, name: str) -> None:
    texts = [text[:4_000] for text in prompts(shared, name, 25)]
    queries = [text[:4_000] for text in prompts(shared, name, 77)]

    found = LexicalEmbedder.fit(texts, dimensions=64).embed(queries)

    expected = scikit_learn(texts, queries, 64, min_df=2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_corpus_of_full_rank_keeps_scikit_learns_cosines(corpus: list[str]) -> None:
    texts = corpus[:17]

    found = LexicalEmbedder.fit(texts).embed(texts)

    expected = scikit_learn(texts, texts, len(texts), min_df=1)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=0, atol=1e-5)


def test_two_processes_write_the_same_bytes(tmp_path: Path, corpus: list[str]) -> None:
    texts = [f"{text} {other}" for text in corpus for other in corpus]
    program = (
        "import json, sys; from pathlib import Path\n"
        "from litellm_benchrouter.embedders import LexicalEmbedder\n"
        "folder = Path(sys.argv[1])\n"
        "embedder = LexicalEmbedder.fit(json.loads(sys.stdin.read()), dimensions=128)\n"
        "embedder.save(folder)\n"
        "(folder / 'identity.json').write_text(json.dumps(embedder.identity()))\n"
    )
    written = []
    for threads in ("1", "2"):
        folder = tmp_path / threads
        folder.mkdir()
        environment = {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONHASHSEED": threads,
        }
        subprocess.run(
            [sys.executable, "-c", program, str(folder)],
            input=json.dumps(texts).encode(),
            env=os.environ | environment,
            check=True,
        )
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})

    assert set(written[0]) == {"identity.json", "lexical_hashes.npy", "lexical_rows.npy"}
    assert written[0] == written[1]


def test_another_seed_or_corpus_has_another_fingerprint(corpus: list[str]) -> None:
    def fingerprint(texts: list[str], **parameters: int) -> object:
        return LexicalEmbedder.fit(texts, **parameters).identity()["fingerprint"]

    variants = [
        fingerprint(corpus),
        fingerprint(corpus[1:]),
        fingerprint(corpus, dimensions=5),
        fingerprint(corpus, dimensions=5, seed=1),
        fingerprint(corpus, max_characters=20),
        fingerprint(corpus, max_characters=100_000),
        fingerprint(corpus, max_features=100),
    ]
    assert len(set(variants)) == len(variants)


def test_no_word_of_a_prompt_is_stored(tmp_path: Path, corpus: list[str]) -> None:
    embedder = LexicalEmbedder.fit(corpus)
    embedder.save(tmp_path)

    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    stored += json.dumps(embedder.identity()).encode()
    words = {word for text in corpus for word in _TOKEN.findall(text) if len(word.encode()) > 5}
    assert len(words) > 30
    assert not [word for word in words if word.lower().encode() in stored.lower()]


def test_serving_does_not_import_scikit_learn(tmp_path: Path, corpus: list[str]) -> None:
    embedder = LexicalEmbedder.fit(corpus)
    embedder.save(tmp_path)
    (tmp_path / "identity.json").write_text(json.dumps(embedder.identity()))
    program = (
        "import json, sys; from pathlib import Path\n"
        "from litellm_benchrouter.embedders import load_embedder\n"
        "folder = Path(sys.argv[1])\n"
        "embedder = load_embedder(json.loads((folder / 'identity.json').read_text()), folder)\n"
        "assert embedder.embed(['the capital of France']).any()\n"
        "heavy = {'sklearn', 'scipy', 'torch', 'sentence_transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("texts", "dimension"),
    [
        (["hello"], 1),
        (["hello", "hello", "hello"], 1),
        (["one two", "three four", "one five"], 3),
        (["", "one two", "!", "\ud800"], 3),
    ],
)
def test_the_dimension_is_at_most_the_rank_of_the_corpus(texts: list[str], dimension: int) -> None:
    embedder = LexicalEmbedder.fit(texts)

    assert embedder.dimension == dimension
    assert embedder.embed(texts).any(axis=1).tolist() == [bool(text) for text in texts]


@pytest.mark.parametrize("texts", [[], [""], ["", " \n", "\t"]])
def test_texts_without_a_word_cannot_be_fitted_on(texts: list[str]) -> None:
    with pytest.raises(EmbedderError, match=f"none of the {len(texts)} texts .* holds a word"):
        LexicalEmbedder.fit(texts)


def test_parameters_below_one_are_refused(corpus: list[str]) -> None:
    with pytest.raises(ConfigError, match="dimensions is 0"):
        LexicalEmbedder.fit(corpus, dimensions=0)


def test_chinese_neighbours_share_their_topic(corpus: list[str], lexical: LexicalEmbedder) -> None:
    (capital, speed) = lexical.embed(["法国的首都是哪里?", "一架飞机一小时飞行多少公里?"])
    vectors = lexical.embed(corpus)

    assert "首都" in corpus[int((vectors @ capital).argmax())]
    assert "公里" in corpus[int((vectors @ speed).argmax())]


def test_code_is_told_from_prose_by_its_symbols(corpus: list[str]) -> None:
    lexical = LexicalEmbedder.fit(corpus)
    brackets = lexical.embed(["(,):\n+ #"])[0]

    assert corpus[int((lexical.embed(corpus) @ brackets).argmax())].startswith("def ")


def test_all_numbers_are_one_token(lexical: LexicalEmbedder) -> None:
    one, other = lexical.embed(
        ["It travels 60 miles in 1.5 hours", "It travels 7 miles in 9.25 hours"]
    )

    np.testing.assert_array_equal(one, other)


def test_words_never_seen_are_a_zero_row(lexical: LexicalEmbedder) -> None:
    assert not lexical.embed(["zyzzyva quokka"]).any()


def test_what_follows_the_limit_is_not_looked_at(corpus: list[str]) -> None:
    lexical = LexicalEmbedder.fit(corpus, max_characters=40)
    text = corpus[0]

    cut, changed = lexical.embed([text[:40], text[:40] + "def fibonacci(n): return"])

    np.testing.assert_array_equal(cut, changed)


def test_the_features_of_most_texts_are_kept(corpus: list[str]) -> None:
    texts = ["common pair"] * 3 + ["seldom pair"] * 2 + ["once upon", "a time"]

    lexical = LexicalEmbedder.fit(texts, dimensions=2, max_features=2)

    expected = sorted(zlib.crc32(word) for word in (b"common", b"pair"))
    kept = lexical.hashes.tolist()
    # "common" and "common pair" occur in three texts each, "pair" in five.
    assert zlib.crc32(b"pair") in kept
    assert len(set(kept) & {*expected, zlib.crc32(b"common pair")}) == 2


def test_words_of_a_single_text_are_left_out_where_enough_remain() -> None:
    texts = ["red green", "red green", "blue"]

    few, many = (LexicalEmbedder.fit(texts, dimensions=d) for d in (2, 100))

    assert not few.embed(["blue"]).any()
    assert many.embed(["blue"]).any()


def test_a_large_benchmark_is_fitted_on_evenly_spaced_texts(corpus: list[str]) -> None:
    limited = LexicalEmbedder.fit(corpus, max_texts=5)
    chosen = LexicalEmbedder.fit(corpus[::6])

    assert len(corpus[::6]) == 5
    np.testing.assert_array_equal(limited.rows, chosen.rows)


def test_files_of_another_artifact_are_refused(tmp_path: Path, corpus: list[str]) -> None:
    LexicalEmbedder.fit(corpus, dimensions=5, seed=1).save(tmp_path)

    with pytest.raises(EmbedderError, match="has the fingerprint"):
        load_embedder(LexicalEmbedder.fit(corpus, dimensions=5).identity(), tmp_path)
    with pytest.raises(EmbedderError, match="where its manifest says"):
        load_embedder(LexicalEmbedder.fit(corpus, dimensions=6).identity(), tmp_path)


def test_a_truncated_file_is_an_embedder_error(tmp_path: Path, corpus: list[str]) -> None:
    embedder = LexicalEmbedder.fit(corpus)
    for name in ("lexical_hashes.npy", "lexical_rows.npy"):
        embedder.save(tmp_path)
        whole = (tmp_path / name).read_bytes()
        for size in (0, 5, 100, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(EmbedderError, match="build again"):
                load_embedder(embedder.identity(), tmp_path)


def test_a_pickled_array_is_refused(tmp_path: Path, corpus: list[str]) -> None:
    embedder = LexicalEmbedder.fit(corpus)
    embedder.save(tmp_path)
    np.save(tmp_path / "lexical_rows.npy", np.array([{}], dtype=object), allow_pickle=True)

    with pytest.raises(EmbedderError, match="build again"):
        load_embedder(embedder.identity(), tmp_path)
