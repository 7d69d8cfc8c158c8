"""A running proxy whose artifacts are on an S3 server, which is killed under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from objects.server import BUCKET, S3Server, environment

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import ask
from proxy.harness import ProxyProcess, deployment, eventually
from proxy.upstream import FakeUpstream

MODELS = {"atlas": "atlas-70b", "coder": "coder-14b", "mathsmith": "mathsmith-8b"}
PLACE = f"s3://{BUCKET}/benchrouter"


def configured(api_base: str, s3_url: str, cache: Path) -> dict[str, Any]:
    return {
        "model_list": [
            deployment("smart", name, api_base, benchrouter_model=model)
            for name, model in MODELS.items()
        ],
        "litellm_settings": {"callbacks": ["litellm_benchrouter.hook.handler"]},
        "benchrouter": {
            "artifacts": PLACE,
            "artifacts_cache": str(cache),
            "storage_options": {
                "secret": "os.environ/OUR_SECRET",
                "key": "os.environ/OUR_KEY",
                "client_kwargs": {"endpoint_url": s3_url},
            },
            "method": "paper",
            "publish": {"require": "nothing"},
            "sources": [{"path": "benchmark.csv"}],
            "serving": {"poll_seconds": 0.3, "time_limit_ms": 3_600_000, "log_level": "info"},
        },
    }


def serves(proxy: ProxyProcess) -> str | None:
    response = ask(proxy, "Translate 'two apples' into Dutch.")
    assert response.status_code == 200
    version: str | None = response.headers.get("x-benchrouter-artifact")
    return version


def test_versions_come_from_the_server_and_go_on_serving_without_it(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: Any
) -> None:
    credentials = environment()
    ours = {
        "OUR_KEY": credentials.pop("AWS_ACCESS_KEY_ID"),
        "OUR_SECRET": credentials.pop("AWS_SECRET_ACCESS_KEY"),
    }
    env = {**credentials, **ours, "LITELLM_LOG": "INFO"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in ("first", "second", "builder"):
        (tmp_path / name).mkdir()
    copy_files(tmp_path / "builder")
    with S3Server(tmp_path) as server:
        config = configured(upstream.base_url, server.url, tmp_path / "cache")
        with ProxyProcess(config, tmp_path / "first", env=env, workers=2) as proxy:
            yaml = (proxy.folder / "config.yaml").read_text()
            (tmp_path / "builder" / "config.yaml").write_text(
                yaml.replace(str(tmp_path / "cache"), str(tmp_path / "builders-cache"))
            )
            building = load_config(tmp_path / "builder" / "config.yaml")
            assert serves(proxy) is None  # nothing is there yet, and the request is answered

            versions = []
            for seed in (0, 1):
                versions.append(build(building.model_copy(update={"seed": seed})).manifest.version)
                # Of both workers: a connection that is kept asks only one of them.
                said = f"version {versions[-1]} serves"
                eventually(lambda said=said: proxy.log.count(said) == 2)
                assert serves(proxy) == versions[-1]
            server.kill()
            eventually(lambda: f"{PLACE} does not answer" in proxy.log)
            assert {serves(proxy) for _ in range(12)} == {versions[-1]}
            first_log = proxy.log

        with ProxyProcess(config, tmp_path / "second", env=env) as proxy:
            eventually(lambda: serves(proxy) == versions[-1])
            eventually(lambda: f"Version {versions[-1]} was taken from" in proxy.log)
            assert {serves(proxy) for _ in range(6)} == {versions[-1]}
            for log in (first_log, proxy.log):
                assert ours["OUR_SECRET"] not in log
                assert "Traceback" not in log
