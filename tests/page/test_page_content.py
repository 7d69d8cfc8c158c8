"""What the page shows: versions as they come and go, names as they are, verdicts, live counts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny
from proxy.harness import reserved_port

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.page.metrics_reader import Live, read_live
from litellm_benchrouter.page.question import Question
from litellm_benchrouter.page.verdict import verdict_view
from litellm_benchrouter.page.views import MetricsSource, Page
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
    assert re.findall(r"<code>(\w+)</code>", published) == [second, first, second, first]


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
    assert "its manifest cannot be read" in shown


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
        "requests are routed: +19.4 points",
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


# Verdicts

PROVED = {
    "method": "guarded",
    "served": {"unseen": "guarded", "requests": "bma"},
    "unseen": {
        "gain": 0.029,
        "gain_95": [-0.001, 0.071],
        "n_tasks": 13,
        "tasks_worse": 2,
        "worst_task": {"name": "<b>law</b>", "gain": -0.031},
        "bma_because": None,
    },
    "requests": {"gain": 0.0, "gain_95": [0.0, 0.0], "n_samples": 900, "bma_because": "no gain"},
    "cost": {
        "saved": 0.41,
        "best_single": "atlas",
        "quality_gain": -0.02,
        "quality_gain_95": [-0.05, 0.01],
    },
    "unproven": {},
    "tolerance": 0.01,
    "passes": True,
    "forced": False,
}


def test_a_verdict_is_told_with_its_intervals_and_its_worst_task() -> None:
    view = verdict_view(PROVED)

    assert view is not None
    assert (view.tone, view.headline) == ("gain", "It passes")
    tasks, requests = view.findings
    assert (tasks.gain, tasks.interval) == ("+2.9 points", "95 %: −0.1 to +7.1")
    assert "Worst task: <b>law</b>, −3.1 points." in tasks.sentences
    assert tasks.picture is not None
    assert tasks.picture.low < tasks.picture.zero < tasks.picture.at < tasks.picture.high <= 200
    assert "These picks are not served, the best on average is: no gain." in requests.sentences
    saved = "41 % at equal quality, against atlas; its quality there: −2.0 points "
    assert ("Saved", f"{saved}(95 %: −5.0 to +1.0)") in view.facts


@pytest.mark.parametrize(
    ("change", "tone", "headline"),
    [
        ({"passes": False}, "loss", "It does not pass"),
        ({"passes": False, "forced": True}, "loss", "It does not pass, and was published by force"),
        ({"unseen": None, "requests": None, "cost": None, "unproven": {"unseen": "too small"}},
         "unclear", "There was nothing to prove it on"),
    ],
)  # fmt: skip
def test_a_verdict_that_is_bad_or_empty_says_so(
    change: dict[str, Any], tone: str, headline: str
) -> None:
    view = verdict_view(PROVED | change)

    assert view is not None
    assert (view.tone, view.headline) == (tone, headline)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"unseen": {"gain": None}},
        {"unseen": {"gain_95": "x"}},
        {"unseen": {"gain": 0.1, "gain_95": [None, 1], "worst_task": "law", "n_tasks": None}},
        {"served": None, "requests": {"gain": float("nan"), "gain_95": [0, 0]}},
        {"cost": {"saved": None}, "unproven": ["x"]},
    ],
)
def test_a_verdict_of_another_shape_is_shown_as_far_as_it_is_known(odd: dict[str, Any]) -> None:
    assert verdict_view(odd) is not None


def test_a_version_without_a_verdict_is_no_error() -> None:
    assert verdict_view(None) is None


# Live counts

SCRAPED = """\
# TYPE benchrouter_decisions_total counter
benchrouter_decisions_total{group="smart",model="coder-14b",method="guarded",reason="routed"} 1200
benchrouter_decisions_total{group="smart",model="coder-14b",method="bma",reason="far"} 34
benchrouter_decisions_total{group="<b>x</b>",model="atlas-70b",method="bma",reason="far"} 1
benchrouter_errors_total 2
benchrouter_artifact_info{version="0123456789abcdef",embedder="lexical",method="guarded"} 4
benchrouter_artifact_info{version="fedcba9876543210",embedder="lexical",method="guarded"} 0
"""

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def proxy_metrics(answer: Answer) -> Iterator[str]:
    """Serve metrics as `answer` does; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # so that its end waits for them
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        finally:
            server.shutdown()
            thread.join()


