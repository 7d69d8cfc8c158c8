"""Versions that come, go and are damaged under a running proxy, started before the first build."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import tiny

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.store.directory import Store
from proxy.conftest import ask
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.upstream import FakeUpstream

MODELS = {
    "atlas": "atlas-70b",
    "coder": "coder-14b",
    "mathsmith": "mathsmith-8b",
    "polyglot": "polyglot-12b",
}
PROMPTS = [
    f"{verb} {thing}."
    for verb in ("Translate into Dutch", "Write a Python function for", "Summarise", "Count")
    for thing in ("the tickets of Amira", "a queue of seeds", "12 apples and 3 tiles")
]


@pytest.fixture(scope="module")
def proxy(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy whose artifact directory does not exist yet."""
    folder = tmp_path_factory.mktemp("versions")
    copy_files(folder)
    config = {
        "model_list": [
            deployment("smart", name, upstream_server.base_url, benchrouter_model=model)
            for name, model in MODELS.items()
        ],
        "litellm_settings": {"callbacks": ["litellm_benchrouter.hook.handler"]},
        "benchrouter": {
            "artifacts": "router_artifacts",
            "method": "paper",
            "publish": {"require": "nothing"},
            "keep_versions": 2,
            "sources": [{"path": "benchmark.csv"}],
            "tasks": {"report-queries": {"inputs": "report-queries.txt"}},
            "serving": {"poll_seconds": 0.3, "time_limit_ms": 3_600_000},
        },
    }
    with ProxyProcess(config, folder, env={"LITELLM_LOG": "INFO"}) as running:
        # Before anything is built: the first test looks at how this went.
        running.unrouted = [ask(running, prompt) for prompt in PROMPTS]  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def store(proxy: ProxyProcess) -> Store:
    return Store(proxy.folder / "router_artifacts")


def publish(proxy: ProxyProcess, k: int) -> str:
    """Build with another k, so that decisions differ, and wait until it serves."""
    config = load_config(proxy.folder / "config.yaml")
    routing = config.routing.model_copy(update={"k": k})
    version = build(config.model_copy(update={"routing": routing})).manifest.version
    return wait_for(proxy, version)


def wait_for(proxy: ProxyProcess, version: str) -> str:
    eventually(lambda: said(ask(proxy, "hello")).get("artifact") == version)
    return version


def said(response: Any) -> dict[str, str]:
    assert response.status_code == 200
    return {
        name.removeprefix("x-benchrouter-"): value
        for name, value in response.headers.items()
        if name.startswith("x-benchrouter-")
    }


def decisions(proxy: ProxyProcess) -> list[dict[str, str]]:
    """Ask everything; model, method, reason and version of each decision."""
    named = ask(proxy, "hello", headers={"x-benchrouter-task": "report-queries"})
    return [said(named), *(said(ask(proxy, prompt)) for prompt in PROMPTS)]


def command(proxy: ProxyProcess, *arguments: str) -> str:
    return subprocess.run(
        [*tiny.COMMAND, *arguments, "--config", "config.yaml"],
        cwd=proxy.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def warnings(proxy: ProxyProcess, text: str) -> int:
    return sum(text in line for line in proxy.log.splitlines())


def test_requests_pass_through_until_the_first_version_appears(
    proxy: ProxyProcess, upstream: FakeUpstream, store: Store
) -> None:
    for response in proxy.unrouted:  # type: ignore[attr-defined]
        assert said(response) == {}  # and answered
    assert warnings(proxy, "no version was published in") == 1
    version = publish(proxy, 5)
    assert all(decision["artifact"] == version for decision in decisions(proxy))


def test_a_rollback_gives_the_old_versions_decisions_exactly(
    proxy: ProxyProcess, upstream: FakeUpstream, store: Store
) -> None:
    first = publish(proxy, 7)
    before = decisions(proxy)
    second = publish(proxy, 40)
    between = decisions(proxy)
    assert {decision["artifact"] for decision in between} == {second}
    assert [d["reason"] for d in between] != [d["reason"] for d in before]

    assert f"Version {first} serves now, before it {second}" in command(proxy, "rollback")
    wait_for(proxy, first)
    assert decisions(proxy) == before
    assert f"Version {second} serves now" in command(proxy, "publish", second[:12])
    wait_for(proxy, second)
    assert decisions(proxy) == between


def test_a_version_that_cannot_be_loaded_is_reported_once_and_the_old_one_serves(
    proxy: ProxyProcess, upstream: FakeUpstream, store: Store
) -> None:
    first = publish(proxy, 9)
    before = decisions(proxy)
    config = load_config(proxy.folder / "config.yaml").model_copy(update={"seed": 77})
    # Damaged before it is published, as the proxy may look at any time.
    build(config.model_copy(update={"artifacts": proxy.folder / "aside"}))
    aside = Store(proxy.folder / "aside")
    second = aside.current() or ""
    target = store.folder(second)
    shutil.copytree(aside.folder(second), target)
    array = target / "correctness.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-9])
    store.publish(second)
    eventually(lambda: warnings(proxy, f"{target.name}/correctness.npy has"))
    for _ in range(3):
        assert decisions(proxy) == before
    assert warnings(proxy, f"{target.name}/correctness.npy has") == 1
    assert {decision["artifact"] for decision in before} == {first}

    array.write_bytes(whole)
    (target / "manifest.json").touch()  # written again
    wait_for(proxy, second)


def test_a_directory_that_vanishes_leaves_the_version_that_serves(
    proxy: ProxyProcess, upstream: FakeUpstream, store: Store
) -> None:
    publish(proxy, 11)
    before = decisions(proxy)
    reported = warnings(proxy, "the old version serves on")
    gone = store.root.rename(proxy.folder / "unmounted")
    eventually(lambda: warnings(proxy, "the old version serves on") > reported)
    assert decisions(proxy) == before
    gone.rename(store.root)
    publish(proxy, 13)  # and the next version is taken up


def test_decisions_go_on_while_the_version_that_serves_is_removed(
    proxy: ProxyProcess, upstream: FakeUpstream, store: Store
) -> None:
    version = publish(proxy, 15)
    before = decisions(proxy)
    config = load_config(proxy.folder / "config.yaml")
    # Another version is current for the store, and damaged, so that the proxy stays where it is.
    build(config.model_copy(update={"artifacts": proxy.folder / "other", "seed": 5}))
    other = Store(proxy.folder / "other").current() or ""
    shutil.copytree(proxy.folder / "other" / "versions" / other, store.folder(other))
    (store.folder(other) / "task.npy").write_bytes(b"damaged")
    store.publish(other)
    eventually(lambda: warnings(proxy, f"{other}/task.npy has"))
    shutil.rmtree(store.folder(version))
    assert decisions(proxy) == before
    assert {decision["artifact"] for decision in before} == {version}
