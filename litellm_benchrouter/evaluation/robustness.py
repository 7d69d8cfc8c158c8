"""Robustness: how often the pick changes when a prompt is lightly perturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Perturbation = Callable[[str, np.random.Generator], str]

_POLITE = "Hello! Could you please help me with this? "


def lower_case(text: str, _: np.random.Generator) -> str:
    """Write everything in lower case."""
    return text.lower()


def whitespace(text: str, generator: np.random.Generator) -> str:
    """Double one space in ten, at least one, and end with an empty line."""
    pieces = text.split(" ")
    gaps = len(pieces) - 1
    doubled = set(generator.choice(gaps, size=-(-gaps // 10), replace=False)) if gaps else set()
    joined = "".join(piece + ("  " if i in doubled else " ") for i, piece in enumerate(pieces[:-1]))
    return f"{joined}{pieces[-1]}\n\n"


def typo(text: str, generator: np.random.Generator) -> str:
    """Swap two neighbouring letters within one word; a text without such a pair stays."""
    places = [
        i
        for i in range(len(text) - 1)
        if text[i].isalpha() and text[i + 1].isalpha() and text[i] != text[i + 1]
    ]
    if not places:
        return text
    i = places[int(generator.integers(len(places)))]
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def polite_prefix(text: str, _: np.random.Generator) -> str:
    """Ask politely first."""
    return _POLITE + text


PERTURBATIONS: Mapping[str, Perturbation] = {
    "case": lower_case,
    "whitespace": whitespace,
    "typo": typo,
    "polite_prefix": polite_prefix,
}


def run_robustness(
    texts: Sequence[str], decide: Callable[[list[str]], Sequence[int]], seed: int
) -> dict[str, Any]:
    """Decide for prompts and for their perturbations, and count the picks that differ.

    RouterArena (2025) reports the same of its own noise as robustness: the share that stays.
    `decide` returns the position of the model that is picked for each prompt; the seed is that of
    the places that are perturbed.

    Returns `n_prompts`; `changed`: by perturbation, the share of the prompts that it alters whose
    pick changes, NaN where it alters none; `altered`: the number of those; `changed_mean`: the mean
    over perturbations.
    """
    before = np.asarray(decide(list(texts)))
    changed, altered = {}, {}
    for name, perturb in PERTURBATIONS.items():
        generator = np.random.default_rng(seed)
        perturbed = [perturb(text, generator) for text in texts]
        differs = np.array([a != b for a, b in zip(perturbed, texts, strict=True)], dtype=bool)
        after = np.asarray(decide(perturbed))
        altered[name] = int(differs.sum())
        changed[name] = float((after != before)[differs].mean()) if differs.any() else float("nan")
    shares = [share for share in changed.values() if not np.isnan(share)]
    return {
        "n_prompts": len(texts),
        "altered": altered,
        "changed": changed,
        "changed_mean": float(np.mean(shares)) if shares else float("nan"),
    }
