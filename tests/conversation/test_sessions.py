"""Conversations that clients name in their own ways, and such as they do not name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conversation.test_ask import answer, said, user
from litellm_benchrouter.conversation.state import Session, read_session

CODE, MATH = "Reverse a queue of seeds.", "How many tickets are left of 120?"


def name(messages: object = None, **request: Any) -> str:
    session = read_session([user(CODE)] if messages is None else messages, request)
    assert session is not None
    return session.name


def by_headers(headers: dict[str, str], text: str = CODE, **metadata: Any) -> str:
    return name([user(text)], metadata={"headers": headers, **metadata})


@pytest.mark.parametrize(
    "header",
    [
        *("x-litellm-session-id", "X-Claude-Code-Session-Id", "session-id", "session_id"),
        *("x-session-id", "x-session-affinity", "x-opencode-session-id", "X-OpenWebUI-Chat-Id"),
        *("x-conversation-id", "thread-id", "x-some-new-agent-session-id"),
    ],
)
def test_a_header_names_the_conversation(header: str) -> None:
    first = by_headers({header: "c-12345678"})
    assert first == by_headers({header.lower(): "c-12345678"}, MATH)
    assert first != by_headers({header: "c-87654321"})


@pytest.mark.parametrize(
    "user_id",
    [
        json.dumps({"device_id": "d", "session_id": "5f0c7e1a-2b44"}),
        {"session_id": "5f0c7e1a-2b44"},
        "user_ab12_account__session_5f0c7e1a-2b44",
    ],
)
def test_the_user_id_of_messages_holds_the_session(user_id: Any) -> None:
    def named(given: Any, text: str) -> str:
        return name([user(text)], metadata={"user_id": given}, litellm_metadata={})

    other = json.loads(json.dumps(user_id).replace("5f0c", "77aa"))
    assert named(user_id, CODE) == named(user_id, MATH) != named(other, CODE)
    assert named("ben", CODE) != named("ben", MATH), "a person is no conversation"


def test_a_child_session_is_told_from_its_parent() -> None:
    child = {"x-parent-session-id": "ses-parent", "x-session-id": "ses-child"}
    assert by_headers(child) == by_headers({"x-session-id": "ses-child"})
    assert by_headers(child) != by_headers({"x-session-id": "ses-parent"})
    assert by_headers(child, litellm_session_id="ses-parent") == by_headers(child)


def test_a_sub_agent_is_told_from_the_main_loop() -> None:
    session = {"x-claude-code-session-id": "5f0c7e1a"}
    one, two = ({**session, "x-claude-code-agent-id": agent} for agent in ("a1", "a2"))
    assert len({by_headers(session), by_headers(one), by_headers(two)}) == 3
    assert by_headers(session) == by_headers({**session, "x-litellm-agent-id": "team"})


def test_a_trace_is_no_conversation() -> None:
    def traced(trace: str, text: str, **ids: str) -> str:
        headers = {"x-litellm-trace-id": trace, **ids}
        return name([user(text)], metadata={"headers": headers}, litellm_session_id=trace)

    assert traced("t1", CODE) == traced("t2", CODE)
    assert traced("t1", CODE) != traced("t1", MATH)
    assert traced("t1", CODE, **{"x-session-id": "s"}) == by_headers({"x-session-id": "s"})


def test_an_id_that_litellm_made_up_is_no_conversation() -> None:
    def made_up(session: str, text: str) -> str:
        metadata = {"session_id": session, "litellm_session_id_generated": True}
        return name([user(text)], metadata=metadata, litellm_session_id=session)

    assert made_up("u1", CODE) == made_up("u2", CODE) == name()
    assert made_up("u1", CODE) != made_up("u1", MATH)


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_of_the_provider_is_one(conversation: Any) -> None:
    first = name(None, input=[said(CODE)], conversation=conversation)
    assert first == name([], input=[said(MATH)], conversation="conv_1")
    assert first != name([], input=[said(CODE)], conversation="conv_2")


def test_a_cache_key_that_was_generated_names_a_conversation_and_others_only_tell_apart() -> None:
    def keyed(key: str, text: str) -> str:
        return name([], input=[said(text)], prompt_cache_key=key)

    generated = "019a2f0e-77aa-7bbb-8ccc-0123456789ab"
    assert keyed(generated, CODE) == keyed(generated, MATH)
    assert keyed(generated, CODE) != keyed(generated.replace("019a", "019b"), CODE)
    assert keyed("my-app", CODE) != keyed("my-app", MATH)
    assert keyed("my-app", CODE) != keyed("my-tool", CODE)


def test_a_response_continues_the_conversation_that_it_was_an_answer_in() -> None:
    first = name([], input=[said(CODE)])
    again = read_session(None, {"previous_response_id": "r1", "input": "yes"}, {"r1": first}.get)
    assert again is not None and again.name == first
    unknown, other = (name([], previous_response_id=r, input="yes") for r in ("r2", "r3"))
    assert len({first, unknown, other}) == 3


def session(*turns: dict[str, Any], **request: Any) -> Session:
    read = read_session(list(turns), request)
    assert read is not None
    return read


def test_without_an_id_a_request_follows_the_one_whose_turns_it_carries_on() -> None:
    first = session(user("hi"))
    second = session(user("hi"), answer("Hello, Ann."), user(CODE))
    third = session(user("hi"), answer("Hello, Ann."), user(CODE), answer("Done."), user("yes"))
    assert (second.before, third.before) == (first.now, second.now)
    assert first.name == second.name == third.name


def test_two_chats_with_a_shared_opening_are_told_apart_by_what_follows() -> None:
    one = session(user("hi"), answer("Hello, Ann."), user(CODE))
    other = session(user("hi"), answer("Hello, Ben."), user(CODE))
    assert one.now != other.now
    examples = (user("Rename add to plus."), answer("Renamed."), user("Files: a.py"), answer("Ok."))
    assert session(*examples, user(CODE)).now != session(*examples, user(MATH)).now
    agents = {"input": [said("# AGENTS.md\n\n<INSTRUCTIONS>\nTabs.\n</INSTRUCTIONS>")]}
    codes = [read_session(None, {"input": [*agents["input"], said(t)]}) for t in (CODE, MATH)]
    assert codes[0] and codes[1] and codes[0].name != codes[1].name


def test_a_loop_of_tools_stays_in_its_conversation() -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}
    back = {"role": "user", "content": [{"type": "tool_result", "content": "ok"}]}
    turns: list[dict[str, Any]] = [user(CODE)]
    held = session(*turns).now
    for _ in range(5):
        turns += [call, back]
        again = session(*turns)
        assert held in (again.now, again.before)
        held = again.now


def test_nothing_that_names_a_conversation_reaches_its_name() -> None:
    headers = {"x-session-id": "secret-session"}
    assert "secret" not in by_headers(headers)
    one, other = (by_headers(headers, user_api_key_hash=key) for key in ("k1", "k2"))
    assert one != other
