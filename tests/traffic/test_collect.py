"""What is kept of prompts, where, for how long, and what is never."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litellm_benchrouter.config import BenchRouterConfig, CollectConfig, parse_config
from litellm_benchrouter.conversation.ask import Ask
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.proxy.samples import Samples
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.traffic import collect as collecting
from litellm_benchrouter.traffic.collect import Collector, redactor, user_hash
from litellm_benchrouter.traffic.parts import Folder, PromptStore
from litellm_benchrouter.traffic.prompts import read_prompts

NOW = 1_795_000_000.0
DAY = 86_400.0


def configured(folder: Path, **collect: Any) -> BenchRouterConfig:
    block = {"share": 1.0, "to": "kept", **collect}
    return parse_config({"traffic": {"collect": block}}, folder=folder)


def collector(config: BenchRouterConfig, counts: Counter[str]) -> Collector:
    assert config.traffic is not None and config.traffic.collect is not None
    return Collector(
        config.traffic.collect, {}, lambda result, n: counts.update({result: n}), lambda: 0.5
    )


def keep(config: BenchRouterConfig, texts: list[str], **more: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    made = collector(config, counts)
    for text in texts:
        made.add({"time": time.time(), "text": text, **more})
    made.flush()
    return counts


def texts_of(config: BenchRouterConfig) -> list[str]:
    return read_prompts(config)["text"].to_list()


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("write to amira.b+x@mail.example.org today", "write to [email] today"),
        ("card 4111 1111 1111 1111, 12/26", "card [card], 12/26"),
        ("card 4111-1111-1111-1111!", "card [card]!"),
        ("card 378282246310005", "card [card]"),
        ("what is 4111111111111112 - 1?", "what is 4111111111111112 - 1?"),  # Luhn says no
        ("key=sk-proj-abcdefghijklmnop1234", "key=[key]"),
        ("use AKIAIOSFODNN7EXAMPLE here", "use [key] here"),
        ("Authorization: Bearer abcdefghijklmnop.qrs", "Authorization: [key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- ok", "[key] ok"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[key]"),
        ("a task-based plan of 12 345 678 steps", "a task-based plan of 12 345 678 steps"),
    ],
)
def test_what_is_named_is_taken_out(text: str, without: str) -> None:
    assert redactor(["email", "card", "key"])(text) == without


def test_patterns_and_functions_of_the_operator_are_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.py").write_text("def quiet(text):\n    return text.replace('Bo', '[name]')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert redactor([r"case-\d+", "ours:quiet"])("Bo has case-17") == "[name] has [redacted]"
    patterns = ["(?:emails)", "monkey", r"acme\.com"]
    assert CollectConfig(redact=patterns).redact == patterns


@pytest.mark.parametrize(
    "function",
    ["no_such_module:redact", "builtins:len", "os:strerror", "a_script_that_redacts:redact"],
)
def test_what_cannot_be_redacted_is_not_kept(
    tmp_path: Path,
    function: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a_script_that_redacts.py").write_text("raise SystemExit(2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = configured(tmp_path, redact=[function])
    with caplog.at_level(logging.WARNING):
        assert keep(config, ["the codeword is quetzal", "again"]) == {"refused": 2}
    assert not (tmp_path / "kept").exists()
    assert len(caplog.records) == 1
    assert "quetzal" not in caplog.text


def test_a_vector_goes_with_the_text_alone_that_it_is_of(tmp_path: Path) -> None:
    config = configured(tmp_path)
    vector = np.array([0.6, 0.8, 0.0], dtype=np.float32)
    keep(config, ["plain"], vector=vector, embedder="f00d")
    keep(config, ["by amira@example.org"], vector=vector, embedder="f00d")
    plain, redacted = read_prompts(config).sort("text", descending=True).to_dicts()
    assert np.frombuffer(plain["vector"], "<f2") == pytest.approx(vector, abs=1e-3)
    assert plain["embedder"] == "f00d"
    assert (redacted["text"], redacted["vector"], redacted["embedder"]) == (
        "by [email]", None, None,
    )  # fmt: skip


def test_no_more_than_the_newest_are_kept(tmp_path: Path) -> None:
    config = configured(tmp_path, most=10)
    counts = keep(config, [f"question {i}" for i in range(25)])
    assert counts == {"stored": 25}
    assert texts_of(config) == [f"question {i}" for i in range(15, 25)]


def test_processes_share_a_place_and_its_bound(tmp_path: Path) -> None:
    config = configured(tmp_path, most=100)
    counts: Counter[str] = Counter()
    workers = [collector(config, counts) for _ in range(3)]
    for i in range(300):
        workers[i % 3].add({"time": time.time(), "text": f"question {i}"})
        workers[i % 3].flush()
    left = texts_of(config)
    assert 80 <= len(left) <= 106  # a part of each worker may grow beside
    assert "question 299" in left


def test_what_is_too_old_is_neither_read_nor_left(tmp_path: Path) -> None:
    to = str(tmp_path / "kept")
    clock = [NOW]
    store = PromptStore(CollectConfig(to=to, keep_days=2), {}, lambda: clock[0])
    for day in range(4):
        clock[0] = NOW + day * DAY
        store.add([json.dumps({"time": clock[0], "text": f"of day {day}"}).encode() + b"\n"])
    assert [row["text"] for row in store.rows()] == ["of day 3", "of day 2", "of day 1"]
    clock[0] += 3600
    store.prune()
    content = b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir())
    assert b"of day 1" not in content and b"of day 2" in content


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "LONGEST_QUEUE", 3)
    counts = keep(configured(tmp_path), [f"question {i}" for i in range(5)])
    assert counts == {"dropped": 2, "stored": 3}


@pytest.mark.parametrize("place", ["/dev/full/kept", "file"])
def test_a_store_that_cannot_be_written_is_counted_and_said_once(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    config = configured(tmp_path, to=place)
    with caplog.at_level(logging.WARNING):
        assert keep(config, ["the codeword is quetzal"] * 3) == {"failed": 3}
    assert "takes no prompts" in caplog.text
    assert "quetzal" not in caplog.text


def test_a_disk_that_fills_leaves_no_half_of_a_line(tmp_path: Path) -> None:
    config, folder = configured(tmp_path), tmp_path / "kept"
    real = os.write

    def full(file: int, content: Any) -> int:
        real(file, bytes(content)[:20])
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", full)
        assert keep(config, ["the first of all"]) == {"failed": 1}
        assert not list(folder.iterdir()), "a disk that stays full would get a file a second"
    assert keep(config, ["the second"]) == {"stored": 1}
    assert texts_of(config) == ["the second"]
    assert b"the first" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_erasing_takes_what_is_meant_and_every_broken_line(tmp_path: Path) -> None:
    config, folder = configured(tmp_path), tmp_path / "kept"
    keep(config, ["of amira", "of amira again"], user=user_hash("amira"))
    keep(config, ["of bo"], user=user_hash("bo"))
    part = next(path for path in folder.iterdir() if b"of bo" in path.read_bytes())
    with part.open("ab") as file:
        file.write(b'{"text": "the codeword is que')
    (folder / f".{part.name}.0123abcd").write_bytes(b"left by a command that was killed")
    (folder / "notes.jsonl").write_text("not ours")
    assert config.traffic is not None and config.traffic.collect is not None
    store = PromptStore(config.traffic.collect, {})
    assert store.erase(lambda row: row.get("user") == user_hash("amira")) == 2
    assert texts_of(config) == ["of bo"]
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    whole = b"".join(content.values())
    assert b"amira" not in whole and b"codeword" not in whole and b"killed" not in whole
    assert content["notes.jsonl"] == b"not ours"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.name in content} >= {
        0o600
    }


def test_who_writes_goes_on_while_others_erase(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert config.traffic is not None and config.traffic.collect is not None
    counts: Counter[str] = Counter()
    made, stop = collector(config, counts), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            made.add({"time": time.time(), "text": f"odd {number}" if number % 2 else "even"})
            made.flush()
            number += 1

    writing = threading.Thread(target=write)
    writing.start()
    store = PromptStore(config.traffic.collect, {})
    erased = 0
    for _ in range(20):
        erased += store.erase(lambda row: row["text"] == "even")
    stop.set()
    writing.join()
    erased += store.erase(lambda row: row["text"] == "even")
    assert erased > 0
    assert counts["failed"] == 0
    assert "even" not in texts_of(config)
    left = texts_of(config)
    assert left == sorted(left, key=lambda text: int(text.split()[1]))


@pytest.mark.parametrize("operation", ["rename", "read"])
def test_a_part_that_another_process_has_moved_is_erased_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    config = configured(tmp_path)
    keep(config, ["of amira", "of bo"])
    real = getattr(Folder, operation)

    def late(self: Folder, name: str, *rest: Any) -> Any:
        monkeypatch.setattr(Folder, operation, real)
        Folder.rename(self, name, name.replace(name[-14:], "00000000.jsonl"))
        return real(self, name, *rest)

    monkeypatch.setattr(Folder, operation, late)
    assert config.traffic is not None and config.traffic.collect is not None
    assert PromptStore(config.traffic.collect, {}).erase(lambda row: "amira" in row["text"]) == 1
    assert texts_of(config) == ["of bo"]


def test_folders_are_their_owners_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a" / "kept")
    folder.append("one", b"1")
    folder.write("two", b"2")
    assert (tmp_path / "a" / "kept").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a/kept").iterdir()} == {0o600}


def test_a_folder_that_is_written_as_a_url_is_its_owners_alone(tmp_path: Path) -> None:
    config = configured(tmp_path / "elsewhere", to=f"file://{tmp_path}/kept")
    assert keep(config, ["one"]) == {"stored": 1}
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "kept").iterdir()} == {0o600}
    assert texts_of(config) == ["one"]


def call_of(kind: Any, text: str = "How many?") -> Call:
    return Call(turn=Ask(kind, text))


def test_what_root_erases_from_its_owner_can_read_and_go_on_with(tmp_path: Path) -> None:
    config, place = configured(tmp_path), tmp_path / "kept"
    place.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(place, 65_534, 65_534)
    assert keep(config, ["one", "two"]) == {"stored": 2}
    assert config.traffic is not None and config.traffic.collect is not None
    assert PromptStore(config.traffic.collect, {}).erase(lambda row: row["text"] == "one") == 1
    assert texts_of(config) == ["two"]
    owner = place.stat()
    assert {(file.stat().st_uid, file.stat().st_gid) for file in place.glob("*.jsonl")} == {
        (owner.st_uid, owner.st_gid)
    }


@pytest.mark.parametrize("kind", ["keep", "side", "none"])
def test_only_what_is_asked_anew_is_drawn(tmp_path: Path, kind: Any) -> None:
    counts: Counter[str] = Counter()
    made = collector(configured(tmp_path), counts)
    samples = Samples(made)
    for each, call_id in ((kind, "1"), ("ask", "2")):
        samples.begin(call_of(each), {"litellm_call_id": call_id, "metadata": {}})
        samples.answered({"litellm_call_id": call_id, "litellm_params": {}}, None, None)
    made.flush()
    assert counts == {"stored": 1}


def test_the_end_of_a_call_of_another_key_is_not_taken_for_that_of_this(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    made = collector(configured(tmp_path), counts)
    samples = Samples(made)
    request = {"litellm_call_id": "1", "metadata": {"user_api_key_hash": "of-amira"}}
    samples.begin(call_of("ask"), request)

    def end(key: str) -> dict[str, Any]:
        payload = {"metadata": {"user_api_key_hash": key}, "response_cost": 0.25}
        return {"litellm_call_id": "1", "standard_logging_object": payload, "litellm_params": {}}

    samples.answered(end("of-bo"), None, None)
    made.flush()
    assert not counts
    samples.answered(end("of-amira"), None, None)
    made.flush()
    row = read_prompts(configured(tmp_path)).row(0, named=True)
    assert (row["key"], row["cost_usd"]) == ("of-amira", 0.25)


def test_half_of_the_requests_are_drawn_at_half(tmp_path: Path) -> None:
    config = configured(tmp_path, share=0.5)
    assert config.traffic is not None and config.traffic.collect is not None
    drawn = iter([0.1, 0.49, 0.5, 0.9])
    made = Collector(config.traffic.collect, {}, draw=lambda: next(drawn))
    assert [made.draws() for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"share": 0}, "share"),
        ({"share": 2}, "share"),
        ({"to": "kept/*.jsonl"}, "is not a folder or a URL"),
        ({"redact": ["("]}, "no regular expression"),
        ({"redact": ["a*"]}, "matches an empty text"),
        ({"redact": ["emails"]}, "Write email, or"),
        ({"redact": ["E-Mail"]}, "Write email, or"),
        ({"redact": ["API_KEY"]}, "Write key, or"),
        ({"redact": ["our_package.names.hide"]}, "as `module:function`"),
        ({"most": 0}, "most"),
        ({"keep": 3}, "keep_days"),
    ],
)
def test_a_wrong_block_is_refused_in_words(tmp_path: Path, block: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({"traffic": {"collect": block}}, folder=tmp_path)


def test_the_keys_of_the_block_are_named_as_they_are_written(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"known here: collect, database_url, explore, feedback, from, labels, m"
    ):
        parse_config({"traffic": {"form": "x"}}, folder=tmp_path)
