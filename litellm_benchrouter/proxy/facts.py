"""Prices and abilities of deployments, as LiteLLM or the operator states them. For the hook.

What nobody states is unknown: never free of charge, and never missing an ability. LiteLLM lists an
entry without content for each model that it does not know, and adds to its list what the
deployments of one operator say of themselves; neither says anything of another deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import litellm

from litellm_benchrouter.costs import Prices, entries_in_cost_map
from litellm_benchrouter.limits import Memory
from litellm_benchrouter.routing.deployments import id_of
from litellm_benchrouter.serving.capabilities import ABILITIES, EFFORT, INPUT_LIMIT, effort_in

OfModels = tuple[tuple[str, Prices], ...]

_SECONDS = 60.0
_SIZE = 10_000  # deployments
_KEYS = (*ABILITIES.values(), INPUT_LIMIT)
# LiteLLM's own list names what a model supports and leaves out what it does not; of schemas it
# leaves out too many that work.
_LISTED = tuple(ABILITIES[kind] for kind in ("images", "audio", "files", "tools"))
_OWN_LIST = frozenset(litellm.model_cost)
"""Names in LiteLLM's list before the proxy's router added those of its deployments."""


class DeploymentFacts:
    """Prices and abilities of deployments, looked up once a minute: they may change while we run.

    `stated` is by benchmark model what the configuration says.
    """

    def __init__(self, stated: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._stated = stated or {}
        self._abilities: Memory[Any, Mapping[str, Any]] = Memory(_SIZE, _SECONDS)
        self._prices: Memory[Any, tuple[Prices | None]] = Memory(_SIZE, _SECONDS)

    def prices(self, deployments: Sequence[Any], models: Sequence[str | None]) -> OfModels:
        """Return the prices of each model that a deployment has a price for, sorted by name.

        A model costs the mean over its deployments, as LiteLLM balances between them.
        """
        by_model: dict[str, list[Prices]] = {}
        for deployment, model in zip(deployments, models, strict=True):
            if model is None:
                continue
            prices = self._price(deployment)
            if prices is not None:
                by_model.setdefault(model, []).append(prices)
        return tuple((model, _mean(each)) for model, each in sorted(by_model.items()))

    def abilities(self, deployment: Mapping[str, Any], model: str | None) -> Mapping[str, Any]:
        """Return LiteLLM's names of abilities with what is known of each.

        The deployment's own `model_info` comes first, then the configuration's `models`, then
        LiteLLM's list of models; what nobody states is left out. With them is the reasoning effort
        that the deployment asks for.
        """
        key = (id_of(deployment), model)
        abilities = self._abilities.get(key)
        if abilities is None:
            stated = self._stated.get(model or "", {})
            sources = (_listed_abilities(deployment), stated, _part(deployment, "model_info"))
            named = ((key, source.get(key)) for source in sources for key in _KEYS)
            abilities = {key: value for key, value in named if value is not None}
            effort = effort_in(_part(deployment, "litellm_params"))
            if effort is not None:
                abilities[EFFORT] = effort
            if key[0] is not None:
                self._abilities.put(key, abilities)
        return abilities

    def _price(self, deployment: Mapping[str, Any]) -> Prices | None:
        key = id_of(deployment)
        price = self._prices.get(key)
        if price is None:
            price = (price_of(deployment),)
            if key is not None:
                self._prices.put(key, price)
        return price[0]


def price_of(deployment: Mapping[str, Any]) -> Prices | None:
    """Return the deployment's own prices, else those of LiteLLM's list for its model."""
    own = (Prices.of(_part(deployment, key)) for key in ("litellm_params", "model_info"))
    listed = (Prices.of(entry) for _, entry in _listed(deployment))
    return next((prices for prices in (*own, *listed) if prices is not None), None)


def _listed_abilities(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what LiteLLM's list says; an ability that its own entry leaves out is denied.

    An entry that names no ability at all says nothing of them, and so does one that LiteLLM or an
    operator added while the proxy runs, except for what it names.
    """
    abilities: dict[str, Any] = {}
    for name, entry in _listed(deployment):
        # without a provider it is an echo of what a deployment says of itself
        if not entry.get("litellm_provider"):
            continue
        is_list = name in _OWN_LIST and any(entry.get(key) is True for key in ABILITIES.values())
        for key in _KEYS:
            value = bool(entry.get(key)) if is_list and key in _LISTED else entry.get(key)
            if value is not None:
                abilities.setdefault(key, value)
    return abilities


def _listed(deployment: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of LiteLLM's list for a deployment's model, the closest name first."""
    params, info = (_part(deployment, key) for key in ("litellm_params", "model_info"))
    # LiteLLM bills by base_model where the deployment's name says nothing, as on Azure.
    names = (info.get("base_model"), params.get("base_model"), params.get("model"))
    model = next((name for name in names if isinstance(name, str) and name), None)
    provider = params.get("custom_llm_provider")
    if model is not None:
        named = provider if isinstance(provider, str) else None
        yield from entries_in_cost_map(litellm.model_cost, model, named)


def _mean(prices: Sequence[Prices]) -> Prices:
    cached, written = (
        fmean(stated) if (stated := [v for v in values if v is not None]) else None
        for values in ([each.cached for each in prices], [each.written for each in prices])
    )
    return Prices(
        fmean(each.input for each in prices), fmean(each.output for each in prices), cached, written
    )


def _part(deployment: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = deployment.get(key)
    return part if isinstance(part, Mapping) else {}
