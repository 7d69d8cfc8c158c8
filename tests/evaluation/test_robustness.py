"""Robustness: light perturbations, and how many picks they change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_benchrouter.evaluation.robustness import PERTURBATIONS, run_robustness

TEXTS = ["What is the capital of France?", "Sum 2 and 3", "12 34", ""]


def test_each_perturbation_does_what_its_name_says():
    generator = np.random.default_rng(0)
    perturbed = {name: perturb(TEXTS[0], generator) for name, perturb in PERTURBATIONS.items()}
    assert perturbed["case"] == "what is the capital of france?"
    assert perturbed["whitespace"].split() == TEXTS[0].split()
    assert perturbed["whitespace"].count("  ") == 1
    assert perturbed["polite_prefix"].endswith(TEXTS[0])
    assert sorted(perturbed["typo"]) == sorted(TEXTS[0])
    assert sum(a != b for a, b in zip(perturbed["typo"], TEXTS[0], strict=True)) == 2


@given(st.text(max_size=40), st.integers(0, 100))
def test_a_typo_swaps_two_neighbours_or_leaves_the_text(text, seed):
    changed = PERTURBATIONS["typo"](text, np.random.default_rng(seed))
    different = [i for i, (a, b) in enumerate(zip(changed, text, strict=True)) if a != b]
    assert different == [] or different == [different[0], different[0] + 1]
    assert sorted(changed) == sorted(text)


@given(st.text(max_size=40), st.integers(0, 100))
def test_perturbations_take_any_text_and_whitespace_changes_nothing_else(text, seed):
    for perturb in PERTURBATIONS.values():
        perturb(text, np.random.default_rng(seed))
    spaced = PERTURBATIONS["whitespace"](text, np.random.default_rng(seed))
    assert [c for c in spaced if not c.isspace()] == [c for c in text if not c.isspace()]


def test_a_router_that_reads_letters_only_changes_by_case_alone():
    def decide(texts):
        return [int(any(c.isupper() for c in text.removeprefix("Hello!"))) for text in texts]

    document = run_robustness(TEXTS[:2], decide, seed=0)
    assert document["changed"] == {
        "case": 1.0,
        "whitespace": 0.0,
        "typo": 0.0,
        "polite_prefix": 0.0,
    }
    assert document["changed_mean"] == 0.25


def test_texts_that_a_perturbation_leaves_as_they_are_do_not_count():
    document = run_robustness(["12 34", "no capitals"], lambda texts: [0] * len(texts), seed=0)
    assert document["altered"] == {"case": 0, "whitespace": 2, "typo": 1, "polite_prefix": 2}
    assert np.isnan(document["changed"]["case"])
    assert document["changed_mean"] == 0.0


def test_the_same_seed_perturbs_alike():
    seen: list[list[str]] = []

    def decide(texts):
        seen.append(list(texts))
        return [0] * len(texts)

    run_robustness(TEXTS, decide, seed=7)
    first, seen = seen, []
    run_robustness(TEXTS, decide, seed=7)
    assert seen == first
    assert len(seen) == 1 + len(PERTURBATIONS)


def test_no_prompt_changes_nothing():
    document = run_robustness([], lambda texts: [], seed=0)
    assert document["n_prompts"] == 0
    assert document["changed_mean"] == pytest.approx(np.nan, nan_ok=True)
