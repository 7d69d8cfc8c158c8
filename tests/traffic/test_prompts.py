"""Prompts from wherever the configuration says, and what `benchrouter traffic` says of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Ended

from litellm_benchrouter.config import load_config, parse_config
from litellm_benchrouter.errors import BenchRouterError, ConfigError, SourceError, TrafficError
from litellm_benchrouter.traffic.collect import user_hash
from litellm_benchrouter.traffic.prompts import read_prompts
from litellm_benchrouter.traffic.spend_logs import SpendLogs

MATH = "Amira has {} tickets and gives away 15 percent of them. How many are left?"
CODE = "Write a Python function that reverses a queue of {} seeds without recursion."


def payload(text: Any, **more: Any) -> dict[str, Any]:
    """Return what LiteLLM's loggers write of a call."""
    return {
        "call_type": "acompletion",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        "model": "openai/atlas",
        "model_group": "smart",
        "model_parameters": {},
        "response_cost": 0.002,
        "status": "success",
        "startTime": 1.7e9,
        "endTime": 1.7e9 + 2.5,
        "end_user": "bo",
        "metadata": {
            "user_api_key_hash": "feed",
            "user_api_key_user_id": "amira",
            "spend_logs_metadata": {"benchrouter": {"model": "atlas-70b"}},
        },
        **more,
    }


def read(folder: Path, origin: str, **block: Any) -> list[dict[str, Any]]:
    config = parse_config({"traffic": {"from": origin}} | block, folder=folder)
    return read_prompts(config).to_dicts()


def test_what_loggers_write_becomes_rows(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "2026-11-29"
    logs.mkdir(parents=True)
    (logs / "a.json").write_text(json.dumps(payload("How many?")))
    (logs / "b.json").write_text(json.dumps([
        payload("And how few?", startTime=1.7e9 + 9, status="failure"),
        payload("redacted-by-litellm"),
        payload("An image", call_type="aimage_generation"),
        payload("", call_type="aembedding"),
    ]))  # fmt: skip
    for origin in ("logs", "logs/*/*.json", "logs/**/*.json"):
        first, second = read(tmp_path, origin)
        assert first == {
            "text": "How many?", "vector": None, "embedder": None, "model": "atlas-70b",
            "cost_usd": 0.002, "latency_s": 2.5, "outcome": "answered", "key": "feed",
            "user": user_hash("amira"), "end_user": user_hash("bo"), "time": 1.7e9,
        }  # fmt: skip
        assert (second["text"], second["outcome"]) == ("And how few?", "failed")


def test_prompts_and_request_bodies_become_rows(tmp_path: Path) -> None:
    lines = [
        "a bare string",
        {"prompt": "a prompt", "time": "2026-11-29T07:00:00Z"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]},
        {"input": "of /v1/responses", "model": "ours"},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y?"},
                      {"role": "user", "content": "yes"}]},
        {"prompt": "half a pair \ud83d"},
    ]  # fmt: skip
    text = "\n".join(map(json.dumps, lines)) + '\n{"prompt": "cut o'
    (tmp_path / "own.jsonl").write_text(text)
    (tmp_path / "own.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for origin in ("own.jsonl", "own.jsonl.gz"):
        rows = read(tmp_path, origin, models={"gpt-4o": {"aliases": ["ours"]}})
        assert [row["text"] for row in rows] == [
            "a bare string", "in parts", "of /v1/responses", "half a pair ?", "a prompt",
        ]  # fmt: skip
        assert rows[2]["model"] == "gpt-4o"
        assert rows[-1]["time"] == 1795935600.0


def test_the_newest_are_read(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"{i}", "time": i}) for i in range(9)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    config = parse_config({"traffic": {"from": "own.jsonl", "most": 3}}, folder=tmp_path)
    assert read_prompts(config)["text"].to_list() == ["6", "7", "8"]


