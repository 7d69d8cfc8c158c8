"""The page in a real browser: asked by a person, at both widths, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import chromium
import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from page.conftest import ServedPage

PROMPT = "Write a Python function that reverses a queue. </textarea><script>1</script>"
LONG = "a-provider/with-a-rather-long-name/" * 4


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[chromium.Page, ServedPage]]:
    """Ask a page whose models have long names, as a person would, with a model left out."""
    if chromium.PROGRAM is None:
        pytest.skip(chromium.MISSING)
    folder: Path = tmp_path_factory.mktemp("browser")
    copy_files(folder)
    for name in ("benchmark.csv", "config.yaml"):
        path = folder / name
        path.write_text(path.read_text().replace("mathsmith-8b", f"{LONG}mathsmith-8b"))
    build(load_config(folder / "config.yaml"))
    with ServedPage(folder / "config.yaml", folder) as served, chromium.chromium() as page:
        page.open(served.url)
        page.look(width=1280, dark=False)
        page.evaluate("document.querySelector('details').open = true")
        page.evaluate("document.querySelector('#prompt').focus()")
        page.call("Input.insertText", text=PROMPT)
        page.evaluate("document.querySelector('[name=model][value=spark-3b]').click()")
        with page.leaving():
            page.evaluate("document.querySelector('button').click()")
        text = page.evaluate("document.body.innerText")
        assert page.evaluate("!!document.querySelector('.pick')"), text
        yield page, served


def test_a_person_reads_the_pick_and_nothing_typed_is_in_the_address(
    asked: tuple[chromium.Page, ServedPage],
) -> None:
    page, served = asked

    assert "coder-14b" in page.evaluate("document.querySelector('.pick').innerText")
    assert page.evaluate("document.querySelector('#prompt').value") == PROMPT
    assert page.evaluate("document.querySelector('.answer tbody').rows.length") == 4
    assert not page.evaluate("document.querySelector('[name=model][value=spark-3b]').checked")
    assert page.evaluate("location.href") == f"{served.url}#answer"
    assert page.evaluate("document.scripts.length") == 0


def test_a_browser_reports_no_error_and_asks_for_nothing_else(
    asked: tuple[chromium.Page, ServedPage],
) -> None:
    page, served = asked

    assert page.problems == []
    own = {served.url, f"{served.url}style.css", f"{served.url}favicon.ico"}
    assert {url.partition("#")[0] for url in page.requests} <= own


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_all_text_fits_and_has_enough_contrast(
    asked: tuple[chromium.Page, ServedPage], width: int, dark: bool
) -> None:
    page, _ = asked
    page.look(width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    found = page.evaluate(chromium.CONTRAST)

    assert found["seen"] > 100
    assert found["bad"] == []
    assert (max(found["page"]) < 64) == dark
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_field_has_a_label_and_the_keyboard_reaches_all_of_it(
    asked: tuple[chromium.Page, ServedPage],
) -> None:
    page, _ = asked
    page.look(width=1280, dark=False)

    unlabelled = page.evaluate(
        "[...document.querySelectorAll('input, textarea')].filter((f) => !f.labels.length)"
        ".map((f) => f.name)"
    )
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    page.evaluate("document.activeElement.blur(); document.querySelector('#prompt').focus()")
    reached = []
    for _ in range(8):
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab",
                  windowsVirtualKeyCode=9)  # fmt: skip
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type"))

    assert unlabelled == []
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {"task", "policy", "model"} <= set(reached)
