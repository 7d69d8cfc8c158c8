"""The embedding cache: what is embedded again, and what survives which accident."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from litellm_benchrouter.embedders import LexicalEmbedder, embed_with_cache
from litellm_benchrouter.errors import EmbedderError

from .counting import TEXTS, CountingEmbedder

BATCH = 256


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def expected() -> np.ndarray:
    return CountingEmbedder().embed(TEXTS)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return the file of a cache that holds all texts."""
    embed_with_cache(CountingEmbedder(), TEXTS, tmp_path)
    (file,) = tmp_path.iterdir()
    return file


def test_a_second_build_embeds_nothing(tmp_path: Path, expected: np.ndarray) -> None:
    first, second = CountingEmbedder(), CountingEmbedder()

    vectors, n_new = embed_with_cache(first, TEXTS, tmp_path)
    again, n_again = embed_with_cache(second, TEXTS, tmp_path)

    assert (n_new, n_again) == (len(TEXTS), 0)
    assert (first.seen, second.seen) == (TEXTS, [])
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(again, expected)


def test_only_new_texts_are_embedded(
    tmp_path: Path, embedder: CountingEmbedder, expected: np.ndarray
) -> None:
    embed_with_cache(CountingEmbedder(), TEXTS[::2], tmp_path)

    vectors, n_new = embed_with_cache(embedder, TEXTS, tmp_path)

    assert n_new == len(TEXTS) // 2
    assert embedder.seen == TEXTS[1::2]
    np.testing.assert_array_equal(vectors, expected)


def test_equal_texts_are_embedded_once(tmp_path: Path, embedder: CountingEmbedder) -> None:
    texts = [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[0]]

    vectors, n_new = embed_with_cache(embedder, texts, tmp_path)

    assert n_new == 2
    assert embedder.seen == TEXTS[:2]
    np.testing.assert_array_equal(vectors, embedder.embed(texts))


def test_progress_counts_found_and_embedded_texts(
    tmp_path: Path, embedder: CountingEmbedder
) -> None:
    embed_with_cache(embedder, TEXTS[:300], tmp_path)
    done: list[int] = []

    embed_with_cache(embedder, [*TEXTS, *TEXTS], tmp_path, progress=done.append)

    assert done[0] == 600
    assert sum(done) == 2 * len(TEXTS)


def test_texts_that_the_embedder_does_not_know_are_kept_too(
    tmp_path: Path, embedder: CountingEmbedder
) -> None:
    texts = ["", "unheard-of", "\ud800", "\0"]
    embed_with_cache(embedder, texts, tmp_path)

    vectors, n_new = embed_with_cache(embedder, texts, tmp_path)

    assert n_new == 0
    assert not vectors.any()


def test_another_embedder_has_a_file_of_its_own(tmp_path: Path) -> None:
    small, large = CountingEmbedder(dimensions=8), CountingEmbedder(dimensions=16)

    for embedder in (small, large):
        vectors, n_new = embed_with_cache(embedder, TEXTS[:10], tmp_path)
        assert (vectors.shape, n_new) == ((10, embedder.dimension), 10)

    assert {file.name for file in tmp_path.iterdir()} == {
        f"{str(embedder.identity()['fingerprint'])[:16]}.sqlite" for embedder in (small, large)
    }


def test_no_texts_give_no_rows(tmp_path: Path, embedder: CountingEmbedder) -> None:
    vectors, n_new = embed_with_cache(embedder, [], tmp_path)

    assert (vectors.shape, n_new) == ((0, embedder.dimension), 0)


def test_an_embedder_that_each_build_fits_is_not_cached(
    tmp_path: Path, lexical: LexicalEmbedder, corpus: list[str]
) -> None:
    vectors, n_new = embed_with_cache(lexical, corpus, tmp_path / "cache")

    assert n_new == len(corpus)
    assert not (tmp_path / "cache").exists()
    np.testing.assert_array_equal(vectors, lexical.embed(corpus))


