"""`mode: groups`: the model groups that a virtual model stands for, and who may use which.

LiteLLM authorises the name that a client asked for. Behind a virtual model the group is chosen
after that, so each group is checked as if the client had asked for it by its real name: the key,
its team, user, project and customer, their access groups, and their budgets for single models.
"""

from __future__ import annotations

import asyncio
import logging
import operator
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import litellm

from litellm_benchrouter.config import VirtualModel
from litellm_benchrouter.limits import Memory
from litellm_benchrouter.proxy import access, running
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import (
    TEXT_MODES,
    ModelNames,
    deployments_of,
    id_of,
)
from litellm_benchrouter.serving.call import Call

logger = logging.getLogger("litellm_benchrouter")

_ACCESS_SECONDS = 5.0  # what a caller may use is asked again after these
_CALLERS = 1_000
_COMPARE_SECONDS = 1.0  # a list of the same length is looked through so often
# What tells callers apart, and shows that their rights have changed.
_RIGHTS = operator.attrgetter("token", "api_key", "user_id", "team_id", "end_user_id", "org_id",
                              "models", "team_models", "user_role")  # fmt: skip
_MORE_RIGHTS = ("project_id", "agent_id", "access_group_ids", "config", "jwt_claims",
                "team_member_permissions", "organization_alias")  # fmt: skip


class Groups(dict[str, Sequence[Any]]):
    """Model groups with their deployments, in the configured order."""

    def __init__(self, groups: Mapping[str, Sequence[Any]], names: ModelNames) -> None:
        super().__init__(groups)
        self._names = names

    @cached_property
    def deployments(self) -> list[Any]:
        """All deployments."""
        return [deployment for each in self.values() for deployment in each]

    @cached_property
    def models(self) -> list[str | None]:
        """The benchmark model of each deployment."""
        return list(map(self._names.of, self.deployments))

    @cached_property
    def models_of(self) -> dict[str, frozenset[str]]:
        """The benchmark models of each group, which may be none."""
        return {g: frozenset(filter(None, map(self._names.of, self[g]))) for g in self}

    @cached_property
    def by_id(self) -> dict[str, str | None]:
        """The benchmark model of each deployment, by the deployment's id."""
        return {str(id_of(d)): m for d, m in zip(self.deployments, self.models, strict=True)}

    @cached_property
    def of_id(self) -> dict[str, str]:
        """The group of each deployment, by the deployment's id."""
        return {str(id_of(deployment)): group for group in self for deployment in self[group]}

    def only(self, allowed: Collection[str]) -> Groups:
        """Return those that are allowed."""
        if len(allowed) == len(self):
            return self
        return Groups({group: self[group] for group in self if group in allowed}, self._names)


class ModelIndex:
    """The deployments of the proxy's router by group, looked through once for each change.

    `groups` are those of everybody, as what belongs to a team goes by names that nobody asks for;
    `teams` are those with deployments of their own.
    """

    def __init__(self, router: Any, names: ModelNames) -> None:
        self._router, self._names, self._listed = router, names, list(deployments_of(router))
        self.teams: set[str] = set()
        by_group: dict[str, list[Any]] = {}
        for deployment in self._listed:
            if team := (deployment.get("model_info") or {}).get("team_id"):
                self.teams.add(team)
            else:
                by_group.setdefault(str(deployment.get("model_name")), []).append(deployment)
        self.groups = Groups(by_group, names)
        self._compare_at = time.monotonic() + _COMPARE_SECONDS
        self._virtual: dict[tuple[str, str | None], tuple[Groups, bool]] = {}
        self.callers: Memory[Any, asyncio.Future[Groups]] = Memory(_CALLERS, _ACCESS_SECONDS)

    def is_current(self, router: Any, names: ModelNames) -> bool:
        """Say whether the proxy still has these deployments, and the benchmark these models."""
        if self._router is not router or self._names is not names:
            return False
        listed, now = deployments_of(router), time.monotonic()
        if len(listed) != len(self._listed):
            return False
        if now < self._compare_at:
            return True
        self._compare_at = now + _COMPARE_SECONDS
        return all(map(operator.is_, listed, self._listed))

    def stands_for(self, name: str, virtual: VirtualModel, team: str | None) -> tuple[Groups, bool]:
        """Return the groups behind a virtual model, and whether it may open them to everybody."""
        key = (name, team if team in self.teams else None)
        if key not in self._virtual:
            self._virtual[key] = self._stands_for(name, virtual, key[1])
        return self._virtual[key]

    def _stands_for(
        self, name: str, virtual: VirtualModel, team: str | None
    ) -> tuple[Groups, bool]:
        if virtual.groups == "*":
            others = {group for group, models in self.groups.models_of.items() if models} - {name}
            if others:
                return self.groups.only(others), virtual.grants_access
            # No version yet, or one of other models: whatever the caller may use can answer.
            return self.groups.only({g for g in self.groups if g != name and self._text(g)}), False
        groups = {}
        for listed in virtual.groups:
            # LiteLLM follows these aliases before it calls us, so it would not follow ours
            group = litellm.model_alias_map.get(listed, listed)
            deployments = self.groups.get(group) if team is None else None
            deployments = deployments or self._router.get_model_list(model_name=group, team_id=team)
            if deployments:
                groups[group] = deployments
            else:
                logger.warning(
                    "benchrouter: the proxy has no model group %s, which virtual model %s names; "
                    "it is left out.",
                    group,
                    name,
                )
        return Groups(groups, self._names), virtual.grants_access

    def _text(self, group: str) -> bool:
        """Say whether a deployment of the group answers text."""
        infos = (deployment.get("model_info") or {} for deployment in self.groups[group])
        return any(info.get("mode") in TEXT_MODES for info in infos)


