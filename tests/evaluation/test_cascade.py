"""Protocol `cascade`: what checking an answer and asking again saves beside routing alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.cases import prepared_of
from litellm_benchrouter.costs.cascade import OTHERS, Evidence
from litellm_benchrouter.costs.evidence import area
from litellm_benchrouter.evaluation.cascade import TARGETS, break_even, run_cascades
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.cascade import (
    Answered,
    correlation,
    named,
    run_cascade,
    simulated_scores,
)

N = 240


@pytest.fixture(scope="module")
def document():
    """A cheap model that is right by 70 %, a dear one by 85 %, and prompts that do not tell."""
    generator = np.random.default_rng(0)
    scores = (generator.random((N, 2)) < [0.85, 0.7]).astype(np.float32)
    split = np.where(np.arange(N) % 2 == 0, "train", "test")
    prepared = prepared_of(
        scores,
        generator.normal(size=(N, 8)).astype(np.float32),
        split=split,
        columns={"cost_usd": np.tile([1.0, 0.01], (N, 1))},
        models=["dear", "cheap"],
    )

    def chances(training, rows):
        return np.tile([0.85, 0.7], (len(rows), 1))

    return run_cascades(prepared, Progress(), predictor=chances, aucs=(0.5, 0.95))


def test_a_verifier_that_knows_nothing_changes_nothing(document):
    routing, nothing = (document["methods"][name] for name in ("routing", "cascade_0.5"))
    assert nothing["runs_cascading"] == 0
    assert nothing["curve"] == routing["curve"]
    assert {point["calls"] for point in nothing["curve"]} == {1.0}
    for target in TARGETS:
        tuned = (of["tuned"][target] for of in (nothing, routing))
        assert len({json.dumps(of) for of in tuned}) == 1  # where there is NaN, it is in both
        assert nothing["tuned"][target]["saved_beside_routing"] == 0


def test_a_good_verifier_saves_where_routing_cannot(document):
    routing, good = (
        document["methods"][name]["tuned"]["equal_quality"] for name in ("routing", "cascade_0.95")
    )
    assert routing["saved"] == pytest.approx(0, abs=0.01)
    assert good["saved_beside_routing"] > 0.3
    assert good["quality_gain"] > -0.05
    low, high = good["saved_beside_routing_over_samples_95"]
    assert 0 < low <= good["saved_beside_routing"] <= high
    assert 1 < good["calls"] < 2
    assert document["break_even"]["equal_quality"] == {"auc": 0.95, "surely": 0.95}


def test_it_breaks_even_where_savings_cross_nothing():
    tuned = {
        f"cascade_{auc:g}": {
            "saved_beside_routing": s,
            "saved_beside_routing_over_samples_95": [s, s],
        }
        for auc, s in {0.5: 0.0, 0.6: -0.1, 0.8: 0.3, 0.9: 0.5}.items()
    }
    found = break_even(tuned, (0.5, 0.6, 0.8, 0.9))
    assert found == {"auc": pytest.approx(0.65), "surely": pytest.approx(0.65)}
    assert break_even(tuned, (0.5, 0.8, 0.9))["auc"] == 0.8
    assert break_even(tuned, (0.5, 0.6))["auc"] is None


def test_simulated_scores_have_their_area_and_are_the_seeds():
    value = (np.random.default_rng(0).random((3_000, 2)) < 0.6).astype(np.float64)
    scores = simulated_scores(value, 0.8, 3)
    assert area(scores.ravel(), value.ravel()) == pytest.approx(0.8, abs=0.02)
    assert np.array_equal(scores, simulated_scores(value, 0.8, 3))


def test_correlation_is_of_what_p_does_not_foresee():
    generator = np.random.default_rng(0)
    p = generator.uniform(0.1, 0.9, (4_000, 1))
    both = (generator.random((4_000, 2)) < p).astype(np.float64)
    same = np.repeat(both[:, :1], 2, axis=1)
    p = np.repeat(p, 2, axis=1)
    assert correlation(p, both)[0, 1] == pytest.approx(0, abs=0.05)
    assert correlation(p, same)[0, 1] == pytest.approx(0.9, abs=0.01)
    assert named(correlation(p, same), ("a", "b"))[OTHERS][OTHERS] == pytest.approx(0.9, abs=0.01)


def test_a_model_without_an_answer_is_not_on_offer():
    value = np.array([[np.nan, 1.0], [0.0, 1.0]])
    p, cost = np.full((2, 2), [0.9, 0.5]), np.ones((2, 2))
    ran = run_cascade(Answered(p, cost, value, cost, p * 0), Evidence.none(), np.eye(2), price=0.0)
    assert ran.pick.tolist() == [1, 0]
    assert ran.value.tolist() == [1.0, 0.0]
