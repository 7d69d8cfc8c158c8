"""Conversations: what tells them apart, and who holds them."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.conversation.state import Session, Sessions, session_of, share_of


def turns(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def test_a_conversation_is_known_by_its_first_turn() -> None:
    first = session_of(turns("hello"), {})
    assert first == session_of(turns("hello", "hi", "and now?"), {})
    assert first != session_of(turns("good day"), {})
    assert first is not None and "hello" not in first


def test_the_clients_session_id_comes_before_the_first_turn() -> None:
    named = {"litellm_session_id": "s-1"}
    assert session_of(turns("a"), named) == session_of(turns("b"), named)
    assert session_of(turns("a"), named) != session_of(turns("a"), {"litellm_session_id": "s-2"})


def test_two_keys_never_share_a_conversation() -> None:
    one, other = ({"metadata": {"user_api_key_hash": key}} for key in ("k1", "k2"))
    assert session_of(turns("a"), one) != session_of(turns("a"), other)


def test_without_text_or_id_there_is_no_conversation() -> None:
    assert session_of(None, {}) is None
    assert session_of([{"role": "system", "content": "be kind"}], {}) is None
    assert session_of(turns("\ud800"), {}) is not None


def test_a_conversation_that_rests_too_long_is_let_go() -> None:
    now = [0.0]
    sessions = Sessions(60.0, clock=lambda: now[0])

    def model_of(name: str) -> str | None:
        held = asyncio.run(sessions.held(Session(name, name, "")))
        return held and held.model

    sessions.hold("a", "model-1")
    now[0] = 59.0
    assert model_of("a") == "model-1"
    sessions.hold("a", "model-2")
    now[0] = 118.0
    assert model_of("a") == "model-2"
    now[0] = 119.5
    assert model_of("a") is None
    assert model_of("b") is None


@given(st.lists(st.text(), min_size=200, max_size=200, unique=True))
def test_shares_are_stable_and_spread_evenly(names: list[str]) -> None:
    shares = [share_of(name) for name in names]
    assert shares == [share_of(name) for name in names]
    assert all(0 <= share < 1 for share in shares)
    assert 60 <= sum(share < 0.5 for share in shares) <= 140
