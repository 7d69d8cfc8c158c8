"""The verdict of a version, in words and as a table."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_benchrouter.views import Table
from litellm_benchrouter.views.verdict import verdict_table, verdict_view

PROVED = {
    "method": "guarded",
    "served": {"unseen": "guarded", "requests": "bma", "named": "posterior"},
    "unseen": {
        "gain": 0.029,
        "gain_95": [-0.001, 0.071],
        "lower": -0.001,
        "claim": "no worse",
        "n_tasks": 13,
        "n_families": 9,
        "tasks_worse": 2,
        "worst_task": {"name": "<b>law</b>", "gain": -0.031},
        "bma_because": None,
    },
    "requests": {
        "gain": 0.004,
        "gain_95": [-0.004, 0.012],
        "lower": 0.0,
        "claim": "the best model on average answers",
        "n_samples": 900,
        "bma_because": "no gain",
    },
    "named": {
        "gain": 0.021,
        "gain_95": [0.011, 0.031],
        "lower": 0.013,
        "claim": "gains",
        "n_samples": 900,
        "bma_because": None,
    },
    "cost": {
        "saved": 0.41,
        "saved_95": [0.38, 0.44],
        "unit": "usd",
        "n_samples": 450,
        "n_models": 8,
        "of_models": 40,
        "best_single": "atlas",
        "quality_gain": -0.02,
        "quality_gain_95": [-0.05, 0.01],
    },
    "unproven": {},
    "tolerance": 0.01,
    "passes": True,
    "forced": False,
}
NOTHING_PROVED = {"unseen": None, "requests": None, "named": None, "cost": None,
                  "unproven": {"unseen": "too small"}}  # fmt: skip


def test_a_verdict_is_told_with_its_intervals_its_worst_task_and_its_pools() -> None:
    view = verdict_view(PROVED, "atlas")

    assert view is not None
    assert view.tone == "gain"
    assert view.headline == "It passes, against atlas, the best model on average"
    assert verdict_table(view) == Table(
        "Verdict: It passes, against atlas, the best model on average",
        ("", "Served by", "Measured on", "Finding", "Result", "95 %"),
        [
            [
                "Requests",
                "bma",
                "900 held-out samples",
                "these picks are not served, the best on average is: no gain",
                "+0.4 points",
                "−0.4 to +1.2",
            ],
            [
                "Tasks of the benchmark",
                "posterior",
                "900 held-out samples",
                "gains: at least +1.3 points",
                "+2.1 points",
                "+1.1 to +3.1",
            ],
            [
                "New tasks",
                "guarded",
                "13 held-out tasks, 9 families",
                "no worse: at least −0.1 points; worse than the best on average on 2 tasks; "
                "worst task <b>law</b>, −3.1 points",
                "+2.9 points",
                "−0.1 to +7.1",
            ],
            [
                "Cost at target quality",
                "–",
                "450 samples; 8 of 40 models have a known cost",
                "of the cost of atlas, counted in USD; its quality was asked for, measured −2.0 "
                "points (−5.0 to +1.0)",
                "41 % saved",
                "38 to 44",
            ],
        ],
        n_text=4,
    )
    zero, low, at, high = view.parts[2].picture or (0.0,) * 4
    assert 0 <= low < zero < at < high <= 1


@pytest.mark.parametrize(
    ("change", "tone", "headline"),
    [
        ({"passes": False}, "loss", "It does not pass"),
        ({"passes": False, "forced": True}, "loss", "It does not pass, and was published by force"),
        (NOTHING_PROVED, "unclear", "There was nothing to prove it on"),
    ],
)  # fmt: skip
def test_a_verdict_that_is_bad_or_empty_says_so(
    change: dict[str, Any], tone: str, headline: str
) -> None:
    view = verdict_view(PROVED | change, "atlas")

    assert view is not None
    assert view.tone == tone
    assert view.headline.startswith(f"{headline}, against atlas")


def test_a_verdict_from_before_there_were_lower_bounds_is_shown_without_them() -> None:
    old = {key: value for key, value in PROVED.items() if key not in ("named", "requests")}
    new = ("lower", "claim", "n_families")
    old["unseen"] = {key: value for key, value in PROVED["unseen"].items() if key not in new}
    view = verdict_view(old, "atlas")

    assert view is not None
    first = view.parts[0]
    assert (first.title, first.figure) == ("New tasks", "+2.9 points")
    assert first.finding.startswith("gains, not significantly; worse than")
    assert first.pool == "13 held-out tasks"


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"unseen": {"gain": None}},
        {"unseen": {"gain_95": "x"}},
        {"unseen": {"gain": 0.1, "gain_95": [None, 1], "worst_task": "law", "n_tasks": None}},
        {"served": None, "requests": {"gain": float("nan"), "gain_95": [0, 0]}},
        {"cost": {"saved": None}, "unproven": ["x"]},
    ],
)
def test_a_verdict_of_another_shape_is_shown_as_far_as_it_is_known(odd: dict[str, Any]) -> None:
    assert verdict_view(odd, "atlas") is not None


def test_a_version_without_a_verdict_is_no_error() -> None:
    assert verdict_view(None, "atlas") is None
