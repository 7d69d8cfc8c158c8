"""Cascades in a real proxy with its real database: who is asked, who pays, and what is given."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.artifact.manifest import MANIFEST, CascadeRecord, read_manifest
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.database import Database
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.upstream import BROKEN, RATE_LIMITED, FakeUpstream, saying, slow

PROMPT = "hello"  # of which the benchmark knows nothing: what models have on average counts
USD = {"small": 0.1, "middle": 0.5, "large": 2.0}  # a million tokens
MODELS = {"small": "coder-14b", "middle": "polyglot-12b", "large": "atlas-70b"}

PRICE = 200.0  # probability for a USD

CHECKS = """
def right(request, answer):
    text = answer["choices"][0]["message"]["content"] or ""
    if "BROKEN" in text:
        raise RuntimeError("down")
    return 0.0 if "WRONG" in text else 1.0
"""

GUARDRAIL = """
from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail

class Secrets(CustomGuardrail):
    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        if "SECRET" in response.choices[0].message.content:
            raise HTTPException(status_code=400, detail="a secret")
"""

# Nearly every score is right about its answer.
EVIDENCE = {
    "scores": [0.0, 1.0],
    "values": [-4.0, 4.0],
    "atoms": [-4.0, 4.0],
    "right": [0.02, 0.98],
    "wrong": [0.98, 0.02],
}


def cascade_config(api_base: str, verifiers: Sequence[str]) -> dict[str, Any]:
    def priced(group: str, name: str) -> dict[str, Any]:
        price = USD[name] * 1e-6
        params = {"input_cost_per_token": price, "output_cost_per_token": price}
        model = f"{name}-{group}"
        return deployment(group, model, api_base, params=params, benchrouter_model=MODELS[name])

    return {
        "model_list": [
            *(priced("smart", name) for name in USD),
            *(priced(f"{name}-alone", name) for name in USD),
            deployment("referee", "referee", api_base),
        ],
        "guardrails": [
            {
                "guardrail_name": "secrets",
                "litellm_params": {"guardrail": "guard.Secrets", "mode": "post_call"},
            }
        ],
        "litellm_settings": {
            "callbacks": ["prometheus", "litellm_benchrouter.hook.handler"],
            "num_retries": 0,
        },
        "router_settings": {"disable_cooldowns": True},
        "general_settings": {"proxy_batch_write_at": 1},
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},
            "mode": "groups",
            "virtual_models": {"auto": [f"{name}-alone" for name in USD]},
            "sources": [{"path": "benchmark.csv"}],
            "policy": "cascade:1",
            "cascade": {
                "verifiers": list(verifiers),
                "most_seconds": 2,
                "buffer_characters": 40,
            },
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000},
        },
    }


def add_cascade(store: Path, verifiers: Sequence[str]) -> None:
    """Let the current version of a store know what verifiers' scores are worth."""
    current = (store / "CURRENT").read_text(encoding="utf-8").strip()
    folder = next(path for path in store.rglob(current) if path.is_dir())
    row = {
        **{"quality": 1.0, "price": PRICE, "keep": 0.0, "reached": 1.0, "calls": 1.5},
        **{"saved_beside_routing": 0.2, "saved_beside_bma": 0.3},
        **{"kept": 0.6, "kept_and_wrong": 0.01, "kept_and_wrong_bound": 0.05},
    }
    block = {
        **{"alpha": 0.05, "confidence": 0.95, "steps": 3, "prompts": 100, "together": {}},
        "verifiers": {n: {"evidence": EVIDENCE, "answers": 100, "auc": 0.98} for n in verifiers},
        "qualities": [row],
    }
    record = CascadeRecord.model_validate(block)
    manifest = read_manifest(folder).model_copy(update={"cascade": record}).sealed()
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    folder.rename(folder.with_name(manifest.version))
    (store / "CURRENT").write_text(f"{manifest.version}\n", encoding="utf-8")


