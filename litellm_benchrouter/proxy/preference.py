"""The order of a group's deployments for one attempt, above both ways of telling it to LiteLLM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import MAPPINGS, part

Filter = Callable[[str, list[Any], Any, dict[str, Any]], Awaitable[list[Any]]]
"""A filter of deployments: (group, deployments, messages, request)."""

STAND_IN: ContextVar[Filter | None] = ContextVar("benchrouter_stand_in", default=None)
"""A filter that takes the place of the hook's own in this task: a trial, or a nested question."""

Place = tuple[int, int, int]
"""Standing, the operator's `order`, rank; the smallest is served first."""

_PINNED, _FIT, _UNABLE, _FULL, _TRIED = range(5)
_NO_ORDER = 2**31
_FIELDS_OF_ORDER = ("litellm_params", "model_info")


class Preference(Protocol):
    """A way to make LiteLLM's router prefer some deployments of a group.

    Attributes
    ----------
    name : str
        Of the mechanism, for logs and metrics.
    """

    name: str

    async def apply(
        self,
        group: str,
        offered: list[Any],
        ranks: Sequence[int],
        tried: Collection[str],
        request: dict[str, Any],
        messages: list[Any] | None,
    ) -> list[Any]:
        """Return what LiteLLM should choose among.

        Parameters
        ----------
        group : str
            As LiteLLM named it to the hook.
        offered : list of dict
            The deployments as LiteLLM gave them; they are not changed.
        ranks : sequence of int
            Of each, 1 is the best; equal ranks are replicas, which LiteLLM balances.
        tried : collection of str
            Ids of those that this call has asked, and of those that have no room.
        request : dict
            The request's keyword arguments; they are not changed.
        messages : list or None
        """
        ...


def order_of(deployment: Mapping[str, Any]) -> int | None:
    """Return the operator's `order` of a deployment, from where LiteLLM reads it."""
    for field in _FIELDS_OF_ORDER:
        order = part(deployment, field).get("order")
        if isinstance(order, int):
            return order
    return None


def places_of(
    deployments: Sequence[Any],
    ids: Sequence[str],
    models: Sequence[str | None],
    decision: Decision,
    *,
    tried: Collection[str] = (),
    unable: Collection[str] = (),
    pinned: str | None = None,
    target: int | None = None,
) -> list[Place]:
    """Return the place of each deployment.

    Parameters
    ----------
    deployments : sequence of dict
    ids : sequence of str
        LiteLLM's id of each.
    models : sequence of str or None
        The benchmark model of each.
    decision : Decision
        It ranks within the operator's levels; models that it does not know come after those.
    tried : collection of str
        Ids of the deployments that this call has asked; they stand last.
    unable : collection of str
        Ids of the deployments that cannot give what the request needs.
    pinned : str, optional
        Id of a deployment that stands before all others.
    target : int, optional
        The level that LiteLLM asks for after another one failed.
    """
    rank = {model: position for position, model in enumerate(decision.ranking)}

    def place(deployment: Any, deployment_id: str, model: str | None) -> Place:
        standing = (
            _TRIED if deployment_id in tried else _UNABLE if deployment_id in unable else _FIT
        )
        if deployment_id == pinned and standing != _TRIED:
            standing = _PINNED
        order = order_of(deployment) if isinstance(deployment, MAPPINGS) else None
        level = _NO_ORDER if order is None else -_NO_ORDER if order == target else order
        return standing, level, rank.get(model or "", len(rank))

    return [place(*each) for each in zip(deployments, ids, models, strict=True)]


def without_room(places: Sequence[Place], ids: Sequence[str], full: Collection[str]) -> list[Place]:
    """Return the places once those without room stand behind all others that were not tried."""
    return [
        (_FULL, level, rank)
        if standing in (_FIT, _UNABLE) and deployment_id in full
        else (standing, level, rank)
        for (standing, level, rank), deployment_id in zip(places, ids, strict=True)
    ]


def levels_of(places: Sequence[Place], deployments: Sequence[Any]) -> list[list[Any]]:
    """Return the deployments that were not tried, those of one place together, best first."""
    levels: dict[Place, list[Any]] = {}
    for place, deployment in zip(places, deployments, strict=True):
        if place[0] != _TRIED:
            levels.setdefault(place, []).append(deployment)
    return [levels[place] for place in sorted(levels)]


def last_resorts(places: Sequence[Place], ids: Sequence[str]) -> frozenset[str]:
    """Return the ids of those that were tried, or have no room."""
    return frozenset(i for place, i in zip(places, ids, strict=True) if place[0] >= _FULL)


def ranks_of(places: Sequence[Place]) -> list[int]:
    """Return the places as dense ranks from 1 on."""
    rank = {place: position for position, place in enumerate(sorted(set(places)), start=1)}
    return [rank[place] for place in places]
