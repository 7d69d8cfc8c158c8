"""Own traffic of a real proxy with its real database: kept, read back, erased, and never missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.traffic.collect import user_hash
from litellm_benchrouter.traffic.feedback import FILE
from litellm_benchrouter.traffic.prompts import read_prompts
from proxy.conftest import ask
from proxy.database import Database
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.upstream import BROKEN, FakeUpstream

ASKS = [f"Amira has {i} tickets and gives away 15 percent of them. How many?" for i in range(48)]
MODELS = {"atlas": "atlas-70b", "coder": "coder-14b", "mathsmith": "mathsmith-8b"}
SECRET = "The codeword of Amira is quetzal"


def collecting(api_base: str, collect: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Return the configuration of a proxy that keeps prompts."""
    traffic = {"traffic": {"collect": collect, **more}} if collect is not None else {}
    return {
        "model_list": [
            deployment("smart", name, api_base, benchrouter_model=model,
                       params={"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6})
            for name, model in MODELS.items()
        ],
        "litellm_settings": {
            "callbacks": ["prometheus", "litellm_benchrouter.hook.handler"], "num_retries": 1,
        },
        "router_settings": {"disable_cooldowns": True},
        "general_settings": {"store_prompts_in_spend_logs": True, "proxy_batch_write_at": 1},
        "benchrouter": {
            "artifacts": "router_artifacts", "sources": [{"path": "benchmark.csv"}],
            "serving": {"poll_seconds": 0.5, "time_limit_ms": 3_600_000, "log_level": "debug"},
            **traffic,
        },
    }  # fmt: skip


def started(folder: Path, config: dict[str, Any], **process: Any) -> ProxyProcess:
    copy_files(folder)
    proxy = ProxyProcess(config, folder, **process)
    build(load_config(folder / "config.yaml"))
    return proxy


def is_ready(proxy: ProxyProcess) -> bool:
    return "benchrouter_artifact_info{" in proxy.http.get("/metrics/").text


def counted(proxy: ProxyProcess, result: str) -> float:
    """Return how many prompts came to this."""
    pattern = rf'^benchrouter_collected_prompts_total{{result="{result}"}} (\S+)$'
    return float(re.findall(pattern, proxy.http.get("/metrics/").text, re.MULTILINE)[0])


def kept(proxy: ProxyProcess, text: str = "") -> list[dict[str, Any]]:
    """Return the prompts that are kept and hold a text."""
    prompts = read_prompts(load_config(proxy.folder / "config.yaml"))
    return [row for row in prompts.to_dicts() if text in row["text"]]


def texts(prompts: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in prompts]


@pytest.fixture(scope="module")
def collected(
    database: Database, upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy that keeps all, and ask it: 48 asks, an answer that fails, what is not kept."""
    upstream_server.reset()
    config = collecting(upstream_server.base_url, {"share": 1.0, "to": "kept"})
    folder = tmp_path_factory.mktemp("collected")
    with started(folder, config, env=database.environment) as proxy:
        eventually(lambda: is_ready(proxy))
        for number, text in enumerate(ASKS):
            body: dict[str, Any] = {"stream": True} if number % 2 else {}
            assert ask(proxy, text, user="amira" if number < 12 else "bo", **body).is_success
        yield proxy


@pytest.fixture
def keys(collected: ProxyProcess) -> Callable[[], str]:
    def make() -> str:
        made = collected.http.post("/key/generate", json={"models": ["smart"], "user_id": "cleo"})
        assert made.is_success, made.text
        return str(made.json()["key"])

    return make


def test_what_is_kept_is_the_ask_with_who_answered(collected: ProxyProcess) -> None:
    prompts = eventually(lambda: p if len(p := kept(collected)) >= len(ASKS) else None)
    assert texts(prompts)[: len(ASKS)] == ASKS
    first = prompts[0]
    assert first["model"] == "mathsmith-8b"
    assert first["outcome"] == "pick"
    assert first["cost_usd"] == pytest.approx(10e-6)
    assert first["latency_s"] > 0
    assert first["end_user"] == user_hash("amira")
    assert first["vector"] is not None
    assert "amira" not in " ".join(map(str, (first["user"], first["end_user"], first["key"])))


def test_only_the_owner_may_read_what_is_kept(collected: ProxyProcess) -> None:
    eventually(lambda: kept(collected))
    folder = collected.folder / "kept"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_spend_logs_hold_the_same_texts(
    collected: ProxyProcess, database: Database, tmp_path: Path, benchrouter: Any
) -> None:
    config = collected.folder / "config.yaml"
    other = tmp_path / "config.yaml"
    text = config.read_text(encoding="utf-8").replace("traffic:", "traffic:\n    from: spend_logs")
    other.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.environment["DATABASE_URL"])

        def read() -> list[dict[str, Any]]:
            return read_prompts(load_config(other)).to_dicts()

        eventually(lambda: set(ASKS) <= set(texts(read())), within=60)
        prompts, ours = read(), kept(collected)
        assert texts(prompts) == texts(ours)
        for logged, row in zip(prompts, ours, strict=True):
            for column in ("model", "key", "user", "end_user"):
                assert logged[column] == row[column], column
            assert logged["cost_usd"] == pytest.approx(row["cost_usd"])
            assert logged["time"] == pytest.approx(row["time"], abs=5)
        shown = benchrouter("traffic", "--config", other, "--artifacts",
                            collected.folder / "router_artifacts", "--json")  # fmt: skip
        assert shown.document["amount"]["prompts"] == len(prompts)
        assert "tickets" not in shown.out
        # What is erased there leaves what was spent.
        erased = benchrouter("traffic", "--config", other, "--erase", "--user", "amira",
                             "--spend-logs", "--json")  # fmt: skip
        # The spend logs, and the calls that may be scored; nothing is kept in this folder.
        assert sorted(erased.document["erased"].values()) == [0, 12, 12]
        assert texts(read()) == texts(prompts)[12:]


def test_neither_side_requests_nor_a_yes_nor_what_asks_for_silence_is_kept(
    collected: ProxyProcess,
) -> None:
    before = len(kept(collected))
    turns = [{"role": "user", "content": ASKS[0]}, {"role": "assistant", "content": "Shall I?"}]
    assert ask(collected, "", messages=[*turns, {"role": "user", "content": "yes"}]).is_success
    assert ask(collected, "Say hi", max_tokens=1).is_success
    redacting = {"x-litellm-enable-message-redaction": "true"}
    assert ask(collected, "Nobody may log this", headers=redacting).is_success
    assert ask(collected, "The last of these").is_success
    eventually(lambda: kept(collected, "The last of these"))
    assert texts(kept(collected)[before:]) == ["The last of these"]


def test_a_call_that_nobody_answers_is_kept_as_failed(
    collected: ProxyProcess, upstream: FakeUpstream
) -> None:
    for model in MODELS:
        upstream.tell(model, BROKEN)
    assert ask(collected, "Who answers none of these?").status_code == 500
    rows = eventually(lambda: kept(collected, "Who answers none of these?"))
    assert [row["outcome"] for row in rows] == ["failed"]


def test_erasing_a_key_leaves_nothing_of_it(
    collected: ProxyProcess, keys: Callable[[], str], benchrouter: Any
) -> None:
    key, config = keys(), collected.folder / "config.yaml"
    headers = {"Authorization": f"Bearer {key}"}
    for i in range(3):
        assert ask(collected, f"{SECRET} {i}", headers=headers).is_success
    eventually(lambda: len(kept(collected, SECRET)) == 3)
    n = len(kept(collected))
    ended = benchrouter("traffic", "--config", config, "--erase", "--key", key)
    assert (ended.code, SECRET in ended.out, "3 erased" in ended.out) == (0, False, True)
    assert len(kept(collected)) == n - 3
    files = [path for path in collected.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_no_prompt_is_in_the_log_or_in_a_header(collected: ProxyProcess) -> None:
    response = ask(collected, SECRET)
    assert "quetzal" not in str(response.headers)
    eventually(lambda: kept(collected, SECRET))
    ours = [line for line in collected.log.splitlines() if "benchrouter" in line]
    assert ours
    assert not [line for line in ours if "quetzal" in line or "tickets" in line]


def test_there_is_no_endpoint_that_reads_prompts(
    collected: ProxyProcess, keys: Callable[[], str]
) -> None:
    paths = collected.http.get("/openapi.json").json()["paths"]
    assert paths
    ours = [path for path in paths if "benchrouter" in path or "traffic" in path]
    assert all(list(paths[path]) == ["post"] for path in ours)
    assert set(ours) <= {"/benchrouter/feedback"}  # which only takes


def test_a_store_that_takes_nothing_costs_no_request(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    config = collecting(upstream.base_url, {"share": 1.0, "to": str(full)})
    with started(tmp_path, config) as proxy:
        eventually(lambda: is_ready(proxy))
        full.write_text("a file where the folder should be")
        for text in ASKS[:5]:
            assert ask(proxy, text).is_success
        eventually(lambda: counted(proxy, "failed") == 5)
        full.unlink()
        assert ask(proxy, "And now?").is_success
        assert texts(eventually(lambda: kept(proxy))) == ["And now?"]


def test_a_store_that_hangs_costs_no_request(upstream: FakeUpstream, tmp_path: Path) -> None:
    """The operator's function, in the thread that writes, never comes back."""
    (tmp_path / "slowly.py").write_text("import time\ndef redact(text):\n    time.sleep(3600)\n")
    collect = {"share": 1.0, "to": "kept", "redact": ["slowly:redact"]}
    with started(tmp_path, collecting(upstream.base_url, collect)) as proxy:
        eventually(lambda: is_ready(proxy))
        for text in ASKS[:20]:
            assert ask(proxy, text).is_success
    files = [path.name for path in (tmp_path / "kept").glob("*")]  # none, in less than a second
    assert not [name for name in files if not name.startswith(FILE)]  # no prompt


def test_without_collect_nothing_is_kept(upstream: FakeUpstream, tmp_path: Path) -> None:
    with started(tmp_path, collecting(upstream.base_url, None)) as proxy:
        eventually(lambda: is_ready(proxy))
        assert ask(proxy, SECRET).is_success
        assert all(counted(proxy, result) == 0 for result in ("stored", "failed", "dropped"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"quetzal" in path.read_bytes()]
