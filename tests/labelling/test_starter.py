"""The starter set, and `benchrouter label --starter` before a fake provider."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from litellm_benchrouter.labelling.metrics import parse_metric
from litellm_benchrouter.labelling.starter import starter_rows

ROWS = starter_rows()


def answer_of(row: dict[str, Any]) -> str:
    """Return what a model would say that says the reference."""
    reference = row["reference"]
    if row["metric"].startswith("json:"):
        return f"```json\n{json.dumps(reference)}\n```"
    first = reference[0] if isinstance(reference, list) else reference
    return f"ANSWER: {first}" if "answer" in row["metric"] else str(first)


def score(row: dict[str, Any], answer: str) -> float:
    metric = parse_metric(row["metric"], "starter")
    assert metric.score is not None, "a check asks no judge"
    return metric.score(answer, row["reference"])


def test_the_set_is_of_many_tasks_languages_and_levels():
    assert 300 <= len(ROWS) == len({row["prompt"] for row in ROWS}) <= 500
    assert all(25 <= n <= 30 for n in Counter(row["task"] for row in ROWS).values())
    assert len({row["language"] for row in ROWS}) >= 12
    levels = Counter(row["level"] for row in ROWS)
    assert set(levels) == {1, 2, 3}
    assert min(levels.values()) > len(ROWS) / 4


def test_each_reference_passes_its_own_check():
    assert [row["prompt"] for row in ROWS if score(row, answer_of(row)) != 1] == []


@pytest.mark.parametrize("wrong", ["", "I am not sure.", "-987654", "{}", '{"call": {}}'])
def test_no_check_lets_what_answers_nothing_pass(wrong):
    assert [row["prompt"] for row in ROWS if score(row, wrong) != 0] == []


def test_the_answers_of_other_prompts_fail():
    for row in ROWS:
        kind = (row["task"], row["metric"])
        others = [o for o in ROWS if (o["task"], o["metric"]) == kind and o is not row]
        passing = [other for other in others if score(row, answer_of(other)) == 1]
        same = [other for other in passing if other["reference"] == row["reference"]]
        assert len(passing) == len(same), row["prompt"]


def test_no_two_prompts_are_near_duplicates():
    grams = [{p[i : i + 3] for i in range(len(p) - 2)} for p in (r["prompt"] for r in ROWS)]
    alike = [
        (ROWS[i]["prompt"], ROWS[j]["prompt"])
        for i in range(len(ROWS))
        for j in range(i)
        if 2 * len(grams[i] & grams[j]) >= len(grams[i] | grams[j])
    ]
    assert alike == []
