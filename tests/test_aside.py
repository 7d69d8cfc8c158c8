"""Short decisions in a process of their own: the same ones, and taken here where it fails."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import PLAIN, Policy, Terms
from litellm_benchrouter.costs.prices import Prices
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.aside import Aside
from litellm_benchrouter.serving.pace import Pace
from litellm_benchrouter.serving.serving import Serving
from litellm_benchrouter.store.directory import Store

MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b")
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
LIMIT = 3600.0  # seconds; the tests that want an answer late set another


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("aside")
    copy_files(made)
    build(load_config(made / "config.yaml"))
    return made


@pytest.fixture(scope="module")
def router(folder: Path) -> BenchRouter:
    store = Store(load_config(folder / "config.yaml").artifacts)
    version = store.current()
    assert version is not None
    made = BenchRouter(read_artifact(store.folder(version)))
    assert made.compares(MODELS)
    return made


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
async def aside(router: BenchRouter, changes: list[bool]) -> AsyncIterator[Aside]:
    made = Aside("process", LIMIT, lambda *, decides: changes.append(decides))
    tend(made, router)
    await until_it_decides(made, router)
    yield made
    made.stop()


def tend(aside: Aside, router: BenchRouter) -> None:
    pace = Pace(router)
    pace.prepared((None, *MODELS))
    aside.tend(router, pace)


async def until_it_decides(aside: Aside, router: BenchRouter) -> Decision:
    async with asyncio.timeout(60):
        while True:
            decision = await aside.decide(router, MATH, None, MODELS, PLAIN)
            if decision is not None:
                return decision
            await asyncio.sleep(0.01)


def everything(decision: Decision) -> dict[str, object]:
    """All fields, those that do not count in a comparison too, without what was timed."""
    timed = ("seconds", "embed_seconds")
    return {f.name: getattr(decision, f.name) for f in fields(decision) if f.name not in timed}


def is_gone(pid: int) -> bool:
    try:
        # A process whose parent was killed is waited for by another, which may take its time.
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while not is_gone(pid):
            await asyncio.sleep(0.01)


TERMS = [
    PLAIN,
    Terms(Policy("balanced", 0.1234567), characters=900),
    Terms(
        Policy("cheapest", 0.7),
        "the policy of the request is not one",
        tuple((model, Prices(1e-6 * n, 2e-6 * n)) for n, model in enumerate(MODELS, 1)),
        12_345,
    ),
]


@pytest.mark.parametrize("task", [None, "a task that nobody built"])
@pytest.mark.parametrize("terms", TERMS, ids=["plain", "balanced", "with prices"])
@pytest.mark.parametrize(
    "prompt", [MATH, "Write a loop in Python.", "Füge 素数 ein \ud800\x00", ","]
)
async def test_a_decision_is_the_same_in_all_its_fields(aside, router, prompt, terms, task):
    there = await aside.decide(router, prompt, task, MODELS, terms)
    here = router.decide(prompt, task=task, models=MODELS, terms=terms)
    assert there is not None
    assert everything(there) == everything(here)


async def test_many_decisions_at_once_are_each_answered_with_its_own(aside, router):
    prompts = [MATH + " many tickets" * n for n in range(100)]
    there = await asyncio.gather(
        *(aside.decide(router, prompt, None, MODELS, PLAIN) for prompt in prompts)
    )
    assert there == [router.decide(prompt, models=MODELS) for prompt in prompts]
    assert len({decision.distance for decision in there}) > 50


async def test_models_that_it_does_not_know_yet_are_prepared_first(aside, router):
    some = MODELS[:2]
    assert await aside.decide(router, MATH, None, some, PLAIN) is None
    async with asyncio.timeout(60):
        while (there := await aside.decide(router, MATH, None, some, PLAIN)) is None:
            await asyncio.sleep(0.01)
    assert there == router.decide(MATH, models=some)


async def test_what_is_quicker_taken_here_or_too_long_is_not_asked_for(aside, router):
    named = sorted(router.artifact.named_tasks)[0]
    assert await aside.decide(router, MATH, named, MODELS, PLAIN) is None
    assert await aside.decide(router, "long " * 50_000, None, MODELS, PLAIN) is None
    assert await aside.decide(router, "x" * 20_000, None, MODELS, PLAIN) is not None
    assert await aside.decide(router, "素" * 20_000, None, MODELS, PLAIN) is not None


@pytest.mark.parametrize("n", [9_000, 12_000, 19_000])
async def test_what_json_makes_too_long_is_decided_here_and_ends_nothing(aside, router, n):
    process = aside.process
    await aside.decide(router, "\U0001f600" * n, None, MODELS, PLAIN)  # twelve bytes each
    assert await aside.decide(router, MATH, None, MODELS, PLAIN) is not None
    assert aside.process is process


async def test_another_version_is_not_asked_of_it(aside, router):
    another = BenchRouter(router.artifact)
    assert await aside.decide(another, MATH, None, MODELS, PLAIN) is None


async def test_an_error_there_is_left_to_be_found_here(aside, router):
    broken = Terms(Policy("balanced", 0.1), characters="many")  # type: ignore[arg-type]
    assert await aside.decide(router, MATH, None, MODELS, broken) is None
    assert await aside.decide(router, MATH, None, MODELS, PLAIN) is not None


async def test_where_it_is_killed_decisions_under_way_and_later_ones_are_taken_here(
    aside, router, changes, caplog
):
    process = aside.process
    os.kill(process.pid, signal.SIGSTOP)
    under_way = [
        asyncio.create_task(aside.decide(router, MATH, None, MODELS, PLAIN)) for _ in range(8)
    ]
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    assert await asyncio.gather(*under_way) == [None] * 8
    assert process.has_ended
    assert await aside.decide(router, MATH, None, MODELS, PLAIN) is None
    assert "the process that decides is left (it ended)" in caplog.text
    await until_gone(process.pid)

    tend(aside, router)
    assert await until_it_decides(aside, router) == router.decide(MATH, models=MODELS)
    assert aside.process.pid != process.pid
    assert changes == [True, False, True]


async def test_what_keeps_ending_is_started_again_after_a_rest(router, monkeypatch):
    aside = Aside("process", LIMIT)
    pids = set()
    for _ in range(5):
        tend(aside, router)
        aside.process.stop()
        pids.add(aside.process.pid)
    assert len(pids) == 3
    monkeypatch.setattr("litellm_benchrouter.serving.aside._REST_SECONDS", 0.0)
    tend(aside, router)
    assert aside.process.pid not in pids
    pids.add(aside.process.pid)
    tend(aside, BenchRouter(router.artifact))  # a version of its own has tries of its own
    assert aside.process.pid not in pids
    aside.stop()


async def test_one_that_is_late_is_asked_again_once_it_was_heard(aside, router):
    process = aside.process
    process._limit = 0.05
    os.kill(process.pid, signal.SIGSTOP)
    for _ in range(20):  # of which the first is waited for
        assert await aside.decide(router, MATH, None, MODELS, PLAIN) is None
    os.kill(process.pid, signal.SIGCONT)
    process._limit = LIMIT
    assert await until_it_decides(aside, router) == router.decide(MATH, models=MODELS)
    assert aside.process is process


async def test_one_that_hangs_is_ended_and_another_started(aside, router, caplog, monkeypatch):
    monkeypatch.setattr("litellm_benchrouter.serving.process._SILENT_SECONDS", 0.05)
    process = aside.process
    process._limit = 0.01
    os.kill(process.pid, signal.SIGSTOP)
    assert await aside.decide(router, MATH, None, MODELS, PLAIN) is None
    await asyncio.sleep(0.06)
    tend(aside, router)
    assert "no answer for 0.05 s" in caplog.text
    assert aside.process is not process
    await until_gone(process.pid)
    assert await until_it_decides(aside, router) == router.decide(MATH, models=MODELS)


async def test_a_version_that_it_cannot_open_is_left_with_the_reason(tmp_path, caplog):
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml")
    build(config)
    store = Store(config.artifacts)
    router = BenchRouter(read_artifact(store.folder(store.current())))
    path = router.artifact.folder / "task_accuracy.npy"
    path.write_bytes(path.read_bytes()[:-1])
    aside = Aside("process", LIMIT)
    tend(aside, router)
    async with asyncio.timeout(60):
        while not aside.process.has_ended:
            assert await aside.decide(router, MATH, None, MODELS, PLAIN) is None
            await asyncio.sleep(0.01)
    assert "task_accuracy.npy" in caplog.text
    aside.stop()


async def test_once_stopped_it_starts_nothing_more(aside, router):
    aside.stop()
    tend(aside, router)
    assert aside.process is None


async def test_it_knows_no_key_of_a_provider(router, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-there")
    aside = Aside("process", LIMIT)
    tend(aside, router)
    await until_it_decides(aside, router)
    environment = Path(f"/proc/{aside.process.pid}/environ").read_text()
    assert "PYTHONPATH=" in environment
    assert "sk-never-there" not in environment
    command = Path(f"/proc/{aside.process.pid}/cmdline").read_text()
    assert "process_main" in command
    aside.stop()


async def test_where_no_process_can_be_had_decisions_go_on_here(router, monkeypatch, caplog):
    monkeypatch.delattr("socket.SOCK_SEQPACKET")
    aside = Aside("process", LIMIT)
    for _ in range(2):
        tend(aside, router)
    assert aside.process is None
    assert await aside.decide(router, MATH, None, MODELS, PLAIN) is None
    assert caplog.text.count("no process to decide in can be had") == 1


async def test_an_embedder_that_waits_for_something_is_asked_here(router):
    aside = Aside("process", LIMIT)
    pace = Pace(router)
    pace.only_computes = False
    aside.tend(router, pace)
    assert aside.process is None


@pytest.mark.parametrize(
    ("where", "n_processors", "expected"),
    [("auto", 1, False), ("process", 1, True), ("proxy", 1, False), ("proxy", 2, False)],
)
def test_with_one_processor_there_is_no_other_process_unless_asked_for(
    folder, where, n_processors, expected
):
    script = f"""
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{n_processors}])
import test_aside as t
from pathlib import Path
from litellm_benchrouter.store.directory import Store
store = Store(Path({str(folder)!r}) / "router_artifacts")
aside = t.Aside({where!r}, 1.0)
t.tend(aside, t.BenchRouter(t.read_artifact(store.folder(store.current()))))
print(aside.process is not None)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout.strip(), ended.stderr) == (str(expected), "")


