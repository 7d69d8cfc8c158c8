"""The report: what it says, that it can be trusted with names, and how a browser shows it."""

from __future__ import annotations

import copy
import csv
import io
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CONTRAST, chromium, look
from playwright.sync_api import Page
from rich.console import Console

from litellm_benchrouter.cli.options import print_tables
from litellm_benchrouter.config import parse_config
from litellm_benchrouter.evaluation.run import PROTOCOLS, Options, evaluate
from litellm_benchrouter.views import (
    GAIN,
    LEVEL,
    LOSS,
    PERCENT,
    UNCLEAR,
    moment,
    number,
    without_nan,
)
from litellm_benchrouter.views.evaluation import summarise
from litellm_benchrouter.views.protocols import name_of
from litellm_benchrouter.views.report import render_html
from litellm_benchrouter.views.tables import protocol_table

SCRIPT = "<script>document.title = 'owned'</script>"
IMAGE = '"><img src=x onerror="document.title=\'owned\'">'
MARKUP = "[red]a-model-with-a-rather-long-name/of-72-billion-parameters[/red]"

FIGURES = {
    "task": {"task-methods", "task-models", "task-reliability"},
    "mlp": {"mlp-methods", "mlp-reliability"},
    "request": {"request-methods", "request-distance", "request-reliability"},
    "cost": {"cost-curve", "cost-saved"},
    "cascade": {"cascade-curve", "cascade-saved"},
    "labels": {"labels-curve"},
    "few-labels": {"few-labels-gain"},
    "distance": {"distance-correlation"},
    "robustness": {"robustness-changes"},
    "proof": {"proof-wrong"},
    "traffic": {"traffic-gain"},
}

_TOPICS = {
    SCRIPT: "sort reverse merge queue stack graph",
    "add": "plus sum total count tickets coins",
    "translate": "dutch french german verb noun idiom",
    "summarise": "article paragraph headline abstract report digest",
}
_SKILLS = {  # of each model on each task
    "large": (0.8, 0.75, 0.7, 0.75),
    "small": (0.5, 0.45, 0.5, 0.4),
    IMAGE: (0.95, 0.3, 0.35, 0.5),
    MARKUP: (0.4, 0.9, 0.5, 0.5),
}
_PRICES = {"large": 10.0, "small": 0.5, IMAGE: 2.0, MARKUP: 1.0}
_SAMPLES = 40  # of each task


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all protocols on a small benchmark, its names hostile, from the file to the document."""
    folder = tmp_path_factory.mktemp("benchmark")
    generator = np.random.default_rng(0)
    with (folder / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sample_id", "task", "prompt", *_SKILLS])
        for d, (task, words) in enumerate(_TOPICS.items()):
            for i in range(_SAMPLES):
                prompt = " ".join(generator.choice(words.split(), size=5))
                right = [int(generator.random() < skill[d]) for skill in _SKILLS.values()]
                rows.writerow([f"{d}-{i}", task, f"{prompt} number {i}", *right])
    block = {
        "sources": [{"kind": "table", "path": "benchmark.csv"}],
        "models": {
            name: {"input_price_usd_per_mtok": price, "params_b": 7 * price}
            for name, price in _PRICES.items()
        },
        "routing": {"alphas": [0.0, 0.1], "repeats": 2},
        "embedder": {"dimensions": 16},
    }
    config = parse_config(block, folder=folder)
    options = Options(protocols=PROTOCOLS, runs=2, hidden=(8,))
    found: dict[str, Any] = without_nan(evaluate(config, options))
    return found


@pytest.fixture(scope="module")
def html(result: dict[str, Any]) -> str:
    """Render all protocols, as if the source had a ranker of responses with a long name."""
    found = copy.deepcopy(result)
    methods = found["protocols"]["request"]["methods"]
    methods[f"ranker:{MARKUP}"] = methods["s1"]
    return render_html(found)


class _Elements(HTMLParser):
    """Every tag with its attributes, and the figures with the tags inside each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, list[str]] = {}
        self._figure: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "figure":
            self._figure = self.figures.setdefault(str(dict(attrs)["id"]), [])
        if self._figure is not None:
            self._figure.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "figure":
            self._figure = None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_figure_of_a_protocol_has_its_numbers_in_a_table_behind_it(
    result: dict[str, Any], protocol: str
) -> None:
    figures = _Elements(render_html(result["protocols"][protocol])).figures

    assert set(figures) == FIGURES[protocol]
    for tags in figures.values():
        picture, behind = tags[: tags.index("details")], tags[tags.index("details") :]
        assert "svg" in picture
        assert "summary" in behind
        assert behind.count("th") > 1
        assert behind.count("td") > 1