@contextmanager
def started(
    folder: Path, upstream: FakeUpstream, database: Database, verifiers: Sequence[str]
) -> Iterator[ProxyProcess]:
    """Run a proxy whose group `smart` and virtual model `auto` cascade."""
    copy_files(folder)
    (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    (folder / "guard.py").write_text(GUARDRAIL, encoding="utf-8")
    config = cascade_config(upstream.base_url, verifiers)
    proxy = ProxyProcess(config, folder, env=database.environment)
    build(load_config(folder / "config.yaml"))
    add_cascade(folder / "router_artifacts", verifiers)
    with proxy:
        eventually(lambda: ours(ask(proxy)).get("artifact"))
        yield proxy


@pytest.fixture(scope="module")
def cascading(
    database: Database, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy whose cascades are verified by a function of the operator's."""
    folder = tmp_path_factory.mktemp("cascading")
    with started(folder, upstream_server, database, ["checks.right"]) as proxy:
        yield proxy


def ask(
    proxy: ProxyProcess, *, key: str | None = None, path: str = "chat/completions", **body: Any
) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    turns = {"input" if path == "responses" else "messages": [{"role": "user", "content": PROMPT}]}
    return proxy.http.post(f"/v1/{path}", json={"model": "smart", **turns, **body}, headers=headers)


def ours(response: Any) -> dict[str, str]:
    prefix = "x-benchrouter-"
    headers = response.headers.items()
    return {k.removeprefix(prefix): v for k, v in headers if k.startswith(prefix)}


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def key_for(proxy: ProxyProcess, **more: Any) -> str:
    response = proxy.http.post("/key/generate", json=more)
    assert response.status_code == 200, response.text
    return str(response.json()["key"])


def others(upstream: FakeUpstream, plan: Any, group: str = "smart") -> None:
    """Tell the models that are not asked first."""
    upstream.tell(f"middle-{group}", plan)
    upstream.tell(f"large-{group}", plan)


def test_the_cheap_answer_that_holds_is_one_call(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(cascading)
    assert text_of(response) == "This is small-smart."
    assert upstream.models == ["small-smart"]
    said = ours(response)
    assert said["model"] == "coder-14b"
    assert said["cascade"] == "P(right) coder-14b 0.99; no further call pays"


def test_a_better_answer_takes_the_place_of_a_wrong_one(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    response = ask(cascading, metadata={"mark": "mine"}, temperature=0.3)
    assert upstream.models[0] == "small-smart"
    assert len(upstream.models) == 2
    assert text_of(response) == f"This is {upstream.models[1]}."
    first, second = upstream.requests
    assert first.body == second.body | {"model": first.body["model"]}
    said = ours(response)
    assert said["model"] == MODELS[upstream.models[1].removesuffix("-smart")]
    assert said["cascade"].startswith("P(right) coder-14b 0.")
    assert response.json()["model"] == "smart"


@pytest.mark.parametrize(
    ("plan", "ended"),
    [
        (BROKEN, "the next model failed"),
        (RATE_LIMITED, "the proxy refused the next call, for a rate limit or a budget"),
        (slow(25), "the time limit is reached"),
    ],
)
def test_a_next_model_without_an_answer_leaves_the_first(
    cascading: ProxyProcess, upstream: FakeUpstream, plan: Any, ended: str
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    others(upstream, plan)
    response = ask(cascading)
    assert text_of(response) == "WRONG"
    assert ours(response)["model"] == "coder-14b"
    assert ours(response)["cascade"].endswith(ended)
    assert len(upstream.models) == 2
    upstream.release()


def test_a_verifier_that_is_down_leaves_the_first_answer(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-smart", saying("WRONG and BROKEN"))
    response = ask(cascading)
    assert text_of(response) == "WRONG and BROKEN"
    assert ours(response)["cascade"].endswith("a verifier failed")
    assert upstream.models == ["small-smart"]


def test_a_cascade_stays_within_the_callers_budget(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    response = ask(cascading, key=key_for(cascading, max_budget=0.00001))
    assert text_of(response) == "WRONG"
    assert ours(response)["cascade"].endswith("the budget is reached")
    assert upstream.models == ["small-smart"]


def test_a_cascade_stays_within_the_callers_rate_limit(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    response = ask(cascading, key=key_for(cascading, rpm_limit=1))
    assert text_of(response) == "WRONG"
    assert ours(response)["cascade"].endswith("for a rate limit or a budget")
    assert upstream.models == ["small-smart"]


def test_a_guardrail_sees_every_answer(cascading: ProxyProcess, upstream: FakeUpstream) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    others(upstream, saying("SECRET"))
    response = ask(cascading, guardrails=["secrets"])
    assert text_of(response) == "WRONG"
    assert len(upstream.models) == 2


def test_every_call_is_the_callers_in_the_spend_log(
    cascading: ProxyProcess, upstream: FakeUpstream, database: Database
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    key = key_for(cascading)
    response = ask(cascading, key=key)
    assert text_of(response) == f"This is {upstream.models[1]}."
    token = hashlib.sha256(key.encode()).hexdigest()

    def logged() -> list[list[str]]:
        return database.rows(
            "SELECT model_id, spend, metadata->'spend_logs_metadata'->'benchrouter' FROM "
            f'"LiteLLM_SpendLogs" WHERE api_key = \'{token}\' ORDER BY "startTime"'
        )

    rows = eventually(lambda: found if len(found := logged()) == 2 else None)
    assert [row[0] for row in rows] == upstream.models
    prices = [USD[name.removesuffix("-smart")] * 10e-6 for name in upstream.models]
    assert [float(row[1]) for row in rows] == pytest.approx(prices)
    first, second = (json.loads(row[2]) for row in rows)
    assert "cascade" not in first
    assert second["cascade"] == {"call": 2, "of": response.headers["x-litellm-call-id"]}
    assert second["reason"].startswith("asked after P(right) coder-14b 0.")
    counted = database.rows(f"SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE api_key = '{token}'")
    assert counted == [["2"]]


@pytest.mark.parametrize("path", ["responses", "messages"])
def test_other_endpoints_cascade_too(
    cascading: ProxyProcess, upstream: FakeUpstream, path: str
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    more = {"max_tokens": 99, "metadata": {"user_id": "u"}} if path == "messages" else {}
    response = ask(cascading, path=path, **more)
    assert response.status_code == 200, response.text
    assert len(upstream.models) == 2, (ours(response), cascading.log[-3000:])
    body = response.json()
    content = body["content"] if path == "messages" else body["output"][0]["content"]
    assert content[0]["text"] == f"This is {upstream.models[1]}."
    assert ours(response)["model"] == MODELS[upstream.models[1].removesuffix("-smart")]
    if path == "responses":
        plain = base64.urlsafe_b64decode(body["id"].removeprefix("resp_") + "==")
        assert b"model_id" not in plain  # it is encrypted, like that of any response
        upstream.tell("small-smart", saying("WRONG"))
        again = ask(cascading, path=path, previous_response_id=body["id"])
        assert again.status_code == 200, again.text
        assert upstream.models[2:] == [upstream.models[1]]
        assert "no cascade, as the request continues a response" in ours(again)["reason"]


def test_a_virtual_model_cascades_over_its_groups(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-small-alone", saying("WRONG"))
    response = ask(cascading, model="auto")
    assert upstream.models[0] == "small-small-alone"
    assert len(upstream.models) == 2
    assert text_of(response) == f"This is {upstream.models[1]}."
    assert (
        upstream.models[1]
        == f"{ours(response)['group'].removesuffix('-alone')}-{ours(response)['group']}"
    )


def streamed(response: Any) -> tuple[str, list[str]]:
    """Return the text of a chat's stream, and why its choices ended."""
    assert response.status_code == 200, response.text
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return text, [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]


def test_a_short_stream_is_held_back_and_replayed(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(cascading, stream=True)
    assert streamed(response) == ("This is small-smart.", ["stop"])
    assert upstream.models == ["small-smart"]


def test_a_better_answer_takes_the_place_of_a_short_stream(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("small-smart", saying("WRONG"))
    response = ask(cascading, stream=True, stream_options={"include_usage": True})
    assert len(upstream.models) == 2
    assert streamed(response) == (f"This is {upstream.models[1]}.", ["stop"])
    assert '"total_tokens":10' in response.text
    assert [bool(request.body.get("stream")) for request in upstream.requests] == [True, False]


def test_a_long_stream_is_passed_on(cascading: ProxyProcess, upstream: FakeUpstream) -> None:
    upstream.tell("small-smart", saying("WRONG " * 30))
    assert streamed(ask(cascading, stream=True)) == ("WRONG " * 30, ["stop"])
    assert upstream.models == ["small-smart"]


def test_a_stream_of_another_endpoint_has_no_cascade_and_says_so(
    cascading: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(cascading, path="responses", stream=True)
    assert response.status_code == 200
    assert "response.completed" in response.text
    assert upstream.models == ["small-smart"]
    assert ours(response)["reason"].startswith("no cascade, as the answer is streamed; ")


def test_cascades_are_counted(cascading: ProxyProcess, upstream: FakeUpstream) -> None:
    def counts() -> dict[str, float]:
        lines = cascading.http.get("/metrics/").text.splitlines()
        named = [line.rpartition(" ") for line in lines if line.startswith("benchrouter_cascade")]
        return {name: float(value) for name, _, value in named}

    before = counts()
    upstream.tell("small-smart", saying("WRONG"))
    ask(cascading)
    ask(cascading, model="small-alone")
    after = counts()
    moved = {name: after[name] - before.get(name, 0) for name in after if "_created" not in name}
    assert {name: n for name, n in moved.items() if n} == {
        'benchrouter_cascades_total{answer="later",ended="enough"}': 1,
        "benchrouter_cascade_calls_total": 1,
    }


def test_a_cheap_model_and_a_judge_verify(
    database: Database, upstream: FakeUpstream, tmp_path: Path
) -> None:
    verifiers = ["agreement", "judge:referee"]
    with started(tmp_path, upstream, database, verifiers) as proxy:
        upstream.reset()
        others(upstream, saying("4"))
        upstream.tell("small-smart", saying("4"))
        upstream.tell("referee", saying('{"correct": true, "reason": ""}'))
        response = ask(proxy)
        assert upstream.models == ["small-smart", "middle-smart", "referee"]
        assert (text_of(response), ours(response)["model"]) == ("4", "coder-14b")
        judged = json.loads(upstream.requests[-1].body["messages"][-1]["content"])
        assert (judged["question"], judged["answer"]) == (PROMPT, "4")

        upstream.reset()
        others(upstream, saying("4"))
        upstream.tell("small-smart", saying("5"))
        upstream.tell("referee", saying('{"correct": false, "reason": ""}'))
        response = ask(proxy)
        assert text_of(response) == "4"
        assert upstream.models.count("middle-smart") == 1  # to compare, and as the next answer

        # Whoever may not use the judge's group gets the first answer.
        upstream.reset()
        key = key_for(proxy, models=["smart"])
        response = ask(proxy, key=key)
        assert text_of(response) == "This is small-smart."
        assert ours(response)["cascade"].endswith("the proxy refused the next call, for a rate "
                                                  "limit or a budget")  # fmt: skip
        assert "referee" not in upstream.models
