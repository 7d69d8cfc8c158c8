"""One memory for all workers: shared where Redis answers in time, each worker's own where not."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis_server import RedisServer, redis_server

from litellm_benchrouter.conversation.state import Session, Sessions
from litellm_benchrouter.serving.memory import RedisMemory
from litellm_benchrouter.serving.metrics import MEMORY_OUTCOMES, Metrics

redis = pytest.importorskip("redis.asyncio", reason="needs redis, which litellm[proxy] brings")

NAME, OTHER = "a" * 32, "b" * 32
CHAT = Session(NAME, NAME, "")


class Reads(Metrics):
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def memory_read(self, outcome: str) -> None:
        assert outcome in MEMORY_OUTCOMES
        self.outcomes[outcome] += 1


class Worker:
    """One worker's memory of conversations, with a Redis beside it."""

    def __init__(self, url: str, seconds: float = 3600.0, prefix: str = "") -> None:
        self.reads = Reads()
        self.memory = RedisMemory(
            lambda: redis.Redis.from_url(url), prefix, self.reads, again_seconds=0.05
        )
        self.sessions = Sessions(seconds)
        self.sessions.shared = self.memory

    async def model(self, session: Session = CHAT) -> str | None:
        held = await self.sessions.held(session)
        return held and held.model

    async def until(self, model: str | None, session: Session = CHAT) -> None:
        """Wait until this worker has heard of a model; notes are written behind the answers."""
        async with asyncio.timeout(20):
            while await self.model(session) != model:
                await asyncio.sleep(0.01)

    async def until_open(self, is_open: bool = True) -> None:
        async with asyncio.timeout(20):
            while self.memory.answers is not is_open:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def workers(url: str, n: int = 2, **options: Any) -> AsyncIterator[list[Worker]]:
    made = [Worker(url, **options) for _ in range(n)]
    for worker in made:
        await worker.memory.open()
    try:
        yield made
    finally:
        for worker in made:
            await worker.memory.close()


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
async def server(running: RedisServer) -> RedisServer:
    async with redis.Redis.from_url(running.url) as client:
        await client.flushall()
    return running


async def test_a_worker_goes_by_what_another_noted_last(server: RedisServer) -> None:
    async with workers(server.url) as (one, two):
        one.sessions.hold(NAME, "coder-14b")
        await two.until("coder-14b")
        two.sessions.hold(NAME, "mathsmith-8b", failures=3)
        await one.until("mathsmith-8b")
        held = await one.sessions.held(CHAT)
        assert held is not None
        assert held.failures == 3
        assert one.sessions.rested(held) < 60
        assert await one.model(Session(OTHER, OTHER, "")) is None
        # A conversation without an id is held under its turns before the last answer.
        assert await two.model(Session(OTHER, OTHER, NAME)) == "mathsmith-8b"
        assert set(two.reads.outcomes) == {"answered"}


async def test_what_was_just_noted_is_not_noted_again(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,), redis.Redis.from_url(server.url) as client:
        now = [1000.0]
        one.sessions._clock = lambda: now[0]
        for at, model, noted in (
            *((1000.0, "coder-14b", 1000.0), (1004.9, "coder-14b", 1000.0)),
            *((1005.1, "coder-14b", 1005.1), (1006.0, "atlas-70b", 1006.0)),
        ):
            now[0] = at
            one.sessions.hold(NAME, model)
            await one.model()  # what was noted before is written before
            value = json.loads(await client.get(f"benchrouter:session:v1:{NAME}"))
            assert (value["model"], value["at"]) == (model, noted)


async def test_a_response_of_another_worker_is_known(server: RedisServer) -> None:
    async with workers(server.url) as (one, two):
        one.sessions.note_response("resp_1", NAME)
        assert two.sessions.of_response("resp_1") is None
        async with asyncio.timeout(20):
            while two.sessions.of_response("resp_1") is None:
                await two.sessions.recall("resp_1")
        assert two.sessions.of_response("resp_1") == NAME
        await two.sessions.recall("resp_2")
        assert two.sessions.of_response("resp_2") is None


async def test_redis_holds_hashes_and_a_model_and_for_no_longer_than_the_session(
    server: RedisServer,
) -> None:
    async with workers(server.url, prefix="mine:", seconds=100.0) as (one, two):
        one.sessions.hold(NAME, "coder-14b", failures=1)
        one.sessions.note_response("resp_1", NAME)
        await two.until("coder-14b")
        async with redis.Redis.from_url(server.url) as client:
            keys = sorted([key async for key in client.scan_iter()])
            assert len(keys) == 2
            for key in keys:
                assert re.fullmatch(rb"mine:benchrouter:(response|session):v1:[0-9a-f]{32}", key)
                assert 0 < await client.pttl(key) <= 100_000
            assert await client.get(keys[0]) == NAME.encode()
            value = json.loads(await client.get(keys[1]))
        assert value == {"model": "coder-14b", "at": value["at"], "failures": 1}


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"\xff\x00", b"nonsense", b"null", b"[]", b"{}", b"1e999", b"[" * 100_000),
        b'{"model": 3, "at": 1.0, "failures": 0}',
        b'{"model": "coder-14b", "at": "today", "failures": 0}',
        b'{"model": "coder-14b", "at": NaN, "failures": 0}',
        b'{"model": "coder-14b", "at": 1e18}',
    ],
)
async def test_a_value_that_is_none_of_ours_counts_as_nothing(
    server: RedisServer, value: bytes
) -> None:
    async with workers(server.url, 1) as (one,), redis.Redis.from_url(server.url) as client:
        await client.set(f"benchrouter:session:v1:{NAME}", value)
        await client.set(f"benchrouter:response:v1:{NAME}", value)
        assert await one.model() is None
        await one.sessions.recall("resp_1")
        one.sessions.hold(NAME, "coder-14b")
        assert await one.model() == "coder-14b"


