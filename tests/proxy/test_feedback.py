"""Scores of answers by the endpoint of a real proxy: whose, where they are, and what they cost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.config import load_config
from litellm_benchrouter.sources.traffic import ExploredEvents
from litellm_benchrouter.traffic.explored import read_explored
from litellm_benchrouter.traffic.feedback import FILE, FeedbackStore
from proxy.conftest import ask
from proxy.database import Database
from proxy.harness import ProxyProcess, eventually
from proxy.test_collect import collecting, is_ready, started
from proxy.upstream import FakeUpstream

PATH = "/benchrouter/feedback"
ASK = "Amira has 40 tickets and gives away 15 percent of them. How many?"


def answered(proxy: ProxyProcess, key: str | None = None, **body: Any) -> str:
    """Ask, and return the call's id as a client sees it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = ask(proxy, ASK, headers=headers, **body)
    assert response.is_success, response.text
    return str(response.headers["x-litellm-call-id"])


def give(proxy: ProxyProcess, call_id: str, score: Any = 1, key: str = "", **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"call_id": call_id, "score": score, **more}
    return proxy.http.post(PATH, json=body, headers=headers)


def new_key(proxy: ProxyProcess, **settings: Any) -> str:
    made = proxy.http.post("/key/generate", json={"models": ["smart"], **settings})
    assert made.is_success, made.text
    return str(made.json()["key"])


def counted(proxy: ProxyProcess, metric: str, result: str) -> float:
    lines = proxy.http.get("/metrics/").text.splitlines()
    start = f'{metric}{{result="{result}"}} '
    return float(next(line for line in lines if line.startswith(start)).removeprefix(start))


def store_of(proxy: ProxyProcess) -> FeedbackStore:
    store = FeedbackStore.of(load_config(proxy.folder / "config.yaml"))
    assert store is not None
    return store


