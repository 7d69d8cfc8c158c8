"""Does what a second embedder would serve do no worse than the best model on average?"""

from __future__ import annotations

from litellm_benchrouter.artifact.verdict import BMA, Verdict
from litellm_benchrouter.building.proof import (
    LOSES,
    UNPROVEN,
    behind_gate,
    kept,
    loses,
    requests_gain,
    too_small,
)
from litellm_benchrouter.config import PublishConfig
from litellm_benchrouter.engine import Engine
from litellm_benchrouter.guarded.fit import RequestFit
from litellm_benchrouter.validation.folds import TaskFolds


def prove_requests(
    prepared: TaskFolds,
    fitted: RequestFit | None,
    publish: PublishConfig,
    engine: Engine,
    *,
    method: str,
) -> Verdict:
    """Hold out samples only: what a second embedder would serve, who decides no task.

    Parameters
    ----------
    prepared : TaskFolds
        Its neighbours are not read.
    fitted : RequestFit or None
        What the method `guarded` would serve by.
    publish, engine, method
        As in `prove`.
    """
    paper, small = method == "paper", too_small(prepared)
    requests = None if small else requests_gain(prepared, engine, paper=paper)
    why = None
    if not paper:
        why = "nothing could be fitted" if fitted is None else behind_gate(fitted)
        if why is None and loses(requests, publish):
            why = LOSES
    if requests is not None:
        requests |= {"bma_because": why, "expected_gain": requests["gain"] if why is None else 0.0}
    unproven = dict.fromkeys(("unseen", "cost"), "the first embedder's vectors decide")
    if requests is None:
        unproven["requests"] = small or UNPROVEN["requests"]
    return Verdict(
        method=method,
        served={"requests": BMA if why is not None else "s1" if paper else method},
        unseen=None,
        requests=kept(requests),
        cost=None,
        unproven=unproven,
        required=publish.require,
        tolerance=publish.tolerance,
    )
