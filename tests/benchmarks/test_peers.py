"""`benchmarks/peers.py` at a size that says nothing but that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.errors import BenchRouterError

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


def run_of(*rows: int, processor: str = "one", ratio: float = 60.0) -> dict[str, Any]:
    """Return what a run of these sizes finds."""
    times = {"p50_ms": 1.0, "p99_ms": 2.0, "n": 9, "ratio_half_width": 0.0, "note": ""}
    systems = [
        {"system": "benchrouter", "ratio": 1.0, **times},
        {"system": "scikit-learn, cosine", "ratio": ratio, **times},
    ]
    versions = {"litellm-benchrouter": "0.1.0"}
    machine = {"processor": processor, "cores": 2, "memory_gib": 8.0, "load_average": 0.1}
    return {
        "machine": machine | {"python": "3.11", "versions": versions},
        "parts": {"decisions": {"seconds": 1.0, "peak_memory_gib": 1.0}},
        "decisions": [
            {"rows": each, "dimension": 384, "systems": systems, "left_out": {}} for each in rows
        ],
    }


def test_results_of_several_runs_become_one_that_says_what_was_measured_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from peers_run.merge import merge

    paths = [tmp_path / "million.json", tmp_path / "small.json"]
    for path, found in zip(paths, (run_of(1_000_000), run_of(1_000, 36_000)), strict=True):
        path.write_text(json.dumps(found))
    merged = tmp_path / "merged.json"
    printed = peers("--from", paths[0], "--from", paths[1], "--result", merged, "--markdown")
    assert "36,000 rows" in printed and "1,000,000 rows" in printed
    assert "every ratio is of one" in printed
    result = merge([json.loads(merged.read_text()), run_of(36_000, ratio=40.0)])
    assert [at["rows"] for at in result["decisions"]] == [1_000, 36_000, 1_000_000]
    assert [run["of"] for run in result["runs"]] == [
        ["decisions at 1,000,000 rows"],
        ["decisions at 1,000 rows"],
        ["decisions at 36,000 rows"],
    ]
    assert [bar["found"] for bar in result["bars"]] == [40.0]  # the later run replaces the earlier


def test_results_of_different_machines_are_not_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from peers_run.merge import merge

    with pytest.raises(ValueError, match=r"their machine differs .*2 cores of other"):
        merge([run_of(1_000, processor="one"), run_of(10_000, processor="other")])


def test_litellms_semantic_router_needs_the_same_proxy_as_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from peers_run.litellm_semantic import python_of

    with pytest.raises(BenchRouterError, match="no --semantic-router-python"):
        python_of(None)
    assert python_of(Path(sys.executable)) == Path(sys.executable)
    venv.create(tmp_path / "bare")
    bare = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(BenchRouterError, match=r"has litellm \(none\).*install \"litellm=="):
        python_of(bare)


def test_litellms_semantic_router_has_every_prompt_of_the_benchmark_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    from peers_run.litellm_routers import MODELS
    from peers_run.litellm_semantic import model_list

    *deployments, router = model_list("http://127.0.0.1:1/v1")
    routes = json.loads(router["litellm_params"]["auto_router_config"])["routes"]
    groups = {each["model_name"] for each in deployments}
    names = [route["name"] for route in routes]
    assert len(set(names)) == len(names) > 1 and set(names) <= set(MODELS) <= groups
    assert router["litellm_params"]["auto_router_embedding_model"] in groups
    prompts = [prompt for route in routes for prompt in route["utterances"]]
    rows = (
        (resources.files("litellm_benchrouter") / "demo" / "benchmark.csv").read_text().splitlines()
    )
    assert len(prompts) == len(rows) - 1


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
