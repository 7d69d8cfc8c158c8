"""Answered calls and their scores: whose they are, how many stay, and what they say of drift."""

from __future__ import annotations

import json
import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from litellm_benchrouter.config import load_config, parse_config
from litellm_benchrouter.doctor.feedback import check_feedback
from litellm_benchrouter.errors import ConfigError, TrafficError
from litellm_benchrouter.proxy.feedback import Feedback
from litellm_benchrouter.traffic.alarms import REFERENCE, SUCCESS_DRIFT, cusum, success_alarm
from litellm_benchrouter.traffic.explored import read_explored
from litellm_benchrouter.traffic.feedback import (
    FILE,
    AnsweredCall,
    FeedbackStore,
    Score,
    parsed_score,
)
from litellm_benchrouter.traffic.parts import PromptStore
from litellm_benchrouter.traffic.prompts import read_prompts


def opened(folder: Path, **feedback: Any) -> FeedbackStore:
    config = parse_config({"traffic": {"feedback": feedback}}, folder=folder)
    store = FeedbackStore.of(config)
    assert store is not None
    return store


@pytest.fixture(autouse=True)
def _without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def call(number: int, **changed: Any) -> AnsweredCall:
    values: dict[str, Any] = {
        "call_id": f"call-{number}", "key": "ours", "user": "hash", "end_user": None,
        "time": 1e9 + number, "model": "a", "version": "v", "expected": 0.7, "propensity": None,
        "unlike": None,
    }  # fmt: skip
    return AnsweredCall(**(values | changed))


def scored(number: int, score: float = 1.0) -> Score:
    return Score(call_id=f"call-{number}", score=score)


