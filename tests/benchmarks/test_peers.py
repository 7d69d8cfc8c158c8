"""`benchmarks/peers.py` at a size that says nothing but that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "peers.py"


def peers(*arguments: object) -> str:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def p50(part: dict[str, Any]) -> dict[str, float]:
    return {each["system"]: each["p50_ms"] for each in part["systems"]}


def test_a_quick_run_times_every_system_and_names_those_that_are_left_out(tmp_path: Path) -> None:
    result, picture = tmp_path / "peers.json", tmp_path / "peers.png"
    parts = ("--part", "decisions", "--part", "texts")
    printed = peers("--quick", *parts, "--json", "--result", result, "--picture", picture)
    found = json.loads(printed)
    assert found == json.loads(result.read_text())
    (at,) = found["decisions"]
    named = p50(at) | at["left_out"]
    ours, peer = "benchrouter", "scikit-learn, cosine"
    assert {ours, peer, "scikit-learn, classifier", "semantic-router"} <= set(named)
    assert p50(at)[peer] > 0
    texts = p50(found["texts"])
    assert {f"litellm, {kind}" for kind in ("complexity", "quality", "adaptive")} <= set(texts)
    assert texts["benchrouter, lexical"] > 0
    assert found["machine"]["cores"] >= 1
    assert picture.stat().st_size > 10_000


@pytest.mark.long
def test_a_quick_run_asks_real_proxies() -> None:
    found = json.loads(peers("--quick", "--part", "proxies", "--json"))
    systems = {each["proxy"]: each for each in found["proxies"]["systems"]}
    assert set(systems) == {"no router", "benchrouter, lexical", "litellm, complexity"}
    assert systems["no router"]["rate_ratio"] == 1.0
    assert systems["benchrouter, lexical"]["decided"] == {"guarded": 1.0}
    assert systems["litellm, complexity"]["models"] > 1


@pytest.mark.parametrize(("ratio", "met"), [(49.9, False), (50.0, True)])
def test_a_bar_is_judged_by_what_was_measured(
    ratio: float, met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from peers_run.result import COSINE, OURS, bars

    systems = [{"system": OURS, "ratio": 1.0}, {"system": COSINE, "ratio": ratio}]
    result = {"decisions": [{"rows": 36_000, "systems": systems}]}
    assert [bar.met for bar in bars(result)] == [met]
    elsewhere = {"decisions": [{"rows": 10_000, "systems": systems}]}
    assert not list(bars(elsewhere))