def test_the_page_shows_all_protocols_and_one_that_was_not_run_has_no_section(
    result: dict[str, Any],
) -> None:
    protocols = dict(result["protocols"])
    assert set(_Elements(render_html(result)).figures) == set().union(*FIGURES.values())

    del protocols["cost"], protocols["cascade"]
    html = render_html({"protocols": protocols})

    assert set(_Elements(html).figures) == set().union(*FIGURES.values()) - (
        FIGURES["cost"] | FIGURES["cascade"]
    )
    assert "Zero router" not in html


def test_the_page_asks_for_nothing_beyond_itself_and_holds_no_script(html: str) -> None:
    elements = _Elements(html)
    tags = {tag for tag, _ in elements.tags}

    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base"}
    for _, attributes in elements.tags:
        assert not {name for name in attributes if name.startswith("on")}
        assert not set(attributes) & {"src", "href", "srcset", "action", "data", "xlink:href"}
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|//[a-z]", style)
    assert "default-src 'none'" in html


def test_names_are_text_whatever_they_hold(html: str) -> None:
    assert SCRIPT not in html
    assert IMAGE not in html
    assert "&lt;script&gt;" in html
    assert "onerror=&#34;" in html


def test_the_table_behind_the_methods_holds_the_documents_numbers(result: dict[str, Any]) -> None:
    document = result["protocols"]["task"]
    html = render_html(document)

    for row in document["methods"].values():
        assert f"<td>{100 * row['accuracy']:.2f}</td>" in html
        low, high = row["gain_over_tasks_95"]
        assert f"<td>[{PERCENT.difference(low, 2)}, {PERCENT.difference(high, 2)}]</td>" in html
    for row in document["tasks"]:
        assert f"<td>{100 * row['method_accuracy']['default']:.1f}</td>" in html


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_not_known_is_a_dash_and_never_none_or_nan(
    result: dict[str, Any], protocol: str
) -> None:
    document = copy.deepcopy(result["protocols"][protocol])
    for row in document.get("methods", {}).values():
        for part in row if isinstance(row, list) else [row]:
            for key in part:
                if key in ("params_b", "pearson", "spearman", "bma_share", "pearson_sd"):
                    part[key] = None
                if key.endswith("_95"):
                    part[key] = [None, None]

    html = render_html(document)

    assert not re.search(
        r">[^<]*\b(None|nan|NaN|Undefined)\b[^<]*<", html.split("</style>")[1].split('id="how"')[0]
    )
    assert set(_Elements(html).figures) == FIGURES[protocol]


@pytest.mark.parametrize(
    ("bounds", "tone", "headline"),
    [
        ([0.01, 0.03], GAIN, "Routing pays on new tasks."),
        ([-0.03, -0.01], LOSS, "Routing loses on new tasks."),
        ([-0.01, 0.03], UNCLEAR, "Routing brings no proven gain or loss of quality on new tasks."),
        ([0.0, 0.03], UNCLEAR, "Routing brings no proven gain or loss of quality on new tasks."),
        ([None, None], UNCLEAR, "Routing brings no proven gain or loss of quality on new tasks."),
    ],
)
def test_the_verdict_calls_a_gain_only_what_its_interval_proves(
    result: dict[str, Any], bounds: list[float], tone: str, headline: str
) -> None:
    document = copy.deepcopy(result["protocols"]["task"])
    document["methods"]["default"] |= {"gain_over_tasks_95": bounds, "bma_share": 0.5}

    found = summarise({"task": document})

    assert (found.tone, found.headline) == (tone, headline)


def test_the_verdict_says_where_a_router_keeps_to_the_best_single_model(
    result: dict[str, Any],
) -> None:
    document = copy.deepcopy(result["protocols"]["task"])
    document["methods"]["default"] |= {"gain": 0.0, "gain_over_tasks_95": [0.0, 0.0]}
    document["methods"]["default"]["bma_share"] = 1.0

    found = summarise({"task": document})

    assert found.tone == LEVEL
    assert found.headline == "Routing keeps to the best single model on new tasks."


def test_the_verdict_counts_the_tasks_that_would_lose_and_names_the_worst(
    result: dict[str, Any],
) -> None:
    document = copy.deepcopy(result["protocols"]["task"])
    gains = {SCRIPT: -0.25, "add": -0.05, "translate": 0.1, "summarise": 0.0}
    for row in document["tasks"]:
        row["method_accuracy"] = {"bma": 0.5, "oracle": 0.9, "default": 0.5 + gains[row["task"]]}

    losses = summarise({"task": document}).tiles[1]

    assert losses.figure == "2 of 4"
    assert f"−15.0 points on average; at worst −25.0 points on {SCRIPT}" in losses.sentence
    assert "win on 1, and be level on 1" in losses.sentence