def test_a_score_is_noted_for_the_key_that_called_and_the_last_one_counts(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.give([scored(1)], "ours") == [False]  # nothing is there yet, and nothing is made
    assert not list(tmp_path.rglob(FILE))
    store.add([call(1), call(1, key="theirs"), call(2)])
    assert store.give([scored(1, 0.2), scored(9)], "ours") == [True, False]
    assert store.give([scored(2)], "theirs") == [False]
    assert store.give([scored(1, 0.4)], "ours") == [True]
    assert store.latest(9, ("key", "score"), "score") == [("ours", 0.4)]
    assert store.give([scored(2, 0.1)]) == [True]  # the operator's own
    assert store.counts() == {"calls": 3, "scores": 2, "mean": pytest.approx(0.25), "explored": 0}


def test_a_right_answer_that_was_given_is_the_prompts_reference(tmp_path: Path) -> None:
    block = {"traffic": {"feedback": {}, "collect": {"to": "kept"}}}
    config = parse_config(block, folder=tmp_path)
    store = FeedbackStore.of(config)
    assert store is not None and config.traffic is not None and config.traffic.collect is not None
    store.add([call(1), call(2), call(3, key="theirs")])
    store.give([Score(call_id="call-1", score=0, reference="34"), scored(2)])
    store.give([Score(call_id="call-3", score=0, reference="of another key")], "theirs")
    rows = [
        {"time": time.time(), "call_id": f"call-{n}", "key": "ours", "text": f"Question {n}"}
        for n in (1, 2, 3)
    ]
    PromptStore(config.traffic.collect, {}).add([json.dumps(row).encode() + b"\n" for row in rows])
    prompts = read_prompts(config, references=True)
    assert dict(prompts.select("text", "reference").iter_rows()) == {
        "Question 1": '"34"',
        "Question 2": None,
        "Question 3": None,
    }
    assert "reference" not in read_prompts(config).columns


def test_a_call_id_that_comes_again_stands_for_the_new_call(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add([call(1)])
    store.give([Score(call_id="call-1", score=1, reference="of the old call", comment="thanks")])
    store.add([call(1, model="b")])
    assert store.counts()["scores"] == 0
    columns = ("model", "reference", "comment")
    assert store.latest(1, columns, "model") == [("b", None, None)]


def test_the_oldest_go_and_scored_calls_stay_longer(tmp_path: Path) -> None:
    config = parse_config({"traffic": {"feedback": {"most": 3, "keep_days": 2}}}, folder=tmp_path)
    store = FeedbackStore.of(config)
    assert store is not None
    store._clock = lambda: 1e9 + 86_400.0
    store.add([call(i) for i in range(10)] + [call(-100_000)])
    store.give([scored(i) for i in (0, 1, -100_000)])
    store.prune()
    left = [row[0] for row in store.latest(99, ("call_id",), "call_id")]
    assert left == ["call-0", "call-1", "call-7", "call-8", "call-9"]


@pytest.mark.parametrize(
    ("meant", "left"),
    [
        ({"key": "ours"}, [3]),
        ({"user": "u2"}, [1, 3]),
        ({"before": 1e9 + 3}, [3]),
        ({"key": "ours", "before": 1e9 + 2}, [2, 3]),
        ({}, []),
    ],
)
def test_what_is_meant_is_erased(tmp_path: Path, meant: dict[str, Any], left: list[int]) -> None:
    store = opened(tmp_path)
    store.add([call(1), call(2, end_user="u2"), call(3, key="theirs", user="u3")])
    n = store.erase(**({"key": None, "user": None, "before": None} | meant))
    assert n == 3 - len(left)
    rows = store.latest(9, ("call_id",), "call_id")
    assert rows == [(f"call-{number}",) for number in left]


def test_a_disk_that_is_full_is_said_and_the_next_rows_are_taken(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add([call(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "router_traffic" / FILE).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(TrafficError, match="cannot be used"):
            store.add([call(i, model="m" * 1_000) for i in range(1, 200)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.counts()["calls"] == 1
    store.add([call(1)])
    assert store.counts()["calls"] == 2


def test_a_file_that_is_no_database_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    store = opened(tmp_path, to="here")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / FILE).write_text("not a database, but long enough to look like one" * 9)
    for use in (store.counts, store.prune, lambda: store.add([call(1)])):
        with pytest.raises(TrafficError, match="cannot be used"):
            use()


@pytest.mark.parametrize("explore", [0.0, 0.02])
def test_a_place_that_cannot_be_used_is_said_in_words(
    tmp_path: Path, benchrouter: Any, explore: float
) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    (tmp_path / "scores.csv").write_text("call_id,score\ncall-1,1\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"benchrouter: {{traffic: {{collect: {{to: kept}}, explore: {explore}}}}}")
    with pytest.raises(TrafficError, match="Not a directory"):
        opened(tmp_path / "kept").add([call(1)])
    for arguments in (["feedback", tmp_path / "scores.csv"], ["traffic", "--erase", "--all"]):
        ended = benchrouter(*arguments, "--config", config)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1)
        assert "(Not a directory)" in ended.err
    if explore:
        with pytest.raises(TrafficError, match="Not a directory"):
            read_explored(load_config(config))
    else:
        assert read_explored(load_config(config)) is None


def test_a_database_whose_url_is_none_stops_neither_builds_nor_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://us:se[cret@host/x")
    with pytest.raises(TrafficError) as refused:
        opened(tmp_path)
    assert "cret" not in str(refused.value)
    config = parse_config({"traffic": {"collect": {}}}, folder=tmp_path)
    assert read_explored(config) is None
    (finding,) = check_feedback(config, None)
    assert finding.status.value == "warn"
    assert not Feedback.of(config, lambda: None).is_on


def test_the_file_is_the_owners(tmp_path: Path) -> None:
    store, file = opened(tmp_path), tmp_path / "router_traffic" / FILE
    store.add([call(1)])
    file.unlink()  # while the proxy runs
    with pytest.raises(TrafficError):
        store.add([call(1)])
    assert not file.exists()
    store.add([call(1)])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(file)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
    assert not {"prompt", "text", "messages", "response"} & set(names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"call_id": "x", "score": float("nan")}, "score"),
        ({"call_id": "x", "score": -0.1}, "score"),
        ({"call_id": " ", "score": 1}, "call_id"),
        (None, "body"),
        (b"{", "body"),
        (b'{"call_id": "x", "score": "secret text"}', "score"),
        (b'{"call_id": "secret\\u0000", "score": 1}', "call_id: a NUL character"),
        (b'{"call_id": "x", "score": 1, "reference": "secret\\u0000"}', "reference: a NUL"),
        (b'{"call_id": "x", "score": 1, "comment": "\\u0000"}', "comment: a NUL character"),
    ],
)
def test_what_is_no_score_is_refused_without_being_quoted(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parsed_score(content)
    assert "secret" not in str(error.value)


def test_a_thumb_is_a_score() -> None:
    assert parsed_score({"call_id": "x", "score": True}).score == 1.0


def test_explore_needs_the_prompts() -> None:
    with pytest.raises(ConfigError, match="explore needs `collect`"):
        parse_config({"traffic": {"explore": 0.02}}, folder=Path())


def drawn(n: int, p: float, seed: int) -> Any:
    return (np.random.default_rng(seed).random(n) < p).astype(float)


def test_answers_as_good_as_ever_seldom_alarm_though_the_prediction_is_too_high() -> None:
    alarms = [success_alarm(drawn(1_200, 0.6, seed), np.full(1_200, 0.9)) for seed in range(20)]
    assert sum(alarm["alarms"] for alarm in alarms if alarm) <= 40  # in 20,000 calls
    assert success_alarm(drawn(REFERENCE, 0.6, 0), np.full(REFERENCE, 0.6)) is None


def test_answers_that_get_worse_alarm_soon() -> None:
    score = np.concatenate([drawn(700, 0.8, 1), drawn(300, 0.4, 2)])
    alarm = success_alarm(score, np.full(1_000, 0.8))
    assert alarm is not None and alarm["at"] + REFERENCE >= 700
    before = success_alarm(score[:760], np.full(760, 0.8))
    assert before is not None and before["alarms"] >= 1


def test_alarms_of_the_last_thousand_are_counted_apart() -> None:
    found = cusum([2.0] * 100 + [0.0] * 1_000, SUCCESS_DRIFT)
    assert found["alarms"] > 0
    assert found["recent"] == 0


def test_alarms_are_of_one_version_and_say_when(tmp_path: Path) -> None:
    store = opened(tmp_path)
    new = [call(i, unlike=3.0) for i in range(50)]
    store.add([*new, *[call(100 + i, version="old", unlike=0.0) for i in range(50)]])
    alarms = store.alarms("v")
    assert alarms["success"] is None
    assert alarms["similarity"] is not None and alarms["similarity"]["alarms"] > 0
    assert 1e9 < alarms["similarity"]["time"] < 1e9 + 50
    assert store.alarms("old")["similarity"]["alarms"] == 0  # type: ignore[index]


@pytest.mark.parametrize(("unlike", "status"), [(0.0, "ok"), (3.0, "warn")])
def test_doctor_says_where_feedback_is_and_warns_of_drift(
    tmp_path: Path, unlike: float, status: str
) -> None:
    config = parse_config({"traffic": {"feedback": {}}}, folder=tmp_path)
    artifact: Any = SimpleNamespace(manifest=SimpleNamespace(version="v"))
    assert [finding.status.value for finding in check_feedback(config, artifact)] == ["ok"]
    assert not list(tmp_path.rglob(FILE))  # nothing is made
    opened(tmp_path).add([call(i, unlike=unlike) for i in range(50)])
    where, drift = check_feedback(config, artifact)
    assert "0 of 50 answered calls scored" in where.found
    assert drift.status.value == status
    assert "among the last 1,000 calls" in drift.found
    without = parse_config({"traffic": {"labels": "x"}}, folder=tmp_path)
    assert not list(check_feedback(without, artifact))
    unwritable = parse_config({"traffic": {"feedback": {"to": "/proc/kept"}}}, folder=tmp_path)
    (finding,) = check_feedback(unwritable, artifact)
    assert (finding.status.value, "/proc/kept" in finding.found) == ("warn", True)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", "call_id,score\ncall-1,0.5\ncall-9,1\n", 0),
        ("a.jsonl", '{"call_id": "call-1", "score": 0.5, "comment": "x"}\n\n', 0),
        ("a.csv", "call_id,score\ncall-1,5\n", 2),
        ("a.jsonl", '{"call_id": "call-1", "score"', 2),
        ("a.jsonl", '{"call_id": "call-1", "score": 0.5, "comment": "one\u2028line"}\n', 0),
        ("a.jsonl", "[" * 100_000, 2),
        ("a.csv", f"call_id,score,comment\ncall-1,0.5,{'x' * 200_000}\n", 2),
        ("a.csv", "call_id,score\ncall-1\0,0.5\n", 2),
    ],
)
def test_the_command_takes_files_in_whole_or_not_at_all(
    tmp_path: Path, benchrouter: Any, name: str, content: str, code: int
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("benchrouter: {traffic: {feedback: {}}}")
    store = opened(tmp_path)
    store.add([call(1)])
    (tmp_path / name).write_text(content, encoding="utf-8")
    ended = benchrouter("feedback", "--config", config, tmp_path / name)
    assert ended.code == code, ended.out
    assert store.latest(9, ("score",), "score") == ([(0.5,)] if code == 0 else [])
    assert ("line" in ended.err) is (code == 2)


def test_a_store_that_cannot_be_read_ends_a_build_only_where_requests_are_explored(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / FILE).write_text("no database, but long enough to look like one" * 9)
    for explore in (0.0, 0.02):
        traffic = {"collect": {"to": "kept"}, "explore": explore}
        config = parse_config({"traffic": traffic}, folder=tmp_path)
        if explore:
            with pytest.raises(TrafficError, match="cannot be used"):
                read_explored(config)
        else:
            assert read_explored(config) is None