@pytest.fixture(scope="module")
def proxy(
    database: Database, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy with its database."""
    upstream_server.reset()
    config = collecting(upstream_server.base_url, None, feedback={})
    config["benchrouter"]["traffic"] = {"feedback": {}}
    folder = tmp_path_factory.mktemp("feedback")
    with started(folder, config, env=database.environment) as proxy:
        eventually(lambda: is_ready(proxy))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", database.environment["DATABASE_URL"])
            yield proxy


@pytest.mark.parametrize(
    "settings",
    [{}, {"key_type": "llm_api"}, {"allowed_routes": ["llm_api_routes"]}, {"user_id": "cleo"}],
    ids=["plain", "of models only", "of routes of models", "of a user"],
)
def test_a_key_that_may_ask_models_scores_its_calls(
    proxy: ProxyProcess, settings: dict[str, Any]
) -> None:
    key = new_key(proxy, **settings)
    for body in ({}, {"stream": True}):
        call_id = answered(proxy, key, **body)
        response = give(proxy, call_id, 0.25, key, comment="too long")
        assert (response.status_code, response.json()["recorded"]) == (200, True), response.text
        rows = store_of(proxy).latest(1, ("call_id", "score", "model", "comment"), "score")
        assert rows == [(call_id, 0.25, "mathsmith-8b", "too long")]


def test_a_strangers_key_is_answered_as_if_there_were_no_such_call(proxy: ProxyProcess) -> None:
    own, other = new_key(proxy), new_key(proxy)
    call_id = answered(proxy, own)
    strangers, unknown = give(proxy, call_id, 0, other), give(proxy, "no-such-call", 0, other)
    assert (strangers.status_code, unknown.status_code) == (404, 404)
    assert strangers.json() == unknown.json()
    assert "No call of this key" in unknown.json()["error"]["message"]
    assert give(proxy, call_id, 1, own).is_success
    assert give(proxy, call_id, 0).status_code == 404  # the master key's calls are others
    assert [row[0] for row in store_of(proxy).latest(1, ("score",), "score")] == [1.0]


def test_two_keys_may_use_one_call_id(proxy: ProxyProcess) -> None:
    keys = new_key(proxy), new_key(proxy)
    for key in keys:
        headers = {"Authorization": f"Bearer {key}", "x-litellm-call-id": "call-1"}
        assert ask(proxy, ASK, headers=headers).is_success
    assert [give(proxy, "call-1", score, key).status_code
            for score, key in enumerate(keys)] == [200, 200]  # fmt: skip
    rows = store_of(proxy).latest(2, ("call_id", "score"), "score")
    assert sorted(rows) == [("call-1", 0.0), ("call-1", 1.0)]


def test_no_key_or_one_that_may_not_is_refused_by_litellm(proxy: ProxyProcess) -> None:
    key = new_key(proxy, allowed_routes=["/v1/chat/completions"])
    call_id = answered(proxy, key)
    assert give(proxy, call_id, 1, key).status_code == 403
    assert give(proxy, call_id, 1, "sk-nobody").status_code == 401
    assert proxy.http.get(PATH).status_code == 405


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"call_id": "x"}, "score"),
        ({"score": 1}, "call_id"),
        ({"call_id": "x", "score": 1.5}, "score"),
        ({"call_id": "x", "score": "good"}, "score"),
        ({"call_id": "", "score": 1}, "call_id"),
        ({"call_id": "x", "score": 1, "comment": "long" * 2_000}, "comment"),
        ({"call_id": "x", "score": 1, "rating": 5}, "rating"),
        ({"call_id": "x", "score": 1, "comment": "a\0b"}, "comment: a NUL character"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(proxy: ProxyProcess, body: Any, place: str) -> None:
    response = proxy.http.post(PATH, json=body)
    assert response.status_code == 422
    assert place in response.json()["error"]["message"]


def test_a_body_that_is_no_json_is_refused(proxy: ProxyProcess) -> None:
    broken = proxy.http.post(PATH, content=b'{"call_id": "x", ', headers={"content-type": "application/json"})  # noqa: E501  # fmt: skip
    assert broken.status_code in (400, 422)


def test_neither_a_prompt_nor_an_answer_is_kept_and_it_is_erased(
    proxy: ProxyProcess, database: Database, benchrouter: Any
) -> None:
    key = new_key(proxy, user_id="dora")
    call_id = answered(proxy, key)
    assert give(proxy, call_id, 1, key, comment="write to dora@example.org").is_success
    store, names = store_of(proxy), ("call_id", "comment", "model", "version", "user", "expected")
    row = dict(zip(names, store.latest(1, names, "score")[0], strict=True))
    assert row["comment"] == "write to [email]"
    assert 0 < row["expected"] < 1
    assert "dora" not in str(row["user"])
    all_of_it = store._table.select(f"SELECT * FROM {store._table.table}", ())
    assert not [each for each in all_of_it if "tickets" in str(each)]
    before = store.counts()["calls"]
    ended = benchrouter("traffic", "--config", proxy.folder / "config.yaml", "--erase",
                        "--key", key, "--json")  # fmt: skip
    assert ended.code == 0, ended.out
    assert ended.document["erased"][store.name] == 1
    assert store.counts()["calls"] == before - 1
    assert give(proxy, call_id, 1, key).status_code == 404


def test_it_is_counted_and_shown(proxy: ProxyProcess, benchrouter: Any, tmp_path: Path) -> None:
    call_id, before = answered(proxy), counted(proxy, "benchrouter_feedback_total", "recorded")
    assert give(proxy, call_id).is_success
    assert counted(proxy, "benchrouter_feedback_total", "recorded") == before + 1
    assert counted(proxy, "benchrouter_answered_calls_total", "stored") > 0
    assert counted(proxy, "benchrouter_answered_calls_total", "failed") == 0
    config, file = proxy.folder / "config.yaml", tmp_path / "scores.csv"
    file.write_text(f"call_id,score\n{call_id},0.5\nno-such-call,1\n")
    ended = benchrouter("feedback", "--config", config, file, "--json")
    assert (ended.code, ended.document["recorded"]) == (0, 1), ended.out
    assert ended.document["unknown"] == ["no-such-call"]
    assert store_of(proxy).latest(1, ("score",), "score") == [(0.5,)]


def explore(proxy: ProxyProcess) -> None:
    """Half of the requests are explored, and their scores come back with their prompts."""
    expected = {}
    for number in range(24):
        refuses = {"x-benchrouter-explore": "no"} if number % 4 == 0 else {}
        # Words of none of the samples: the demo's models are plausible as far as averages tell.
        text = " ".join(["zebra"] * (number + 1))
        response = ask(proxy, text, headers=refuses)
        reason = response.headers["x-benchrouter-reason"]
        if reason.startswith("explored: one of "):
            assert not refuses
            expected[text] = (response.headers["x-benchrouter-model"], number / 24)
        call_id = response.headers["x-litellm-call-id"]
        eventually(lambda c=call_id, n=number: give(proxy, c, n / 24).is_success)  # 503 where late
    assert 2 <= len(expected) <= 18
    assert len({model for model, _ in expected.values()}) > 1
    config = load_config(proxy.folder / "config.yaml")

    def read() -> ExploredEvents | None:  # prompts are written every second
        events = read_explored(config)
        return events if events and len(events.prompts) == len(expected) else None

    events = eventually(read)
    values = zip(events.models, events.scores, strict=True)
    assert dict(zip(events.prompts, values, strict=True)) == expected
    assert store_of(proxy).counts()["explored"] == len(expected)


def test_without_a_database_a_file_holds_it_and_a_lock_costs_no_request(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)  # of the tests above, in this module
    config = collecting(upstream.base_url, {"share": 0.001, "to": "kept"}, explore=0.5)
    file = tmp_path / "kept" / FILE
    with started(tmp_path, config) as proxy:
        eventually(lambda: is_ready(proxy))
        explore(proxy)
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"tickets" not in file.read_bytes()
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            ids = [answered(proxy) for _ in range(20)]
            took = time.monotonic() - began
            refused = give(proxy, ids[0])
            other.execute("ROLLBACK")
        assert took < 60  # each would wait for seconds, were it to wait at all
        assert refused.status_code == 503
        assert "cannot be stored now" in refused.json()["error"]["message"]
        call_id = answered(proxy)
        eventually(lambda: give(proxy, call_id, 0).is_success)
        # A folder that takes nothing, as on a disk that is full.
        file.unlink()
        file.parent.rename(tmp_path / "gone")
        file.parent.write_text("a file where the folder should be")
        call_id = answered(proxy)
        assert give(proxy, call_id).status_code == 503
        assert answered(proxy)
