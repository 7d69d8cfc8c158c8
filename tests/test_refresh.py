"""`benchrouter refresh`: own traffic labelled, a version published, a report, one line of log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny
from filelock import FileLock
from labelling.conftest import Lab, lab
from labelling.test_own_traffic import WORDS, labels_file, row
from proxy.upstream import Answer

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.config import load_config
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.traffic.feedback import AnsweredCall, FeedbackStore, Score

__all__ = ["lab"]  # a fixture


@pytest.fixture
def own(lab: Lab) -> Lab:
    """the lab with 16 prompts of own traffic, and an embedder that can embed them."""
    place = lab.folder / "kept"
    place.mkdir()
    keep(lab, range(16))
    settle(lab)
    return lab


def keep(lab: Lab, numbers: range) -> None:
    """Keep prompts as the collector does, a part for each call."""
    part = lab.folder / "kept" / f"20261129T07{numbers.start:010d}-00000000-00000000.jsonl"
    part.write_text("".join(json.dumps(row(i)) + "\n" for i in numbers))


def settle(lab: Lab, traffic: dict[str, Any] | None = None, **block: Any) -> None:
    usual = {"collect": {"to": "kept", "keep_days": 36_500}, "metric": "regex:ant"}
    whole = {
        "method": "guarded",
        "embedder": {"kind": "lexical", "dimensions": 16},
        "tasks": {},
        "sources": [{"path": "benchmark.csv"}],
        "traffic": usual if traffic is None else traffic,
    }
    lab.configure(**{key: value for key, value in (whole | block).items() if value is not None})


@pytest.fixture
def refresh(own: Lab) -> Callable[..., Any]:
    def run(*more: object, report: bool = False) -> Any:
        given = [] if report else ["--no-report"]
        return own.run_here("refresh", "--config", own.config, *given, *map(str, more))

    return run


@contextmanager
def hooked(status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """Run a webhook; yields its address and what arrives."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/T0/secret", received
        finally:
            server.shutdown()
            thread.join()


