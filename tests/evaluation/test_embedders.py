"""`evaluate --embedders`: the proof of a build, with each embedder's vectors."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ConfigError

WORDS = {
    "capitals": "What is the capital of France and how many people live there",
    "code": "def add return list python function that reverses element write",
    "speed": "A train travels 60 miles in hours What is its average speed car",
    "translate": "Translate into German French the weather is fine was bad",
}


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """Write a benchmark whose prompts tell the task, and a configuration."""
    generator = np.random.default_rng(0)
    with (tmp_path / "results.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sample_id", "task", "prompt", *tiny.MODELS])
        for i in range(120):
            task = list(WORDS)[i % len(WORDS)]
            words = generator.choice(WORDS[task].split(), size=8)
            skill = np.where(np.arange(len(tiny.MODELS)) == i % len(WORDS), 0.9, 0.4)
            labels = (generator.random(len(tiny.MODELS)) < skill).astype(int)
            table.writerow([f"s{i:03d}", task, " ".join(words), *labels])
    return tiny.configure(
        tmp_path,
        method="guarded",
        sources=[{"path": "results.csv"}],
        tasks={},
        embedder={"kind": "lexical", "dimensions": 16, "model": str(tmp_path / "no_model")},
    )


def test_it_runs_the_proof_of_a_build_and_says_what_does_not_work(benchrouter, config_path):
    at = config_path.parent / "compared.json"
    ended = benchrouter(
        *("evaluate", "--config", config_path, "--embedders", "lexical,static", "--json", at)
    )
    assert ended.code == 0, ended.err
    lexical, static = json.loads(at.read_text())["embedders"]
    verdict: Any = build(load_config(config_path)).manifest.verdict
    assert lexical["verdict"] == verdict
    assert lexical["samples"] == {"taken": 120, "of": 120}
    assert lexical["p50_ms"] > 0
    assert static["kind"] == "static" and "no_model" in static["failed"]
    assert "does not work here" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embedders", "lexical,auto"], r"--embedders names 'auto'; give some of lexical, "),
        (["--embedders", "static"], "none of the embedders static works here. static: "),
        (["--embedders", "lexical", "--runs", "2"], "--runs has no effect with --embedders"),
        (["--embedders", "lexical", "--html", "x"], "--html has no effect with --embedders"),
    ],
)
def test_what_cannot_be_compared_is_said(benchrouter, config_path, arguments, message):
    ended = benchrouter("evaluate", "--config", config_path, *arguments)
    assert ended.code in (1, 2)
    assert message in " ".join(ended.err.split())


def test_auto_is_an_error_that_names_the_command(tmp_path):
    path = tiny.configure(tmp_path, embedder={"kind": "auto"})
    with pytest.raises(ConfigError, match=r"benchrouter\.embedder\.kind.*--embedders lexical,stat"):
        load_config(path)
