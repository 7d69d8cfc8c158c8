"""A decision that the second embedder took because the first gave no answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from litellm_benchrouter.routing.decision import Decision


@dataclass(frozen=True)
class NoAnswer:
    """Why the first embedder gave none.

    Attributes
    ----------
    reason : str
        For the operator; it holds none of the prompt.
    kind : str
        The same in one word, of `NO_ANSWERS`.
    """

    reason: str
    kind: str


def in_place_of_first(decision: Decision, why: NoAnswer) -> Decision:
    """Return a decision of the second embedder's router that says why it was asked."""
    by = f"decided by {decision.embedder}: " if decision.embedder else ""
    return replace(decision, reason=f"{why.reason}; {by}{decision.reason}", no_answer=why.kind)
