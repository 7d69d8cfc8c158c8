"""`mode: groups`: which model group a virtual model stands for, best first. No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from litellm_benchrouter.routing.decision import Decision


def rank_groups(groups: Mapping[str, Collection[str]], decision: Decision | None) -> list[str]:
    """Order groups by the best benchmark model that each of them has.

    Within a group its deployments are ranked as always, so its best model is what it is worth.

    Parameters
    ----------
    groups : mapping of str to collection of str
        The benchmark models of each group, in the configured order.
    decision : Decision or None
        The ranking of those models; without one the configured order stands.

    Returns
    -------
    list of str
        Best first; ties and groups that the benchmark does not know, which come last, in the
        configured order.
    """
    ranking = () if decision is None else decision.ranking
    place = {model: position for position, model in enumerate(ranking)}
    last = len(place)
    return sorted(
        groups, key=lambda group: min((place.get(m, last) for m in groups[group]), default=last)
    )


def put_first(ranking: Sequence[str], group: str | None) -> list[str]:
    """Return the ranking with one of its groups moved to the front; any other name is ignored."""
    if group is None or group not in ranking:
        return list(ranking)
    return [group, *(other for other in ranking if other != group)]


def rewritten(
    data: Mapping[str, Any], ranking: Sequence[str], last_resorts: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the request for the first group, with the others as its fallbacks.

    Parameters
    ----------
    data : mapping
        The request; it is not changed.
    ranking : sequence of str
        The groups that the caller may use, best first; at least one.
    last_resorts : iterable of str
        Groups that the caller may use too, to be tried after the ranked ones.

    Returns
    -------
    dict
        It names all three kinds of fallback, so that LiteLLM takes none from its own settings:
        those were not checked against what the caller may use.
    """
    first, *rest = dict.fromkeys([*ranking, *last_resorts])
    return {
        **data,
        "model": first,
        "fallbacks": rest,
        "context_window_fallbacks": [],
        "content_policy_fallbacks": [],
    }


def named_fallbacks(fallbacks: object) -> list[str]:
    """Return the groups that a list of fallbacks names; what overrides parameters is left out."""
    if not isinstance(fallbacks, list | tuple):
        return []
    return [name for name in fallbacks if isinstance(name, str)]
