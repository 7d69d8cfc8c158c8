"""What the deployments on offer cost, as LiteLLM would bill them. Imports litellm, for the hook."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import litellm

from litellm_benchrouter.costs import Prices, entries_in_cost_map
from litellm_benchrouter.serving.ranking import id_of

OfModels = tuple[tuple[str, Prices], ...]

_SECONDS = 60.0
_KEPT = 1024  # sets of deployments


class DeploymentPrices:
    """Prices of the deployments on offer, looked up once a minute: they may change while we run."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[float, OfModels]] = {}

    def of(self, deployments: Sequence[Any], models: Sequence[str | None]) -> OfModels:
        """Return the prices of each model that a deployment has a price for, sorted by name.

        A model costs the mean over its deployments, as LiteLLM balances between them.

        Parameters
        ----------
        deployments : sequence of dict
            As LiteLLM gives them to the hook.
        models : sequence of str or None
            The benchmark model of each.
        """
        key = (*(id_of(deployment) for deployment in deployments), *models)
        now = time.monotonic()
        until, known = self._known.get(key, (0.0, ()))
        if now < until:
            return known
        found: dict[str, list[Prices]] = {}
        for deployment, model in zip(deployments, models, strict=True):
            if model is not None and (prices := price_of(deployment)) is not None:
                found.setdefault(model, []).append(prices)
        known = tuple((model, _mean(each)) for model, each in sorted(found.items()))
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[key] = (now + _SECONDS, known)
        return known


def price_of(deployment: Mapping[str, Any]) -> Prices | None:
    """Return the deployment's own prices, else those of LiteLLM's cost map for its model."""
    params, info = (_part(deployment, key) for key in ("litellm_params", "model_info"))
    own = Prices.of(params) or Prices.of(info)
    if own is not None:
        return own
    entries = (Prices.of(entry) for entry in cost_map_entries(deployment))
    return next((prices for prices in entries if prices is not None), None)


def cost_map_entries(deployment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what LiteLLM's cost map says of a deployment's model, the closest name first."""
    params, info = (_part(deployment, key) for key in ("litellm_params", "model_info"))
    # LiteLLM bills by base_model where the deployment's name says nothing, as on Azure.
    names = (info.get("base_model"), params.get("base_model"), params.get("model"))
    model = next((name for name in names if isinstance(name, str) and name), None)
    provider = params.get("custom_llm_provider")
    if model is not None:
        named = provider if isinstance(provider, str) else None
        yield from entries_in_cost_map(litellm.model_cost, model, named)


def _mean(prices: list[Prices]) -> Prices:
    return Prices(
        sum(price.input for price in prices) / len(prices),
        sum(price.output for price in prices) / len(prices),
    )


def _part(deployment: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = deployment.get(key)
    return part if isinstance(part, Mapping) else {}
