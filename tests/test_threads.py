"""The threads in which decisions are taken."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import wait

import pytest

from litellm_benchrouter.serving.threads import BusyError, DaemonThreads


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    made = DaemonThreads(2, "test-decide", longest_queue=8)
    yield made
    made.stop()
    for thread in ours():  # or the next test counts them
        thread.join()


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("test-decide")]


def test_no_thread_is_started_before_there_is_work_and_no_more_than_said(threads: DaemonThreads):
    assert len(ours()) == 0
    together = threading.Barrier(2)  # passed only by two threads at once
    wait([threads.submit(together.wait) for _ in range(8)], timeout=20)
    assert len(ours()) == 2


def test_a_result_and_an_error_come_back(threads: DaemonThreads):
    assert threads.submit(lambda: 6 * 7).result(20) == 42
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(20)
    assert threads.submit(lambda: "still here").result(20) == "still here"


def test_what_was_cancelled_while_it_waited_is_not_run_and_a_full_queue_is_refused(
    threads: DaemonThreads,
):
    let_go = threading.Event()
    hung = [threads.submit(lambda: let_go.wait(20)) for _ in range(2)]
    ran: list[int] = []
    waiting = []
    with pytest.raises(BusyError):
        for number in range(20):
            waiting.append(threads.submit(lambda number=number: ran.append(number)))
    assert all(future.cancel() for future in waiting[1:])
    let_go.set()
    wait([*hung, waiting[0]], timeout=20)
    assert threads.submit(lambda: list(ran)).result(20) == [0]


def test_an_idle_thread_keeps_nothing_of_what_it_did(threads: DaemonThreads):
    class Prompt:
        pass

    prompt = Prompt()
    kept = weakref.ref(prompt)
    threads.submit(lambda prompt=prompt: None).result(20)
    del prompt
    together = threading.Barrier(2)  # passed when each thread has taken something else
    wait([threads.submit(together.wait) for _ in range(2)])
    gc.collect()
    assert kept() is None


def test_a_hung_thread_does_not_keep_the_process_from_ending():
    program = """
import threading
from litellm_benchrouter.serving.threads import DaemonThreads
started = threading.Event()
threads = DaemonThreads(2, "hung")
threads.submit(lambda: (started.set(), threading.Event().wait()))
started.wait()
print("ends")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "ends\n"
