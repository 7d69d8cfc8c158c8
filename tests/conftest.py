"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy.upstream import FakeUpstream

# Before anything imports litellm: or it asks GitHub for prices when it is imported.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


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
