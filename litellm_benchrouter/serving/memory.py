"""A memory that all workers share, in Redis, for which a request waits 5 ms at most, and once.

When Redis is late or fails it is left alone: requests are told at once that nothing is known, and
go by their worker's own memory, until a task in the background has had an answer in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from litellm_benchrouter.serving.metrics import Metrics

logger = logging.getLogger("litellm_benchrouter")

_STEPS, _STEP = 5, 0.001  # seconds
_TURNS = 5  # of the loop
_CONNECT_SECONDS = 3.0  # for what no request waits for
_AGAIN_SECONDS = 2.0
_LONGEST_QUEUE = 1_000

Command = tuple[str | int, ...]


class RedisMemory:
    """Reads and writes through one connection; what comes while it is in use goes in one batch.

    It belongs to the event loop that opened it, or read from it first; others are told nothing.

    Parameters
    ----------
    connect : callable
        Returns a new client of `redis.asyncio`. It is called in a thread.
    prefix : str
        What all keys begin with.
    metrics : Metrics
    again_seconds : float
        How often Redis is tried while it does not answer in time.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        prefix: str = "",
        metrics: Metrics | None = None,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        self._connect = connect
        self._prefix = prefix
        self._metrics = metrics or Metrics()
        self._again = again_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None  # None while Redis does not answer in time
        self.trouble = ""  # the kind of error of the latest try that failed
        self._batches: list[tuple[list[Command], asyncio.Future[list[Any]] | None]] = []
        self._sending: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def answers(self) -> bool:
        """Whether Redis answered in time when it was asked last."""
        return self._client is not None

    async def open(self) -> bool:
        """Connect; say whether Redis answers in time. Else it is tried again in the background."""
        self._loop = asyncio.get_running_loop()
        if not await self._try():
            self._trying = asyncio.create_task(self._keep_trying())
        return self.answers

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what stands under some keys; None where nothing does, or Redis does not say."""
        nothing: list[bytes | None] = [None] * len(keys)
        if not self._is_open():
            self._metrics.memory_read("skipped")
            return nothing
        answer = asyncio.get_running_loop().create_future()
        self._send([("GET", self._prefix + key) for key in keys], answer)
        if not await _in_time(answer):
            self._lose("does not answer within 5 ms")
            self._metrics.memory_read("late")
            return nothing
        values = answer.result()
        well = len(values) == len(keys) and not any(isinstance(v, Exception) for v in values)
        self._metrics.memory_read("answered" if well else "failed")
        return [v if isinstance(v, bytes) else None for v in values] if well else nothing

    def write(self, key: str, value: str, seconds: float) -> None:
        """Put a value under a key for so long, soon; not while Redis does not answer."""
        if self._is_open() and len(self._batches) < _LONGEST_QUEUE:
            milliseconds = max(1, int(seconds * 1000))
            self._send([("SET", self._prefix + key, value, "PX", milliseconds)], None)

    async def close(self) -> None:
        """Leave Redis, for good."""
        client, self._client = self._client, None
        for task in (self._trying, self._sending):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await _end(client)

    def _is_open(self) -> bool:
        """Say whether there is a connection for the running loop; ask for one if nobody has."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is None:
            self._loop = loop
            self._trying = loop.create_task(self._keep_trying())
        return self._client is not None and self._loop is loop

    def _send(self, commands: list[Command], answer: asyncio.Future[list[Any]] | None) -> None:
        self._batches.append((commands, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all(self._client))

    async def _send_all(self, client: Any) -> None:
        batches: list[tuple[list[Command], asyncio.Future[list[Any]] | None]] = []
        try:
            while self._batches:
                batches, self._batches = self._batches, []
                results = iter(await _results(client, [c for cs, _ in batches for c in cs]))
                for commands, answer in batches:
                    values = list(islice(results, len(commands)))
                    if answer is not None and not answer.done():
                        answer.set_result(values)
        except Exception as error:
            self._lose(f"failed ({type(error).__name__})")
        finally:
            for _, answer in batches:
                if answer is not None and not answer.done():
                    answer.set_result([])

    def _lose(self, why: str) -> None:
        """Leave Redis alone until it answers in time again; who waits for it goes on."""
        client, self._client = self._client, None
        if client is None:
            return
        logger.warning(
            "benchrouter: Redis %s; each worker remembers its own conversations until it does", why
        )
        waiting, self._batches = self._batches, []
        for _, answer in waiting:
            if answer is not None and not answer.done():
                answer.set_result([])
        sending = self._sending
        if sending is not None and sending is not asyncio.current_task():
            sending.cancel()
        self._trying = asyncio.create_task(self._keep_trying(client))

    async def _keep_trying(self, lost: Any = None) -> None:
        if lost is not None:
            await _end(lost)
            await asyncio.sleep(self._again)
        while not await self._try():
            await asyncio.sleep(self._again)
        logger.warning("benchrouter: Redis answers; workers share their conversations")

    async def _try(self) -> bool:
        """Connect anew; say whether Redis then answers in time."""
        client: Any = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                client = await asyncio.to_thread(self._connect)
                await client.ping()
            answer = asyncio.ensure_future(client.ping())
            if await _in_time(answer):
                answer.result()
                self._client = client
                return True
            answer.cancel()
            raise TimeoutError
        except Exception as error:  # its message may hold a password
            self.trouble = type(error).__name__
            logger.debug("benchrouter: Redis does not answer (%s)", self.trouble)
        await _end(client)
        return False


async def _results(client: Any, commands: list[Command]) -> list[Any]:
    """Return what Redis says to each command, or the error that it gives for it."""
    from redis.exceptions import ResponseError

    if len(commands) > 1:
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)  # type: ignore[no-any-return]
    try:  # a pipeline of one costs twice as much
        return [await client.execute_command(*commands[0])]
    except ResponseError as error:
        return [error]


async def _in_time(answer: asyncio.Future[Any]) -> bool:
    """Wait for an answer, 5 ms at most.

    Step by step, and with some turns of the loop after them that wait for nothing: where others
    hold the loop up for longer, an answer that is there comes to hand only some turns later.
    """
    for step in [_STEP] * _STEPS + [0] * _TURNS:
        await asyncio.wait([answer], timeout=step)
        if answer.done():
            return True
    return False


async def _end(client: Any) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.aclose()
