"""Policies: their one spelling, and what they promise about the pick whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.costs.policy import QUALITY, Policy

NAMES = ("ant", "bee", "cat")
PREFERRED = np.array([0, 1, 2])

# millionths: a comparison of probabilities is exact to twelve digits and no further
SHARE = st.integers(0, 1_000_000).map(lambda millionths: millionths / 1_000_000)
POLICY = st.one_of(
    st.just(QUALITY),
    st.floats(0, 100).map(lambda weight: Policy("balanced", weight)),
    SHARE.map(lambda target: Policy("cheapest", target)),
    SHARE.map(lambda epsilon: Policy("within", epsilon)),
)


@st.composite
def offers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probability, cost and preference of up to six models, with ties."""
    n = draw(st.integers(1, 6))
    probability = draw(
        st.lists(st.one_of(SHARE, st.sampled_from([0.5, 0.9])), min_size=n, max_size=n)
    )
    cost = draw(st.lists(st.sampled_from([0.0, 1e-6, 0.5, 1.0, 3.0]), min_size=n, max_size=n))
    preferred = draw(st.permutations(range(n)))
    return np.array(probability), np.array(cost), np.array(preferred)


@pytest.mark.parametrize(
    "text", ["quality", "balanced:0.1", "cheapest:0.7", "within:0.02", "cascade:0.98"]
)
def test_a_policy_is_written_as_it_is_read(text: str):
    assert str(Policy.parse(text)) == text
    assert Policy.parse(f"  {text.upper()} ") == Policy.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "cheap", "quality:1", "balanced", "balanced:", "balanced:-1", "balanced:inf", "within:nan",
     "within:1.1", "cheapest:much", "cheapest:0.5:0.6", "x" * 10_000],
)  # fmt: skip
def test_what_is_not_a_policy_is_refused_in_one_sentence(text: str):
    with pytest.raises(ValueError, match=r"write quality|needs a number from 0") as raised:
        Policy.parse(text)
    assert len(str(raised.value)) < 200
    assert "\n" not in str(raised.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str):
    try:
        assert Policy.parse(str(Policy.parse(text)))
    except ValueError as error:
        assert str(error)


@given(offers(), POLICY)
def test_every_model_is_ranked_once(offer, policy: Policy):
    probability, cost, preferred = offer
    assert sorted(policy.order(probability, cost, preferred)) == sorted(preferred)


@given(offers(), POLICY, st.sampled_from([1e-9, 0.01, 7.0, 1e6]))
def test_the_unit_of_cost_does_not_matter(offer, policy: Policy, unit: float):
    probability, cost, preferred = offer
    same = policy.order(probability, cost * unit, preferred)
    assert list(same) == list(policy.order(probability, cost, preferred))


@given(offers(), POLICY, st.randoms(use_true_random=False))
def test_the_order_of_the_columns_does_not_matter(offer, policy: Policy, random):
    probability, cost, preferred = offer
    new = list(range(len(cost)))
    random.shuffle(new)
    position = {old: column for column, old in enumerate(new)}
    moved = policy.order(probability[new], cost[new], np.array([position[m] for m in preferred]))
    assert [new[m] for m in moved] == list(policy.order(probability, cost, preferred))


@given(offers(), SHARE)
def test_within_picks_the_cheapest_of_those_near_the_best(offer, epsilon: float):
    probability, cost, preferred = offer
    pick = Policy("within", epsilon).order(probability, cost, preferred)[0]
    near = probability >= probability.max() - epsilon - 1e-9
    assert near[pick]
    assert cost[pick] == cost[near].min()


@given(offers(), SHARE)
def test_cheapest_picks_the_cheapest_that_reaches_the_target_else_the_most_probable(
    offer, target: float
):
    probability, cost, preferred = offer
    pick = Policy("cheapest", target).order(probability, cost, preferred)[0]
    reaches = probability >= target
    if reaches.any():
        assert reaches[pick]
        assert cost[pick] == cost[reaches].min()
    else:
        assert probability[pick] == probability.max()


@given(offers(), st.floats(0, 10), st.floats(0, 10))
def test_a_higher_weight_never_picks_a_dearer_model(offer, one: float, other: float):
    probability, cost, preferred = offer
    low, high = (
        cost[Policy("balanced", weight).order(probability, cost, preferred)[0]]
        for weight in sorted((one, other))
    )
    assert high <= low


@given(offers())
def test_without_a_weight_or_without_costs_only_quality_counts(offer):
    probability, cost, preferred = offer
    by_quality = list(QUALITY.order(probability, cost, preferred))
    assert list(Policy("balanced", 0.0).order(probability, cost, preferred)) == by_quality
    free = np.zeros_like(cost)
    assert list(Policy("balanced", 5.0).order(probability, free, preferred)) == by_quality


@given(offers(), POLICY)
def test_no_policy_picks_a_model_that_another_beats_in_both(offer, policy: Policy):
    probability, cost, preferred = offer
    pick = policy.order(probability, cost, preferred)[0]
    beaten = (probability > probability[pick]) & (cost < cost[pick])
    assert not beaten.any() or not policy.saves


def test_who_ties_in_probability_and_cost_is_taken_in_the_order_of_preference():
    probability, cost = np.full(3, 0.8), np.full(3, 2.0)
    for policy in (
        QUALITY,
        Policy("balanced", 0.2),
        Policy("cheapest", 0.7),
        Policy("within", 0.1),
    ):
        assert list(policy.order(probability, cost, np.array([2, 0, 1]))) == [2, 0, 1]


def test_a_model_that_nothing_is_known_of_ranks_last():
    probability, cost = np.array([np.nan, 0.2, 0.6]), np.array([0.0, 1.0, 2.0])
    for text in ("quality", "balanced:0.1", "cheapest:0.1", "within:0.9"):
        assert Policy.parse(text).order(probability, cost, PREFERRED)[-1] == 0


@pytest.mark.parametrize(
    ("policy", "pick", "reason"),
    [
        ("within:0.02", "bee",
         "cheapest of 2 models within 2 points of ant (P = 0.89), saves 50 %"),
        ("within:0.005", "ant", "no cheaper model is within 0.5 points of ant (P = 0.90)"),
        ("cheapest:0.6", "cat", "cheapest of 3 models with P >= 0.6 (P = 0.60), saves 90 %"),
        ("cheapest:0.9", "ant", "the only model with P >= 0.9 (P = 0.90)"),
        ("cheapest:0.95", "ant", "no model has P >= 0.95; the most probable (P = 0.90)"),
        ("balanced:0.1", "bee",
         "1.0 points below ant (P = 0.89), saves 50 %, which pays at weight 0.1"),
        ("balanced:0.001", "ant",
         "most probable (P = 0.90), and no cheaper one pays at weight 0.001"),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_given_up_and_what_is_saved(policy: str, pick: str, reason: str):
    probability, cost = np.array([0.9, 0.89, 0.6]), np.array([10.0, 5.0, 1.0])
    chosen = Policy.parse(policy)
    order = chosen.order(probability, cost, PREFERRED)
    assert NAMES[order[0]] == pick
    assert chosen.explain(order, probability, cost, PREFERRED, NAMES) == reason
