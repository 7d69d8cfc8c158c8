"""A real proxy under load: versions that come and go, any body, an embedder that hangs."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from proxy.harness import MASTER_KEY, ProxyProcess, deployment, eventually
from proxy.told_time import TOLD_TIME, an_hour_later, limited
from proxy.upstream import FakeUpstream

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import PROMPTS, copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b")
ANSWERS_IN_TIME = "no decision within 300 ms"
RESTS = "decisions kept failing; they rest"

# Beside the proxy's configuration: while the file `hang` is there, the embedder hangs.
HANGING = """
import time
from pathlib import Path
from litellm.integrations.custom_logger import CustomLogger
from litellm_benchrouter.embedders import LexicalEmbedder
from litellm_benchrouter.serving.executor import Pace

hang, entered = Path("hang"), Path("entered")
embed, is_quick = LexicalEmbedder.embed, Pace.is_quick

def hanging(self, texts, *, progress=None):
    if hang.exists():
        with entered.open("a") as file:
            file.write("once\\n")
        while hang.exists():
            time.sleep(0.01)
    return embed(self, texts, progress=progress)

LexicalEmbedder.embed = hanging
Pace.is_quick = property(lambda self: not hang.exists() and is_quick.fget(self))
handler = CustomLogger()
"""


@dataclass(frozen=True)
class Answer:
    """One answer under load."""

    prompt: str
    status: int
    model: str | None
    artifact: str | None
    policy: str = "quality"


@dataclass(frozen=True)
class Steady:
    """The proxy, and two versions that decide differently: the second lacks a model."""

    proxy: ProxyProcess
    store: Store
    routers: dict[str, BenchRouter]

    def pick(self, answer: Answer) -> str:
        terms = Terms(Policy.parse(answer.policy))
        return self.routers[str(answer.artifact)].decide(answer.prompt, terms=terms).pick


@pytest.fixture(scope="module")
def steady(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Steady]:
    folder = tmp_path_factory.mktemp("steady")
    copy_files(folder)
    (folder / "hanging.py").write_text(HANGING, encoding="utf-8")
    (folder / "told_time.py").write_text(TOLD_TIME, encoding="utf-8")
    api_base = upstream_server.base_url
    proxy = ProxyProcess(
        {
            "model_list": [
                *(deployment("smart", m, api_base, benchrouter_model=m) for m in MODELS),
                *(deployment("plain", f"plain-{m}", api_base) for m in MODELS[:2]),
            ],
            "litellm_settings": {
                "callbacks": [
                    *("told_time.handler", "hanging.handler"),
                    "litellm_benchrouter.hook.handler",
                ],
                "num_retries": 0,
            },
            "router_settings": {"disable_cooldowns": True},
            "benchrouter": {
                "method": "paper",
                "publish": {"require": "nothing"},
                "sources": [{"path": "benchmark.csv"}],
                "request_policies": {"quality": True, "balanced": True, "within": True},
                "serving": {
                    "log_level": "info",
                    "poll_seconds": 0.1,
                    "time_limit_ms": 300,
                    "breaker": {"failures": 3, "seconds": 60.0},
                },
            },
        },
        folder,
    )
    config = load_config(folder / "config.yaml")
    first = build(config).manifest.version
    with (folder / "benchmark.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    with (folder / "benchmark.csv").open("w", newline="") as file:
        # Every label belongs to another model, and one model is gone.
        csv.writer(file).writerows([[*header[:3], *header[-2:2:-1]], *(row[:-1] for row in rows)])
    second = build(config).manifest.version
    store = Store(config.artifacts)
    routers = {v: BenchRouter(read_artifact(store.folder(v))) for v in (first, second)}
    with proxy:
        made = Steady(proxy, store, routers)
        eventually(lambda: ask(made.proxy, "hello").headers.get("x-benchrouter-artifact"))
        yield made


def ask(proxy: ProxyProcess, content: Any, group: str = "smart", **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": content}]
    return proxy.http.post(
        "/v1/chat/completions", json={"model": group, "messages": messages} | body
    )


async def load(
    proxy: ProxyProcess,
    at_once: int,
    answers: list[Answer],
    until: asyncio.Event,
    policies: Sequence[str] = ("quality",),
) -> None:
    """Keep requests under way until an event; add what each was answered."""
    prompts = itertools.cycle(prompt for prompt, *_ in PROMPTS)

    async def worker(client: httpx.AsyncClient, policy: str) -> None:
        asking = {"x-benchrouter-policy": policy}
        while not until.is_set():
            prompt = next(prompts)
            body = {"model": "smart", "messages": [{"role": "user", "content": prompt}]}
            response = await client.post("/v1/chat/completions", json=body, headers=asking)
            headers = response.headers
            answers.append(
                Answer(
                    prompt,
                    response.status_code,
                    headers.get("x-benchrouter-model"),
                    headers.get("x-benchrouter-artifact"),
                    policy,
                )
            )

    async with httpx.AsyncClient(
        base_url=proxy.base_url,
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
        timeout=60,
        trust_env=False,
    ) as client:
        asked = itertools.islice(itertools.cycle(policies), at_once)
        await asyncio.gather(*(worker(client, policy) for policy in asked))


@pytest.mark.parametrize(
    "seconds", [5, pytest.param(60, marks=pytest.mark.long)], ids=["short", "long"]
)
async def test_versions_swapped_every_second_under_load_leave_no_trace_but_their_decisions(
    steady: Steady, upstream: FakeUpstream, seconds: int
) -> None:
    stop, answers = asyncio.Event(), list[Answer]()

    async def swap() -> None:
        for _, version in zip(range(seconds), itertools.cycle(steady.routers), strict=False):
            n_before = len(answers)
            steady.store.publish(version)
            await asyncio.sleep(1)
            while version not in {answer.artifact for answer in answers[n_before:]}:
                await asyncio.sleep(0.02)  # where a busy machine takes longer
        stop.set()

    async with asyncio.timeout(60 * seconds), asyncio.TaskGroup() as group:
        group.create_task(load(steady.proxy, 16, answers, stop))
        group.create_task(swap())

    assert {answer.status for answer in answers} == {200}
    assert {answer.artifact for answer in answers} == set(steady.routers)
    # The pick is that of the one version that the answer names, whatever was swapped meanwhile.
    assert [a.model for a in answers] == [steady.pick(a) for a in answers]
    picks = {(a.prompt, a.model) for a in answers}
    assert len(picks) > len({a.prompt for a in answers})  # the versions differ
    swaps = sum(a.artifact != b.artifact for a, b in itertools.pairwise(answers))
    assert swaps >= seconds - 1
    assert "passed through" not in steady.proxy.log
    print(f"{len(answers)} answers in {seconds} s, {swaps} changes of version")


# A build that finds no room on the disk: what it writes may not be longer than 4 kB.
FULL_DISK = """
import resource, sys
from litellm_benchrouter.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
sys.argv[1:] = ["build", "--config", "config.yaml"]
main()
"""


async def test_64_callers_with_policies_of_their_own_beside_a_build_without_room_are_all_answered(
    steady: Steady, upstream: FakeUpstream
) -> None:
    stop, answers = asyncio.Event(), list[Answer]()
    before = steady.store.current()

    async def disturb() -> None:
        for version in steady.routers:
            n_before = len(answers)
            steady.store.publish(version)
            ended = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", FULL_DISK), cwd=steady.proxy.folder, stderr=PIPE
            )
            _, said = await ended.communicate()
            assert ended.returncode == 1 and b"Error: " in said, said
            assert steady.store.current() == version
            while len(answers) < n_before + 128:
                await asyncio.sleep(0.02)
        steady.store.publish(str(before))
        stop.set()

    policies = [kind for step in range(1, 9) for kind in ("quality", f"within:0.{step}")]
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        group.create_task(load(steady.proxy, 64, answers, stop, policies))
        group.create_task(disturb())

    assert {answer.status for answer in answers} == {200}
    assert {answer.policy for answer in answers} == set(policies)
    assert {a.policy: a.model for a in answers if a.model != steady.pick(a)} == {}
    assert "passed through" not in steady.proxy.log


BODIES: list[tuple[str, Any]] = [
    ("null", {"messages": None}),
    ("no turns", {"messages": []}),
    ("null content", {"messages": [{"role": "user", "content": None}]}),
    ("null turn", {"messages": [None]}),
    ("nested lists", {"messages": [[[["deep"]]]]}),
    ("a string", {"messages": "what?"}),
    ("a number", {"messages": 7}),
    ("content is a number", {"messages": [{"role": "user", "content": 7}]}),
    ("content is a list of lists", {"messages": [{"role": "user", "content": [[["x"]]]}]}),
    ("no role", {"messages": [{"content": "what?"}]}),
    ("unknown role", {"messages": [{"role": "\0", "content": "what?"}]}),
    (
        "images only",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                    ],
                }
            ]
        },
    ),
    ("lone surrogates", {"messages": [{"role": "user", "content": "\ud800 \udfff"}]}),
    ("NULs", {"messages": [{"role": "user", "content": "\0" * 1000}]}),
    ("tags are a string", {"metadata": {"tags": "notalist"}}),
    ("metadata is a list", {"metadata": ["x"]}),
    ("metadata is a string", {"metadata": "{"}),
    ("a task that is a list", {"metadata": {"task": [["x"]]}}),
    ("a spend log that is a string", {"metadata": {"spend_logs_metadata": "x"}}),
    ("ten megabytes", {"messages": [{"role": "user", "content": "where is it? " * 800_000}]}),
]


@pytest.mark.parametrize(("kind", "body"), BODIES, ids=[kind for kind, _ in BODIES])
def test_no_body_is_answered_worse_than_by_a_group_that_is_not_ours(
    steady: Steady, upstream: FakeUpstream, kind: str, body: dict[str, Any]
) -> None:
    def status(group: str) -> int:
        whole = {"model": group, "messages": [{"role": "user", "content": "hello"}]} | body
        answer = steady.proxy.http.post(
            "/v1/chat/completions",
            content=json.dumps(whole),
            headers={"content-type": "application/json", "x-benchrouter-task": "\x7f?"},
        )
        return answer.status_code

    assert status("smart") == status("plain")
    assert ask(steady.proxy, "hello").headers["x-benchrouter-artifact"]
    assert "passed through" not in steady.proxy.log


def test_an_embedder_that_hangs_costs_each_request_the_limit_and_then_nothing(
    steady: Steady, upstream: FakeUpstream
) -> None:
    def reason() -> str:
        answer = ask(steady.proxy, PROMPTS[0][0])
        assert answer.status_code == 200
        return answer.headers["x-benchrouter-reason"]

    hang, entered = steady.proxy.folder / "hang", steady.proxy.folder / "entered"
    entered.write_text("")
    assert reason() not in (ANSWERS_IN_TIME, RESTS)
    with limited(steady.proxy):
        hang.touch()
        try:
            assert [reason() for _ in range(3)] == [ANSWERS_IN_TIME] * 3
            assert [reason() for _ in range(20)] == [RESTS] * 20
            an_hour_later(steady.proxy)
            assert [reason() for _ in range(3)] == [ANSWERS_IN_TIME, RESTS, RESTS]
            assert len(entered.read_text().splitlines()) <= 2  # the others were not begun
        finally:
            hang.unlink()
    assert reason() == RESTS
    an_hour_later(steady.proxy)
    assert reason() not in (ANSWERS_IN_TIME, RESTS)
    assert "decisions in a row failed" in steady.proxy.log
    assert "decisions are taken again" in steady.proxy.log
