"""Cascades: what a verifier's scores are worth, and when asking on pays."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from litellm_benchrouter.costs.cascade import OTHERS, STOP, Cascade, Evidence, choose, learned
from litellm_benchrouter.costs.evidence import MOST_ATOMS, area, combined

P = {"ant": 0.60, "bee": 0.72, "cat": 0.85}
COST = {"ant": 0.0001, "bee": 0.004, "cat": 0.01}


def answers(n: int, auc: float, seed: int = 0, base: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores of a verifier of this area under the curve, and whether answers are right."""
    generator = np.random.default_rng(seed)
    right = (generator.random(n) < base).astype(np.float64)
    return generator.normal(size=n) + right * norm.ppf(auc) * math.sqrt(2), right


def judge(auc: float = 0.8) -> Evidence:
    return Evidence.fit(*answers(4_000, auc))


def test_evidence_is_the_ratio_that_made_the_scores():
    found = judge(0.8)
    shift = norm.ppf(0.8) * math.sqrt(2)
    for score in (-0.5, 0.5, 1.5):
        wanted = norm.logpdf(score, shift) - norm.logpdf(score)
        assert found.of(score) == pytest.approx(wanted, abs=0.35)
    assert area(*answers(4_000, 0.8)) == pytest.approx(0.8, abs=0.02)
    assert found.of(math.nan) == 0.0


def test_a_verifier_that_knows_nothing_is_no_evidence():
    fits = [Evidence.fit(*answers(500, 0.5, seed)) for seed in range(40)]
    assert sum(found.tells for found in fits) <= 2
    constant = Evidence.fit(np.ones(200), answers(200, 0.5)[1])
    all_right = Evidence.fit(np.arange(50.0), np.ones(50))
    silent = Evidence.fit(np.full(50, np.nan), answers(50, 0.5)[1])
    assert not (constant.tells or all_right.tells or silent.tells)


def test_few_answers_are_believed_less_than_many():
    few, many = (Evidence.fit(*answers(n, 0.9)) for n in (40, 4_000))
    assert not Evidence.fit(*answers(6, 0.9)).tells
    assert 0 < few.values.max() < many.values.max()


@given(st.integers(30, 400), st.floats(0.5, 0.99), st.integers(0, 9), st.booleans())
def test_evidence_is_ascending_and_its_atoms_are_distributions(
    n: int, auc: float, seed: int, rounded: bool
):
    scores, right = answers(n, auc, seed)
    found = Evidence.fit(np.round(scores) if rounded else scores, right)
    assert (np.diff(found.scores) >= 0).all() and (np.diff(found.values) >= -1e-12).all()
    assert len(found.atoms) <= MOST_ATOMS
    assert found.right.sum() == pytest.approx(1) == found.wrong.sum()
    assert found.right == pytest.approx(found.wrong * np.exp(found.atoms))


def test_what_is_foreseen_is_not_counted_twice():
    """A score that only says what P(right) said already adds nothing to it."""
    generator = np.random.default_rng(0)
    foreseen = generator.uniform(0.2, 0.95, 4_000)
    right = (generator.random(4_000) < foreseen).astype(np.float64)
    assert Evidence.fit(foreseen, right).tells
    assert np.abs(Evidence.fit(foreseen, right, foreseen).values).max() < 0.2


def test_a_verifier_that_is_silent_moves_less():
    scores, right = answers(4_000, 0.9)
    scores[::2] = np.nan
    found, whole = Evidence.fit(scores, right), judge(0.9)
    assert (found.right[np.abs(found.atoms) < 0.2]).sum() >= 0.49
    apart = [found.of(score) - whole.of(score) for score in np.linspace(-1, 3, 21)]
    assert np.abs(apart).mean() < 0.4


def test_verifiers_together_say_more_than_each():
    both = combined([judge(0.7), judge(0.8)])
    assert both.right @ both.atoms > judge(0.8).right @ judge(0.8).atoms > 0
    assert both.right.sum() == pytest.approx(1)
    assert not combined([]).tells


def test_without_evidence_it_routes_and_never_asks_on():
    for price in (0.0, 1.0, 20.0, 300.0):
        cascade = Cascade(price)
        routed = max(P, key=lambda m: P[m] - price * COST[m])
        assert cascade.next_model(P, COST, {}) == routed
        assert cascade.next_model(P, COST, {routed: -3.0}) is None


def test_a_cheap_model_is_asked_first_and_a_better_one_where_its_answer_does_not_hold():
    cascade = Cascade(20.0, {"judge": judge(0.9)})
    assert max(P, key=lambda m: P[m] - 20.0 * COST[m]) == "cat"
    first = cascade.next_model(P, COST, {})
    assert first == "ant"
    assert cascade.next_model(P, COST, {first: 3.0}) is None
    assert cascade.next_model(P, COST, {first: -3.0}) in ("bee", "cat")