def test_one_command_labels_builds_and_publishes_and_the_next_has_nothing_to_do(own, refresh):
    ended = refresh("--limit-usd", 5, "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["traffic"]["prompts"] == 16
    assert document["label"]["prompts"] == 16
    assert document["label"]["calls"] == len(own.asked) == len(set(own.asked))
    assert document["label"]["spent_usd"] == pytest.approx(len(own.asked) * (7e-6 + 3e-5))
    store = Store(own.folder / "router_artifacts")
    assert document["build"]["version"] == store.current()
    assert (document["build"]["before"], document["build"]["published"]) == (None, True)
    assert document["build"]["verdict"]["traffic"]["n_samples"] == 16
    assert document["error"] is None

    own.upstream.reset()
    again = refresh("--limit-usd", 5, "--json").document
    assert again["label"] == {"skipped": "every prompt has the labels that it needs"}
    assert again["build"] == {"version": store.current(), "skipped": "nothing has changed"}
    assert own.asked == []

    keep(own, range(16, 20))
    more = refresh("--limit-usd", 5)
    assert (more.code, more.err) == (0, "")
    assert more.out.count("\n") == 1  # a line of log
    assert "refresh: 20 prompts of own traffic; " in more.out
    assert "20 prompts with labels; version " in more.out
    assert len({key for key, _ in own.asked}) == 4
    assert store.previous() == document["build"]["version"] != store.current()


def test_without_a_budget_nobody_is_asked_and_the_benchmark_is_built(own, refresh):
    document = refresh("--json").document
    assert document["label"] == {"skipped": "there is no budget"}
    assert own.upstream.requests == []
    assert document["build"]["published"]
    assert not labels_file(own).exists()
    benchmark = own.folder / "benchmark.csv"
    benchmark.write_text(benchmark.read_text() + "s999,east,What is new in the east?,1,0,0,1\n")
    again = refresh("--json").document
    assert again["build"]["version"] != again["build"]["before"] == document["build"]["version"]
    # What somebody rolled back to stays until something changes.
    store = Store(own.folder / "router_artifacts")
    store.rollback()
    assert "skipped" in refresh("--json").document["build"]
    assert store.current() == document["build"]["version"]


def test_the_money_ends_a_run_and_the_next_goes_on_there(own, refresh):
    settle(own, method="paper", embedder={"kind": "precomputed"},
           sources=[{"path": "benchmark.csv", "embeddings": "vectors.npy"}])  # fmt: skip
    first = refresh("--limit-usd", 0.021, "--json").document
    assert first["label"]["stopped"] == "limit"
    assert 0 < first["label"]["spent_usd"] <= 0.021
    before = own.asked
    own.upstream.reset()
    second = refresh("--limit-usd", 5, "--json").document
    assert second["label"]["prompts"] == 16
    assert not set(before) & set(own.asked)
    # A budget that pays for no call is no failure.
    keep(own, range(16, 18))
    none = refresh("--limit-usd", 0.0001, "--json")
    assert (none.code, none.document["label"]["stopped"]) == (0, "limit")


@pytest.mark.parametrize("limit", ["nan", "inf"])
def test_a_limit_that_is_no_number_asks_nobody(own, refresh, monkeypatch, limit):
    ended = refresh("--limit-usd", limit)
    assert (ended.code, "not a finite number" in ended.err) == (2, True)
    monkeypatch.setenv("BENCHROUTER_LIMIT_USD", limit)
    assert refresh().code == 2
    assert own.upstream.requests == []


@pytest.mark.parametrize("explore", [0.1, 0.0])
def test_scores_of_explored_requests_are_built_in_and_out_again(own, refresh, benchrouter, explore):
    collect = {"to": "kept", "keep_days": 36_500}
    settle(own, {"collect": collect, "metric": "regex:ant", "explore": explore})
    config = load_config(own.config)
    store = FeedbackStore.of(config)
    assert store is not None
    call = {"key": "k", "user": None, "end_user": None, "time": 1.7e9, "model": "ant",
            "version": "v", "expected": 0.5, "propensity": 0.5, "unlike": None}  # fmt: skip
    part = own.folder / "kept" / "20261129T070000000099-00000000-00000000.jsonl"
    part.write_text(json.dumps({"text": "x", "time": 1.7e9, "call_id": "a", "key": "k",
                                "propensity": 0.5}) + "\n")  # fmt: skip

    def is_built() -> bool:
        return "skipped" not in refresh("--json").document["build"]

    assert is_built() and not is_built()
    store.add([AnsweredCall(call_id="a", **call)])
    store.give([Score(call_id="a", score=1)])
    assert is_built() and not is_built()
    erased = benchrouter("traffic", "--config", own.config, "--erase", "--key", "k")
    assert erased.code == 0
    assert is_built() and not is_built()


def test_the_webhook_gets_the_summary_without_a_prompt(own, refresh, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hooked() as (address, received):
        document = refresh("--n", 2, "--limit-usd", 5, "--json", "--webhook", address).document
        assert json.loads(received[0]) == document
        settle(own, refresh={"webhook": "os.environ/HOOK"})
        monkeypatch.setenv("HOOK", address)
        for model in tiny.MODELS:
            own.upstream.tell(model, Answer(status=401))
        failed = refresh("--n", 2, "--limit-usd", 5)
        assert failed.code == 1
        told = json.loads(received[1])
        assert told["error"].startswith("no label came of ")
        assert told["build"]["version"] == document["build"]["version"]
        assert told["build"]["unchanged"]
    assert not any(word in body.decode() for body in received for word in WORDS)


def test_a_webhook_that_fails_fails_no_run_and_its_address_is_not_told(own, refresh, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hooked(500) as (address, received):
        ended = refresh("--webhook", address)
    assert (ended.code, len(received)) == (0, 1)
    assert ended.err == "Warning: webhook: 127.0.0.1 did not take it (500).\n"
    gone = refresh("--webhook", address)
    assert (gone.code, "secret" in gone.err) == (0, False)
    assert gone.err.startswith("Warning: webhook: 127.0.0.1 did not take it (")
    wrong = refresh("--webhook", "ftp://secret.example.org")
    assert (wrong.code, "it has to begin with" in wrong.err) == (2, True)
    assert "secret" not in wrong.err
    settle(own, refresh={"webhook": "os.environ/NOWHERE"})
    assert "NOWHERE is not set" in refresh().err
    settle(own, refresh={"webhook": "ftp://example.org"})
    assert refresh().code == 2


def test_a_second_refresh_says_so_and_asks_nobody(own, refresh):
    root = own.folder / "router_artifacts"
    root.mkdir()
    with FileLock(root / ".refreshing"):
        ended = refresh("--limit-usd", 5)
    assert (ended.code, ended.out, own.asked) == (1, "", [])
    assert ended.err == f"Error: another refresh is running on {root}. Wait for it to end.\n"


def test_what_is_wrong_is_said_in_a_sentence(own, refresh):
    settle(own, traffic={"collect": {"to": "kept"}})
    ended = refresh("--limit-usd", 5)
    assert (ended.code, own.asked) == (2, [])
    assert "nothing says when an answer is right" in ended.err
    assert ended.out.count("\n") == 1
    settle(own, traffic={"collect": {"to": "elsewhere"}, "metric": "regex:ant"})
    assert refresh("--limit-usd", 5, "--json").document["label"] == {
        "skipped": "there are no prompts yet"
    }
    settle(own, sources=[])
    assert refresh().code == 2
    names = ",".join(["sample_id", "task", "prompt", *tiny.MODELS])
    rows = [f"s{i},{tiny.TASKS[i % 4]},{tiny.prompt(i)},1,0,0,{i % 2}" for i in range(80)]
    (own.folder / "benchmark.csv").write_text("\n".join([names, *rows, ""]))
    settle(own, traffic={}, publish={"require": "gains"})  # which one is best is always best
    refused = refresh("--json")
    assert (refused.code, refused.document["build"]["published"]) == (1, False)
    assert "was not made current" in refused.err
    assert "report" not in refused.document


def test_the_report_is_of_the_new_version(own, refresh):
    settle(own, traffic={}, sources=[{"path": "benchmark.csv"}])
    first = refresh("--json", report=True)
    report = own.folder / "router_artifacts" / "report.html"
    assert first.document["report"] == {"file": str(report)}
    assert "<html" in report.read_text()
    assert refresh("--json", report=True).document["report"] == {
        "skipped": "there is no new version"
    }


# Refreshes that kill themselves at a moment that an audit hook is told of, in a fork each; the
# moments are counted in a run that is not killed. A line on standard input begins the next.
KILLED = """
import itertools, json, os, random, signal, sys
from importlib import import_module
from litellm_benchrouter.cli import main

sys.argv = ["benchrouter", "refresh", "--config", "config.yaml", "--no-report", "--limit-usd", "5"]
draw, moments, last = random.Random(0), itertools.count(), None

def note(event, arguments):
    if next(moments) == last:
        os.kill(os.getpid(), signal.SIGKILL)

def run():
    reader, writer = os.pipe()
    if not os.fork():
        sys.addaudithook(note)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main()
        except SystemExit as ended:
            os.write(writer, json.dumps([next(moments), sorted(sys.modules)]).encode())
            os._exit(ended.code or 0)
    os.close(writer)
    with open(reader, "rb") as told:
        report = json.loads(told.read() or b"[null, []]")
    for name in report[1]:  # or each fork imports them anew
        if name.split(".")[0] in ("litellm", "litellm_benchrouter", "openai", "scipy", "sklearn"):
            import_module(name)
    return os.waitstatus_to_exitcode(os.wait()[1]), report[0]

for line in sys.stdin:
    usual = int(line)
    last = int(usual * draw.random()) if usual else None
    print(json.dumps(run()), flush=True)
"""


def killed_refreshes_lose_nothing(own: Lab, n: int) -> None:
    for part in (own.folder / "kept").iterdir():
        part.unlink()
    store, path = Store(own.folder / "router_artifacts"), labels_file(own)
    concurrency, killed, versions, usual = 8, 0, set(), 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=own.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for k in range(n + 3):
            keep(own, range(100 + 2 * k, 102 + 2 * k))  # something to do for each
            settle(own, method="paper", embedder={"kind": "precomputed"}, seed=k,
                   sources=[{"path": "benchmark.csv", "embeddings": "vectors.npy"}])  # fmt: skip
            answered = answers(path)
            own.upstream.reset()
            is_whole = k < 2 or k == n + 2
            process.stdin.write(f"{0 if is_whole else usual}\n")
            process.stdin.flush()
            code, moments = json.loads(process.stdout.readline())
            usual = moments or usual
            assert code in ([0] if is_whole else [0, -signal.SIGKILL])
            killed += code != 0
            assert not answered & set(own.asked), "what was paid for was asked again"
            lost = len(own.asked) - len(answers(path) - answered)
            assert 0 <= lost <= (concurrency if code else 0)
            for version in store.versions():
                read_artifact(store.folder(version))
            versions.add(store.current())
        process.stdin.close()
    assert killed > n / 2
    assert len(versions) > 2
    assert len({key for key, _ in answers(path)}) == 2 * (n + 3)
    assert not list(store.root.glob("versions/.*"))


def answers(path: Path) -> set[tuple[str, str]]:
    """Return the cells that the journal has a whole answer of."""
    found = set()
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.endswith("}"):
            fields = json.loads(line)
            if fields.get("event") == "answer":
                found.add((fields["prompt_sha256"], fields["model"]))
    return found


def test_refreshes_killed_at_any_time_lose_no_answer_and_publish_nothing_half(own):
    killed_refreshes_lose_nothing(own, 20)
