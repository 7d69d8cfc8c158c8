"""A version of the demo's benchmark, and what serves it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, serve

from litellm_benchrouter.config import BenchRouterConfig, ServingConfig, load_config


@pytest.fixture
def folder(demo_built: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(demo_built, tmp_path / "demo"))


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    made = serve(tuned(folder))
    yield made
    made.stop()


def tuned(folder: Path, **serving: Any) -> BenchRouterConfig:
    """Return the configuration with other keys of `serving`, and no time limit of its own."""
    config = load_config(folder / "config.yaml")
    # Unlimited, or a busy machine decides what is tested.
    block = ServingConfig.model_validate({"time_limit_ms": 3_600_000.0} | serving)
    return config.model_copy(update={"serving": block})
