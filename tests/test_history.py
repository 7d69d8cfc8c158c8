"""`HISTORY`: what was published when, and what a rollback returns to."""

from __future__ import annotations

import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from litellm_benchrouter.store.versions import (
    How,
    Publication,
    append_history,
    not_undone,
    publication,
    read_history,
)

A, B, C, D = (letter * 16 for letter in "abcd")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "HISTORY"


def test_without_a_file_there_is_no_history(path):
    assert read_history(path) == []


def test_what_was_appended_is_read_back_in_order(path):
    at = datetime(2026, 3, 1, 2, 0, 7, 412_000, tzinfo=UTC)
    append_history(path, Publication(at, A, How.BUILD))
    append_history(path, Publication(at, A, How.FOUND), Publication(at, B, How.ROLLBACK))
    assert path.read_text() == (
        f"2026-03-01T02:00:07.412+00:00 {A} build\n"
        f"2026-03-01T02:00:07.412+00:00 {A} found\n"
        f"2026-03-01T02:00:07.412+00:00 {B} rollback\n"
    )
    assert read_history(path) == [
        *(Publication(at, A, How.BUILD), Publication(at, A, How.FOUND)),
        Publication(at, B, How.ROLLBACK),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        *(b"\0" * 50, b"\xff\xfe\n", b"\n\n\n", b"yesterday " + A.encode() + b" build\n"),
        b"2026-03-01T02:00:07.412+00:00 " + A.encode()[:-1] + b" build\n",
        b"2026-03-01T02:00:07.412+00:00 " + A.encode() + b" guess\n",
        b"2026-03-01T02:00:07.412 " + A.encode() + b" build\n",  # of no time zone
        b"2026-03-01T02:00:0",  # the end was lost with the power
    ],
)
def test_lines_that_cannot_be_read_are_passed_over_and_spoil_no_other(path, damage):
    append_history(path, publication(A, How.BUILD))
    with path.open("ab") as file:
        file.write(damage)
    append_history(path, publication(B, How.PUBLISH))
    assert [each.version for each in read_history(path)] == [A, B]


def test_lines_of_several_writers_at_once_are_all_there(path):
    script = (
        "import sys; from pathlib import Path\n"
        "from litellm_benchrouter.store.versions import *\n"
        "path, version = Path(sys.argv[1]), sys.argv[2]\n"
        "for _ in range(200): append_history(path, publication(version, How.BUILD))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, path, v]) for v in (A, B, C)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = [each.version for each in read_history(path)]
    assert {version: found.count(version) for version in (A, B, C)} == {A: 200, B: 200, C: 200}


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(path):
    append_history(path, publication(A, How.BUILD))
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from litellm_benchrouter.store.versions import *\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (70, {resource.RLIM_INFINITY}))\n"
        "try: append_history(Path(sys.argv[1]), publication('b' * 16, How.BUILD))\n"
        "except OSError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert "bytes of HISTORY could be written" in ended.stdout
    append_history(path, publication(C, How.BUILD))
    assert [each.version for each in read_history(path)] == [A, C]


def history(text: str) -> list[Publication]:
    """Return the history of `"A B <A"`: A and B published, then rolled back to A."""
    named = {"A": A, "B": B, "C": C, "D": D}
    return [
        publication(named[word[-1]], How.ROLLBACK if word[0] == "<" else How.PUBLISH)
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("happened", "left"),
    [
        ("", ""),
        ("A", "A"),
        ("A B C", "ABC"),
        ("A B C <B", "AB"),
        ("A B C <B <A", "A"),  # a second rollback goes further back
        ("A B C <B D", "ABD"),  # what was rolled back is not returned to
        ("A B C <B C", "ABC"),  # publishing goes forward again
        ("A B A", "ABA"),
        ("A B A <B", "AB"),
        ("A A B B", "AB"),
        ("<B", "B"),  # the lines before were lost
        ("A <B", "AB"),
    ],
)
def test_a_rollback_undoes_the_last_publication_that_was_not_undone_yet(happened, left):
    assert [version[0].upper() for version in not_undone(history(happened))] == list(left)
