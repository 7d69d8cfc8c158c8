"""The hook in a real proxy, asked by real clients; the fake provider says which model was asked."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.conftest import ask
from proxy.harness import ProxyProcess, eventually, json_lines
from proxy.upstream import BROKEN, RATE_LIMITED, Answer, FakeUpstream, slow

MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
CODE = "Write a Python function that reverses a queue of seeds without recursion."
TRANSLATION = "Translate into Dutch: the tickets arrive on Monday morning."


def ours(response: Any) -> dict[str, str]:
    return {
        name.removeprefix("x-benchrouter-"): value
        for name, value in response.headers.items()
        if name.startswith("x-benchrouter-")
    }


@pytest.mark.parametrize(
    ("prompt", "model", "benchmark_model"),
    [
        (MATH, "mathsmith", "mathsmith-8b"),
        (CODE, "coder", "coder-14b"),
        (TRANSLATION, "polyglot-12b", "polyglot-12b"),
    ],
)
def test_each_prompt_goes_to_the_model_that_its_neighbours_favour(
    routed: ProxyProcess, upstream: FakeUpstream, prompt: str, model: str, benchmark_model: str
) -> None:
    response = ask(routed, prompt)

    assert response.status_code == 200
    assert upstream.models == [model]
    said = ours(response)
    assert said["model"] == benchmark_model
    assert said["method"] == "s1"
    assert "5 nearest benchmark samples" in said["reason"]
    assert len(said["artifact"]) == 16
    assert "task" not in said


def test_the_openai_client_streams_from_the_pick(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    with routed.openai.chat.completions.with_streaming_response.create(
        model="smart", messages=[{"role": "user", "content": MATH}], stream=True
    ) as response:
        assert response.headers["x-benchrouter-model"] == "mathsmith-8b"
        assert list(response.parse())
    assert upstream.models == ["mathsmith"]


@pytest.mark.parametrize("stream", [False, True])
def test_responses_and_messages_are_routed_by_their_last_user_turn(
    routed: ProxyProcess, upstream: FakeUpstream, stream: bool
) -> None:
    turns = [
        {"role": "user", "content": CODE},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": [{"type": "input_text", "text": MATH}]},
    ]
    response = routed.http.post(
        "/v1/responses", json={"model": "smart", "input": turns, "stream": stream}
    )
    assert response.status_code == 200
    assert ours(response)["model"] == "mathsmith-8b"

    turns[-1] = {"role": "user", "content": [{"type": "text", "text": TRANSLATION}]}
    response = routed.http.post(
        "/v1/messages",
        json={"model": "smart", "max_tokens": 10, "messages": turns, "stream": stream},
    )
    assert response.status_code == 200
    assert ours(response)["model"] == "polyglot-12b"
    assert upstream.models == ["mathsmith", "polyglot-12b"]


def test_a_text_completion_is_routed(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    response = routed.http.post("/v1/completions", json={"model": "smart", "prompt": MATH})
    assert response.status_code == 200
    assert upstream.models == ["mathsmith"]


@pytest.mark.parametrize(
    "request_body",
    [
        {"headers": {"x-benchrouter-task": "report-queries"}},
        {"metadata": {"task": "report-queries"}},
    ],
)
def test_a_named_task_is_answered_by_its_stored_decision(
    routed: ProxyProcess, upstream: FakeUpstream, request_body: dict[str, Any]
) -> None:
    said = ours(ask(routed, MATH, **request_body))

    # S3 favours coder-14b or atlas-70b; what matters is that the prompt did not decide.
    assert said["task"] == "report-queries"
    assert said["method"] in ("s3", "bma")
    assert said["model"] in ("atlas-70b", "coder-14b")
    assert "mathsmith" not in upstream.models


def test_a_tag_names_a_task_too(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    # Tag filtering is on in this proxy: the group must have a deployment that takes any tag.
    said = ours(ask(routed, CODE, model="tagged", metadata={"tags": ["task:math"]}))
    assert (said["method"], said["task"]) == ("measured", "math")
    assert upstream.models == ["mathsmith-t"]


def test_a_task_of_the_benchmark_is_answered_by_what_was_measured(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    said = ours(ask(routed, "anything", headers={"x-benchrouter-task": "translation"}))
    assert (said["method"], said["model"]) == ("measured", "polyglot-12b")
    assert upstream.models == ["polyglot-12b"]


def test_an_unknown_task_is_routed_by_its_text_and_says_so(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    said = ours(ask(routed, MATH, headers={"x-benchrouter-task": "nobody-named-this"}))
    assert (said["method"], said["model"]) == ("s1", "mathsmith-8b")
    assert said["reason"].startswith("the task is not in the artifact")


@pytest.mark.parametrize(
    "content",
    [
        "",
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
    ],
)
def test_without_text_the_best_on_average_answers(
    routed: ProxyProcess, upstream: FakeUpstream, content: Any
) -> None:
    said = ours(ask(routed, content))
    assert (said["method"], said["model"]) == ("bma", "atlas-70b")
    assert upstream.models == ["atlas"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", [RATE_LIMITED, BROKEN])
def test_when_the_pick_fails_the_next_best_answers_and_header_and_log_name_it(
    routed: ProxyProcess, upstream: FakeUpstream, failure: Answer, stream: bool
) -> None:
    upstream.tell("mathsmith", failure)
    response = ask(routed, MATH, stream=stream)

    assert response.status_code == 200
    first, *_, served = upstream.models
    assert first == "mathsmith"
    assert upstream.models.count("mathsmith") == 1
    said = ours(response)
    assert said["model"] == {"atlas": "atlas-70b", "coder": "coder-14b"}[served]
    assert said["reason"].startswith("mathsmith-8b failed; ")
    if not stream:
        logged = eventually(lambda: spend_log(routed, said["reason"]))
        assert logged["model"] == said["model"]
        assert logged["pick"] == "mathsmith-8b"


def test_every_model_is_tried_in_order_before_the_unknown_one(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("mathsmith", BROKEN)
    upstream.tell("atlas", RATE_LIMITED)
    response = ask(routed, MATH)
    assert response.status_code == 200
    assert upstream.models[0] == "mathsmith"
    assert len(set(upstream.models)) == len(upstream.models)
    assert "unheard-of" not in upstream.models


def test_models_are_ranked_within_the_levels_of_the_yaml(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, MATH, model="ordered")
    assert response.status_code == 200
    assert ours(response)["reason"].startswith("mathsmith-8b stands behind by the `order`")
    upstream.tell("atlas-o", BROKEN)
    assert ask(routed, MATH, model="ordered").status_code == 200
    assert upstream.models == ["atlas-o", "atlas-o", "mathsmith-o"]


def test_a_context_window_that_is_too_small_gives_way_to_the_next_best(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, f"{CODE} " * 30, model="short-context")
    assert response.status_code == 200
    assert upstream.models == ["large"]
    assert ours(response)["model"] == "mathsmith-8b"
    assert "coder-14b does not take " in ours(response)["reason"]


def test_tags_filter_among_the_ranked(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    response = ask(routed, CODE, model="tagged", metadata={"tags": ["paid"]})
    assert response.status_code == 200
    assert upstream.models == ["mathsmith-t"]
    assert ours(response)["reason"].startswith("coder-14b was taken out by LiteLLM's tag filter")


def test_replicas_of_the_pick_share_the_load(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    for _ in range(40):
        assert ask(routed, CODE, model="replicas").status_code == 200
    assert set(upstream.models) == {"coder-a", "coder-b"}


def test_a_group_that_the_benchmark_does_not_know_is_untouched(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, MATH, model="plain")
    assert response.status_code == 200
    assert ours(response) == {}
    assert set(upstream.models) <= {"plain-a", "plain-b"}


def test_a_fallback_to_our_group_is_routed_and_named_right(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("plain-a", BROKEN)
    upstream.tell("plain-b", BROKEN)
    response = ask(routed, MATH, model="plain")
    assert response.status_code == 200
    assert upstream.models[-1] == "mathsmith"
    assert ours(response)["model"] == "mathsmith-8b"


def test_a_fallback_to_a_group_that_is_not_ours_is_not_called_ours(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    before = len(record(routed))
    upstream.tell("frail", BROKEN)
    upstream.tell("frail-2", BROKEN)
    response = ask(routed, CODE, model="frail", headers={"x-litellm-spend-logs-metadata": "{}"})
    assert response.status_code == 200
    assert upstream.models[-1] in ("plain-a", "plain-b")
    assert ours(response) == {}
    served = eventually(
        lambda: next((line for line in record(routed)[before:] if line["id"][:5] == "plain"), None)
    )
    assert "benchrouter" not in (served["spend"] or {})


def test_embeddings_are_untouched(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    for _ in range(40):  # so that by chance it is always the same once in 5 * 10^11 runs
        response = routed.http.post("/v1/embeddings", json={"model": "vectors", "input": MATH})
        assert response.status_code == 200
        assert ours(response) == {}
    assert set(upstream.models) == {"embedder", "embedder-2"}


def test_a_response_that_continues_another_stays_where_that_one_is(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    first = routed.http.post("/v1/responses", json={"model": "smart", "input": MATH}).json()
    again = {"model": "smart", "input": TRANSLATION, "previous_response_id": first["id"]}
    assert routed.http.post("/v1/responses", json=again).status_code == 200
    assert upstream.models == ["mathsmith", "mathsmith"]


def test_a_slow_pick_does_not_change_the_decision(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("mathsmith", slow(0.5))
    assert ours(ask(routed, MATH))["model"] == "mathsmith-8b"


def test_what_the_client_logs_is_kept_beside_the_decision(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, MATH, headers={"x-litellm-spend-logs-metadata": '{"team": "blue"}'})
    assert response.status_code == 200
    spend = eventually(
        lambda: next(
            (line["spend"] for line in record(routed) if (line["spend"] or {}).get("team")), None
        )
    )
    assert spend["team"] == "blue"
    assert spend["benchrouter"]["pick"] == "mathsmith-8b"


def test_a_client_cannot_plant_a_decision(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    planted = {"model_info": {"id": "mathsmith", "benchrouter": {"tried": ["mathsmith"]}}}
    headers = {"x-litellm-call-id": "the-same-for-everybody"}
    for prompt in (CODE, MATH):
        assert ask(routed, prompt, metadata=planted, headers=headers).status_code == 200
    assert upstream.models == ["coder", "mathsmith"]


def test_the_model_that_the_benchmark_lacks_is_named_once_at_start(routed: ProxyProcess) -> None:
    ask(routed, MATH)
    lines = [line for line in routed.log.splitlines() if "does not know nobody-1b" in line]
    assert len(lines) == 1


def test_no_prompt_reaches_the_log(routed: ProxyProcess, upstream: FakeUpstream) -> None:
    ask(routed, "Zanzibar quicksilver umbrella: how many left of 12 tickets?")
    lines = [line for line in routed.log.splitlines() if "benchrouter" in line]
    assert lines
    assert not any("Zanzibar" in line for line in lines)


def record(proxy: ProxyProcess) -> list[dict[str, Any]]:
    return json_lines(proxy.folder / "record.jsonl")


def spend_log(proxy: ProxyProcess, reason: str) -> dict[str, Any] | None:
    found = [(line["spend"] or {}).get("benchrouter") for line in record(proxy)]
    return next((entry for entry in reversed(found) if entry and entry["reason"] == reason), None)
