"""What a request says, whatever a client sends."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litellm_benchrouter.conversation.text import (
    asks_for_text,
    last_user_turn,
    metadata_of,
    named_task,
)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([user("one")], "one"),
        ([user("one"), {"role": "assistant", "content": "two"}, user("three")], "three"),
        ([user("one"), {"role": "assistant", "content": "two"}], "one"),
        ([{"role": "system", "content": "be brief"}], ""),
        ([user([{"type": "text", "text": "one"}, IMAGE, {"type": "text", "text": "two"}])],
         "one\ntwo"),
        ([user("one"), user([IMAGE])], "one"),
        ([user("one"), user(None)], "one"),
        ([user("one"), user("  \n")], "one"),
        # Anthropic: a tool's result comes as a user turn without a text of the user's
        ([user("one"), user([{"type": "tool_result", "content": "42"}])], "one"),
        ([user("one"), {"role": "tool", "tool_call_id": "t", "content": "42"}], "one"),
        ([user(["one", "two"])], "one\ntwo"),
        ("one", "one"),
        ([], ""),
        (None, ""),
    ],
)  # fmt: skip
def test_the_last_user_turn_that_has_text_is_read(messages, text):
    assert last_user_turn(messages, {}) == text


@pytest.mark.parametrize(
    ("given_input", "text"),
    [
        ("one", "one"),
        ([user([{"type": "input_text", "text": "one"}])], "one"),
        ([{"type": "message", **user("one")}], "one"),
        (
            [
                user("one"),
                {"type": "reasoning", "summary": [], "content": [{"text": "they ask for one"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "42"},
            ],
            "one",
        ),
    ],
)
def test_the_input_of_responses_is_read_where_there_are_no_messages(given_input, text):
    assert last_user_turn(None, {"input": given_input}) == text
    assert last_user_turn([user("a message")], {"input": given_input}) == "a message"


def test_what_litellm_knows_of_a_request_is_found_wherever_it_keeps_it():
    assert metadata_of({"metadata": {"a": 1}}) == {"a": 1}
    assert metadata_of({"metadata": {"a": 1}, "litellm_metadata": {"b": 2}}) == {"b": 2}
    assert metadata_of({"metadata": None, "litellm_metadata": "x"}) == {}


HEADER = {"metadata": {"headers": {"x-benchrouter-task": "contract-qa"}}}


@pytest.mark.parametrize(
    ("request_", "task"),
    [
        (HEADER, "contract-qa"),
        ({"metadata": {"headers": {"X-BenchRouter-Task": " contract-qa "}}}, "contract-qa"),
        ({"litellm_metadata": HEADER["metadata"], "metadata": {}}, "contract-qa"),
        ({"metadata": {"task": "contract-qa"}}, "contract-qa"),
        ({"metadata": {"requester_metadata": {"task": "contract-qa"}}}, "contract-qa"),
        ({"litellm_metadata": {}, "metadata": {"task": "contract-qa"}}, "contract-qa"),
        ({"metadata": {"tags": ["free", "task:contract-qa"]}}, "contract-qa"),
        ({"metadata": {"tags": ["task:", "task: contract-qa"]}}, "contract-qa"),
        ({"metadata": {"headers": {}, "tags": ["free"]}}, None),
        ({"metadata": {"task": 7}}, None),
        ({"metadata": {"task": " "}}, None),
        ({"metadata": {"task": "x" * 201}}, None),
        ({"metadata": {"tags": "task:contract-qa"}}, None),
        ({}, None),
    ],
)
def test_a_task_is_named_by_header_metadata_or_tag(request_, task):
    assert named_task(request_) == task


def test_the_header_goes_before_metadata_and_metadata_before_a_tag():
    metadata = {"task": "second", "tags": ["task:third"]}
    assert named_task({"metadata": metadata | {"headers": {"x-benchrouter-task": "first"}}}) == (
        "first"
    )
    assert named_task({"metadata": metadata | {"headers": {"x-benchrouter-task": ""}}}) == "second"


@pytest.mark.parametrize(
    ("call_type", "asks"),
    [
        *(("acompletion", True), ("completion", True), ("atext_completion", True)),
        *(("aresponses", True), ("anthropic_messages", True)),
        *(("aembedding", False), ("aimage_generation", False), ("atranscription", False)),
        *((None, False), (["acompletion"], False), ({}, False)),
    ],
)
def test_calls_that_answer_with_text_are_told_from_others(call_type, asks):
    assert asks_for_text({"litellm_logging_obj": SimpleNamespace(call_type=call_type)}) is asks


def test_a_call_without_a_logging_object_is_not_ours():
    assert not asks_for_text({})
    assert not asks_for_text({"litellm_logging_obj": object()})


KEYS = st.sampled_from(
    (
        *("role", "content", "type", "text", "input", "metadata", "litellm_metadata", "headers"),
        *("requester_metadata", "task", "tags", "x-benchrouter-task", "user", "message"),
        *("litellm_logging_obj", "call_type"),
    )
)
# Any code point, lone surrogates and NULs among them, and the words that mean something.
TEXT = KEYS | st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXT | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)
BODIES = st.dictionaries(TEXT, ANYTHING, max_size=6)


@pytest.mark.parametrize(
    "messages",
    [
        [user("ab" * 5_000_000)],
        "ab" * 5_000_000,
        [user([{"type": "text", "text": "ab"}, "ab" * 5_000_000])],
        [user(["a"] * 1_000_000)],
        ["ab" * 5_000_000],
    ],
)
def test_of_a_very_long_text_the_beginning_is_looked_at(messages):
    text = last_user_turn(messages, {})
    assert 1_000 <= len(text) <= 32_768
    assert text.startswith("a")


def test_of_very_many_turns_the_last_are_looked_at():
    answers = [{"role": "assistant", "content": "yes"}] * 1_000_000
    assert last_user_turn([*answers, user("which?"), *answers[:900]], {}) == "which?"
    assert last_user_turn([user("which?"), *answers], {}) == ""
    assert named_task({"metadata": {"tags": ["task:far"] * 3 + ["x"] * 1_000_000}}) == "far"


@settings(max_examples=500, deadline=None)
@given(ANYTHING, BODIES)
@example([user("\ud800\0")], {"metadata": {"task": "\udfff", "tags": [None, "task:\0"]}})
@example([[[[]]], user([[["x"]]])], {"input": [None, [user("x")]]})
def test_no_body_is_an_error_and_none_is_changed(messages, body):
    before = copy.deepcopy((messages, body))
    text, task = last_user_turn(messages, body), named_task(body)
    assert isinstance(text, str)
    assert task is None or (task.strip() == task != "" and len(task) <= 200)
    assert isinstance(metadata_of(body), dict)
    assert asks_for_text(body) is False
    assert repr((messages, body)) == repr(before)
