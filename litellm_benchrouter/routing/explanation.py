"""A decision laid open: what it rests on, for `explain`, the page and the doctor."""

from __future__ import annotations

from dataclasses import dataclass

from litellm_benchrouter.routing.decision import Decision


@dataclass(frozen=True)
class Explanation:
    """A decision with what it rests on.

    Attributes
    ----------
    decision : Decision
    neighbors : list of (str, str, float)
        Id, task and cosine distance (in [0, 2]) of the nearest benchmark samples.
    g : dict of str to float
        Mean correctness over them, by model (eq. 7); NaN where none of them has a label.
    average : dict of str to float
        Mean accuracy over the benchmark's tasks.
    probability : dict of str to float
        P(success), by model, as policies weigh it against cost.
    cost : dict of str to float
        Expected cost of the request, by model; empty where no basis covers all of them.
    cost_basis : str or None
        What the costs rest on.
    cost_unit : str or None
        `usd`, or `params_b` (billions of parameters).
    task_scores : dict of str to dict
        For a named task: s1, s2, s3 and p of each model.
    u : float or None
        For a named task: its distance from the benchmark (eq. 8).
    """

    decision: Decision
    neighbors: list[tuple[str, str, float]]
    g: dict[str, float]
    average: dict[str, float]
    probability: dict[str, float]
    cost: dict[str, float]
    cost_basis: str | None
    cost_unit: str | None
    task_scores: dict[str, dict[str, float]]
    u: float | None
