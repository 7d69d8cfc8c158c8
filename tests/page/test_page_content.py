"""What the page shows: versions as they come and go, names as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.page import Page, Question
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

# Versions


def test_without_a_version_the_page_says_how_to_build_one_and_then_shows_it(
    tmp_path: Path,
) -> None:
    config = tiny.write(tmp_path)
    page = Page(Store(tmp_path / "router_artifacts"), config_path=config)

    before = page.show(Question(prompt="hello"))
    built = build(load_config(config)).manifest.version

    assert f"benchrouter build --config {config}" in before
    assert "There is no version to ask yet." in before
    assert f"Version {built}" in page.show()


def test_a_new_version_is_taken_up_and_a_bad_one_is_named_while_the_old_one_is_shown(
    tiny_folder: Path,
) -> None:
    store = Store(tiny_folder / "router_artifacts")
    first = store.current()
    page = Page(store)
    assert f"Version {first}" in page.show()

    second = build(load_config(tiny.write(tiny_folder, seed=1))).manifest.version
    assert second != first
    shown = page.show()
    assert f"Version {second}" in shown
    assert first in shown  # in the history
    assert 'role="alert"' not in shown

    with (store.folder(first) / "task.npy").open("ab") as file:
        file.write(b"x")
    store.publish(first)
    shown = page.show(Question(task="new"))
    assert 'role="alert"' in shown
    assert "task.npy" in shown
    assert f"Version {second}" in shown
    assert "Models, best first" in shown  # it still answers

    store.publish(second)
    shown = page.show()
    assert 'role="alert"' not in shown
    published = shown.partition("Published when")[2].partition("</table>")[0]
    versions = re.findall(r'<td class="text">([0-9a-f]{16})</td>', published)
    assert versions == [second, first, second, first]


@pytest.mark.parametrize("content", [b"../../etc", b"0123456789abcdef\n", b"\xff\xfe", b""])
def test_a_wrong_current_is_said_and_the_old_version_is_shown(
    tiny_folder: Path, content: bytes
) -> None:
    store = Store(tiny_folder / "router_artifacts")
    first = store.current()
    page = Page(store)
    page.show()

    (store.root / "CURRENT").write_bytes(content)

    shown = page.show()
    assert 'role="alert"' in shown
    assert "CURRENT" in shown
    assert f"Version {first}" in shown


def test_a_directory_that_vanishes_leaves_the_version_that_was_open(tiny_folder: Path) -> None:
    store = Store(tiny_folder / "router_artifacts")
    first = store.current()
    page = Page(store)
    page.show()

    shutil.rmtree(store.root)

    shown = page.show(Question(task="new"))
    assert "names no current version any more" in shown
    assert f"Version {first}" in shown
    assert "Models, best first" in shown


def test_a_version_that_never_could_be_read_leaves_a_page_that_says_so(tiny_folder: Path) -> None:
    store = Store(tiny_folder / "router_artifacts")
    folder = store.folder(store.current() or "")
    (folder / "manifest.json").write_text("{}")

    shown = Page(store).show()

    assert 'role="alert"' in shown
    assert "benchrouter build --config CONFIG" in shown
    assert "damaged" in shown


def test_the_page_decides_as_the_router_does(demo_built: Path) -> None:
    store = Store(demo_built / "router_artifacts")
    page = Page(store)
    router = BenchRouter(read_artifact(store.folder(store.current() or "")))
    for prompt in ("Write a Python function.", "Translate into Dutch: hello", "How many are left?"):
        for models in (router.models, router.models[:2]):
            decision = router.decide(prompt, models=models)
            shown = page.show(Question(prompt=prompt, models=models))
            assert f"<title>{decision.pick} " in shown
            assert _table(shown, "Models, best first") == list(decision.ranking)


def test_the_manifest_is_told_in_words(demo_built: Path) -> None:
    shown = Page(Store(demo_built / "router_artifacts")).show()

    for said in (
        "288 samples of 6 tasks, 1,440 labels of 5 models, none missing",
        "synthetic demo benchmark (288 samples)",
        "lexical, 167 dimensions",
        "finds 100.00 % of the 5 nearest samples",
        "requests are routed: +18.8 points",
        "report-queries",
    ):
        assert said in shown
    assert _table(shown, "Models, best on average first")[0] == "atlas-70b"


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    config = tiny.write(tmp_path, tasks={})
    table = tmp_path / "benchmark.csv"
    hostile = "<script>ant</script>"
    table.write_text(
        table.read_text()
        .replace(",ant,", f",{hostile},")
        .replace(",east,", ",<img src=x>,")
        .replace("s000,", "<b>s000,")
    )
    tiny.configure(
        tmp_path, tasks={}, sources=[{"path": "benchmark.csv", "embeddings": "vectors.npy",
                                      "name": "<i>ours</i>"}],
    )  # fmt: skip
    build(load_config(config))

    shown = Page(Store(tmp_path / "router_artifacts")).show(Question(task="<img src=x>"))

    assert "&lt;script&gt;ant" in shown
    for part in ("<script", "<img", "<i>", "<b>s0"):
        assert part not in shown


def _table(html: str, caption: str) -> list[str]:
    """Return the names at the rows of a table."""
    table = html.partition(f"<caption>{caption}")[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>', table)
    return [row.replace("<wbr>", "") for row in rows]


def test_the_page_needs_neither_litellm_nor_the_evaluation() -> None:
    code = (
        "import sys; from litellm_benchrouter.page import server; "
        "print([m for m in sys.modules if m == 'litellm' or '.evaluation' in m])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.strip() == "[]"