class VirtualModels:
    """Opens virtual models to callers, following the proxy's list of deployments."""

    def __init__(self, virtual: Mapping[str, VirtualModel]) -> None:
        self._virtual = virtual
        self._index: ModelIndex | None = None

    def __contains__(self, name: object) -> bool:
        return name in self._virtual

    def index(self, names: ModelNames) -> ModelIndex | None:
        """Return the proxy's deployments as they are now; None before it has a router."""
        router = running.attribute("llm_router")
        if router is None:
            return None
        index = self._index
        if index is None or not index.is_current(router, names):
            index = self._index = ModelIndex(router, names)
        return index

    def group_served(self, call: Call, deployment_id: str, said: object) -> str:
        """Return the group that answers a call to a virtual model.

        Parameters
        ----------
        call : Call
        deployment_id : str
            Which LiteLLM chose.
        said : str or None
            The group in LiteLLM's metadata; after a fallback, 1.94 names the one before.
        """
        owner = self._index.groups.of_id.get(deployment_id) if self._index is not None else None
        names = [name for name in (owner, said) if isinstance(name, str) and name != call.virtual]
        return next((name for name in names if name in call.decisions), (*names, call.group)[0])

    async def open(
        self, name: str, caller: Any, index: ModelIndex
    ) -> tuple[Groups, Mapping[str, Exception]]:
        """Return the groups behind a virtual model that a caller may use, and those over budget.

        What LiteLLM says of a caller is used again for 5 s, until the caller's key says something
        else or the proxy's list changes; budgets are asked for each request.

        Parameters
        ----------
        name : str
            What the client asked for.
        caller : litellm.proxy._types.UserAPIKeyAuth
        index : ModelIndex
        """
        groups, granted = index.stands_for(name, self._virtual[name], caller.team_id)
        if granted:
            return groups, {}
        groups = await self._allowed(name, groups, caller, index)
        spent = await access.over_budget(groups, caller)
        return groups.only(groups.keys() - spent.keys()), spent

    async def _allowed(self, name: str, groups: Groups, caller: Any, index: ModelIndex) -> Groups:
        more = [getattr(caller, key, None) for key in _MORE_RIGHTS]
        key = (name, repr((_RIGHTS(caller), more)))
        asked = index.callers.get(key)
        if asked is None:  # others of this caller wait for the answer, also where this one leaves
            asked = index.callers.put(key, asyncio.ensure_future(_ask(name, groups, caller)))
        try:
            return await asyncio.shield(asked)
        except Exception:
            index.callers.drop(key)
            return groups.only(())


async def _ask(name: str, groups: Groups, caller: Any) -> Groups:
    return groups.only(await access.allowed_groups(name, groups, caller))


def rank_groups(groups: Mapping[str, Collection[str]], decision: Decision | None) -> list[str]:
    """Order groups by the best benchmark model that each of them has.

    Within a group its deployments are ranked as always, so its best model is what it is worth. Ties
    stay in the configured order, and so do groups that the benchmark does not know, which come
    last; without a decision all do.
    """
    ranking = () if decision is None else decision.ranking
    place = {model: position for position, model in enumerate(ranking)}
    last = len(place)
    return sorted(
        groups, key=lambda group: min((place.get(m, last) for m in groups[group]), default=last)
    )


def rewritten(
    data: Mapping[str, Any], ranking: Sequence[str], last_resorts: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the request for the first group, with the others as its fallbacks.

    As many as LiteLLM tries. All three kinds of fallback are named, so that LiteLLM takes none from
    its own settings: those were not checked against what the caller may use. The guardrails are
    those of every group within reach: LiteLLM has added those of the name that was asked for.
    `last_resorts` are groups that the caller may use too, to be tried after the ranked ones.
    """
    from litellm.proxy import utils

    router = running.attribute("llm_router")
    most = getattr(router, "max_fallbacks", running.MAX_FALLBACKS)
    first, *rest = list(dict.fromkeys([*ranking, *last_resorts]))[: 1 + most]
    kinds = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
    request = {**data, "model": first} | dict(zip(kinds, (rest, [], []), strict=True))
    merge: Any = getattr(utils, "check_and_merge_model_level_guardrails", None)
    for group in (first, *rest) if merge is not None else ():
        request = merge(request, router, trust_client_model_info=False, model_alias=group)
    return request


async def last_resorts(first: str, name: str, data: Mapping[str, Any], caller: Any) -> list[str]:
    """Return further groups that the caller may use: the client's fallbacks, then the proxy's.

    LiteLLM would take them itself, without asking whether the caller may use them.
    """
    router = running.attribute("llm_router")
    wanted = named_fallbacks(data.get("fallbacks"))
    for key in (first, "*"):
        for entry in getattr(router, "fallbacks", None) or []:
            if isinstance(entry, Mapping):
                wanted += named_fallbacks(entry.get(key))
    wanted = [group for group in dict.fromkeys(wanted) if group != name]
    if not wanted:
        return []
    allowed = await access.allowed_groups(name, wanted, caller)
    allowed -= (await access.over_budget(allowed, caller)).keys()
    return [group for group in wanted if group in allowed]


def named_fallbacks(fallbacks: object) -> list[str]:
    """Return the groups that a list of fallbacks names; what overrides parameters is left out."""
    if not isinstance(fallbacks, list | tuple):
        return []
    return [name for name in fallbacks if isinstance(name, str)]