async def test_a_key_of_another_type_leaves_the_workers_own_memory(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,), redis.Redis.from_url(server.url) as client:
        one.sessions.hold(NAME, "coder-14b")
        await one.until("coder-14b")
        await client.delete(f"benchrouter:session:v1:{NAME}")
        await client.lpush(f"benchrouter:session:v1:{NAME}", "x")
        assert await one.model() == "coder-14b"
        assert one.reads.outcomes["failed"] == 1
        assert one.memory.answers, "one bad key is no reason to leave Redis"


async def test_a_clock_that_is_ahead_holds_nothing_for_longer(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,), redis.Redis.from_url(server.url) as client:
        value = json.dumps({"model": "coder-14b", "at": 1e15, "failures": 0, "new": "field"})
        await client.set(f"benchrouter:session:v1:{NAME}", value)
        held = await one.sessions.held(CHAT)
        assert held is not None
        assert 0 <= one.sessions.rested(held) < 60


async def test_a_redis_that_dies_and_comes_back_costs_no_request(server: RedisServer) -> None:
    async with workers(server.url) as (one, two):
        one.sessions.hold(NAME, "coder-14b")
        await two.until("coder-14b")
        server.kill()
        try:
            for worker in (one, two):
                assert await worker.model() == "coder-14b", "its own memory goes on"
                await worker.until_open(False)
                worker.sessions.hold(OTHER, "atlas-70b")
                before = worker.reads.outcomes.copy()
                assert await worker.model(Session(OTHER, OTHER, "")) == "atlas-70b"
                assert worker.reads.outcomes - before == {"skipped": 1}
        finally:
            server.start()
        for worker in (one, two):
            await worker.until_open()
            assert await worker.model() == "coder-14b", "what Redis forgot the worker knows"
        two.sessions.hold(NAME, "mathsmith-8b")
        await one.until("mathsmith-8b")


async def test_a_redis_that_stands_still_is_waited_for_once(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,):
        one.sessions.hold(NAME, "coder-14b")
        await one.until("coder-14b")
        server.stand_still()
        try:
            before = one.reads.outcomes.copy()
            models = await asyncio.gather(*(one.model() for _ in range(8)))
            assert models == ["coder-14b"] * 8
            assert not one.memory.answers
            waited = one.reads.outcomes - before
            assert waited["answered"] == 0
            before = one.reads.outcomes.copy()
            for _ in range(50):
                assert await one.model() == "coder-14b"
                one.sessions.hold(NAME, "coder-14b")
            assert one.reads.outcomes - before == {"skipped": 50}
            await asyncio.sleep(0.3)  # some tries later
            assert not one.memory.answers
        finally:
            server.go_on()
        await one.until_open()
        assert await one.model() == "coder-14b"


async def test_notes_that_a_standing_redis_does_not_take_are_bounded(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,):
        server.stand_still()
        try:
            for number in range(5_000):
                one.sessions.hold(f"{number:032x}", "coder-14b")
            assert len(one.memory._batches) <= 1_000
            assert await one.model() is None
            assert one.memory._batches == []
        finally:
            server.go_on()


async def test_what_does_not_answer_as_redis_does_is_left_alone() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    for handle in (silent, nonsense):
        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        worker = Worker(f"redis://127.0.0.1:{port}/0")
        assert not await worker.memory.open()
        worker.sessions.hold(NAME, "coder-14b")
        assert await worker.model() == "coder-14b"
        assert worker.reads.outcomes == {"skipped": 1}
        await worker.memory.close()
        listening.close()
        await listening.wait_closed()


async def test_a_redis_that_asks_for_a_password_is_left_alone() -> None:
    with redis_server("--requirepass", "made-up-password") as server:
        async with workers(server.url, 1) as (shut,):
            assert not shut.memory.answers
            shut.sessions.hold(NAME, "coder-14b")
            assert await shut.model() == "coder-14b"
        url = server.url.replace("redis://", "redis://:made-up-password@")
        async with workers(url, 1) as (one,):
            assert one.memory.answers


async def test_the_first_read_connects_where_nobody_did(server: RedisServer) -> None:
    worker = Worker(server.url)
    assert await worker.model() is None
    assert worker.reads.outcomes == {"skipped": 1}
    await worker.until_open()
    worker.sessions.hold(NAME, "coder-14b")
    assert await worker.model() == "coder-14b"
    assert worker.reads.outcomes["answered"] == 1
    await worker.memory.close()


async def test_another_loop_is_told_nothing(server: RedisServer) -> None:
    async with workers(server.url, 1) as (one,):
        one.sessions.hold(NAME, "coder-14b")
        await one.until("coder-14b")
        before = one.reads.outcomes["skipped"]
        assert await asyncio.to_thread(asyncio.run, one.model()) == "coder-14b"
        assert one.reads.outcomes["skipped"] == before + 1
        await asyncio.to_thread(one.sessions.hold, NAME, "atlas-70b")  # no loop at all
        assert await one.model() == "atlas-70b"
