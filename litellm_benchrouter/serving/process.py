"""Decisions in a process of their own, so that the interpreter of the proxy has its core to itself.

A decision is short, but between two steps of a busy proxy it finds its code and data gone from the
processor's caches, and leaves the proxy's gone in turn. Elsewhere both stay where they are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from litellm_benchrouter.costs.policy import Terms
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter

logger = logging.getLogger("litellm_benchrouter")

Models = tuple[str, ...]

LONGEST_MESSAGE = 2**17
"""Bytes, less than what a socket takes at once; what is longer would arrive cut."""

_LONGEST_PROMPT = 20_000  # characters; of most texts they fit in a message
_MOST_OFFERS = 256  # sets of models
_SILENT_SECONDS = 10.0  # without an answer that is late: it hangs
_MAIN = "litellm_benchrouter.serving.process_main"
# Its search for libraries is the proxy's; keys of providers are none of its business.
_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")


class OnChange(Protocol):
    """Is told when a process begins to decide, and when it does so no more."""

    def __call__(self, *, decides: bool) -> None: ...


class DecisionProcess:
    """A process that decides with one version, asked from the event loop.

    It ends with the proxy, whichever way that ends: its end of the socket then says so.

    Parameters
    ----------
    router : BenchRouter
        Of the version.
    offers : iterable of tuple of str
        Sets of models, sorted, whose decisions are prepared there before the first is asked for.
    limit : float
        Seconds after which an answer is not waited for.
    on_change : callable
        Called with `decides` when it begins to decide, and when it ends after that.

    Raises
    ------
    OSError, AttributeError
        If there is no such process, or no such socket, to be had here.

    Attributes
    ----------
    router : BenchRouter
    has_ended : bool
    """

    def __init__(
        self,
        router: BenchRouter,
        offers: Iterable[Models],
        limit: float,
        on_change: OnChange,
    ) -> None:
        self.router = router
        self.has_ended = False
        self._limit = limit
        self._on_change = on_change
        self._lock = threading.Lock()
        self._is_ready = False
        self._late_since: float | None = None
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._asked_for: set[Models] = set(offers)
        self._prepared: set[Models] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = memoryview(bytearray(LONGEST_MESSAGE))
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _start(theirs, router.artifact.folder)
            except OSError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        # An object that nobody stopped, as at the end of a program, leaves no process unwaited for.
        self._ending = weakref.finalize(self, _end, self._socket, self._process)
        for offer in self._asked_for:
            self._send({"prepare": offer})

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def decides(self, models: Sequence[str], prompt: str) -> bool:
        """Say whether it can be asked now; models that it does not know yet it hears of here."""
        if self.has_ended or len(prompt) > _LONGEST_PROMPT or not self._listens():
            return False
        if self._late_since is not None:
            return False  # until it is heard of again
        offer = tuple(models)
        if self._is_ready and offer in self._prepared:
            return True
        if offer not in self._asked_for and len(self._asked_for) < _MOST_OFFERS:
            self._asked_for.add(offer)
            self._send({"prepare": offer})
        return False

    async def decide(
        self, prompt: str, task: str | None, models: Sequence[str], terms: Terms
    ) -> Decision | None:
        """Return what `BenchRouter.decide` returns, or None where that has to be asked here."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        answer = self._waiting[number] = loop.create_future()
        late = loop.call_later(self._limit, self._late, number)
        try:
            sent = self._send(
                {
                    "number": number,
                    "prompt": prompt,
                    "task": task,
                    "models": models,
                    "policy": (terms.policy.kind, terms.policy.value),
                    "note": terms.note,
                    "prices": [(model, each.input, each.output) for model, each in terms.prices],
                    "characters": terms.characters,
                }
            )
            fields = await answer if sent else None
        finally:
            late.cancel()
            self._waiting.pop(number, None)
        if fields is None:
            return None
        return Decision(**fields | {"ranking": tuple(fields["ranking"])})

    def look_after(self) -> None:
        """End it if it hangs. From any thread."""
        since = self._late_since
        if since is not None and time.monotonic() - since > _SILENT_SECONDS and not self.has_ended:
            self._report(f"no answer for {_SILENT_SECONDS:g} s")
            self.stop()

    def stop(self) -> None:
        """End the process; whoever waits for an answer decides here. From any thread."""
        with self._lock:
            self.has_ended = True
            loop = self._loop
        if loop is None or loop.is_closed():
            self._release()
            return
        with suppress(RuntimeError):  # the loop was closed in this moment
            loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.has_ended = True
        if self._loop is not None and self._ending.alive:
            self._loop.remove_reader(self._socket)
        self._release()
        if self._is_ready:
            self._is_ready = False
            self._on_change(decides=False)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)

    def _release(self) -> None:
        if self._ending.detach() is not None:
            self._socket.close()
            self._process.kill()
            # The event loop does not wait for its end, which can take milliseconds.
            threading.Thread(target=self._process.wait, daemon=True).start()

    def _listens(self) -> bool:
        """Say whether answers arrive in this event loop; the first that asks is the one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            with self._lock:  # what is stopped meanwhile must not be listened to
                if self.has_ended:
                    return False
                loop.add_reader(self._socket, self._receive)
                self._loop = loop
        return self._loop is loop

    def _send(self, message: dict[str, Any]) -> bool:
        """Return whether it was sent: it may be too long, too much may wait, or it has ended."""
        data = json.dumps(message).encode()
        if len(data) > LONGEST_MESSAGE:
            return False
        try:
            self._socket.send(data)
        except OSError:
            return False
        return True

    def _receive(self) -> None:
        try:
            while not self.has_ended:
                n_bytes = self._socket.recv_into(self._buffer)
                if n_bytes == 0:
                    self._leave("it ended")
                    return
                self._take(json.loads(bytes(self._buffer[:n_bytes])))
                if not self._waiting:
                    return  # nothing more to expect, and asking for it is a system call
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self._leave("it ended")
        except (OSError, ValueError, LookupError) as error:
            self._leave(type(error).__name__)

    def _take(self, message: dict[str, Any]) -> None:
        self._late_since = None
        if "number" in message:
            self._answer(message["number"], message["decision"])
        elif "prepared" in message:
            self._prepared.add(tuple(message["prepared"]))
        elif "ready" in message:
            self._is_ready = True
            self._on_change(decides=True)
            logger.info("benchrouter: process %d decides", self.pid)
        else:
            self._leave(str(message["failed"]))

    def _answer(self, number: int, fields: dict[str, Any] | None) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(fields)

    def _late(self, number: int) -> None:
        self._answer(number, None)
        if self._late_since is None:
            self._late_since = time.monotonic()

    def _leave(self, reason: str) -> None:
        self._report(reason)
        self._stop()

    def _report(self, reason: str) -> None:
        logger.warning(
            "benchrouter: the process that decides is left (%s); decisions are taken in the "
            "proxy's process",
            reason,
        )


def _start(connection: socket.socket, folder: Path) -> subprocess.Popen[bytes]:
    found = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return subprocess.Popen(
        # -P: what lies in the working directory is not taken for a library
        [sys.executable, "-P", "-m", _MAIN, str(connection.fileno()), str(folder)],
        pass_fds=[connection.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=found | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _end(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.kill()
    process.wait()
