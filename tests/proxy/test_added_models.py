"""Models added through the proxy's API with a database are routed to, and virtual models follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Ended

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import ask
from proxy.database import Database
from proxy.harness import MASTER_KEY, ProxyProcess, deployment, eventually
from proxy.test_routing import CODE, MATH, ours
from proxy.upstream import FakeUpstream


def database_config(api_base: str) -> dict[str, Any]:
    return {
        "model_list": [
            deployment("atlas", "atlas", api_base, benchrouter_model="atlas-70b"),
            deployment("pool", "pool-atlas", api_base, benchrouter_model="atlas-70b"),
        ],
        "litellm_settings": {"callbacks": ["litellm_benchrouter.hook.handler"], "num_retries": 0},
        "router_settings": {"disable_cooldowns": True},
        "general_settings": {"store_model_in_db": True},
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},
            "mode": "groups",
            "virtual_models": {"smart": ["atlas", "newcomer"], "anything": "*"},
            "sources": [{"path": "benchmark.csv"}],
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000},
        },
    }


@pytest.fixture(scope="module")
def stored(
    database: Database, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Return a proxy that keeps models in its database; it is not started yet."""
    folder = tmp_path_factory.mktemp("stored")
    copy_files(folder)
    config = database_config(upstream_server.base_url)
    proxy = ProxyProcess(config, folder, env=database.environment)
    build(load_config(folder / "config.yaml"))
    return proxy


def test_models_of_the_database_are_routed_to_until_they_go(
    stored: ProxyProcess,
    upstream: FakeUpstream,
    benchrouter: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add(group: str, name: str, model: str) -> None:
        new = deployment(group, name, upstream.base_url, benchrouter_model=model)
        response = stored.http.post("/model/new", json=new)
        assert response.is_success, response.text

    def served(prompt: str, model: str) -> tuple[str | None, str]:
        response = ask(stored, prompt, model=model)
        assert response.status_code == 200, response.text
        assert upstream.models[-1] == response.headers["x-litellm-model-id"]
        return ours(response).get("model"), upstream.models[-1]

    with stored:
        eventually(lambda: served(MATH, "smart") == ("atlas-70b", "atlas"))
        add("newcomer", "newcomer", "mathsmith-8b")
        add("pool", "pool-coder", "coder-14b")
        for name in ("smart", "anything"):
            eventually(lambda name=name: served(MATH, name) == ("mathsmith-8b", "newcomer"))
        eventually(lambda: served(CODE, "pool") == ("coder-14b", "pool-coder"))
        assert served(CODE, "anything") == ("coder-14b", "pool-coder")

    with stored:  # now from the database alone
        assert served(MATH, "smart") == ("mathsmith-8b", "newcomer")
        assert served(CODE, "pool") == ("coder-14b", "pool-coder")
        source = stored.folder / "benchmark.csv"
        running = ("init", "--proxy", stored.base_url, "--source", source)
        monkeypatch.delenv("LITELLM_MASTER_KEY", raising=False)
        refused = benchrouter(*running)
        assert refused.code == 2
        assert "(answers 401)" in refused.err
        monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER_KEY)
        printed = benchrouter(*running)  # the models of its database, too
        assert printed.code == 0, printed.err
        assert "knows 4 of the 4 deployments" in printed.out
        for name in ("newcomer", "pool-coder"):
            assert stored.http.post("/model/delete", json={"id": name}).is_success
        for name in ("smart", "anything"):
            eventually(lambda name=name: served(MATH, name)[0] == "atlas-70b")
        eventually(lambda: served(CODE, "pool") == ("atlas-70b", "pool-atlas"))
