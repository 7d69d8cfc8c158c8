"""Policies in a real proxy: the group's, the request's, and what headers and logs say of them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.conftest import ask
from proxy.harness import ProxyProcess, eventually
from proxy.test_routing import MATH, ours, spend_log
from proxy.upstream import BROKEN, FakeUpstream


def asking(policy: str, **headers: str) -> dict[str, Any]:
    return {"headers": {"x-benchrouter-policy": policy, **headers}}


def test_a_request_may_give_up_quality_for_cost(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    best = ours(ask(routed, MATH, model="priced"))
    assert (best["model"], best["policy"]) == ("mathsmith-8b", "quality")

    saved = ours(ask(routed, MATH, model="priced", **asking("within:0.9")))
    assert (saved["model"], saved["policy"]) == ("coder-14b", "within:0.9")
    assert saved["reason"].startswith("cheapest of 3 models within 90 points of mathsmith-8b")
    assert "saves 94 %; costs by price" in saved["reason"]
    assert upstream.models == ["mathsmith-p", "coder-p"]


def test_the_spend_log_says_the_policy_and_the_expected_cost_of_who_answered(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("coder-p", BROKEN)
    turns = [{"role": "system", "content": "x" * 4_000}, {"role": "user", "content": MATH}]
    response = ask(routed, "", messages=turns, model="priced", **asking("cheapest:0.05"))
    said = ours(response)
    assert said["model"] == "atlas-70b"
    assert said["reason"].startswith("coder-14b failed; cheapest of 3 models")
    assert not any("cost" in name for name in said)
    logged = eventually(lambda: spend_log(routed, said["reason"]))
    assert (logged["policy"], logged["pick"]) == ("cheapest:0.05", "coder-14b")
    expected = (4_000 / 4 + len(MATH) / 4 + 256) * 0.9e-6
    assert logged["expected_cost_usd"] == pytest.approx(expected)


@pytest.mark.parametrize("endpoint", ["responses", "messages"])
def test_the_header_counts_on_every_endpoint(
    routed: ProxyProcess, upstream: FakeUpstream, endpoint: str
) -> None:
    turns = [{"role": "user", "content": MATH}]
    body = {"input": turns} if endpoint == "responses" else {"messages": turns, "max_tokens": 9}
    response = routed.http.post(
        f"/v1/{endpoint}", json={"model": "priced", **body}, **asking("within:0.9")
    )
    assert response.status_code == 200
    assert ours(response)["policy"] == "within:0.9"
    assert upstream.models == ["coder-p"]


def test_the_groups_policy_holds_where_a_request_says_nothing(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    said = ours(ask(routed, MATH, model="saver"))
    assert (said["model"], said["policy"]) == ("coder-14b", "within:1")


def test_a_request_may_ask_within_the_operators_limits(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    said = ours(ask(routed, MATH, model="saver", **asking("cheapest:0.95")))
    assert (said["model"], said["policy"]) == ("mathsmith-8b", "cheapest:0.95")
    assert "the only model with P >= 0.95" in said["reason"]


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ("cheapest:0.4", "requests may not ask for cheapest:0.4 here; "),
        ("quality", "requests may not ask for quality here; "),
        ("Zanzibar <b>", "the policy that the request asks for is not one; "),
    ],
)
def test_beyond_the_limits_the_groups_policy_applies_and_the_reason_says_so(
    routed: ProxyProcess, upstream: FakeUpstream, asked: str, note: str
) -> None:
    response = ask(routed, MATH, model="saver", **asking(asked))
    assert response.status_code == 200
    said = ours(response)
    assert (said["model"], said["policy"]) == ("coder-14b", "within:1")
    assert said["reason"].startswith(note)
    assert "Zanzibar" not in said["reason"]


def test_a_named_task_is_weighed_too(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    task = {"x-benchrouter-task": "math"}
    best = ours(ask(routed, "anything", model="priced", headers=task))
    assert (best["model"], best["method"]) == ("mathsmith-8b", "measured")
    saved = ours(ask(routed, "anything", model="priced", **asking("within:0.9", **task)))
    assert (saved["model"], saved["method"], saved["task"]) == ("coder-14b", "measured", "math")


def test_without_prices_quality_decides_and_the_reason_says_so(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    said = ours(ask(routed, MATH, model="smart", **asking("within:0.9")))
    assert (said["model"], said["policy"]) == ("mathsmith-8b", "quality")
    assert said["reason"].startswith("nothing tells the costs of all models on offer; ")
