"""Benchmarks of hardly any samples: every protocol gives a document or one sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.run import DEFAULT_PROTOCOLS, PROTOCOLS, Options, evaluate

SHAPES = [(1, 1, 1), (1, 1, 2), (2, 1, 2), (2, 2, 2), (3, 1, 1), (3, 1, 2), (3, 3, 2), (6, 2, 3)]
"""Samples, tasks, models."""


def write(folder: Path, n: int, n_tasks: int, n_models: int, *, gaps: bool) -> Path:
    """Write a long table, a third of its cells empty where asked; return the configuration."""
    with (folder / "results.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["task", "prompt", "model", "score"])
        for i in range(n):
            for m in range(n_models):
                if not gaps or (i + m) % 3 != 2:
                    prompt = f"what is number {i} {'abcdefgh'[i % 8] * 4}"
                    table.writerow([f"t{i % n_tasks}", prompt, f"m{m}", (i + m) % 2])
    models = {f"m{m}": {"params_b": 2.0**m} for m in range(n_models)}
    block = {"sources": [{"path": "results.csv"}], "models": models}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": block}))
    return path


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_protocol_gives_a_document_or_one_sentence(tmp_path, shape, gaps):
    config = load_config(write(tmp_path, *shape, gaps=gaps))
    refused = {}
    for name in (name for name in PROTOCOLS if name != "mlp"):
        try:
            assert evaluate(config, Options(protocols=(name,)))["protocol"]["name"] == name
        except ConfigError as error:
            refused[name] = str(error)
    n, n_tasks, n_models = shape
    if n_models < 2:
        assert len(refused) == len(PROTOCOLS) - 1
        return
    held_out = {"task", "few-labels"} if n_tasks < 3 else set()
    learned = {"request", "cost", "cascade"} if n < 3 else set()
    learned |= {"proof", "traffic"}  # fewer than 50 samples prove nothing
    assert set(refused) == held_out | learned | ({"robustness"} if n < 2 else set())
    if n < 2:
        with pytest.raises(ConfigError):
            evaluate(config, Options(protocols=DEFAULT_PROTOCOLS))


def test_the_command_ends_in_one_sentence(tmp_path, benchrouter):
    ended = benchrouter("evaluate", "--config", write(tmp_path, 1, 1, 2, gaps=False))
    assert ended.code == 2
    assert ended.err.startswith("Error: ")
    assert "Traceback" not in ended.err


def test_a_split_that_leaves_one_sample_to_learn_from_is_refused(tmp_path):
    config = load_config(write(tmp_path, 6, 2, 3, gaps=False))
    for name in ("request", "cost"):
        with pytest.raises(ConfigError, match="fewer than 2 samples to learn from"):
            evaluate(config, Options(protocols=(name,), test_share=0.9))
