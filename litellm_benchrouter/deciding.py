"""The decision of one call: what the request says, what is on offer, what is noted of it.

No LiteLLM in here: the hook brings the request, and the deployments of a group.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.core.decision import Decision
from litellm_benchrouter.decision_log import log_decision
from litellm_benchrouter.metrics import Metrics
from litellm_benchrouter.policy import Terms
from litellm_benchrouter.prices import Prices
from litellm_benchrouter.request import asked_policy, characters, last_user_turn, named_task
from litellm_benchrouter.serving import Serving

PriceList = Callable[[Sequence[Any], Sequence[str | None]], tuple[tuple[str, Prices], ...]]
"""What the models of some deployments cost: (deployments, the benchmark model of each)."""


class Deciding:
    """Takes decisions by the configuration, and counts and logs them.

    Parameters
    ----------
    config : BenchRouterConfig
    serving : Serving
    prices : PriceList
    metrics : Metrics
    """

    def __init__(
        self, config: BenchRouterConfig, serving: Serving, prices: PriceList, metrics: Metrics
    ) -> None:
        self._config = config
        self.serving = serving
        self._prices = prices
        self._metrics = metrics

    async def decide(
        self,
        group: str,
        deployments: Sequence[Any],
        models: Sequence[str | None],
        messages: object,
        request: Mapping[str, Any],
    ) -> Decision | None:
        """Rank the benchmark models of some deployments; None where no version serves.

        Parameters
        ----------
        group : str
            Its policy holds.
        deployments : sequence of dict
        models : sequence of str or None
            The benchmark model of each deployment; at least one is known.
        messages : object
            Of the request, or its prompt.
        request : mapping
        """
        router = self.serving.router
        if router is None:
            return None
        started = time.perf_counter()
        offer = sorted({model for model in models if model is not None})
        policy, note = self._config.policy_of(group, asked_policy(request))
        prices = self._prices(deployments, models)
        terms = Terms(policy, note, prices, characters(messages, request))
        text, task = last_user_turn(messages, request), named_task(request)
        if len(offer) == 1:
            decision = router.the_only(offer[0], terms)
        else:
            decision = await self.serving.decide(router, text, task, offer, terms)
        decision = replace(decision, seconds=time.perf_counter() - started)
        with contextlib.suppress(Exception):  # nothing of that may stand in a request's way
            self._metrics.decided(group, decision)
            prompt = text if self._config.serving.log_prompts else None
            call_id = request.get("litellm_call_id")
            log_decision(decision, group=group, offer=offer, call_id=call_id, prompt=prompt)
        return decision
