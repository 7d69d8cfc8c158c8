"""Conversations of agents and chat programs in a real proxy: asked, kept, and aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.conftest import ask, routed_proxy
from proxy.harness import ProxyProcess, eventually
from proxy.test_routing import CODE, MATH, TRANSLATION, ours, record
from proxy.upstream import FakeUpstream

REMINDER = f"<system-reminder>\nAgents: {MATH}\n</system-reminder>"
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
SESSION = {"x-claude-code-session-id": "5f0c7e1a-2b44-4d0e-9a11-7c2f6f3b8e90"}


@pytest.fixture(scope="module")
def agents(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    serving = {"stickiness": "session", "side": "cheapest:0.1"}
    folder = tmp_path_factory.mktemp("agents")
    with routed_proxy(upstream_server.base_url, folder, serving=serving) as proxy:
        yield proxy


def messages(proxy: ProxyProcess, *turns: Any, **headers: str) -> dict[str, str]:
    roles = ("user", "assistant")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {
        "model": "smart",
        "max_tokens": 100,
        "tools": [TOOL],
        "messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)],
    }
    response = proxy.http.post("/v1/messages", json=body, headers=SESSION | named)
    assert response.status_code == 200, response.text
    return ours(response)


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def test_an_agents_requests_are_told_apart_and_its_conversation_keeps_its_model(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    first = parts(REMINDER, CODE)
    title = messages(agents, CODE, x_claude_code_request_class="auxiliary")
    assert title["turn"] == "side"
    assert title["reason"].startswith("the client's own request, not a person's; ")
    asked = messages(agents, first)
    assert (asked["turn"], asked["model"]) == ("ask", "coder-14b")
    kept = messages(agents, first, "Shall I test it?", parts("ja bitte", REMINDER))
    assert (kept["turn"], kept["method"], kept["model"]) == ("keep", "session", "coder-14b")
    helper = messages(agents, parts(MATH), x_claude_code_agent_id="a1")
    assert (helper["turn"], helper["model"]) == ("ask", "mathsmith-8b")
    loop: Any = [{"type": "tool_result", "tool_use_id": "t", "content": MATH}]
    call: Any = [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]
    back = messages(agents, first, call, loop)
    assert (back["turn"], back["model"]) == ("keep", "coder-14b")

    def logged() -> list[dict[str, Any]]:
        return [line["spend"]["benchrouter"] for line in record(agents) if line["spend"]]

    lines: Any = eventually(lambda: len(logged()) >= 5 and logged())
    lines = lines[:5]
    assert [line["turn"] for line in lines] == ["side", "ask", "keep", "ask", "keep"]
    main, other = lines[1]["session"], lines[3]["session"]
    assert [line["session"] for line in lines] == [main, main, main, other, main]
    assert main != other
    for secret in (SESSION["x-claude-code-session-id"], "Amira", "queue"):
        assert secret not in json.dumps(lines)


def test_a_session_id_in_the_body_names_the_conversation(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    def said(text: str, session: str) -> dict[str, str]:
        user_id = json.dumps({"device_id": "d", "session_id": session})
        body = {
            "model": "smart",
            "max_tokens": 100,
            "metadata": {"user_id": user_id},
            "messages": [{"role": "user", "content": text}],
        }
        return ours(agents.http.post("/v1/messages", json=body))

    assert said(MATH, "0aa1-one")["model"] == "mathsmith-8b"
    assert said(CODE, "0aa1-two")["model"] == "coder-14b"
    assert said(TRANSLATION, "0aa1-one")["model"] == "mathsmith-8b"


def test_a_response_goes_on_with_the_model_that_gave_the_one_before(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    client = agents.openai.responses.with_raw_response
    first = client.create(model="smart", input=MATH)
    assert first.headers["x-benchrouter-model"] == "mathsmith-8b"
    previous = first.parse().id
    for text in ("yes", CODE, "go on"):
        again = client.create(model="smart", input=text, previous_response_id=previous)
        assert again.headers["x-benchrouter-model"] == "mathsmith-8b"
        assert again.headers["x-benchrouter-method"] == "session"
        previous = again.parse().id
    assert upstream.models == ["mathsmith"] * 4


def test_a_header_says_which_text_to_route_on(agents: ProxyProcess, upstream: FakeUpstream) -> None:
    turns = [
        {"role": "user", "content": MATH + " Explain."},
        {"role": "assistant", "content": "102"},
        {"role": "user", "content": CODE},
    ]
    for choice, model in (("last", "coder-14b"), ("first", "mathsmith-8b")):
        headers = {"x-benchrouter-text": choice, "x-session-id": f"chosen-{choice}"}
        body = {"model": "smart", "messages": turns}
        response = agents.http.post("/v1/chat/completions", json=body, headers=headers)
        assert ours(response)["model"] == model


@pytest.mark.parametrize(
    ("weight", "model", "reason"),
    [
        ("0.05", "mathsmith-8b", "the conversation leaves coder-14b: "),
        ("50", "coder-14b", "not pay"),
    ],
)
def test_a_conversation_moves_for_a_new_ask_where_that_pays(
    agents: ProxyProcess, upstream: FakeUpstream, weight: str, model: str, reason: str
) -> None:
    headers = {"x-session-id": f"moves-{weight}", "x-benchrouter-policy": f"balanced:{weight}"}
    first = {"role": "user", "content": CODE}
    assert ours(ask(agents, CODE, model="priced", headers=headers))["model"] == "coder-14b"
    turns = [first, {"role": "assistant", "content": "Done."}, {"role": "user", "content": MATH}]
    second = ours(ask(agents, None, model="priced", headers=headers, messages=turns))
    assert second["turn"] == "ask"
    assert second["model"] == model
    assert reason in second["reason"]
    turns += [{"role": "assistant", "content": "102."}, {"role": "user", "content": "yes"}]
    third = ours(ask(agents, None, model="priced", headers=headers, messages=turns))
    assert (third["turn"], third["model"]) == ("keep", model)
