"""Does what a build would serve gain over the best model on average, on its own benchmark?

The builder asks before it publishes (docs/proof.md). Requests and named tasks are scored by fits
without their fold, which holds near-duplicates together; families of tasks are held out in turn and
chosen for as if they were new. What is claimed of a part is its lower bound, and a part without a
lower bound that passes is answered by the best model on average (BMA).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from litellm_benchrouter.artifact.verdict import BMA, Part, Verdict, claim
from litellm_benchrouter.building.fit import FEWEST_TASKS, GuardedFit
from litellm_benchrouter.building.gains import (
    ProofPart,
    Tables,
    cost_part,
    named_gain,
    part_of,
    requests_gain,
    rounded,
    too_small,
    unseen_part,
)
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds

MOST_HELD_OUT = 20
"""Families that are held out in turn; of more, so many at even distances in the list."""
FEWEST_FAMILIES = 8
"""Families of tasks below which nothing is claimed of new ones."""


def held_out_groups(prepared: TaskFolds) -> list[int]:
    """Return the families of tasks that `prove` holds out in turn; none where it proves nothing."""
    if too_small(prepared) or prepared.n_groups < FEWEST_TASKS:
        return []
    groups = np.unique(prepared.group)
    places = np.linspace(0, len(groups) - 1, min(len(groups), MOST_HELD_OUT)).round().astype(int)
    return [int(group) for group in groups[places]]


def prove(
    prepared: TaskFolds,
    fitted: GuardedFit | None,
    tables: Tables,
    publish: PublishConfig,
    progress: Progress,
    *,
    method: str,
    embeds_prompts: bool = True,
    engine: Engine = LOCAL,
) -> Verdict:
    """Hold out samples and families of tasks, decide for them, and compare with BMA.

    Parameters
    ----------
    prepared : TaskFolds
    fitted : GuardedFit or None
        What the method `guarded` would serve by.
    tables : mapping of int to SmootherTable
        The table without each of `held_out_groups`.
    publish : PublishConfig
    progress : Progress or ProgressBars
    method : str
        `guarded` or `paper`.
    embeds_prompts : bool
        Whether requests can be routed by their text at all.
    engine : Engine
        Holds out the tasks.

    Returns
    -------
    Verdict
    """
    paper = method == "paper"
    small = too_small(prepared)
    parts: dict[str, ProofPart] = dict.fromkeys(UNPROVEN)
    if not small:
        with progress.stage("proof", len(parts)) as advance:
            parts["requests"] = part_of(requests_gain(prepared, fitted, paper=paper))
            advance(1)
            parts["named"] = part_of(named_gain(prepared, paper=paper))
            advance(1)
            parts["unseen"] = unseen_part(prepared, tables, engine, paper=paper)
            advance(1)
            parts["cost"] = cost_part(prepared, paper=paper)
            advance(1)
    reasons = {part: small or why for part, why in UNPROVEN.items() if parts[part] is None}
    if not small and prepared.n_groups < FEWEST_TASKS:
        reasons["unseen"] = (
            f"{FEWEST_TASKS} tasks that are no variants of one another are needed, there "
            f"{'is' if prepared.n_groups == 1 else 'are'} {prepared.n_groups}"
        )
    served: dict[Part, str] = {"requests": "s1", "named": "measured", "unseen": "s3"}
    held_back: dict[Part, str | None] = dict.fromkeys(served)
    if not paper:
        served = {"requests": method, "named": "posterior", "unseen": method}
        held_back = _held_back(fitted, parts, publish.tolerance)
    if not embeds_prompts:
        held_back["requests"] = "vectors were given without what embeds prompts"
    for part, why in held_back.items():
        served[part] = served[part] if why is None else BMA
        measured = parts[part]
        if measured is None:
            continue
        if part == "unseen" and fitted is not None:
            measured["candidate"] = fitted.unseen.candidate
        measured |= {
            "served": served[part],
            "bma_because": why,
            "expected_gain": measured["gain"] if why is None else 0.0,
            "lower": measured["lower"] if why is None else 0.0,
        }
        few = part == "unseen" and measured["n_families"] < FEWEST_FAMILIES
        measured["claim"] = claim(measured, publish.tolerance, too_few=few)
    return Verdict(
        method=method,
        served=served,
        unseen=rounded(parts["unseen"]),
        requests=rounded(parts["requests"]),
        named=rounded(parts["named"]),
        cost=rounded(parts["cost"]),
        unproven=reasons,
        required=publish.require,
        tolerance=publish.tolerance,
    )


def _held_back(
    fitted: GuardedFit | None, parts: Mapping[str, ProofPart], tolerance: float
) -> dict[Part, str | None]:
    """Why the method guarded answers with BMA; None where it does not."""
    if fitted is None:
        return dict.fromkeys(("requests", "named", "unseen"), "nothing could be fitted")
    named, unseen = parts["named"], parts["unseen"]
    candidate, of_new = fitted.unseen.candidate, None
    if candidate is None:
        of_new = "no candidate gains on the benchmark's own tasks; labels of the task change that"
    elif unseen is None or not unseen["lower"] > -tolerance:
        of_new = f"{candidate} is not shown to be no worse on held-out tasks; label some inputs"
    return {
        "requests": None if fitted.requests.gate.routes else NOT_SHOWN,
        "named": None if named is not None and _no_worse(named, tolerance) else NO_GAIN,
        "unseen": of_new,
    }


def _no_worse(part: Mapping[str, Any], tolerance: float) -> bool:
    return bool(part["gain"] > 0 and part["lower"] > -tolerance)


NOT_SHOWN = "its lower bound is not above 0"
NO_GAIN = "it does not gain, or is not shown to be no worse"
UNPROVEN = {
    "unseen": "fewer than two held-out tasks have labels of the models that were compared",
    "requests": "no held-out sample has labels of the models that were compared",
    "named": "no held-out sample has labels of the models that were compared",
    "cost": "fewer than two models have a known cost or size; benchrouter.models can state prices",
}
