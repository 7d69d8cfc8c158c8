"""Protocol `task` where a source knows more of one task than of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from litellm_benchrouter.config import parse_config
from litellm_benchrouter.evaluation.run import Options, evaluate

FREE = ("lr_arithmetic", "lr_units")  # written freely: no log-likelihoods


@pytest.fixture(scope="module")
def document(shared: Path) -> dict:
    source = {"kind": "lm-eval", "path": str(shared / "raw" / "lm-eval" / "results")}
    config = parse_config({"sources": [source]}, folder=shared)
    return evaluate(config, Options(protocols=("task",)))


def test_a_task_without_log_likelihoods_leaves_ll_with_the_best_on_average(document):
    # lm-eval records them for multiple choice and not for what a model wrote freely.
    picks = [task["picks"] for task in document["tasks"]]
    assert any(pick["ll"] != pick["bma"] for pick in picks)
    free = [task["picks"] for task in document["tasks"] if task["task"] in FREE]
    assert free
    assert all(pick["ll"] == pick["bma"] for pick in free)


def test_every_method_has_a_pick_for_every_task(document):
    methods = set(document["methods"])
    assert {"s1", "s2", "s3", "s3_true_p", "ll", "bma", "oracle", "default"} == methods
    assert all(set(task["picks"]) == methods for task in document["tasks"])
