"""What a verdict claims, when it passes, and how it is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from litellm_benchrouter.artifact.verdict import (
    GAINS,
    NOTHING,
    TOO_FEW,
    Verdict,
    claim,
    losses,
    sentence,
)

NO_WORSE = "no-worse-than-bma"
BMA_ANSWERS = "the best model on average answers"


def part(gain: float, lower: float, *, bma: bool = False) -> dict[str, Any]:
    served = {"served": "bma" if bma else "guarded", "lower": 0.0 if bma else lower}
    return served | {
        "gain": gain,
        "expected_gain": 0.0 if bma else gain,
        "bma_because": "its lower bound is not above 0" if bma else None,
        "claim": claim(served, 0.005),
    }


GAIN, SAME, LOSS = part(0.03, 0.01), part(0.001, -0.003), part(0.004, -0.012)
HELD_BACK = part(-0.04, -0.08, bma=True)


def verdict(required: str = NO_WORSE, **parts: Mapping[str, Any] | None) -> Verdict:
    every = dict.fromkeys(("requests", "named", "unseen")) | parts
    return Verdict(
        method="guarded", served={}, cost=None, required=required, tolerance=0.005, **every
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("served", "lower", "too_few", "text"),
    [
        ("guarded", 0.001, False, "gains"),
        ("guarded", 0.0, False, "no worse"),
        ("guarded", -0.0049, False, "no worse"),
        ("guarded", -0.005, False, "not shown to be no worse"),
        ("guarded", 0.02, True, TOO_FEW),
        ("guarded", -0.02, True, "not shown to be no worse"),
        ("bma", 0.0, False, BMA_ANSWERS),
        ("bma", 0.0, True, BMA_ANSWERS),
    ],
)
def test_a_claim_is_what_the_lower_bound_shows(
    served: str, lower: float, too_few: bool, text: str
) -> None:
    assert claim({"served": served, "lower": lower}, 0.005, too_few=too_few) == text


@pytest.mark.parametrize(
    ("parts", "no_worse", "gains"),
    [
        ({"requests": GAIN, "named": SAME, "unseen": HELD_BACK}, True, True),
        ({"requests": SAME, "named": HELD_BACK}, True, False),
        ({"requests": HELD_BACK, "named": HELD_BACK, "unseen": HELD_BACK}, True, False),
        ({"requests": GAIN, "unseen": LOSS}, False, False),
        ({"named": LOSS}, False, False),
        ({}, True, False),
    ],
)
def test_what_is_required_decides_what_passes(
    parts: dict[str, Any], no_worse: bool, gains: bool
) -> None:
    assert verdict(NO_WORSE, **parts).passes is no_worse
    assert verdict(GAINS, **parts).passes is gains
    assert verdict(NOTHING, **parts).passes is True


def test_too_few_tasks_are_no_gain_that_could_be_required() -> None:
    few = GAIN | {"claim": TOO_FEW}
    assert verdict(NO_WORSE, unseen=few).passes
    assert not verdict(GAINS, unseen=few).passes
    assert "gain" not in sentence(verdict(NO_WORSE, unseen=few).as_dict())


def test_a_loss_is_named_with_its_bound_and_a_gain_with_its_own() -> None:
    assert sentence(verdict(requests=GAIN, named=GAIN, unseen=HELD_BACK).as_dict()) == (
        "gains at least +1.0 points on requests and +1.0 points on tasks of the benchmark over "
        "the best model on average"
    )
    lost = verdict(requests=GAIN, unseen=LOSS).as_dict()
    assert losses(lost) == {"unseen": -0.012}
    assert sentence(lost) == (
        "is not shown to be no worse than the best model on average: at least -1.2 points on new "
        "tasks, 0.5 points are tolerated"
    )
    assert sentence(verdict(GAINS, requests=SAME).as_dict()).endswith("; a gain is required")
    held_back = verdict(requests=HELD_BACK).as_dict()
    assert sentence(held_back).startswith("is the best model on average")


def test_a_verdict_from_before_there_were_bounds_is_read_by_its_gains() -> None:
    old = {"expected_gain": -0.02, "gain": -0.02, "gain_95": [-0.03, -0.01]}
    document: dict[str, Any] = {
        "requests": old,
        "unseen": {"expected_gain": 0.0, "gain": -0.1, "bma_because": "it shows no gain"},
        "unproven": {},
        "required": NO_WORSE,
        "tolerance": 0.005,
        "forced": False,
        "passes": False,
    }
    assert losses(document) == {"requests": -0.02}
    assert "at least -2.0 points on requests" in sentence(document)