def test_the_verdict_speaks_of_s3_and_s1_where_there_is_no_default_method(
    result: dict[str, Any],
) -> None:
    documents = copy.deepcopy(result["protocols"])
    for name in ("task", "request", "cost"):
        del documents[name]["methods"]["default"]

    new_task, _, request, cost = summarise(documents).tiles

    assert "known, S3 gets" in new_task.sentence
    assert "benchmark, S1 reaches" in request.sentence
    assert ", S1 saves " in cost.sentence


def test_a_saving_that_costs_quality_is_not_called_one(result: dict[str, Any]) -> None:
    document = copy.deepcopy(result["protocols"]["cost"])
    tuned = document["methods"]["default"]["tuned"]["equal_quality"]
    tuned |= {"saved": 0.4, "saved_over_samples_95": [0.3, 0.5]}
    document["cost_basis"]["left_out"] = []

    tuned["quality_gain_over_samples_95"] = [-0.01, 0.01]
    assert (
        summarise({"cost": document}).headline == "Routing saves 40 % of the cost at equal quality."
    )
    tuned["quality_gain_over_samples_95"] = [-0.05, -0.01]
    assert summarise({"cost": document}).tiles[0].tone == LOSS


def test_a_saving_says_of_how_many_models_it_is(result: dict[str, Any]) -> None:
    document = copy.deepcopy(result["protocols"]["cost"])
    n = len(document["protocol"]["models"])
    tuned = document["methods"]["default"]["tuned"]["equal_quality"]
    tuned |= {"saved": 0.4, "saved_over_samples_95": [0.3, 0.5]}
    tuned["quality_gain_over_samples_95"] = [-0.01, 0.01]
    document["cost_basis"]["left_out"] = ["secret", "other"]

    summary = summarise({"cost": document})

    among = f"among the {n} of {n + 2} models whose cost is known"
    assert among in summary.headline
    assert among in summary.tiles[0].sentence
    assert f"{n} of {n + 2} models" in protocol_table(document).title


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(-0.0004, 2), "0.00"),
        (number(-1234.5, 1), "−1,234.5"),
        (number(None), "–"),
        (PERCENT.difference(0.0004), "0.0"),
        (PERCENT.difference(0.0006), "+0.1"),
        (PERCENT.interval([-0.01, 0.02]), "[−1.0, +2.0]"),
        (PERCENT.interval([None, None]), "–"),
    ],
)
def test_numbers_are_written_with_sign_and_without_negative_zero(
    written: str, expected: str
) -> None:
    assert written == expected


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_breaks_no_number(result: dict[str, Any], width: int) -> None:
    documents = result["protocols"]
    out = io.StringIO()

    print_tables(
        Console(file=out, width=width), *(protocol_table(each) for each in documents.values())
    )

    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for row in documents["task"]["methods"].values():
        low, high = row["gain_over_tasks_95"]
        assert f"[{PERCENT.difference(low, 2)}, {PERCENT.difference(high, 2)}]" in text
    assert "[red]" in text


def test_a_saving_in_parameters_is_not_sold_as_one_in_money(result: dict[str, Any]) -> None:
    document = copy.deepcopy(result["protocols"]["cost"])
    tuned = document["methods"]["default"]["tuned"]["equal_quality"]
    tuned |= {"saved": 0.4, "saved_over_samples_95": [0.3, 0.5]}
    tuned["quality_gain_over_samples_95"] = [-0.01, 0.01]
    document["cost_basis"] = {"unit": "params_b", "models": {"large": "parameters"}}

    found = summarise({"cost": document})

    assert "40 % of the cost, counted in parameters, at equal quality" in found.headline
    assert "USD" not in render_html(document)


def test_a_protocols_table_holds_the_documents_numbers_and_marks_our_router(
    result: dict[str, Any],
) -> None:
    document = result["protocols"]["task"]

    table = protocol_table(document)

    rows = {row[0]: row[1:5] for row in table.rows}
    for name, row in document["methods"].items():
        assert rows[name_of(name)] == [
            PERCENT.bare(row["accuracy"], 2),
            PERCENT.difference(row["gain"], 2),
            PERCENT.interval(row["gain_over_tasks_95"], 2),
            PERCENT.interval(row["gain_over_samples_95"], 2),
        ]
    assert table.rows[table.marked or 0][0] == "Default router"