def text(content: str, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content.encode())

    return answer


def test_counts_are_added_up_by_pick_and_by_reason(demo_built: Path) -> None:
    with proxy_metrics(text(SCRAPED)) as url:
        live = read_live(url)
        shown = Page(Store(demo_built / "router_artifacts"), metrics=MetricsSource(url)).show()

    assert live == Live(
        total="1,235",
        errors="2",
        models=live.models,
        reasons=live.reasons,
        versions=["0123456789abcdef"],
    )
    assert [(line.names, line.n) for line in live.models] == [
        (("smart", "coder-14b"), "1,234"),
        (("<b>x</b>", "atlas-70b"), "1"),
    ]
    assert [(line.names, line.n) for line in live.reasons] == [
        (("guarded", "routed"), "1,200"),
        (("bma", "far"), "35"),
    ]
    assert "1,235" in shown
    assert "<b>x" not in shown
    assert "do not show the same version" in shown


def test_the_key_goes_to_the_proxy_and_nowhere_else() -> None:
    seen: list[tuple[str, str | None]] = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        seen.append(("elsewhere", handler.headers["Authorization"]))
        text(SCRAPED)(handler)

    with proxy_metrics(elsewhere) as other:

        def proxy(handler: BaseHTTPRequestHandler) -> None:
            seen.append((handler.path, handler.headers["Authorization"]))
            if handler.path == "/metrics":
                text("", 307, Location="/metrics/")(handler)
            elif handler.path == "/metrics/":
                text(SCRAPED)(handler)
            else:
                text("", 307, Location=other)(handler)

        with proxy_metrics(proxy) as url:
            assert read_live(url, "sk-1").total == "1,235"
            away = read_live(f"{url}-away", "sk-1")

    assert seen == [
        ("/metrics", "Bearer sk-1"),
        ("/metrics/", "Bearer sk-1"),
        ("/metrics-away", "Bearer sk-1"),
    ]
    assert away.problem is not None
    assert "307" in away.problem


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (text("", 401), "asks for a key"),
        (text("", 404), "answers 404"),
        (text("<html>hello</html>"), "not in the Prometheus text format"),
        (text("# nothing\npython_info 1\n"), "nothing of the router's"),
        (text("benchrouter_decisions_total{x 1"), "not in the Prometheus text format"),
    ],
)
def test_a_proxy_that_says_nothing_useful_is_a_sentence(answer: Answer, said: str) -> None:
    with proxy_metrics(answer) as url:
        problem = read_live(url).problem

    assert problem is not None
    assert said in problem


def test_a_proxy_that_is_away_is_a_sentence_on_the_page(demo_built: Path) -> None:
    with reserved_port() as port:  # where nobody listens
        url = f"http://127.0.0.1:{port}/metrics"
        shown = Page(Store(demo_built / "router_artifacts"), metrics=MetricsSource(url)).show()

    assert f"The proxy cannot be reached at {url}." in shown


def test_a_proxy_that_never_ends_its_answer_does_not_hold_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("litellm_benchrouter.page.metrics_reader._SECONDS", 1.0)
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        text("")(handler)
        try:
            while not stop.wait(0.2):
                handler.wfile.write(b"# more\n")
        except OSError:
            pass

    with proxy_metrics(drip) as url:
        try:
            problem = read_live(url).problem
        finally:
            stop.set()

    assert problem is not None
    assert "within 1 seconds" in problem


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
