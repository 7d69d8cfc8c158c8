"""What requests need beyond text, and who cannot give it."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from litellm_benchrouter.proxy.facts import DeploymentFacts
from litellm_benchrouter.serving.capabilities import Needs, lacking, needs_of
from litellm_benchrouter.serving.offer import DeploymentGroup

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


@pytest.mark.parametrize(
    ("request_", "effort"),
    [
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": {"effort": "low", "summary": "auto"}}, "low"),
        ({"reasoning": {"effort": "minimal"}}, "minimal"),
        ({"output_config": {"effort": "max"}}, "max"),
        ({"reasoning": {"summary": "auto"}}, None),
        ({"reasoning_effort": "a word of the client's"}, None),
        ({"reasoning_effort": 3, "reasoning": "high"}, "high"),
        ({}, None),
    ],
)
def test_an_effort_is_read_from_every_endpoints_form(
    request_: dict[str, Any], effort: str | None
) -> None:
    assert needs_of("text", request_).effort == effort


def test_a_deployment_of_another_effort_cannot_give_the_one_asked_for() -> None:
    facts = DeploymentFacts()
    params = {"model": "openai/my-own", "reasoning_effort": "high"}
    high = facts.abilities({"litellm_params": params, "model_info": {"id": "h"}}, "own-high")
    plain = facts.abilities({"litellm_params": {"model": "openai/my-own"}, "model_info": {}}, "own")
    asked = needs_of("text", {"reasoning_effort": "low"})
    assert lacking(high, asked) == "the effort low"
    assert lacking(plain, asked) is None, "nobody says what it runs at"
    assert lacking(high, needs_of("text", {"reasoning_effort": "high"})) is None
    assert lacking(high, needs_of("text", {})) is None


# What is known of a deployment

TOOLS = {"supports_function_calling": True}


def facts_of(
    monkeypatch: pytest.MonkeyPatch, model: str, entries: dict[str, Any], **info: Any
) -> dict[str, Any]:
    """Return the abilities of a deployment beside what a running proxy added to LiteLLM's list."""
    monkeypatch.setattr(litellm, "model_cost", litellm.model_cost | entries)
    deployment = {"litellm_params": {"model": model}, "model_info": {"id": model, **info}}
    return dict(DeploymentFacts({"ours": {"supports_vision": False}}).abilities(deployment, None))


@pytest.mark.parametrize(
    ("model", "entry"),
    [
        ("openai/my-llama", {}),
        ("hosted_vllm/own", {"id": "of another deployment", "db_model": False}),
        ("azure/own-name", {"id": "x", "supports_vision": True, "supports_pdf_input": False}),
        ("openai/priced", {"input_cost_per_token": 1e-6, "mode": "chat"}),
        ("openai/unlisted", {"litellm_provider": "openai", "mode": "chat", "max_tokens": None}),
        ("ollama/llava", {"key": "llava", "litellm_provider": "ollama", "mode": "chat",
                          "supports_vision": None, "max_input_tokens": None}),
    ],
)  # fmt: skip
def test_an_entry_without_content_or_of_another_deployment_says_nothing(
    monkeypatch: pytest.MonkeyPatch, model: str, entry: dict[str, Any]
) -> None:
    assert facts_of(monkeypatch, model, {model: entry}) == {}


def test_of_an_entry_added_while_the_proxy_runs_only_what_it_names_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = {"litellm_provider": "ollama", "mode": "chat", **TOOLS, "supports_vision": False}
    found = facts_of(monkeypatch, "ollama/own", {"ollama/own": entry})
    assert found == {"supports_function_calling": True, "supports_vision": False}


def test_litellms_own_list_denies_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    none = dict.fromkeys(("supports_vision", "supports_pdf_input"))  # as its router writes them
    listed = litellm.model_cost["gpt-3.5-turbo"] | none
    for entries in ({}, {"gpt-3.5-turbo": listed}, {"openai/gpt-3.5-turbo": {}}):
        found = facts_of(monkeypatch, "openai/gpt-3.5-turbo", entries)
        assert (found["supports_vision"], found["supports_function_calling"]) == (False, True)
        assert found["max_input_tokens"] > 0


def test_the_deployment_speaks_before_the_configuration_and_that_before_litellms_list() -> None:
    facts = DeploymentFacts({"ours": {"supports_vision": False, "max_input_tokens": None}})
    for info, seeing in (({}, False), ({"supports_vision": True}, True)):
        deployment = {
            "litellm_params": {"model": "openai/gpt-4o"},
            "model_info": {"id": info, **info},
        }
        found = facts.abilities(deployment, "ours")
        assert found["supports_vision"] is seeing
        assert found["max_input_tokens"] == litellm.model_cost["gpt-4o"]["max_input_tokens"]


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
