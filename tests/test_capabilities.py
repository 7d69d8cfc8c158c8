"""What requests need beyond text, and who cannot give it."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_benchrouter.serving.capabilities import Needs, lacking, needs_of
from litellm_benchrouter.serving.service import DeploymentGroup

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("messages", "request_", "kinds"),
    [
        (user({"type": "text", "text": "hi"}), {}, set()),
        (user(IMAGE), {}, {"images"}),
        (user({"type": "image", "source": {}}), {}, {"images"}),
        (None, {"input": user({"type": "input_image"})}, {"images"}),
        (user({"type": "tool_result", "content": [{"type": "image"}]}), {}, {"images"}),
        (user({"type": "input_audio"}, {"type": "file"}), {}, {"audio", "files"}),
        ("text", {"tools": [{"type": "function"}]}, {"tools"}),
        ("text", {"tools": []}, set()),
        ("text", {"response_format": {"type": "json_schema"}}, {"a response schema"}),
        ("text", {"text": {"format": {"type": "json_schema"}}}, {"a response schema"}),
        ("text", {"response_format": {"type": "json_object"}}, set()),
    ],
)
def test_needs_are_read_from_every_endpoints_form(
    messages: object, request_: dict[str, Any], kinds: set[str]
) -> None:
    assert needs_of(messages, request_).kinds == kinds


@pytest.mark.parametrize(
    "messages", [None, 3, [None, 3, "x"], [[[[[[IMAGE]]]]]], {"content": IMAGE}, [{"content": 3}]]
)
def test_strange_messages_need_nothing(messages: object) -> None:
    assert needs_of(messages, {"input": 3, "tools": None}).kinds == frozenset()


def test_what_nobody_denies_is_given() -> None:
    needs = Needs(frozenset({"images", "tools"}), 40)
    assert lacking({}, needs) is None
    assert lacking({"supports_vision": True, "max_input_tokens": 10}, needs) is None
    assert lacking({"supports_vision": False}, needs) == "images"
    assert lacking({"supports_function_calling": False}, needs) == "tools"
    assert lacking({"max_input_tokens": 9}, needs) == "10 tokens"


def deployment(name: str) -> dict[str, Any]:
    return {"model_name": "smart", "model_info": {"id": name}}


def test_an_offer_is_what_can_serve_and_all_where_none_can() -> None:
    deployments = [deployment("a"), deployment("b"), deployment("c")]
    offer = DeploymentGroup(deployments, ["m1", "m2", None], {"b": "images"})
    assert offer.able.names == ["m1"]
    assert offer.note == "; m2 does not take images"

    none = DeploymentGroup(deployments, ["m1", "m2", None], {"a": "images", "b": "images"})
    assert none.able.names == ["m1", "m2"]
    assert none.note == "; no model is known to take all that is asked"
    assert DeploymentGroup(deployments, ["m1", "m2", None], {}).note == ""
