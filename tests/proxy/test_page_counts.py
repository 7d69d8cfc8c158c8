"""The page's counts come from what a real proxy exports."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from litellm_benchrouter.page.metrics_reader import Line, read_live
from proxy.conftest import ask
from proxy.harness import MASTER_KEY, ProxyProcess


def test_the_page_reads_the_decisions_of_a_real_proxy(
    routed: ProxyProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_benchrouter.page.metrics_reader._SECONDS", 3600.0)
    url = f"{routed.base_url}/metrics"

    def translations(lines: Sequence[Line]) -> int:
        return sum(int(line.n.replace(",", "")) for line in lines if line.names[0] == "measured")

    before = read_live(url, MASTER_KEY)
    ask(routed, "anything", headers={"x-benchrouter-task": "translation"})
    after = read_live(url, MASTER_KEY)
    without = read_live(url)

    assert after.problem is None
    assert translations(after.reasons) == translations(before.reasons) + 1
    assert len(after.versions) == 1
    assert without.problem is not None
    assert "asks for a key" in without.problem
