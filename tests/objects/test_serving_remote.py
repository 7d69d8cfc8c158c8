"""The router inside the proxy with artifacts on an S3 server that comes and goes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from served import loader_of

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.serving.loader import VersionLoader
from objects.conftest import elsewhere, mirror
from objects.server import BUCKET, Relay, S3Server

Configured = Callable[..., BenchRouterConfig]


def built(config: BenchRouterConfig, seed: int = 0) -> str:
    """Build on another machine than the one that serves."""
    at = elsewhere(config, "builder").root
    return build(config.model_copy(update={"artifacts": at, "seed": seed})).manifest.version


def serves(serving: VersionLoader) -> str | None:
    serving.refresh()
    return None if serving.router is None else serving.router.artifact.manifest.version


def test_versions_and_rollbacks_are_taken_up_at_the_next_look(config: BenchRouterConfig) -> None:
    serving = loader_of(config)
    assert serves(serving) is None
    first = built(config)
    assert serves(serving) == first
    second = built(config, seed=1)
    assert serves(serving) == second
    elsewhere(config).rollback()
    assert serves(serving) == first
    assert mirror(config).cached() == first


def test_while_the_server_is_away_the_old_version_serves_and_it_is_said_once(
    s3_server: S3Server,
    configured: Configured,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    first = built(configured(place, endpoint=s3_server.url))
    with Relay(s3_server.port, sys.maxsize, sent=True) as relay, caplog.at_level(logging.INFO):
        config = configured(place, endpoint=relay.url)
        serving = loader_of(config)
        assert serves(serving) == first
        second = built(configured(place, endpoint=s3_server.url), seed=1)
        relay.cut()
        assert [serves(serving) for _ in range(2)] == [first] * 2
        assert caplog.text.count(f"{place} does not answer") == 1
        assert "the old version serves on" in caplog.text

        again = loader_of(config)  # a start meanwhile
        assert serves(again) == first
        assert f"Version {first} was taken from {config.artifacts}" in caplog.text
        relay.mend()
        assert serves(serving) == serves(again) == second
        assert serves(serving) == second


def test_a_start_without_server_and_without_a_copy_passes_requests_through(
    s3_server: S3Server,
    configured: Configured,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    with Relay(s3_server.port, sys.maxsize, sent=True) as relay:
        relay.cut()
        serving = loader_of(configured(place, endpoint=relay.url))
        assert serves(serving) is None
        assert "no verified copy" in caplog.text
        assert "requests pass through" in caplog.text


def test_a_damaged_copy_is_not_what_a_start_without_server_takes(
    s3_server: S3Server,
    configured: Configured,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    direct = configured(place, endpoint=s3_server.url)
    version = built(direct)
    assert serves(loader_of(direct)) == version
    array = direct.artifacts / "versions" / version / "task.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\7")
    with Relay(s3_server.port, sys.maxsize, sent=True) as relay:
        relay.cut()
        serving = loader_of(configured(place, endpoint=relay.url))
        assert serves(serving) is None
        assert "task.npy has SHA-256" in caplog.text
        relay.mend()
        assert serves(serving) == version  # downloaded anew


def test_a_download_that_is_cut_leaves_the_old_version_serving_and_is_tried_again(
    s3_server: S3Server, configured: Configured, tmp_path: Path
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    first = built(configured(place, endpoint=s3_server.url))
    with Relay(s3_server.port, sys.maxsize, sent=False) as relay:
        config = configured(place, endpoint=relay.url)
        serving = loader_of(config)
        assert serves(serving) == first
        second = built(configured(place, endpoint=s3_server.url), seed=1)
        relay.cut_after(6_000)
        assert serves(serving) == first
        assert relay.reached
        assert not list((config.artifacts / "versions").glob(".*"))
        relay.mend()
        assert serves(serving) == second


def test_a_local_directory_loads_nothing_of_this(tmp_path: Path) -> None:
    tiny.write(tmp_path)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from litellm_benchrouter.building.build import build\n"
        "from litellm_benchrouter.config import load_config\n"
        "from litellm_benchrouter.serving.executor import Executor\n"
        "from litellm_benchrouter.serving.loader import VersionLoader\n"
        "config = load_config(Path(sys.argv[1]))\n"
        "build(config)\n"
        "serving = VersionLoader(config, Executor(config.serving))\n"
        "serving.refresh()\n"
        "assert serving.router is not None\n"
        "ours = 'litellm_benchrouter.artifact.'\n"
        "print({ours + 'mirror', ours + 'remote', 's3fs'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
