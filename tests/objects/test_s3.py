"""An S3 server on loopback that dies, hangs or is cut off in the middle of what is being done."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import Ended

from litellm_benchrouter.artifact.files import file_digest
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ArtifactError, StoreUnavailableError
from litellm_benchrouter.store.remote import ConflictError, Remote
from objects.conftest import elsewhere, mirror, needs_s3
from objects.server import BUCKET, KEY, SECRET, Relay, S3Server

Configured = Callable[..., BenchRouterConfig]


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[S3Server]:
    """Run a server for one test to kill."""
    needs_s3()
    with S3Server(tmp_path) as server:
        yield server


def at(config: BenchRouterConfig, seed: int) -> BenchRouterConfig:
    return config.model_copy(update={"seed": seed})


def remote(url: str, server: S3Server | Relay, **options: Any) -> Remote:
    return Remote(url, {"client_kwargs": {"endpoint_url": server.url}} | options)


def leftovers(config: BenchRouterConfig) -> list[Path]:
    return list((config.artifacts / "versions").glob(".*"))


def test_of_two_that_replace_the_same_object_at_once_the_server_lets_one(
    s3_server: S3Server, place: str
) -> None:
    for before in (None, b"0123\n"):
        places = [remote(place, s3_server) for _ in range(6)]
        seen = [each.look("CURRENT") for each in places]
        assert {each.content for each in seen} == {before}
        outcomes: list[str] = []

        def write(number: int, places: Any = places, seen: Any = seen, to: Any = outcomes) -> None:
            try:
                places[number].replace(seen[number], f"{number}\n".encode())
                to.append(f"{number}\n")
            except ConflictError:
                to.append("overtaken")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("overtaken") == 5
        winner = next(each for each in outcomes if each != "overtaken")
        assert places[0].read("CURRENT") == winner.encode()
        places[0].write("CURRENT", b"0123\n")


def test_the_server_itself_refuses_what_was_looked_at_too_long_ago(
    s3_server: S3Server, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, early = remote(place, s3_server), remote(place, s3_server)
    early.write("CURRENT", b"a\n")
    seen = late.look("CURRENT")
    early.write("CURRENT", b"b\n")
    # As if it had changed between our own comparison and the put.
    monkeypatch.setattr("litellm_benchrouter.store.remote.content_of", lambda files, path: b"a\n")
    with pytest.raises(ConflictError):
        late.replace(seen, b"c\n")
    monkeypatch.undo()
    assert s3_server.read(f"{place.split('/', 3)[3]}/CURRENT") == b"b\n"


@pytest.mark.parametrize(
    "share",
    [
        0.5,
        *(pytest.param(share / 20, marks=pytest.mark.long) for share in (1, 3, 6, 8, 13, 15, 16)),
    ],
)
def test_an_upload_that_is_cut_in_the_middle_publishes_nothing_and_the_next_goes_on(
    s3_server: S3Server, configured: Configured, place: str, share: float
) -> None:
    direct = configured(place, endpoint=s3_server.url)
    first = build(direct).manifest.version
    # How many bytes an upload is: another prefix takes a build of the other seed whole.
    with Relay(s3_server.port, 10**9, sent=True) as counting:
        build(at(configured(f"{place}-whole", endpoint=counting.url, cache="whole"), 1))
        n_bytes = counting.carried
    with Relay(s3_server.port, int(share * n_bytes), sent=True) as relay:
        config = configured(place, endpoint=relay.url)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            build(at(config, 1))
        assert relay.is_cut
        store = elsewhere(direct)
        assert (store.current(), store.versions()[:1]) == (first, [first])
        store.verify(first)
        relay.mend()
        second = build(at(config, 1))
    assert second.published
    assert store.current() == second.manifest.version
    store.verify(second.manifest.version)
    assert leftovers(config) == []


def test_a_server_that_is_killed_in_the_middle_of_an_upload_ends_the_build_with_a_sentence(
    mortal: S3Server, configured: Configured, place: str, benchrouter: Callable[..., Ended]
) -> None:
    with Relay(mortal.port, 12_000, sent=True, cut=mortal.kill) as relay:
        config = configured(place, endpoint=relay.url)
        ended = benchrouter("build", "--config", config.artifacts.parent.parent / "config.yaml")
    assert ended.code == 1
    assert f"Error: {place} does not answer" in ended.err
    assert "Traceback" not in ended.err
    assert leftovers(config) == []


@pytest.mark.parametrize("tries", [2, pytest.param(5, marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("kill", [False, True], ids=["cut", "killed"])
def test_a_download_that_ends_in_the_middle_leaves_nothing_and_the_copies_as_they_were(
    mortal: S3Server, configured: Configured, place: str, kill: bool
) -> None:
    direct = configured(place, endpoint=mortal.url)
    first, second = build(direct).manifest.version, build(at(direct, 1)).manifest.version
    with Relay(mortal.port, sys.maxsize, sent=False, cut=mortal.kill if kill else None) as relay:
        other = elsewhere(configured(place, endpoint=relay.url))
        other.fetch(first)
        other.keep(first)
        before = tiny.tree(other.root / "versions")
        relay.cut_after(6_000)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            other.fetch(second)
        assert relay.reached
        assert tiny.tree(other.root / "versions") == before
        assert other.cached() == first
        if not kill:
            relay.mend()
            assert other.fetch(second).is_dir()


@pytest.mark.long
def test_a_large_file_that_is_cut_between_its_parts_is_not_there_and_nothing_else_is_said(
    s3_server: S3Server, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(120_000_000)
    with Relay(s3_server.port, 60_000_000, sent=True) as relay:
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            remote(place, relay).upload("large", large)
        gc.collect()
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []
    assert not remote(place, s3_server).there("large")
    remote(place, s3_server).upload("large", large)
    assert remote(place, s3_server).digest("large", 0) == (120_000_000, file_digest(large))


def test_a_server_that_accepts_and_never_answers_is_given_up_in_time(
    s3_server: S3Server, configured: Configured, place: str, impatient: None
) -> None:
    with Relay(s3_server.port, 10**9, sent=True, mute=True) as relay:
        store = mirror(configured(place, endpoint=relay.url))
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="CURRENT took longer than"):
                store.current()
        with pytest.raises(StoreUnavailableError, match="3 calls to it still hang"):
            store.current()  # and no more threads are made


def test_no_message_holds_a_key(
    s3_server: S3Server,
    configured: Configured,
    place: str,
    benchrouter: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OUR_SECRET", "k-unseen-918273")
    options = {
        "key": KEY,
        "secret": "os.environ/OUR_SECRET",
        "token": "t-unseen-5566",
        "client_kwargs": {"endpoint_url": "http://someone:p-unseen-11@127.0.0.1:1"},
    }
    config = configured(place, storage_options=options)
    yaml = config.artifacts.parent.parent / "config.yaml"
    for command in (("versions",), ("doctor", "--json")):
        ended = benchrouter(*command, "--config", yaml)
        assert ended.code == 1
        assert "unseen" not in ended.out + ended.err
        assert place in ended.out + ended.err
    assert "unseen" not in repr(config)

    monkeypatch.delenv("OUR_SECRET")
    ended = benchrouter("versions", "--config", yaml)
    assert ended.code == 2
    assert "names os.environ/OUR_SECRET, which is not set" in ended.err


def test_options_that_name_variables_open_the_store(
    s3_server: S3Server, configured: Configured, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(configured(place, endpoint=s3_server.url))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("OUR_KEY", KEY)
    monkeypatch.setenv("OUR_SECRET", SECRET)
    options = {
        "key": "os.environ/OUR_KEY",
        "secret": "os.environ/OUR_SECRET",
        "client_kwargs": {"endpoint_url": s3_server.url},
    }
    assert mirror(configured(place, storage_options=options)).current() is not None


def test_a_bucket_that_does_not_exist_is_named(s3_server: S3Server, configured: Configured) -> None:
    config = configured("s3://nobody-made-this/prefix", endpoint=s3_server.url)
    with pytest.raises(ArtifactError, match=r"s3://nobody-made-this/prefix .*Create the bucket"):
        build(config)
