"""Conversations over several workers and proxies, with a real Redis: shared, lost, and back."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from redis_server import RedisServer, redis_server

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import routed_config
from proxy.harness import MASTER_KEY, ProxyProcess, eventually
from proxy.test_metrics import samples, scrape, value
from proxy.test_routing import CODE, MATH, ours
from proxy.upstream import BROKEN, FakeUpstream

WORKERS = 2


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def proxies(
    server: RedisServer, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ProxyProcess]]:
    """Run two proxies of two workers; one has its Redis as a cache, the other by REDIS_URL."""
    cache = {"type": "redis", "host": "127.0.0.1", "port": server.port, "mode": "default_off"}
    settings = {"cache": True, "cache_params": cache}
    built = tmp_path_factory.mktemp("built")
    running = []
    for name, litellm, env in (("a", settings, {}), ("b", {}, {"REDIS_URL": server.url})):
        folder = tmp_path_factory.mktemp(name)
        copy_files(folder)
        config = routed_config(upstream_server.base_url)
        config["litellm_settings"] |= litellm
        config["litellm_settings"]["callbacks"].remove("recorder.handler")
        config["benchrouter"]["serving"]["stickiness"] = "session"
        config["benchrouter"]["artifacts"] = str(built)
        counts = {"PROMETHEUS_MULTIPROC_DIR": str(folder / "prometheus")}
        running.append(ProxyProcess(config, folder, env=env | counts, workers=WORKERS))
    build(load_config(folder / "config.yaml"))
    with ExitStack() as stack, ThreadPoolExecutor(len(running)) as pool:
        list(pool.map(stack.enter_context, running))
        for proxy in running:
            eventually(lambda p=proxy: do_share(p), within=120)
        yield running


def do_share(proxy: ProxyProcess) -> bool:
    """Say whether all workers have begun with Redis, or have found it since, on a busy machine."""
    late, found = "as Redis does not answer", "Redis answers; workers share"
    has_begun = proxy.log.count("routes by version ") == WORKERS
    return has_begun and proxy.log.count(late) <= proxy.log.count(found)


def ask(proxy: ProxyProcess, path: str, body: dict[str, Any], session: str = "") -> httpx.Response:
    """Send a request by a connection of its own: one that is kept stays with its worker."""
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    if session:
        headers["x-session-id"] = session
    url = f"{proxy.base_url}{path}"
    response = httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)
    assert response.status_code == 200, response.text
    return response


def chat(proxy: ProxyProcess, *turns: Any, session: str = "") -> dict[str, str]:
    roles = ("user", "assistant")
    messages = [
        turn if isinstance(turn, dict) else {"role": roles[i % 2], "content": turn}
        for i, turn in enumerate(turns)
    ]
    body = {"model": "smart", "messages": messages}
    return ours(ask(proxy, "/v1/chat/completions", body, session))


def begun(proxy: ProxyProcess, upstream: FakeUpstream, session: str) -> str:
    """Begin a conversation that another model than its pick holds, so that only memory tells."""
    upstream.tell("mathsmith", BROKEN, times=1)
    model = chat(proxy, MATH, session=session)["model"]
    assert model != "mathsmith-8b"
    return model


def looks(proxies: list[ProxyProcess], outcome: str) -> float:
    return sum(
        value(samples(scrape(proxy)), "memory_reads_total", outcome=outcome) for proxy in proxies
    )


def test_an_agent_keeps_its_model_whichever_worker_of_whichever_proxy_answers(
    proxies: list[ProxyProcess], upstream: FakeUpstream
) -> None:
    session = str(uuid.uuid4())
    holder = begun(proxies[0], upstream, session)
    turns: list[Any] = [MATH]
    for n, proxy in zip(range(40), itertools.cycle(reversed(proxies)), strict=False):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
        turns.append({"role": "tool", "tool_call_id": f"c{n}", "content": CODE})
        answer = chat(proxy, *turns, session=session)
        assert (answer["model"], answer["method"], answer["turn"]) == (holder, "session", "keep")


def test_without_an_id_a_conversation_is_known_by_its_turns(
    proxies: list[ProxyProcess], upstream: FakeUpstream
) -> None:
    first = f"{MATH} Show your work, please, {uuid.uuid4()}."
    upstream.tell("mathsmith", BROKEN, times=1)
    holder = chat(proxies[0], first)["model"]
    assert holder != "mathsmith-8b"
    turns = [first]
    for proxy in (proxies[1], proxies[0], proxies[1]):
        turns += ["It is 102.", "and in German?"]
        assert chat(proxy, *turns)["model"] == holder


def test_what_another_worker_moved_is_moved(
    proxies: list[ProxyProcess], upstream: FakeUpstream
) -> None:
    session = str(uuid.uuid4())
    one, two = proxies
    assert chat(one, MATH, session=session)["model"] == "mathsmith-8b"
    upstream.tell("mathsmith", BROKEN, times=1)
    moved = chat(two, MATH, "102", "yes", session=session)["model"]
    assert moved != "mathsmith-8b"
    assert chat(one, MATH, "102", "yes", "so", "go on", session=session)["model"] == moved


def test_a_response_is_continued_by_another_proxy(
    proxies: list[ProxyProcess], upstream: FakeUpstream
) -> None:
    upstream.tell("mathsmith", BROKEN, times=1)
    response = ask(proxies[0], "/v1/responses", {"model": "smart", "input": MATH})
    holder = ours(response)["model"]
    assert holder != "mathsmith-8b"
    for proxy, text in ((proxies[1], "yes"), (proxies[0], CODE), (proxies[1], "go on")):
        body = {"model": "smart", "input": text, "previous_response_id": response.json()["id"]}
        response = ask(proxy, "/v1/responses", body)
        assert (ours(response)["model"], ours(response)["method"]) == (holder, "session")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_without_redis_requests_are_answered_and_with_it_back_it_is_used_again(
    proxies: list[ProxyProcess], upstream: FakeUpstream, server: RedisServer, how: str
) -> None:
    session = str(uuid.uuid4())
    holder = begun(proxies[0], upstream, session)
    answered, skipped = looks(proxies, "answered"), looks(proxies, "skipped")
    end, begin = (
        (server.kill, server.start) if how == "killed" else (server.stand_still, server.go_on)
    )
    end()
    try:
        for _ in range(20):
            for proxy in proxies:
                chat(proxy, CODE, session=str(uuid.uuid4()))
        assert looks(proxies, "answered") == answered
        # Of each worker the first may wait; those that come with it find Redis left alone.
        assert looks(proxies, "skipped") - skipped >= 40 - len(proxies) * WORKERS
        assert sum(p.log.count("Redis does not answer within") for p in proxies) + sum(
            len(re.findall(r"Redis failed \(\w+\)", p.log)) for p in proxies
        )
    finally:
        begin()

    def shared_again() -> bool:
        new = str(uuid.uuid4())
        model = begun(proxies[0], upstream, new)
        upstream.reset()
        return all(chat(p, MATH, "a", "yes", session=new)["model"] == model for p in proxies * 4)

    eventually(shared_again, within=60)
    assert looks(proxies, "answered") > answered
    if how == "stopped":  # then Redis has forgotten nothing
        assert chat(proxies[1], MATH, "102", "yes", session=session)["model"] == holder
