"""Stores behind URLs: in memory, in a folder, and on an S3 server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny

from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.store import open_store, remote
from litellm_benchrouter.store.mirror import Mirror
from objects.server import BUCKET, S3Server, environment


def needs_s3() -> None:
    """Skip where a server of S3 or its client is not installed."""
    for package in ("moto", "s3fs"):
        pytest.importorskip(package, reason=f"needs {package}, which `.[dev]` brings")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    needs_s3()
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def tries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let s3fs try twice; with its five times, each in five, what is cut takes ten seconds."""
    n: int = getattr(request, "param", 2)
    if find_spec("s3fs") is not None:
        monkeypatch.setattr("s3fs.S3FileSystem.retries", n)
    return n


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., BenchRouterConfig]:
    """Return a function that configures the tiny benchmark with artifacts behind a URL."""
    tiny.write(tmp_path)

    def configure(url: str, *, endpoint: str = "", cache: str = "cache", **block: Any) -> Any:
        options = {"client_kwargs": {"endpoint_url": endpoint}} if endpoint else {}
        path = tiny.configure(
            tmp_path,
            **({"artifacts": url, "artifacts_cache": cache, "storage_options": options} | block),
        )
        return load_config(path)

    return configure


def _kinds(*in_default: str) -> list[Any]:
    long = [kind for kind in ("memory", "file", "s3") if kind not in in_default]
    return [*in_default, *(pytest.param(kind, marks=pytest.mark.long) for kind in long)]


@pytest.fixture(params=_kinds("memory", "s3"))
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of store; in short, tests of local copies take one, with `of_copies`."""
    return str(request.param)


of_copies = pytest.mark.parametrize("kind", _kinds("memory"))


@pytest.fixture
def config(
    kind: str,
    request: pytest.FixtureRequest,
    configured: Callable[..., BenchRouterConfig],
    tmp_path: Path,
) -> BenchRouterConfig:
    """Return a configuration whose artifacts are behind a URL of each kind."""
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        return configured(f"s3://{BUCKET}/{tmp_path.name}", endpoint=server.url)
    if kind == "file":
        return configured(f"file://{tmp_path}/far/away")
    return configured(f"memory://{tmp_path.name}/far")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit of a call, and let few of them hang."""
    monkeypatch.setattr(remote, "_SECONDS", 0.5)
    monkeypatch.setattr(remote, "_MOST_HANGING", 3)


def mirror(config: BenchRouterConfig) -> Mirror:
    store = open_store(config)
    assert isinstance(store, Mirror)
    return store


def elsewhere(config: BenchRouterConfig, name: str = "other") -> Mirror:
    """Return the store as another machine sees it, with nothing copied yet."""
    other = config.model_copy(update={"artifacts": config.artifacts.parent.parent / name})
    return mirror(other)
