"""Agents in a real proxy that work, and that are stuck: who is asked, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conversation.test_failures import FAILS, chatted, looked, responded

from proxy.conftest import ask, routed_proxy
from proxy.harness import ProxyProcess, deployment, eventually
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
    api_base = upstream_server.base_url
    # One model at two efforts: two models of the benchmark, the lower effort at a lower cost.
    efforts = {"low": ("coder-14b", 1e-6), "high": ("mathsmith-8b", 2e-6)}
    more = [
        deployment(
            "efforts", "o4-mini", api_base, id=f"o4-mini-{effort}", benchrouter_model=model,
            params={"reasoning_effort": effort, "output_cost_per_token": usd,
                    "input_cost_per_token": usd},
        )
        for effort, (model, usd) in efforts.items()
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("escalation")
    with routed_proxy(api_base, folder, serving=serving, more=more) as proxy:
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


def efforts_of(upstream: FakeUpstream) -> list[str]:
    bodies = [request.body for request in upstream.requests]
    return [body.get("reasoning_effort") or body["reasoning"]["effort"] for body in bodies]


def test_the_efforts_of_one_model_are_candidates_of_their_own(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    for prompt, model, effort in ((MATH, "mathsmith-8b", "high"), (CODE, "coder-14b", "low")):
        for path, body in (
            ("chat/completions", {"messages": [{"role": "user", "content": prompt}]}),
            ("responses", {"input": prompt}),
            ("messages", {"messages": [{"role": "user", "content": prompt}], "max_tokens": 99}),
        ):
            headers = {"x-session-id": f"4f7d-{path}-{effort}"}
            asked = {"model": "efforts", **body}
            response = agents.http.post(f"/v1/{path}", json=asked, headers=headers)
            assert response.status_code == 200, response.text
            assert ours(response)["model"] == model
            assert response.headers["x-litellm-model-id"] == f"o4-mini-{effort}"
    assert efforts_of(upstream) == ["high"] * 3 + ["low"] * 3
    assert set(upstream.models) == {"o4-mini"}


def test_who_asks_for_an_effort_gets_it_from_the_deployment_that_was_measured_at_it(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    headers = {"x-session-id": "4f7d-asks"}
    low = ours(ask(agents, MATH, model="efforts", reasoning_effort="low", headers=headers))
    assert low["model"] == "coder-14b"
    assert low["reason"].endswith("; mathsmith-8b does not take the effort low")
    body = {"model": "efforts", "input": CODE, "reasoning": {"effort": "high"}}
    high = agents.http.post("/v1/responses", json=body, headers={"x-session-id": "4f7d-asks-2"})
    assert ours(high)["model"] == "mathsmith-8b"
    headers = {"x-session-id": "4f7d-asks-3"}
    neither = ours(ask(agents, MATH, model="efforts", reasoning_effort="medium", headers=headers))
    assert neither["reason"].endswith("; no model is known to take all that is asked")
    assert efforts_of(upstream) == ["low", "high", "medium"]


def test_a_stuck_agent_is_given_a_higher_effort(
    agents: ProxyProcess, upstream: FakeUpstream
) -> None:
    turns: list[Any] = [{"role": "user", "content": MATH}]
    headers = {"x-session-id": "4f7d-effort", "x-benchrouter-policy": "cheapest:0"}

    def go() -> dict[str, str]:
        return ours(ask(agents, "", messages=turns, model="efforts", tools=TOOLS, headers=headers))

    cheap = go()
    assert (cheap["model"], cheap["policy"]) == ("coder-14b", "cheapest:0")
    turns += chatted("Exit code: 1\nOutput:\nE") * 2
    left = go()
    assert (left["model"], left["method"]) == ("mathsmith-8b", "escalated")
    assert efforts_of(upstream) == ["low", "high"]
