"""The distance u against correlation: trends by hand, and the draws of protocol `labels`."""

from __future__ import annotations

import numpy as np
import pytest

from litellm_benchrouter.evaluation.distance import run_distance
from litellm_benchrouter.evaluation.labels import SCORED, run_labels
from litellm_benchrouter.progress import Progress

from .cases import random_case


def labels_document(task, alpha, u, **pearson):
    return {
        "protocol": {"name": "labels", "seed": 3},
        "draws": {"task": task, "alpha": alpha, "u": u, "pearson": pearson},
    }


def test_nearer_tasks_with_better_correlation_fall_from_bin_to_bin():
    u = [0.1 * i for i in range(1, 11)]
    document = run_distance(
        labels_document(["a"] * 10, [0.0] * 10, u, s1=[1 - x**2 for x in u]), bins=5
    )
    s1 = document["methods"]["s1"]
    assert s1["spearman"] == pytest.approx(-1.0)
    assert [row["count"] for row in s1["bins"]] == [2] * 5
    assert s1["bins"][0]["u"] == pytest.approx(0.15)
    assert (s1["bins"][0]["u_min"], s1["bins"][0]["u_max"]) == (0.1, 0.2)
    assert s1["bins"][0]["pearson"] == pytest.approx(1 - (0.1**2 + 0.2**2) / 2)
    assert document["protocol"] == {"name": "distance", "seed": 3}


def test_the_trend_within_tasks_is_not_that_between_them():
    # Each task gets better as it comes nearer, but the far task is the easier one.
    u = [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    pearson = [0.3, 0.2, 0.1, 0.9, 0.8, 0.7]
    s1 = run_distance(labels_document(list("aaabbb"), [0.0, 0.1, 0.2] * 2, u, s1=pearson))[
        "methods"
    ]["s1"]
    assert s1["spearman"] > 0
    assert s1["spearman_within_tasks"] == pytest.approx(-1.0)


def test_undefined_correlations_are_left_out():
    document = run_distance(
        labels_document(
            ["a", "a", "b"], [0.0, 0.1, 0.0], [0.1, 0.2, 0.3], s1=[0.5, None, 0.7], s2=[None] * 3
        )
    )
    assert sum(row["count"] for row in document["methods"]["s1"]["bins"]) == 2
    assert document["methods"]["s2"] == {
        "spearman": None,
        "spearman_within_tasks": None,
        "bins": [],
    }


def test_a_point_is_the_mean_over_the_repeats_of_a_task_and_alpha():
    document = run_distance(
        labels_document(
            ["a", "a", "b"], [0.1, 0.1, 0.1], [0.1, 0.3, 0.5], s1=[0.4, 0.6, 0.9], s2=[0.1] * 3
        )
    )
    assert document["points"]["task"] == ["a", "b"]
    assert document["points"]["alpha"] == [0.1, 0.1]
    np.testing.assert_allclose(document["points"]["u"], [0.2, 0.5])
    np.testing.assert_allclose(document["points"]["pearson"]["s1"], [0.5, 0.9])


def test_it_takes_what_labels_found():
    prepared = random_case(1)
    labels = run_labels(prepared, Progress(), alphas=[0.0, 0.1], repeats=2)
    document = run_distance(labels, bins=3)
    assert set(document["methods"]) == set(SCORED)
    assert len(document["points"]["u"]) == 2 * prepared.n_tasks
    known = [value for value in labels["draws"]["pearson"]["s3"] if value is not None]
    assert sum(row["count"] for row in document["methods"]["s3"]["bins"]) == len(known)
    binned = sum(row["count"] * row["pearson"] for row in document["methods"]["s3"]["bins"])
    assert binned == pytest.approx(sum(known))
