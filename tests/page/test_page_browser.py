"""The page in a real browser: asked by a person, at both widths, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from browser import CONTRAST, chromium, look
from playwright.sync_api import Page

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from page.conftest import ServedPage

PROMPT = "Write a Python function that reverses a queue. </textarea><script>1</script>"
LONG = "a-provider/with-a-rather-long-name/" * 4


@dataclass
class Asked:
    """A page that answered a person, and what its browser noticed."""

    page: Page
    url: str
    problems: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Ask a page whose models have long names, as a person would, with a model left out."""
    folder: Path = tmp_path_factory.mktemp("browser")
    copy_files(folder)
    for name in ("benchmark.csv", "config.yaml"):
        path = folder / name
        path.write_text(path.read_text().replace("mathsmith-8b", f"{LONG}mathsmith-8b"))
    build(load_config(folder / "config.yaml"))
    with (
        ServedPage(folder / "config.yaml", folder) as served,
        chromium() as (page, problems, requests),
    ):
        look(page, width=1280, dark=False)
        page.goto(served.url)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        page.fill("#prompt", PROMPT)
        page.uncheck("[name=model][value=spark-3b]")
        page.click("button")
        page.wait_for_selector(".pick")
        yield Asked(page, served.url, problems, requests)


def test_a_person_reads_the_pick_and_nothing_typed_is_in_the_address(
    asked: Asked,
) -> None:
    page = asked.page

    assert "coder-14b" in page.inner_text(".pick")
    assert page.input_value("#prompt") == PROMPT
    assert page.locator(".answer tbody").first.locator("tr").count() == 4
    assert not page.is_checked("[name=model][value=spark-3b]")
    assert page.url == f"{asked.url}#answer"
    assert page.evaluate("document.scripts.length") == 0


def test_a_browser_reports_no_error_and_asks_for_nothing_else(
    asked: Asked,
) -> None:
    own = {asked.url, f"{asked.url}style.css", f"{asked.url}favicon.ico"}

    assert asked.problems == []
    assert {url.partition("#")[0] for url in asked.requests} <= own


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_all_text_fits_and_has_enough_contrast(asked: Asked, width: int, dark: bool) -> None:
    page = asked.page
    look(page, width=width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    found = page.evaluate(CONTRAST)

    assert found["seen"] > 100
    assert found["bad"] == []
    assert (max(found["page"]) < 64) == dark
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_field_has_a_label_and_the_keyboard_reaches_all_of_it(
    asked: Asked,
) -> None:
    page = asked.page
    look(page, width=1280, dark=False)

    unlabelled = page.evaluate(
        "[...document.querySelectorAll('input, textarea')].filter((f) => !f.labels.length)"
        ".map((f) => f.name)"
    )
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    page.focus("#prompt")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type"))

    assert unlabelled == []
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {"task", "policy", "model"} <= set(reached)