def test_it_ends_at_its_steps_and_where_all_were_asked():
    cascade = Cascade(0.0, {"judge": judge(0.9)}, steps=2)
    assert cascade.next_model(P, COST, {"ant": -3.0}) is not None
    assert cascade.next_model(P, COST, {"ant": -3.0, "bee": -3.0}) is None
    assert Cascade(0.0, {"judge": judge(0.9)}).next_model(P, COST, dict.fromkeys(P, -3.0)) is None
    assert cascade.next_model({}, {}, {}) is None
    assert cascade.next_model({"ant": math.nan}, {"ant": 1.0}, {}) == "ant"


def test_an_answer_is_kept_from_its_threshold_on():
    plain = Cascade(20.0, {"judge": judge(0.9)})
    careful = Cascade(20.0, {"judge": judge(0.9)}, keep=0.99)
    assert plain.next_model(P, COST, {"ant": 2.0}) is None
    assert careful.next_model(P, COST, {"ant": 2.0}) is not None
    # the model that quality would ask is never doubted
    assert careful.next_model(P, COST, {"ant": -3.0, "cat": 1.5}) is None


def test_the_posterior_is_bayes_and_moves_the_others_by_their_correlation():
    alone = Cascade(1.0).posterior(P, {"ant": math.log(4.0)})
    assert alone == {"ant": pytest.approx(0.6 * 4 / (0.6 * 4 + 0.4))}
    alike = Cascade(1.0, together={OTHERS: {OTHERS: 0.5}})
    apart = Cascade(1.0)
    both = {"ant": -2.0, "bee": 0.0}
    assert alike.posterior(P, both)["bee"] < apart.posterior(P, both)["bee"] == pytest.approx(0.72)
    assert apart.posterior({}, {"ant": 0.0}) == {"ant": pytest.approx(0.5)}


def test_learning_from_an_answer_keeps_the_mean():
    """Averaged over right and wrong, what an answer tells of the others is what was known."""
    p, together = np.array([[0.6, 0.72]]), np.array([[1.0, 0.3], [0.3, 1.0]])
    after = [learned(p, np.array([0]), np.array([e]), together)[0, 1] for e in (50.0, -50.0)]
    assert 0.6 * after[0] + 0.4 * after[1] == pytest.approx(0.72)
    assert after[0] > 0.72 > after[1]


def exact(
    p: np.ndarray, cost: np.ndarray, done: dict[int, float], evidence: Evidence, left: int
) -> tuple[float, int]:
    """Value and choice by trying everything: independent models, price 1."""
    best, pick = max([*done.values(), 0.0]), STOP
    for m in range(len(p)) if left else ():
        if m in done:
            continue
        value = -cost[m]
        for right, wrong in zip(evidence.right, evidence.wrong, strict=True):
            weight = p[m] * right + (1 - p[m]) * wrong
            after = done | {m: p[m] * right / weight}
            value += weight * exact(p, cost, after, evidence, left - 1)[0]
        if value > best + 1e-9:
            best, pick = value, m
    return best, pick


@pytest.mark.parametrize("seed", range(25))
def test_the_choice_is_that_of_trying_everything(seed: int):
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.2, 0.95, (1, 4))
    cost = generator.uniform(0, 0.2, (1, 4))
    evidence = Evidence.fit(*answers(500, 0.85, seed))
    nothing = np.zeros((1, 4), dtype=bool)
    for left in (1, 2):
        picked = choose(p, cost, nothing, evidence, np.zeros((4, 4)), price=1.0, left=left)[0]
        assert picked == exact(p[0], cost[0], {}, evidence, left)[1]
    one = nothing.copy()
    one[0, 0] = True
    picked = choose(p, cost, one, evidence, np.zeros((4, 4)), price=1.0, left=2)[0]
    assert picked == exact(p[0], cost[0], {0: p[0, 0]}, evidence, 2)[1]


def test_the_block_of_the_manifest_round_trips():
    made = Cascade(
        20.0, {"judge": judge(0.9)}, {"ant": {"bee": 0.3}, OTHERS: {OTHERS: 0.1}}, 2, 0.6
    )
    back = Cascade.of(made.as_dict())
    assert back.as_dict() == made.as_dict()
    for first, evidence in product(P, (-2.0, 0.5, 3.0)):
        given = {first: evidence}
        assert back.next_model(P, COST, given) == made.next_model(P, COST, given)


def test_the_row_is_the_least_that_reaches_the_quality():
    rows = [{"quality": q, "price": 10 * q, "keep": 0.0} for q in (1.0, 0.9, 0.98)]
    block = Cascade(1.0).as_dict() | {"qualities": rows}
    wanted = {0.5: 9.0, 0.95: 9.8, 0.98: 9.8, 1.0: 10.0, 1.5: 10.0, None: 10.0}
    assert {q: pytest.approx(Cascade.of(block, q).price) for q in wanted} == wanted
