"""The plugin's lines in the proxy's log: each once, and an error where the block is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import ask, routed_config
from proxy.harness import ProxyProcess, eventually
from proxy.upstream import FakeUpstream


def proxy_in(folder: Path, config: dict[str, Any]) -> ProxyProcess:
    copy_files(folder)
    config["litellm_settings"]["callbacks"] = ["litellm_benchrouter.hook.handler"]
    return ProxyProcess(config, folder)


def lines_with(proxy: ProxyProcess, words: str) -> list[str]:
    return [line for line in proxy.log.splitlines() if words in line]


@pytest.mark.parametrize("as_json", [False, True])
def test_each_line_comes_once_in_the_proxys_form(
    upstream: FakeUpstream, tmp_path: Path, as_json: bool
) -> None:
    config = routed_config(upstream.base_url)
    config["litellm_settings"]["json_logs"] = as_json
    proxy = proxy_in(tmp_path, config)
    build(load_config(tmp_path / "config.yaml"))
    with proxy:
        (start,) = eventually(lambda: lines_with(proxy, "routes by version "))
        assert ask(proxy, "What is 7 times 8?").status_code == 200
        (decision,) = eventually(lambda: lines_with(proxy, "benchrouter_decision"))
        if as_json:
            assert json.loads(start)["level"] == "WARNING"
            assert "groups: " in json.loads(start)["message"]
            assert json.loads(decision)["level"] == "DEBUG"
        else:
            assert "litellm_benchrouter:WARNING: benchrouter: " in start
            assert json.loads(decision)["event"] == "benchrouter_decision"
        assert len(lines_with(proxy, "nobody-1b of group smart")) == 1


def test_a_block_that_cannot_be_read_is_an_error_with_its_key(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    config = routed_config(upstream.base_url)
    config["benchrouter"]["serving"] = {"pol_seconds": 3}
    with proxy_in(tmp_path, config) as proxy:
        (line,) = eventually(lambda: lines_with(proxy, "benchrouter.serving.pol_seconds"))
        assert "ERROR" in line
        assert line.endswith("Requests pass through.")
        assert ask(proxy, "What is 7 times 8?").status_code == 200