@pytest.mark.parametrize("time", [1_795_000_000_000, -1e30, 1e300, "yesterday"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_time_that_is_none_is_not_known(
    tmp_path: Path, benchrouter: Callable[..., Ended], time: Any, kept: bool
) -> None:
    line = {"text" if kept else "prompt": "How many?", "time": time}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    assert [row["time"] for row in read(tmp_path, "a.jsonl")] == [None]
    config = tmp_path / "config.yaml"
    config.write_text("benchrouter: {traffic: {from: a.jsonl}}")
    ended = benchrouter("traffic", "--config", config)
    assert (ended.code, "Prompts: 1" in ended.out) == (0, True)


def test_a_url_is_read_as_a_folder_is(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.json").write_text(json.dumps(payload("How many?")))
    (tmp_path / "far" / "b.txt").write_text("no JSON")
    for origin in ("far", "far/*.json", "far/a.json"):
        rows = read(tmp_path, f"file://{tmp_path}/{origin}")
        assert [row["text"] for row in rows] == ["How many?"], origin


@pytest.mark.parametrize(
    ("content", "words"),
    [("no JSON at all\nnot here", "no line of it is JSON"), (None, "no JSON is in")],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "own.jsonl").write_text(content)
    with pytest.raises(BenchRouterError, match=words):
        read(tmp_path, "own.jsonl")


def test_a_cut_by_litellm_is_no_part_of_the_text(tmp_path: Path) -> None:
    cut = "before... (litellm_truncated skipped 9 chars. Truncation is a DB storage safeguard. "
    cut += "Full data is logged elsewhere (OTEL, etc.). To increase, set `X`.) ...after"
    (tmp_path / "own.jsonl").write_text(json.dumps({"prompt": cut}))
    assert read(tmp_path, "own.jsonl")[0]["text"] == "before\nafter"


def test_a_database_is_found_and_its_password_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    config = parse_config({"traffic": {"from": "spend_logs"}}, folder=tmp_path)
    with pytest.raises(ConfigError, match="no PostgreSQL of LiteLLM is known"):
        SpendLogs.of(config)
    url = "postgresql://me:quetzal@127.0.0.1:9/litellm?connection_limit=5&schema=public"
    monkeypatch.setenv("LITELLM_DB", url)
    path = tmp_path / "proxy.yaml"
    settings = {"general_settings": {"database_url": "os.environ/LITELLM_DB"}}
    path.write_text(yaml.safe_dump(settings | {"benchrouter": {"traffic": {"from": "spend_logs"}}}))
    pytest.importorskip("psycopg", reason="needs psycopg, which the extra `postgres` brings")
    with pytest.raises(TrafficError, match="cannot be used") as raised:
        read_prompts(load_config(path))
    assert "quetzal" not in str(raised.value)


@pytest.fixture
def own(demo_built: Path, tmp_path: Path) -> Path:
    """Return the configuration of the demo's benchmark with 30 prompts of own traffic."""
    lines = [{"prompt": (MATH if i < 20 else CODE).format(i), "time": 1.7e9 + i} for i in range(30)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    document = yaml.safe_load((demo_built / "config.yaml").read_text())
    document["benchrouter"]["artifacts"] = str(demo_built / "router_artifacts")
    document["benchrouter"]["traffic"] = {"from": "own.jsonl"}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_traffic_is_described_without_its_text(
    own: Path, benchrouter: Callable[..., Ended]
) -> None:
    ended = benchrouter("traffic", "--config", own, "--json")
    assert (ended.code, ended.document["amount"]["prompts"]) == (0, 30)
    document = ended.document
    assert sum(document["routing"]["picks"].values()) == 30
    assert document["routing"]["picks"] == {"mathsmith-8b": 20, "coder-14b": 10}
    assert 0 < document["benchmark"]["distance"]["p50"] < 2
    assert sum(cluster["prompts"] for cluster in document["clusters"]) == 30
    assert document["drift"]["p_value"] < 0.05  # the newer half is about code
    table = benchrouter("traffic", "--config", own)
    assert table.code == 0
    for word in ("Amira", "tickets", "recursion", "Python"):
        assert word not in ended.out + table.out
    shown = benchrouter("traffic", "--config", own, "--show", "--json")
    assert "Amira" in shown.out and "recursion" in shown.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--erase"], "--erase needs"),
        (["--erase", "--all", "--key", "x"], "--erase needs"),
        (["--key", "x"], "--erase is missing"),
        (["--erase", "--before", "soon"], "is no date"),
        (["--erase", "--all"], "not the plugin's own"),
    ],
)
def test_wrong_options_are_refused(
    own: Path, benchrouter: Callable[..., Ended], options: list[str], words: str
) -> None:
    ended = benchrouter("traffic", "--config", own, *options)
    assert (ended.code, words in ended.err) == (2, True)


def test_without_a_place_the_way_out_is_said(own: Path, benchrouter: Callable[..., Ended]) -> None:
    document = yaml.safe_load(own.read_text())
    del document["benchrouter"]["traffic"]
    own.write_text(yaml.safe_dump(document))
    ended = benchrouter("traffic", "--config", own)
    assert (ended.code, "names no prompts" in ended.err) == (2, True)


PAYLOAD = {
    "call_type": "acompletion", "api_key": "k", "user": "u", "end_user": "e", "spend": 0.1,
    "model": "m", "model_group": "g", "startTime": 1.0, "endTime": 2.0, "status": "success",
    "proxy_server_request": {"messages": [{"role": "user", "content": "Which soup?"}]},
    "metadata": {"spend_logs_metadata": {"benchrouter": {"model": "m"}}}, "model_parameters": {},
}  # fmt: skip
ROW = {"text": "Which soup?", "time": 1.0, "key": "k", "cost_usd": 0.1, "vector": "AAA="}
BODY = {"messages": [{"role": "user", "content": "Which soup?"}], "model": "m", "time": 1.0}


@pytest.mark.parametrize("line", [PAYLOAD, ROW, BODY], ids=["payload", "row", "body"])
@pytest.mark.parametrize("odd", [5, "odd", [1], {"a": 1}, True, 10**400, float("nan"), None])
def test_a_field_of_another_kind_costs_no_other_prompt(
    tmp_path: Path, line: dict[str, Any], odd: Any
) -> None:
    lines = [line, *({**line, name: odd} for name in line)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    prompts = read_prompts(parse_config({"traffic": {"from": "own.jsonl"}}, folder=tmp_path))
    assert "Which soup?" in prompts["text"].to_list()


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("logs/*.jsonl", "a"),
        ("logs/**x.jsonl", "a"),
        ("logs/**/*.jsonl", "abc"),
        ("logs/**", "abc"),
        ("logs/[!a]*/*.jsonl", "b"),
        ("logs/none*", ""),
    ],
)
def test_patterns_mean_the_same_files_in_every_python(
    tmp_path: Path, pattern: str, files: str
) -> None:
    for letter, name in {"a": "ax.jsonl", "b": "b/bx.jsonl", "c": "b/c/cx.jsonl"}.items():
        path = tmp_path / "logs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"prompt": letter}))
    config = parse_config({"traffic": {"from": pattern}}, folder=tmp_path)
    if files:
        assert sorted(read_prompts(config)["text"]) == [*files]
    else:
        with pytest.raises(ConfigError, match=r"no JSON is in .*none\*"):
            read_prompts(config)


def test_what_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"prompt": "Which soup?"}\n' * 100)
    config = parse_config({"traffic": {"from": "own.jsonl.gz"}}, folder=tmp_path)
    for content in (b"no gzip", whole[:-5], whole[:-8] + b"12345678", whole[:14] + b"\xff" * 9):
        (tmp_path / "own.jsonl.gz").write_bytes(content)
        with pytest.raises(SourceError, match=r"own.jsonl.gz: it cannot be unpacked"):
            read_prompts(config)
