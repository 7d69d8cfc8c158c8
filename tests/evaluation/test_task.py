"""Protocol `task` where a source knows more of one task than of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from litellm_benchrouter.config import parse_config
from litellm_benchrouter.evaluation.few_labels import run_few_labels
from litellm_benchrouter.evaluation.run import Options, evaluate
from litellm_benchrouter.evaluation.task import run_task
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation import folds

from .cases import prepared_of

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


def test_of_more_tasks_than_folds_several_are_held_out_together(monkeypatch):
    monkeypatch.setattr(folds, "MOST_FOLDS", 6)
    generator = np.random.default_rng(0)
    n_tasks = 15
    scores = (generator.random((n_tasks, 3)) < 0.5).astype(float)
    prepared = prepared_of(scores, generator.normal(size=(n_tasks, 8)), task=np.arange(n_tasks))
    folded = prepared.in_folds()
    assert (prepared.n_groups, folded.n_groups) == (n_tasks, 6)
    near = folded.neighbors_other_tasks.index
    assert not (folded.group[near] == folded.group[:, None])[near >= 0].any()
    document = run_task(folded, Silent())
    assert document["protocol"]["held_out"] == "fold"
    assert document["protocol"]["n_tasks"] == len(document["tasks"]) == n_tasks
    assert run_few_labels(folded, Silent())["methods"]["raw"][0]["n_tasks"] == 0
    few = prepared_of(scores[:6], generator.normal(size=(6, 8)), task=np.arange(6))
    assert few.in_folds() is few
