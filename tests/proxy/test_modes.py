"""Shadow, canary, conversations that stay, and what deployments cannot take: in a real proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy.conftest import ask, routed_proxy
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.test_metrics import samples, scrape, value
from proxy.test_routing import MATH, ours, record
from proxy.upstream import BROKEN, FakeUpstream

CODE = "Write a Python function that reverses a list."
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.fixture(scope="module")
def shadowing(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    folder = tmp_path_factory.mktemp("shadow")
    with routed_proxy(upstream_server.base_url, folder, serving={"mode": "shadow"}) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def sticky(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Half of the conversations are in the canary; who is, stays with its model."""
    api_base = upstream_server.base_url
    abilities = ("supports_vision", "supports_function_calling")
    more = [
        deployment("seeing", name, api_base, benchrouter_model=model,
                   **dict.fromkeys(abilities, able))
        for name, model, able in (("blind", "mathsmith-8b", False), ("sighted", "coder-14b", True))
    ]  # fmt: skip
    serving = {"stickiness": "session", "mode": "canary", "canary_percent": 50}
    folder = tmp_path_factory.mktemp("sticky")
    with routed_proxy(api_base, folder, serving=serving, more=more) as proxy:
        yield proxy


def text_in(proxy: ProxyProcess, *, canary: bool, base: str = MATH, **body: Any) -> str:
    """Return a prompt that begins a conversation in the canary, or out of it; one in two does."""
    texts = (f"{base} {i}" for i in range(40))
    return next(text for text in texts if bool(ours(ask(proxy, text, **body))) is canary)


def test_shadow_records_and_changes_nothing(
    shadowing: ProxyProcess, upstream: FakeUpstream
) -> None:
    served = set()
    for i in range(12):
        response = ask(shadowing, f"{MATH} {i}")
        assert ours(response) == {}, "no header: a client sees no difference"
        served.add(response.headers["x-litellm-model-id"])
    assert len(served) > 1, "LiteLLM balances as if the plugin were not there"
    logged = eventually(lambda: [line["spend"]["benchrouter"] for line in record(shadowing)])[-1]
    assert (logged["mode"], logged["pick"]) == ("shadow", "mathsmith-8b")

    def counted() -> float:
        found = samples(scrape(shadowing))
        return sum(
            value(found, "shadow_decisions_total", group="smart", agrees=a)
            for a in ("true", "false")
        )

    assert eventually(lambda: counted() == 12)


def test_the_canary_follows_decisions_for_its_conversations_alone(
    sticky: ProxyProcess, upstream: FakeUpstream
) -> None:
    followed, not_followed = (text_in(sticky, canary=canary) for canary in (True, False))
    for _ in range(3):
        assert ours(ask(sticky, followed))["model"] == "mathsmith-8b"
        assert ours(ask(sticky, not_followed)) == {}


def test_a_conversation_stays_with_its_model(sticky: ProxyProcess, upstream: FakeUpstream) -> None:
    first = text_in(sticky, canary=True)
    assert ours(ask(sticky, first))["model"] == "mathsmith-8b"
    turns = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": CODE},
    ]
    said = ours(ask(sticky, "", messages=turns))
    assert (said["model"], said["method"]) == ("mathsmith-8b", "session")
    assert said["reason"] == "the conversation stays with mathsmith-8b"
    alone = text_in(sticky, canary=True, base=CODE)
    assert ours(ask(sticky, alone))["model"] == "coder-14b", "a conversation of its own"


def test_a_conversation_lets_go_of_a_model_that_fails(
    sticky: ProxyProcess, upstream: FakeUpstream
) -> None:
    first = text_in(sticky, canary=True, base=MATH + " Explain.")
    session = {"messages": [{"role": "user", "content": first}]}
    assert ours(ask(sticky, "", **session))["model"] == "mathsmith-8b"
    upstream.tell("mathsmith", BROKEN)
    moved = ours(ask(sticky, "", **session))["model"]
    assert moved != "mathsmith-8b"
    upstream.reset()
    kept = ours(ask(sticky, "", **session))
    assert (kept["model"], kept["method"]) == (moved, "session")


def test_images_and_tools_go_to_who_can_take_them(
    sticky: ProxyProcess, upstream: FakeUpstream
) -> None:
    text = text_in(sticky, canary=True, base=MATH + " Look.", model="seeing")
    assert ours(ask(sticky, text, model="seeing"))["model"] == "mathsmith-8b"
    seen = [{"role": "user", "content": [{"type": "text", "text": text}, IMAGE]}]
    said = ours(ask(sticky, "", messages=seen, model="seeing"))
    assert said["model"] == "coder-14b"
    assert said["reason"].endswith("; mathsmith-8b does not take images")
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    said = ours(ask(sticky, text, model="seeing", tools=[tool]))
    assert said["reason"].endswith("; mathsmith-8b does not take tools")


def test_who_cannot_take_an_image_still_serves_where_nobody_else_does(
    sticky: ProxyProcess, upstream: FakeUpstream
) -> None:
    text = text_in(sticky, canary=True, base=MATH + " Draw.", model="seeing")
    upstream.tell("sighted", BROKEN)
    seen = [{"role": "user", "content": [{"type": "text", "text": text}, IMAGE]}]
    response = ask(sticky, "", messages=seen, model="seeing")
    assert response.status_code == 200
    assert response.headers["x-litellm-model-id"] == "blind"