def test_every_tile_names_the_best_single_model_and_what_its_number_is_of(
    result: dict[str, Any],
) -> None:
    documents = copy.deepcopy(result["protocols"])
    for row in documents["task"]["tasks"]:
        row["picks"]["bma"] = "large"
    documents["task"]["tasks"][0]["picks"]["bma"] = "small"
    documents["request"]["by_run"] = [{"bma": "large"}, {"bma": "large"}]
    cost = documents["cost"]
    cost["protocol"]["models"] = ["large", "small"]
    cost["cost_basis"]["left_out"] = ["a", "b", "c"]
    cost["methods"]["default"]["tuned"]["equal_quality"] |= {
        "saved": 0.4,
        "saved_over_samples_95": [0.3, 0.5],
        "quality_gain_over_samples_95": [-0.01, 0.01],
    }

    summary = summarise(documents)

    task, _, request, saving = summary.tiles
    assert "the best single model (large in 3 of 4 cases)" in task.sentence
    assert "the best single model (large)" in request.sentence
    assert task.pool == "4 models, 4 tasks, 160 questions"
    assert request.pool == "4 models, 160 questions, 48 of them asked, 2 times"
    assert saving.pool.startswith("2 of 5 models, ")
    assert "among the 2 of 5 models whose cost is known" in summary.headline


def test_a_perfect_choice_that_only_luck_makes_gains_no_negative_points(
    result: dict[str, Any],
) -> None:
    document = copy.deepcopy(result["protocols"]["task"])
    bma = document["methods"]["bma"]["accuracy"]
    document["methods"]["oracle"]["gain"] = 0.023
    document["baselines"]["half_split_oracle"]["accuracy"] = bma - 0.014

    sentence = summarise({"task": document}).tiles[0].sentence

    assert sentence.endswith("Perfect choices would gain 2.3 points, all of it by luck.")


def test_a_time_is_told_in_utc_and_text_that_is_none_as_it_stands() -> None:
    assert moment("2026-03-01T12:00:00+02:00") == "2026-03-01 10:00"
    assert moment("2026-03-01T12:00:00", age=True).startswith("1 March 2026 at 12:00 UTC")
    assert moment("yesterday") == "yesterday"


def test_a_missing_extra_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, benchrouter: Any
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.setattr("litellm_benchrouter.cli.evaluate.evaluate", lambda *_, **__: 1 / 0)

    ended = benchrouter("evaluate", "--source", tmp_path, "--html", tmp_path / "report.html")

    assert ended.code == 2
    assert 'pip install "litellm-benchrouter[report]"' in ended.err


# In a browser

_PICTURES = """
[...document.querySelectorAll('figure')].map((figure) => {
  const picture = figure.querySelector('.picture svg');
  const box = picture.getBoundingClientRect();
  const texts = [...figure.querySelectorAll('.picture svg text')].map((text) => {
    const b = text.getBoundingClientRect();
    return {text: text.textContent, left: b.left, right: b.right, top: b.top, bottom: b.bottom};
  });
  const meets = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  const overlaps = texts.flatMap((a, i) => texts.slice(i + 1).filter((b) => meets(a, b))
    .map((b) => [a.text, b.text]));
  const outside = texts.filter((t) => t.left < box.left - 4 || t.right > box.right + 12);
  const scale = picture.viewBox ? box.width / picture.viewBox.baseVal.width : 1;
  const sizes = [...picture.querySelectorAll('text')]
    .map((t) => parseFloat(getComputedStyle(t).fontSize) * scale);
  return {
    id: figure.id, width: box.width, height: box.height, overlaps,
    outside: outside.map((t) => t.text), smallest: Math.min(...sizes),
    marks: picture.querySelectorAll('.role-mark path').length,
    named: Boolean(picture.getAttribute('aria-label') || picture.querySelector('title')),
  };
})
"""


@pytest.fixture(scope="module")
def opened(
    html: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Page, list[str], list[str]]]:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html, encoding="utf-8")
    with chromium() as (page, problems, requests):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        yield page, problems, requests


@pytest.fixture
def page(opened: tuple[Page, list[str], list[str]]) -> Page:
    return opened[0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_every_figure_and_nothing_is_wider_than_the_window(
    page: Page, width: int, dark: bool
) -> None:
    look(page, width=width, dark=dark)

    figures = page.evaluate(_PICTURES)

    assert {figure["id"] for figure in figures} == set().union(*FIGURES.values())
    for figure in figures:
        assert figure["width"] > 250, figure
        assert figure["height"] > 100, figure
        assert figure["marks"] > 1, figure
        assert figure["named"], figure
        assert figure["smallest"] >= 10, figure
        assert not figure["overlaps"], figure
        assert not figure["outside"], figure
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_all_text_with_enough_contrast(page: Page, width: int, dark: bool) -> None:
    look(page, width=width, dark=dark)

    found = page.evaluate(CONTRAST)

    assert found["seen"] > 300
    assert found["bad"] == []
    assert (max(found["page"]) < 64) == dark


def test_a_browser_reports_no_error_asks_for_no_other_file_and_runs_no_name(
    opened: tuple[Page, list[str], list[str]],
) -> None:
    page, problems, requests = opened
    shown = page.inner_text("#task-models table >> nth=1")

    assert SCRIPT in shown.replace("\n", "")
    assert "owned" not in page.title()
    assert problems == []
    assert requests == [page.url]
