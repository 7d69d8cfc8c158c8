"""Files are hashed two at once, and vectors are checked without converting each number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from litellm_benchrouter.artifact.files import file_digest, file_digests, first_not_unit, holds_only

PART = 1 << 20


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = []
    for n, size in enumerate([0, 1, PART - 1, PART, PART + 1, 3 * PART + 7, 5, 2 * PART]):
        paths.append(tmp_path / f"{n}.bin")
        paths[-1].write_bytes(generator.bytes(size))
    return paths


def test_digests_are_those_of_the_contents_whatever_their_size(files: list[Path]) -> None:
    expected = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert file_digests(files) == expected
    assert {path: file_digest(path) for path in files} == expected
    assert file_digests(files[:1]) == {files[0]: expected[files[0]]}
    assert file_digests([]) == {}


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_it(files: list[Path]) -> None:
    files[3].unlink()
    files[5].unlink()
    files[5].mkdir()
    found = file_digests(files)
    assert sorted(found) == files
    assert isinstance(found[files[3]], FileNotFoundError)
    assert isinstance(found[files[5]], IsADirectoryError)
    assert sum(isinstance(digest, str) for digest in found.values()) == len(files) - 2


def test_every_float16_counts_as_much_as_it_is() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore", over="ignore"):
        # Each one a row, beside what makes the row of unit length where that can be.
        rest = np.sqrt(np.maximum(1 - values.astype(np.float64) ** 2, 0))
        rows = np.stack([values, rest.astype(np.float16)], axis=1)
        is_unit = np.abs((rows.astype(np.float64) ** 2).sum(axis=1) - 1) < 1e-3
    assert first_not_unit(rows[is_unit], 1e-3) is None
    assert 2 * 15_360 <= np.count_nonzero(is_unit) < 2 * 15_400  # what is at most 1, and its minus
    for row in rows[~is_unit][::11]:
        assert first_not_unit(row[None], 1e-3) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf, -np.inf, 0.5, 60_000.0])
def test_the_first_row_that_is_not_of_unit_length_is_found(dtype: type, wrong: float) -> None:
    vectors = np.random.default_rng(1).normal(size=(5_000, 24))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)
    assert first_not_unit(vectors, 1e-3) is None
    vectors[[1_024, 4_999]] *= wrong if np.isfinite(wrong) else 1
    if not np.isfinite(wrong):
        vectors[[1_024, 4_999], 5] = wrong
    assert first_not_unit(vectors, 1e-3) == 1_024


def test_labels_hold_only_what_they_may() -> None:
    labels = np.random.default_rng(2).choice(np.array([0, 1, 255], dtype=np.uint8), (5_000, 3))
    assert holds_only(labels, (0, 1, 255))
    for value in (2, 127, 254):
        for row in (0, 1_023, 4_999):
            wrong = labels.copy()
            wrong[row, 2] = value
            assert not holds_only(wrong, (0, 1, 255))
