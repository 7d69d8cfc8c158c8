"""A decision about one request, and why it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

KINDS = frozenset(
    {
        "routed",  # the scores decided
        "gate",  # among these models routing does not gain on the benchmark
        "far",  # the prompt is unlike the benchmark
        "unsure",  # a named task: no model is better than the best on average for certain
        "no_evidence",  # the benchmark has too few samples or labels
        "no_text",  # nothing to compare
        "unknown_task",  # the named task is not in the artifact; the prompt decided
        "only_one",  # one model on offer
        "session",  # the conversation stays with its model
        "explored",  # one of the plausible models, at random
        "escalated",  # the conversation left its model after failures
        "time_limit",
        "error",
        "breaker",  # decisions failed one after another, so this one was not tried
        "overload",  # more requests than can be decided in time
    }
)
"""Every `Decision.kind`: a closed set, because metrics count by it."""

GIVEN_UP = frozenset({"time_limit", "error", "breaker", "overload"})
"""The kinds of a decision by the average alone because no other could be taken."""


@dataclass(frozen=True)
class Decision:
    """Which model to ask, and why.

    Attributes
    ----------
    ranking : tuple of str
        The models on offer, best first.
    method : str
        What ranked them: `s1`, `s3`, `bma`, ...
    reason : str
        One sentence for the operator. It never holds any of the prompt.
    task : str or None
        The named task, where one was used.
    scores : mapping of str to float
        The score of each model under `method`; NaN where it has none.
    artifact : str
        The version that decided.
    policy : str
        How quality and cost were weighed (docs/policies.md).
    costs_usd : mapping of str to float, or None
        Expected cost of this request to each model, where it is known in USD.
    kind : str
        The reason in one word, of `KINDS`.
    probability : mapping of str to float, or None
        P(success) of each model, as policies weigh it against cost.
    distance : float or None
        Mean cosine distance, in [0, 2], of the prompt to the benchmark samples that decided.
    embedder : str or None
        Kind of the embedder whose vector decided; None where none was asked.
    embed_seconds : float or None
        What the embedder took.
    seconds : float or None
        What the request waited for the decision; the proxy's side fills it in.
    vector : ndarray of float32, shape (1, d), or None
        The prompt's, where the embedder was asked.
    propensity : float or None
        Of an explored request: the probability with which its pick was to be picked.
    """

    ranking: tuple[str, ...]
    method: str
    reason: str
    task: str | None = None
    scores: Mapping[str, float] | None = None
    artifact: str = ""
    policy: str = "quality"
    costs_usd: Mapping[str, float] | None = None
    kind: str = "routed"
    probability: Mapping[str, float] | None = field(default=None, compare=False)
    embedder: str | None = field(default=None, compare=False)
    distance: float | None = field(default=None, compare=False)
    embed_seconds: float | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    propensity: float | None = None

    @property
    def pick(self) -> str:
        """The model that came first."""
        return self.ranking[0]


@dataclass(frozen=True)
class Explanation:
    """A decision with what it rests on."""

    decision: Decision
    # id, task and cosine distance (in [0, 2]) of the nearest benchmark samples
    neighbors: list[tuple[str, str, float]]
    # mean correctness over them, by model (eq. 7); NaN where none of them has a label
    g: dict[str, float]
    average: dict[str, float]  # mean accuracy over the benchmark's tasks
    probability: dict[str, float]  # P(success), by model, as policies weigh it against cost
    # expected cost of the request, by model; empty where no basis covers all of them
    cost: dict[str, float]
    cost_basis: str | None  # what the costs rest on
    cost_unit: str | None  # `usd`, or `params_b` (billions of parameters)
    task_scores: dict[str, dict[str, float]]  # of a named task: s1, s2, s3 and p of each model
    u: float | None  # of a named task: its distance from the benchmark (eq. 8)
