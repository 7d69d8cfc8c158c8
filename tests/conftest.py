"""Fixtures for all tests."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import HealthCheck, settings
from proxy.upstream import FakeUpstream

# Before anything imports litellm: or it asks GitHub for prices when it is imported.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

# The same examples in every run, however long a busy machine takes for one.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

# All of each of these needs torch: left out where it is not installed. Others skip, and say so.
collect_ignore = [
    "embedders/test_encoders.py",
    "embedders/test_sentence_transformers.py",
    "evaluation/test_mlp.py",
    "views/test_report.py",
]
if find_spec("torch") is not None:
    collect_ignore.clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of data that lies beside the checkout, or skip the test."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[FakeUpstream]:
    """Run one fake provider for all proxies; a test that sends requests takes `upstream`."""
    with FakeUpstream() as server:
        yield server


@pytest.fixture
def upstream(upstream_server: FakeUpstream) -> Iterator[FakeUpstream]:
    """Give the fake provider with no requests recorded and every model well."""
    upstream_server.reset()
    yield upstream_server
    upstream_server.reset()


@pytest.fixture(scope="session")
def tiny_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the benchmark of `tiny`, built once; it is not to be changed."""
    from litellm_benchrouter.building.build import build
    from litellm_benchrouter.config import load_config

    folder = tmp_path_factory.mktemp("tiny")
    build(load_config(tiny.write(folder)))
    return folder


@pytest.fixture
def tiny_folder(tiny_built: Path, tmp_path: Path) -> Path:
    """Return a copy of `tiny_built` to damage."""
    return Path(shutil.copytree(tiny_built, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def demo_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo's benchmark, built once with its lexical embedder."""
    from litellm_benchrouter.building.build import build
    from litellm_benchrouter.cli.demo import copy_files
    from litellm_benchrouter.config import load_config

    folder = tmp_path_factory.mktemp("demo")
    copy_files(folder)
    build(load_config(folder / "config.yaml"))
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def benchrouter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Return a function that runs the command line as the installed command does."""
    from litellm_benchrouter.cli import main

    for name in ("BENCHROUTER_CONFIG", "CONFIG_FILE_PATH"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["benchrouter", *map(str, arguments)])
        capsys.readouterr()
        litellm = sys.modules.get("litellm")
        if litellm is not None:  # a process begins without the callbacks of earlier ones
            litellm.logging_callback_manager._reset_all_callbacks()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        code = ended.value.code
        out, err = capsys.readouterr()
        # LiteLLM's own log, which other tests in this process may have turned to where we look.
        err = "".join(line for line in err.splitlines(True) if " - LiteLLM:" not in line)
        return Ended(code if isinstance(code, int) else int(code is not None), out, err)

    return run