def test_without_a_folder_all_texts_are_embedded(embedder: CountingEmbedder) -> None:
    for _ in range(2):
        assert embed_with_cache(embedder, TEXTS, None)[1] == len(TEXTS)


def test_no_text_is_in_the_file(tmp_path: Path, embedder: CountingEmbedder) -> None:
    secret = "the launch code is four eight fifteen"
    embed_with_cache(embedder, [secret], tmp_path)

    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    assert not [word for word in secret.split() if len(word) > 3 and word.encode() in content]


def test_a_killed_build_goes_on_where_it_stopped(
    tmp_path: Path, embedder: CountingEmbedder, expected: np.ndarray
) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from counting import TEXTS, CountingEmbedder\n"
        "from litellm_benchrouter.embedders import embed_with_cache\n"
        "embed_with_cache(CountingEmbedder(calls_to_live=2), TEXTS, Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL

    vectors, n_new = embed_with_cache(embedder, TEXTS, tmp_path)

    assert n_new == len(TEXTS) - 2 * BATCH
    assert embedder.seen == TEXTS[2 * BATCH :]
    np.testing.assert_array_equal(vectors, expected)


def test_a_build_killed_inside_a_transaction_leaves_a_good_cache(
    filled: Path, embedder: CountingEmbedder, expected: np.ndarray
) -> None:
    program = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA cache_size = 1')  # pages reach the disk before the commit\n"
        "connection.execute('UPDATE vectors SET vector = zeroblob(64)')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(filled)], check=False)
    assert filled.with_name(f"{filled.name}-journal").exists()

    vectors, n_new = embed_with_cache(embedder, TEXTS, filled.parent)

    assert n_new == 0
    np.testing.assert_array_equal(vectors, expected)


def garbage(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(50_000))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5_000])


def overwritten_in_the_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4_096:] = np.random.default_rng(0).bytes(len(content) - 4_096)
    file.write_bytes(content)


def of_another_schema(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE vectors (something TEXT)")


@pytest.mark.parametrize(
    "damage", [garbage, truncated, overwritten_in_the_middle, of_another_schema]
)
def test_a_damaged_file_is_set_aside_and_rebuilt(
    filled: Path,
    embedder: CountingEmbedder,
    expected: np.ndarray,
    damage: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert callable(damage)
    damage(filled)

    vectors, n_new = embed_with_cache(embedder, TEXTS, filled.parent)

    assert n_new == len(TEXTS)
    np.testing.assert_array_equal(vectors, expected)
    assert filled.with_suffix(".damaged-1").exists()
    (record,) = caplog.records
    assert f"the embedding cache {filled} is damaged" in record.getMessage()
    assert embed_with_cache(embedder, TEXTS, filled.parent)[1] == 0


def test_damaged_vectors_are_embedded_again(
    filled: Path, embedder: CountingEmbedder, expected: np.ndarray
) -> None:
    broken = [np.full(16, value, dtype="<f4").tobytes() for value in (np.nan, np.inf, 3e38, 7)]
    blobs = [b"", b"short", "text", *broken]
    with closing(sqlite3.connect(filled)) as connection, connection:
        for row, blob in enumerate(blobs, start=1):
            connection.execute("UPDATE vectors SET vector = ? WHERE rowid = ?", (blob, row))

    vectors, n_new = embed_with_cache(embedder, TEXTS, filled.parent)

    assert n_new == len(blobs)
    np.testing.assert_array_equal(vectors, expected)


def test_a_folder_that_cannot_be_written_is_an_embedder_error(
    tmp_path: Path, embedder: CountingEmbedder
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(EmbedderError, match=r"embedder\.cache to false"):
        embed_with_cache(embedder, TEXTS, tmp_path / "cache")


def test_builders_and_readers_share_a_cache(tmp_path: Path, expected: np.ndarray) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: embed_with_cache(CountingEmbedder(), TEXTS, tmp_path), range(4))
        )

    for vectors, _ in found:
        np.testing.assert_array_equal(vectors, expected)
    assert embed_with_cache(CountingEmbedder(), TEXTS, tmp_path)[1] == 0
