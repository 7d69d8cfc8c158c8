"""`mode: groups` in a real proxy with its real database: virtual keys, teams, users and budgets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter
from proxy.conftest import RECORDER
from proxy.database import Database
from proxy.harness import ProxyProcess, deployment, eventually, json_lines
from proxy.upstream import BROKEN, FakeUpstream

MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
CODE = "Write a Python function that reverses a queue of seeds without recursion."
TRANSLATION = "Translate into Dutch: the tickets arrive on Monday morning."
MODELS = {  # group, which is also the name at the provider -> benchmark model
    "atlas": "atlas-70b",
    "coder": "coder-14b",
    "mathsmith": "mathsmith-8b",
    "polyglot": "polyglot-12b",
}
CLOSED = """
from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail

class Closed(CustomGuardrail):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        raise HTTPException(status_code=400, detail="the guardrail is closed")
"""


def groups_config(api_base: str) -> dict[str, Any]:
    def group(name: str, model: str | None = None, **info: Any) -> dict[str, Any]:
        if name in MODELS:
            info["benchrouter_model"] = MODELS[name]
        return deployment(name, model or name, api_base, **info)

    return {
        "model_list": [
            group("unheard-of"),
            group("atlas", access_groups=["writers"]),
            group("coder", access_groups=["writers"]),
            deployment("mathsmith", "mathsmith", api_base, params={"input_cost_per_token": 1.0},
                       benchrouter_model="mathsmith-8b"),
            group("polyglot"),
            deployment("pair", "pair-coder", api_base, benchrouter_model="coder-14b"),
            deployment("pair", "pair-math", api_base, benchrouter_model="mathsmith-8b"),
            group("secret"),
            deployment("free", "free", api_base,
                       params={"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}),
            deployment("guarded", "guarded", api_base, params={"guardrails": ["closed"]},
                       benchrouter_model="polyglot-12b"),
        ],
        "guardrails": [
            {
                "guardrail_name": "closed",
                "litellm_params": {"guardrail": "closed.Closed", "mode": "pre_call"},
            }
        ],
        "litellm_settings": {
            "callbacks": ["litellm_benchrouter.hook.handler", "recorder.handler"],
            "num_retries": 0,  # or LiteLLM waits a while before each
        },
        "router_settings": {
            "disable_cooldowns": True,
            "model_group_alias": {"listed": "mathsmith", "gratis": "free", "gift": "free"},
            "fallbacks": [{"atlas": ["mathsmith"]}, {"*": ["secret"]}],
            "context_window_fallbacks": [{"atlas": ["secret"]}],
        },
        "general_settings": {"proxy_batch_write_at": 1},
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},
            "mode": "groups",
            "virtual_models": {
                "smart": ["unheard-of", "atlas", "coder", "mathsmith", "polyglot"],
                "anything": "*",
                "listed": ["polyglot", "coder"],
                "granted": {"groups": ["atlas", "mathsmith"], "grants_access": True},
                "gratis": ["mathsmith", "free"],
                "watched": ["atlas", "guarded"],
                "pairs": ["atlas", "pair", "no-such-group"],
            },
            "sources": [{"path": "benchmark.csv"}],
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000},
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def unbuilt(
    database: Database, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ProxyProcess, Any]]:
    """Run a proxy in groups mode, and ask it while there is no artifact."""
    folder = tmp_path_factory.mktemp("grouped")
    copy_files(folder)
    (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
    (folder / "closed.py").write_text(CLOSED, encoding="utf-8")
    proxy = ProxyProcess(
        groups_config(upstream_server.base_url),
        folder,
        env={**database.environment, "RECORD": str(folder / "record.jsonl")},
    )
    with proxy:
        yield proxy, ask(proxy, MATH, key_for(proxy, "smart", "mathsmith", "coder"))


@pytest.fixture(scope="module")
def grouped(unbuilt: tuple[ProxyProcess, Any]) -> ProxyProcess:
    """Return the proxy once it has an artifact."""
    proxy, _ = unbuilt
    build(load_config(proxy.folder / "config.yaml"))
    eventually(lambda: ours(ask(proxy, "hello")).get("artifact"))
    return proxy


def ask(proxy: ProxyProcess, prompt: Any, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = {"model": "smart", "messages": [{"role": "user", "content": prompt}], **body}
    return proxy.http.post("/v1/chat/completions", json=body, headers=headers)


def ours(response: Any) -> dict[str, str]:
    return {
        name.removeprefix("x-benchrouter-"): value
        for name, value in response.headers.items()
        if name.startswith("x-benchrouter-")
    }


def manage(proxy: ProxyProcess, path: str, **body: Any) -> dict[str, Any]:
    response = proxy.http.post(path, json=body)
    assert response.is_success, response.text
    return dict(response.json())


def key_for(proxy: ProxyProcess, *models: str, **more: Any) -> str:
    return str(manage(proxy, "/key/generate", models=list(models), **more)["key"])


def ranked(proxy: ProxyProcess, prompt: str, groups: list[str]) -> list[str]:
    """Return groups in the order in which the router, asked by itself, ranks their models."""
    versions = proxy.folder / "router_artifacts"
    current = (versions / "CURRENT").read_text(encoding="utf-8").strip()
    folder = next(path for path in versions.rglob(current) if path.is_dir())
    decision = BenchRouter(read_artifact(folder)).decide(prompt, models=[MODELS[g] for g in groups])
    return sorted(groups, key=lambda group: decision.ranking.index(MODELS[group]))


def test_without_an_artifact_the_first_listed_group_of_the_caller_answers(
    unbuilt: tuple[ProxyProcess, Any],
) -> None:
    _, response = unbuilt
    assert response.status_code == 200
    assert response.headers["x-litellm-model-id"] == "coder"
    assert (ours(response)["group"], ours(response)["method"]) == ("coder", "listed")


@pytest.mark.parametrize(
    ("prompt", "group"), [(MATH, "mathsmith"), (CODE, "coder"), (TRANSLATION, "polyglot")]
)
def test_an_unrestricted_key_gets_the_best_group_of_all(
    grouped: ProxyProcess, upstream: FakeUpstream, prompt: str, group: str
) -> None:
    for key in (None, key_for(grouped)):
        response = ask(grouped, prompt, key)
        assert response.status_code == 200, response.text
        said = ours(response)
        assert (said["virtual"], said["group"], said["model"]) == ("smart", group, MODELS[group])
        assert said["method"] == "s1"
    assert upstream.models == [group, group]


@pytest.mark.parametrize("prompt", [MATH, CODE, TRANSLATION])
def test_a_restricted_key_gets_the_best_of_its_own_groups(
    grouped: ProxyProcess, upstream: FakeUpstream, prompt: str
) -> None:
    for own in (["atlas", "coder"], ["polyglot", "atlas"], ["mathsmith"]):
        upstream.reset()
        best, *_ = ranked(grouped, prompt, own)
        response = ask(grouped, prompt, key_for(grouped, "smart", *own))
        assert response.status_code == 200, response.text
        assert ours(response)["group"] == best
        assert upstream.models == [best]


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_best_group_fails_the_next_of_the_callers_own_answers(
    grouped: ProxyProcess, upstream: FakeUpstream, stream: bool
) -> None:
    own = ["atlas", "coder", "polyglot"]
    first, second, _ = ranked(grouped, MATH, own)
    upstream.tell(first, BROKEN)
    response = ask(grouped, MATH, key_for(grouped, "smart", *own), stream=stream)
    assert response.status_code == 200, response.text
    assert list(dict.fromkeys(upstream.models)) == [first, second]
    said = ours(response)
    assert (said["group"], said["model"]) == (second, MODELS[second])
    assert said["reason"].startswith(f"{MODELS[first]} failed; ")


def test_no_fallback_of_the_proxy_reaches_a_group_that_the_key_may_not_use(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    for group in ("atlas", "coder"):
        upstream.tell(group, BROKEN)
    for own in (["atlas"], ["atlas", "coder"]):
        response = ask(grouped, CODE, key_for(grouped, "smart", *own))
        assert response.status_code == 500
        assert set(upstream.models) == set(own)


def test_the_proxys_own_fallbacks_come_last_where_the_key_may_use_them(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    for group in ("atlas", "coder"):
        upstream.tell(group, BROKEN)
    key = key_for(grouped, "smart", "atlas", "coder", "secret")
    response = ask(grouped, CODE, key)
    assert response.status_code == 200
    assert list(dict.fromkeys(upstream.models))[-1] == "secret"
    assert ours(response)["group"] == "secret"
    assert ours(response)["method"] == "listed"


def test_a_clients_fallbacks_come_after_its_groups(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("coder", BROKEN)
    key = key_for(grouped, "smart", "coder", "secret")
    assert ask(grouped, CODE, key, fallbacks=["secret"]).status_code == 200
    assert list(dict.fromkeys(upstream.models)) == ["coder", "secret"]
    upstream.reset()
    denied = ask(grouped, CODE, key, fallbacks=["mathsmith"])
    assert (denied.status_code, upstream.models) == (403, [])


def test_a_key_for_the_virtual_model_alone_reaches_nothing(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(grouped, MATH, key_for(grouped, "smart", "listed"))
    assert response.status_code == 403
    error = response.json()["error"]
    assert error["type"] == "key_model_access_denied"
    assert "none of the models that 'smart' stands for" in error["message"]
    # LiteLLM's alias would have led it to mathsmith
    assert ask(grouped, MATH, key_for(grouped, "listed"), model="listed").status_code == 403
    assert upstream.models == []


def test_unless_the_virtual_model_grants_access(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    key = key_for(grouped, "granted")
    assert ask(grouped, MATH, key, model="granted").status_code == 200
    assert ask(grouped, MATH, key, model="mathsmith").status_code == 403
    assert upstream.models == ["mathsmith"]


def test_a_key_without_the_virtual_model_is_refused_by_litellm(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(grouped, MATH, key_for(grouped, "mathsmith"))
    assert (response.status_code, upstream.models) == (403, [])
    assert response.json()["error"]["type"] == "key_model_access_denied"


def test_a_team_keeps_its_keys_to_its_models(grouped: ProxyProcess, upstream: FakeUpstream) -> None:
    team = manage(grouped, "/team/new", models=["smart", "coder", "polyglot"])["team_id"]
    for models in ([], ["all-team-models"], ["smart", "coder", "polyglot", "mathsmith"]):
        response = ask(grouped, MATH, key_for(grouped, *models, team_id=team))
        assert response.status_code == 200, response.text
    best, second = ranked(grouped, MATH, ["coder", "polyglot"])
    assert set(upstream.models) == {best}
    upstream.tell(best, BROKEN)
    assert ask(grouped, MATH, key_for(grouped, team_id=team)).status_code == 200
    assert upstream.models[-1] == second
    assert "mathsmith" not in upstream.models


def test_a_member_of_a_team_keeps_to_its_own_models(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    team = manage(grouped, "/team/new", models=["smart", "coder", "polyglot"])["team_id"]
    user = manage(grouped, "/user/new", auto_create_key=False)["user_id"]
    member = {"role": "user", "user_id": user}
    manage(grouped, "/team/member_add", team_id=team, member=member)
    response = grouped.http.post(
        "/team/member_update",
        json={"team_id": team, "user_id": user, "allowed_models": ["smart", "polyglot"]},
    )
    assert response.is_success, response.text
    key = key_for(grouped, team_id=team, user_id=user)
    assert ask(grouped, CODE, key).status_code == 200
    assert upstream.models == ["polyglot"]


def test_access_groups_open_their_models_only(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    best, _ = ranked(grouped, MATH, ["atlas", "coder"])
    assert ask(grouped, MATH, key_for(grouped, "smart", "writers")).status_code == 200
    assert upstream.models == [best]

    made = manage(
        grouped,
        "/v1/access_group",
        access_group_name="speakers",
        access_model_names=["polyglot"],
    )
    key = key_for(grouped, "smart", access_group_ids=[made["access_group_id"]])
    assert ask(grouped, MATH, key).status_code == 200
    assert upstream.models == [best, "polyglot"]


def test_a_personal_key_keeps_to_the_models_of_its_user(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    user = manage(grouped, "/user/new", models=["smart", "coder"], auto_create_key=False)
    key = key_for(grouped, user_id=user["user_id"])
    assert ask(grouped, MATH, key).status_code == 200
    assert upstream.models == ["coder"]


def test_a_customer_keeps_to_its_models(grouped: ProxyProcess, upstream: FakeUpstream) -> None:
    manage(grouped, "/customer/new", user_id="customer-1", models=["smart", "polyglot"])
    if ask(grouped, MATH, key_for(grouped), model="mathsmith", user="customer-1").is_success:
        pytest.skip("this LiteLLM lets a customer use every model, so there is nothing to keep to")
    response = ask(grouped, MATH, key_for(grouped), user="customer-1")
    assert response.status_code == 200, response.text
    assert upstream.models == ["polyglot"]


def test_an_alias_of_a_key_or_team_opens_no_group_of_that_name(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    key = key_for(grouped, "smart", "coder", aliases={"mathsmith": "coder"})
    assert ask(grouped, MATH, key).status_code == 200
    team = manage(
        grouped,
        "/team/new",
        models=["smart", "coder"],
        model_aliases={"mathsmith": "coder"},
    )["team_id"]
    assert ask(grouped, MATH, key_for(grouped, team_id=team)).status_code == 200
    assert upstream.models == ["coder", "coder"]


def test_a_keys_alias_of_the_virtual_model_is_the_virtual_model(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    aliases = {"best": "smart", "plain": "coder"}
    key = key_for(grouped, "smart", "coder", "polyglot", aliases=aliases)
    if ask(grouped, CODE, key, model="plain").status_code == 403:
        pytest.skip("this LiteLLM refuses a key's alias, unless the key may use every model")
    upstream.reset()
    assert ask(grouped, CODE, key, model="best").status_code == 200
    assert upstream.models == ["coder"]


def test_a_group_whose_budget_is_spent_is_left_out(
    grouped: ProxyProcess, upstream: FakeUpstream, database: Database
) -> None:
    def limited(*models: str) -> str:
        key = key_for(grouped, *models)
        budget = json.dumps({"mathsmith": {"budget_limit": 0.01, "time_period": "1d"}})
        token = hashlib.sha256(key.encode()).hexdigest()
        # over its own API this needs a licence; the check itself does not
        database.run(
            f"""UPDATE "LiteLLM_VerificationToken" SET model_max_budget = '{budget}'"""
            f" WHERE token = '{token}'"
        )
        return key

    key, only = limited("smart", "mathsmith", "polyglot"), limited("smart", "mathsmith")
    for each in (key, only):
        assert ask(grouped, MATH, each).status_code == 200
        eventually(lambda key=each: ask(grouped, MATH, key, model="mathsmith").is_error)
    upstream.reset()
    assert ask(grouped, MATH, key).status_code == 200
    assert upstream.models == ["polyglot"]
    refused = ask(grouped, MATH, only)
    assert refused.status_code == ask(grouped, MATH, only, model="mathsmith").status_code
    assert "exceeded budget for model=mathsmith" in refused.text
    assert upstream.models == ["polyglot"]


def test_an_alias_of_a_free_group_is_no_way_around_budgets(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    key = key_for(grouped, "gratis", "mathsmith", "free", "gift", max_budget=0.0)
    assert ask(grouped, MATH, key, model="mathsmith").is_error
    if ask(grouped, MATH, key, model="gift").is_error:
        pytest.skip("this LiteLLM does not waive a budget for an alias of a free group")
    upstream.reset()
    assert ask(grouped, MATH, key, model="gratis").status_code == 200
    assert upstream.models == ["free"]


@pytest.mark.parametrize("stream", [False, True])
def test_responses_and_messages_go_to_the_best_own_group_too(
    grouped: ProxyProcess, upstream: FakeUpstream, stream: bool
) -> None:
    own = ["atlas", "coder", "polyglot"]
    headers = {"Authorization": f"Bearer {key_for(grouped, 'smart', *own)}"}
    first, second, _ = ranked(grouped, MATH, own)
    turns = [{"role": "user", "content": MATH}]
    requests: dict[str, dict[str, Any]] = {
        "/v1/responses": {"input": MATH},
        "/v1/messages": {"messages": turns, "max_tokens": 10},
        "/v1/completions": {"prompt": MATH},
    }
    for path, body in requests.items():
        # LiteLLM itself takes no fallback where a streamed text completion fails
        for broken in (False, not (stream and path == "/v1/completions")):
            upstream.reset()
            if broken:
                upstream.tell(first, BROKEN)
            response = grouped.http.post(
                path, json={"model": "smart", "stream": stream, **body}, headers=headers
            )
            assert response.status_code == 200, (path, response.text)
            served = second if broken else first
            assert upstream.models[-1] == served, path
            assert set(upstream.models) == ({first, second} if broken else {first}), path
            assert ours(response)["group"] == served, path
            assert not any("fallbacks" in request.body for request in upstream.requests)


def test_a_group_of_several_models_counts_as_its_best(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(grouped, MATH, model="pairs")
    assert (ours(response)["group"], ours(response)["model"]) == ("pair", "mathsmith-8b")
    assert "no model group no-such-group" in grouped.log
    upstream.tell("free", BROKEN)
    ask(grouped, MATH, model="free", num_retries=1)
    if upstream.models.count("free") == 1:
        pytest.skip("this LiteLLM takes no number of retries from a request")
    upstream.reset()
    upstream.tell("pair-math", BROKEN)
    assert ask(grouped, MATH, model="pairs", num_retries=1).status_code == 200
    assert upstream.models == ["pair-math", "pair-coder"]


def test_a_star_stands_for_the_groups_that_the_benchmark_knows(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    for group in MODELS:
        upstream.tell(group, BROKEN)
    for model in ("pair-coder", "pair-math"):
        upstream.tell(model, BROKEN)
    key = key_for(grouped, "anything", "unheard-of", *MODELS, "pair")
    assert ask(grouped, MATH, key, model="anything").status_code == 500
    assert upstream.models[0] in ("mathsmith", "pair-math")
    assert "unheard-of" not in upstream.models


def test_other_endpoints_take_the_first_listed_group_of_the_caller(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    key = key_for(grouped, "smart", "polyglot", "coder")
    response = grouped.http.post(
        "/v1/embeddings",
        json={"model": "smart", "input": MATH},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert response.status_code == 200, response.text
    assert upstream.models == ["coder"]


def test_a_response_that_continues_another_stays_in_its_group(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    key = key_for(grouped, "smart", *MODELS)
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": "smart", "input": MATH}
    first = grouped.http.post("/v1/responses", json=body, headers=headers).json()
    body = {"model": "smart", "input": TRANSLATION, "previous_response_id": first["id"]}
    assert grouped.http.post("/v1/responses", json=body, headers=headers).status_code == 200
    assert upstream.models == ["mathsmith", "mathsmith"]


def test_the_spend_log_says_what_was_asked_for_and_what_answered(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("mathsmith", BROKEN)
    assert ask(grouped, MATH, key_for(grouped, "smart", "mathsmith", "polyglot")).is_success
    path = grouped.folder / "record.jsonl"

    wanted = ("smart", "polyglot-12b")

    def logged() -> dict[str, Any] | None:
        found = [(line["spend"] or {}).get("benchrouter") or {} for line in json_lines(path)]
        ours = [e for e in found if (e.get("virtual"), e.get("model")) == wanted]
        return next((e for e in ours if e["pick"] == "mathsmith-8b"), None)

    entry = eventually(logged)
    assert (entry["pick"], entry["group"]) == ("mathsmith-8b", "polyglot")
    assert entry["reason"].startswith("mathsmith-8b failed; ")


def test_the_guardrails_of_every_group_within_reach_are_run(
    grouped: ProxyProcess, upstream: FakeUpstream
) -> None:
    if ask(grouped, MATH, model="guarded").is_success:
        pytest.skip("this LiteLLM runs no guardrail of a model group before a call")
    upstream.reset()
    for prompt in (MATH, TRANSLATION):  # for atlas with the guarded group after it, and for that
        response = ask(grouped, prompt, model="watched")
        assert response.status_code == 400
        assert "the guardrail is closed" in response.text
    assert upstream.models == []
    assert ask(grouped, MATH, key_for(grouped, "watched", "atlas"), model="watched").is_success


def test_a_virtual_model_is_listed_where_litellm_knows_its_name(grouped: ProxyProcess) -> None:
    def listed(key: str | None) -> set[str]:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        models = grouped.http.get("/v1/models", headers=headers).json()["data"]
        return {str(model["id"]) for model in models}

    assert "listed" in listed(None)  # by model_group_alias
    assert "smart" not in listed(None)
    assert "smart" in listed(key_for(grouped, "smart", "coder"))  # by the key itself