async def test_it_ends_with_the_proxy_also_where_that_is_killed(folder):
    script = f"""
import asyncio
import test_aside as t
from pathlib import Path
serving = t.Serving(t.load_config(Path({str(folder)!r}) / "config.yaml"))
serving.aside = t.Aside("process", 1.0)
serving.refresh()
t.tend(serving.aside, serving.router)
asyncio.run(t.until_it_decides(serving.aside, serving.router))
print(serving.aside.process.pid, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        pid = int(killed.stdout.readline())
        assert not is_gone(pid)
        killed.kill()
    await until_gone(pid)


async def test_a_started_router_decides_aside_and_takes_up_new_versions(
    tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml")
    # What is not decided in time would be taken for decided elsewhere.
    options = {"decide_in": "process", "poll_seconds": 0.05, "time_limit_ms": 3_600_000.0}
    config = config.model_copy(update={"serving": config.serving.model_copy(update=options)})
    first = build(config).manifest.version
    serving = Serving(config, lambda _: [MODELS])
    serving.start()
    try:
        here = await decided_in_another_process(serving, first, monkeypatch)
        assert here == serving.router.decide(MATH, models=MODELS)
        pid = serving.aside.process.pid
        second = build(config.model_copy(update={"seed": 7})).manifest.version
        there = await decided_in_another_process(serving, second, monkeypatch)
        assert replace(there, artifact=first) != there
        assert serving.aside.process.pid != pid
        await until_gone(pid)
        last = serving.aside.process.pid
    finally:
        serving.stop()
        serving._thread.join()  # or its next look is logged in another test
    await until_gone(last)


async def decided_in_another_process(serving: Serving, version: str, monkeypatch) -> Decision:
    """Return the first decision of a version that was not taken here."""
    taken_here = []
    original = BenchRouter.decide
    with monkeypatch.context() as patched:
        patched.setattr(
            BenchRouter, "decide", lambda *a, **k: taken_here.append(1) or original(*a, **k)
        )
        async with asyncio.timeout(60):
            while True:
                taken_here.clear()
                if serving.router is not None:
                    decision = await serving.decide(serving.router, MATH, None, MODELS)
                    if decision.artifact == version and not taken_here:
                        return decision
                await asyncio.sleep(0.01)
