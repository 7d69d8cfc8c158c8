"""Agents in a real proxy that work, and that are stuck: who is asked, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conversation.test_failures import FAILS, chatted, looked, responded

from proxy.conftest import ask, routed_proxy
from proxy.harness import ProxyProcess, eventually
from proxy.test_conversations import REMINDER, TOOL, parts
from proxy.test_metrics import samples, scrape, value
from proxy.test_routing import CODE, MATH, ours, record
from proxy.upstream import FakeUpstream

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
REASON = "the conversation leaves coder-14b after 2 failed tool calls: "


@pytest.fixture(scope="module")
def agents(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    serving = {"stickiness": "session", "side": "cheapest:0.1", "escalate": {"after_failures": 2}}
    folder = tmp_path_factory.mktemp("escalation")
    with routed_proxy(upstream_server.base_url, folder, serving=serving) as proxy:
        yield proxy


class Agent:
    """A program that talks to /v1/messages; its turns are written down here."""

    def __init__(self, proxy: ProxyProcess, session: str) -> None:
        self.proxy = proxy
        self.session = session
        self.turns: list[Any] = []

    def go(self, *turns: Any, **headers: str) -> dict[str, str]:
        self.turns += turns
        return self.send(self.turns, **headers)

    def send(self, turns: list[Any], **headers: str) -> dict[str, str]:
        body = {"model": "smart", "max_tokens": 100, "tools": [TOOL], "messages": turns}
        named = {f"x-claude-code-{name.replace('_', '-')}": v for name, v in headers.items()}
        named["x-claude-code-session-id"] = self.session
        response = self.proxy.http.post("/v1/messages", json=body, headers=named)
        assert response.status_code == 200, response.text
        return ours(response)


def person(text: str) -> dict[str, Any]:
    return {"role": "user", "content": parts(REMINDER, text)}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": parts(text)}


def escalations(proxy: ProxyProcess, sign: str) -> float:
    return value(samples(scrape(proxy)), "escalations_total", sign=sign)


def test_an_agent_that_works_decides_once_an_ask_and_keeps_its_model(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    agent = Agent(agents, "4f7d-working")
    answers = [agent.go(person(CODE))]
    for step in range(38):
        if step == 10:
            title = agent.send([person("Name this session.")], request_class="auxiliary")
            assert title["turn"] == "side"
        if step == 15:
            helper = agent.send([person(MATH)], agent_id="a1")
            assert (helper["turn"], helper["model"]) == ("ask", "mathsmith-8b")
        if step == 20:  # the client condenses the conversation and goes on from the summary
            asked = person("Summarise the conversation so far in <summary> tags. Call no tools.")
            assert agent.send([*agent.turns, asked], request_class="compaction")["turn"] == "side"
            agent.turns = [
                {"role": "user", "content": parts("<summary>\n1. Reversed.\n</summary>")}
            ]
        answers.append(agent.go(*(FAILS if step in (5, 18, 30) else looked(step))))
    answers.append(agent.go(said("The queue is reversed."), person("Now rename it, please.")))

    assert len(answers) == 40
    assert {answer["model"] for answer in answers} == {"coder-14b"}
    assert [answer["method"] for answer in answers] == ["s1"] + ["session"] * 39
    assert [answer["turn"] for answer in answers][1:39] == ["keep"] * 38
    reasons = {answer["reason"] for answer in answers[1:]}
    assert reasons == {"the conversation stays with coder-14b"}


def test_a_stuck_agent_escalates_and_headers_and_spend_log_say_why(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    agent = Agent(agents, "4f7d-stuck")
    assert agent.go(person(CODE))["model"] == "coder-14b"
    assert agent.go(said("Done."), person(MATH))["method"] == "session"
    counted = escalations(agents, "tool")
    assert agent.go(*FAILS)["model"] == "coder-14b"
    left = agent.go(*FAILS)
    assert left["method"] == "escalated"
    assert left["model"] != "coder-14b"
    assert left["reason"].startswith(REASON)
    stays = agent.go(*looked(1))
    assert (stays["model"], stays["method"]) == (left["model"], "session")
    assert eventually(lambda: escalations(agents, "tool") == counted + 1)

    def logged() -> list[dict[str, Any]]:
        lines = [line["spend"]["benchrouter"] for line in record(agents) if line["spend"]]
        return [line for line in lines if line["method"] == "escalated"]

    line = eventually(logged)[-1]
    assert (line["kind"], line["model"], line["turn"]) == ("escalated", left["model"], "keep")
    assert line["reason"].startswith(REASON)
    assert "pytest" not in str(line) and "Amira" not in str(line)


def test_a_stuck_agent_of_chat_completions_escalates(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    turns: list[Any] = [{"role": "user", "content": CODE}]

    def go(*more: Any) -> dict[str, str]:
        turns.extend(more)
        headers = {"x-session-id": "4f7d-chat"}
        response = ask(agents, "", messages=turns, tools=TOOLS, headers=headers)
        assert response.status_code == 200, response.text
        return ours(response)

    assert go()["model"] == "coder-14b"
    go({"role": "assistant", "content": "Done."}, {"role": "user", "content": MATH})
    fails = chatted('{"output": "2 failed", "metadata": {"exit_code": 1}}')
    searches = chatted("Exit code: 1\nOutput:\n", {"command": "grep -rn queue src"})
    for _ in range(4):
        assert go(*searches)["method"] == "session"
    assert go(*fails)["method"] == "session"
    assert go(*fails)["reason"].startswith(REASON)


def test_a_stuck_agent_of_responses_escalates_unless_only_its_model_can_read_on(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    items: list[Any] = [{"role": "user", "content": CODE}]

    def go(*more: Any, session: str) -> dict[str, str]:
        body = {"model": "smart", "input": [*items, *more]}
        response = agents.http.post(
            "/v1/responses", json=body, headers={"session_id": f"4f7d-{session}"}
        )
        assert response.status_code == 200, response.text
        return ours(response)

    fails = [
        {"id": f"i{n}", **item} for n, item in enumerate(responded("Exit code: 1\nOutput:\nE"))
    ]
    sealed = [{"type": "reasoning", "id": "s", "summary": [], "encrypted_content": "xx"}]
    for session in ("open", "sealed"):
        assert go(session=session)["model"] == "coder-14b"
    items += [
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": MATH},
    ]
    assert go(*fails, session="open")["method"] == "session"
    assert go(*fails, *fails, session="open")["reason"].startswith(REASON)
    stays = go(*sealed, *fails, *fails, session="sealed")
    assert (stays["model"], stays["method"]) == ("coder-14b", "session")
    assert stays["reason"].endswith("despite 2 failed tool calls: no other can read it")


@pytest.mark.parametrize(
    ("language", "complaints"),
    [
        ("English", ("that's wrong", "It still fails")),
        ("German", ("das stimmt nicht", "Immer noch falsch.")),
        ("French", ("C'est faux.", "ça ne marche toujours pas")),
        ("Spanish", ("eso está mal", "sigue sin funcionar")),
        ("Portuguese", ("isso está errado", "ainda não funciona")),
        ("Russian", ("Это неправильно", "всё ещё не работает")),
        ("Turkish", ("bu yanlış", "hâlâ çalışmıyor")),
        ("Chinese", ("不对", "还是不行")),
        ("Japanese", ("違います", "まだ動きません")),
        ("Korean", ("틀렸어요", "여전히 안 돼요")),
        ("Arabic", ("هذا خطأ", "لا يزال لا يعمل")),
        ("Hindi", ("यह गलत है", "अभी भी काम नहीं कर रहा है")),
    ],
)
def test_a_person_who_complains_twice_gets_another_model(
    agents: ProxyProcess, upstream: FakeUpstream, language: str, complaints: tuple[str, str]
) -> None:
    agent = Agent(agents, f"4f7d-{language}")
    assert agent.go(person(CODE))["model"] == "coder-14b"
    assert agent.go(said("Done."), person(MATH))["model"] == "coder-14b"
    first = agent.go(said("101."), person(complaints[0]))
    assert (first["model"], first["turn"]) == ("coder-14b", "keep")
    left = agent.go(said("103."), person(complaints[1]))
    assert left["method"] == "escalated"
    assert left["reason"].startswith("the conversation leaves coder-14b after 2 complaints: ")


def test_a_person_who_declines_keeps_the_model(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    agent = Agent(agents, "4f7d-declines")
    agent.go(person(CODE))
    agent.go(said("Done."), person(MATH))
    for text in ("no, thanks", "nein danke", "No.", "yes"):
        assert agent.go(said("102. Shall I explain?"), person(text))["method"] == "session"
