"""A conversation in trouble: the decision to leave its model, or to stay and say why."""

from __future__ import annotations

import math
from dataclasses import replace

from litellm_benchrouter.conversation.failures import Failures
from litellm_benchrouter.routing.decision import GIVEN_UP, Decision


def trouble_in(failures: Failures, earlier: int, after: int | None) -> str:
    """Return the failures in words where they are enough, and one is just now; "" where not.

    Parameters
    ----------
    failures : Failures
    earlier : int
        How many of them the conversation's model is not held against.
    after : int or None
        How many others are enough; None for never.
    """
    new = len(failures.signs) - earlier
    is_enough = after is not None and failures.is_now and new >= after
    return failures.describe(new) if is_enough else ""


def despite(trouble: str, stay: Decision, why: str) -> Decision:
    """Return the decision to stay, with why the trouble changes nothing."""
    return replace(stay, reason=f"{stay.reason} despite {trouble}: {why}")


def next_better(trouble: str, stay: Decision, asked: Decision) -> Decision:
    """Return the decision for the next better model, else the one to stay; docs/policies.md.

    Parameters
    ----------
    trouble : str
    stay : Decision
    asked : Decision
        On the conversation's ask, as if nothing held it.
    """
    if asked.kind in GIVEN_UP:
        return despite(trouble, stay, asked.reason)
    scores = asked.scores or {}
    own = scores.get(stay.pick, math.nan)
    better = [model for model in asked.ranking if scores.get(model, math.nan) > own]
    if not better:
        return despite(trouble, stay, "no model on offer is expected to do better")
    model = min(better, key=scores.__getitem__)
    ranking = (model, *(other for other in asked.ranking if other != model))
    why = f"{model} is expected to do better ({scores[model]:.2f} over {own:.2f})"
    reason = f"the conversation leaves {stay.pick} after {trouble}: {why}; {asked.reason}"
    return replace(asked, ranking=ranking, method="escalated", kind="escalated", reason=reason)
