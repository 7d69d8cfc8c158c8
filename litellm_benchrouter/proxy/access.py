"""Which model groups a caller may use: LiteLLM's own checks, asked about every group.

LiteLLM authorises the name that a client asked for. Behind a virtual model the group is chosen
after that, so each group is checked as if the client had asked for it by its real name: the key,
its team, user, project and customer, their access groups, and their budgets for single models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import litellm
from litellm.exceptions import BudgetExceededError
from litellm.responses.utils import ResponsesAPIRequestUtils

from litellm_benchrouter.config import VirtualModel
from litellm_benchrouter.proxy import running
from litellm_benchrouter.routing.deployments import ModelNames
from litellm_benchrouter.serving.groups import named_fallbacks

logger = logging.getLogger("litellm_benchrouter")

_LOOK_SECONDS = 5.0
_looked_up: dict[str, tuple[float, ModelNames | None, Sequence[tuple[str, tuple[str, ...]]]]] = {}
_warned: set[tuple[str, str]] = set()


async def open_groups(
    name: str, virtual: VirtualModel, caller: Any, names: ModelNames
) -> dict[str, tuple[str, ...]]:
    """Return the groups behind a virtual model that a caller may use, with their benchmark models.

    Parameters
    ----------
    name : str
        What the client asked for.
    virtual : VirtualModel
    caller : litellm.proxy._types.UserAPIKeyAuth
    names : ModelNames

    Returns
    -------
    dict of str to tuple of str
        In the configured order. A group may hold no model that the benchmark knows.

    Raises
    ------
    litellm.proxy._types.ProxyException
        If the caller may use none of them.
    litellm.BudgetExceededError
        If its budget is all that keeps the caller from one of them.
    """
    router = running.attribute("llm_router")
    groups = _groups(name, virtual, router, caller, names)
    if virtual.grants_access:
        return groups
    refusals = {group: await _refusal(group, name, caller, router) for group in groups}
    allowed = {group: models for group, models in groups.items() if refusals[group] is None}
    if not allowed:
        raise _denial(name, [error for error in refusals.values() if error is not None])
    return allowed


async def last_resorts(
    first: str, name: str, data: Mapping[str, Any], virtual: VirtualModel, caller: Any
) -> list[str]:
    """Return further groups that the caller may use: the client's fallbacks, then the proxy's.

    LiteLLM would take them itself, without asking whether the caller may use them.
    """
    router = running.attribute("llm_router")
    wanted = named_fallbacks(data.get("fallbacks"))
    for key in (first, "*"):
        for entry in getattr(router, "fallbacks", None) or []:
            if isinstance(entry, Mapping):
                wanted += named_fallbacks(entry.get(key))
    return [
        group
        for group in dict.fromkeys(wanted)
        if group != name and await _refusal(group, name, caller, router) is None
    ]


def with_guardrails(data: dict[str, Any], groups: Iterable[str]) -> dict[str, Any]:
    """Return a request with the guardrails of all groups that it may reach.

    LiteLLM has added those of the name that was asked for, before it called us.
    """
    from litellm.proxy import utils

    merge: Any = getattr(utils, "check_and_merge_model_level_guardrails", None)
    for group in groups if merge is not None else ():
        router = running.attribute("llm_router")
        data = merge(data, router, trust_client_model_info=False, model_alias=group)
    return data


def holder_of_response(response_id: object) -> str | None:
    """Return the group that gave a response of /v1/responses; None where that cannot be told.

    Another group would answer that it does not know the response.
    """
    if not isinstance(response_id, str):
        return None
    from litellm.proxy.hooks.responses_id_security import ResponsesIDSecurity

    # LiteLLM has yet to decrypt it, and to check whose it is
    decrypted = ResponsesIDSecurity()._decrypt_response_id(response_id)[0]
    deployment_id = deployment_of_response(decrypted)
    for deployment in running.attribute("llm_router").model_list:
        if (deployment.get("model_info") or {}).get("id") == deployment_id:
            return str(deployment.get("model_name"))
    return None


def deployment_of_response(response_id: str) -> str | None:
    """Return the id of the deployment that gave a response; None for an id that is not LiteLLM's.

    Raises
    ------
    Exception
        Whatever LiteLLM raises on an id that it cannot read.
    """
    utils: Any = ResponsesAPIRequestUtils
    # In older releases, such as 1.94, it is private.
    decode = getattr(utils, "decode_responses_api_response_id", None)
    decoded = (decode or utils._decode_responses_api_response_id)(response_id)
    found = decoded.get("model_id")
    return None if found is None else str(found)


def _groups(
    name: str, virtual: VirtualModel, router: Any, caller: Any, names: ModelNames
) -> dict[str, tuple[str, ...]]:
    """Return the groups that exist, with the benchmark models of their deployments."""
    if virtual.groups == "*":
        return {group: models for group, models in _known(router, names) if group != name}
    found: dict[str, tuple[str, ...]] = {}
    for listed in virtual.groups:
        # LiteLLM follows these aliases before it calls us, so it would not follow ours
        group = litellm.model_alias_map.get(listed, listed)
        deployments = router.get_model_list(model_name=group, team_id=caller.team_id) or []
        if deployments:
            found[group] = _models(deployments, names)
        else:
            _warn_once(name, group)
    return found


def _known(router: Any, names: ModelNames) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Return every group with a model that the benchmark knows; looked up anew every few seconds.

    A proxy may have thousands of deployments, and this runs on its event loop.
    """
    now = time.monotonic()
    expires, of_names, groups = _looked_up.get("*", (0.0, None, ()))
    if now < expires and of_names is names:
        return groups
    by_group: dict[str, list[Any]] = {}
    for deployment in router.model_list:
        # a team's own deployments go by a name that nobody asks for
        if not (deployment.get("model_info") or {}).get("team_id"):
            by_group.setdefault(str(deployment["model_name"]), []).append(deployment)
    models = {group: _models(deployments, names) for group, deployments in by_group.items()}
    groups = tuple((group, known) for group, known in models.items() if known)
    _looked_up["*"] = (now + _LOOK_SECONDS, names, groups)
    return groups


def _models(deployments: Iterable[Any], names: ModelNames) -> tuple[str, ...]:
    models = {names.of(deployment) for deployment in deployments}
    return tuple(sorted(model for model in models if model is not None))


async def _refusal(group: str, asked: str, caller: Any, router: Any) -> Exception | None:
    """Return why a caller may not use a group, or None where it may.

    Whatever cannot be found out is a refusal: a lookup that fails must not open a model.
    """
    try:
        await _check(group, asked, caller, router)
    except Exception as error:
        return error
    return None


async def _check(group: str, asked: str, caller: Any, router: Any) -> None:
    from litellm.proxy.auth import auth_checks

    if auth_checks._is_model_cost_zero(asked, router) and not auth_checks._is_model_cost_zero(
        group, router
    ):
        raise PermissionError("LiteLLM waived all budgets, because what was asked for is free")
    by_role = (running.attribute("general_settings") or {}).get("role_permissions")
    if getattr(caller, "agent_id", None) or (by_role and getattr(caller, "jwt_claims", None)):
        raise PermissionError("what agents and roles in tokens may use is not checked here")
    # With aliases, access to a name is access to what it stands for; the group is asked for itself.
    itself = caller.model_copy(update={"aliases": {}, "team_model_aliases": None})
    await auth_checks.can_key_call_resolved_model(
        model=group, llm_model_list=router.model_list, valid_token=itself, llm_router=router
    )
    if caller.team_id is None and caller.user_id is not None:
        user = await _user(caller.user_id)
        await auth_checks.can_user_call_model(model=group, llm_router=router, user_object=user)
    await _check_budgets(group, caller)


async def _user(user_id: str) -> Any:
    """Return the owner of a personal key; None where LiteLLM knows nothing about it."""
    from litellm.proxy.auth import auth_checks

    try:
        from litellm.types.proxy.auth.auth_checks import UserNotFoundError
    except ImportError:  # older ones do not tell who is missing from who cannot be read
        UserNotFoundError = ValueError  # type: ignore[assignment, misc]
    database = running.attribute("prisma_client")
    if database is None:
        return None
    try:
        return await auth_checks.get_user_object(
            user_id=user_id,
            prisma_client=database,
            user_api_key_cache=running.attribute("user_api_key_cache"),
            user_id_upsert=False,
            proxy_logging_obj=running.attribute("proxy_logging_obj"),
        )
    except UserNotFoundError:
        return None


async def _check_budgets(group: str, caller: Any) -> None:
    """Raise where a budget for this model is spent: of the key, its user, its team or customer."""
    limiter = running.attribute("model_max_budget_limiter")
    of_key = getattr(caller, "model_max_budget", None)
    if of_key and caller.token:
        await limiter.is_key_within_model_budget(user_api_key_dict=caller, model=group)
    of_user = getattr(caller, "user_model_max_budget", None)
    if of_user and caller.user_id:
        await limiter.is_user_within_model_budget(
            user_id=caller.user_id, user_model_max_budget=of_user, model=group
        )
    of_team = getattr(caller, "team_model_max_budget", None)
    if of_team and caller.team_id:
        await limiter.is_team_within_model_budget(
            team_id=caller.team_id,
            team_model_max_budget=of_team,
            key_model_max_budget=of_key,
            model=group,
        )
    of_customer = getattr(caller, "end_user_model_max_budget", None)
    if of_customer and caller.end_user_id:
        await limiter.is_end_user_within_model_budget(
            end_user_id=caller.end_user_id, end_user_model_max_budget=of_customer, model=group
        )


def _denial(name: str, refusals: list[Exception]) -> Exception:
    from litellm.proxy._types import ProxyErrorTypes, ProxyException

    for error in refusals:
        if isinstance(error, BudgetExceededError):
            return error
    return ProxyException(
        message=f"This API key may use none of the models that '{name}' stands for. Ask for "
        "access to one of them, or ask for a model that is listed at /v1/models.",
        type=ProxyErrorTypes.key_model_access_denied,
        param="model",
        code=403,
    )


def _warn_once(name: str, group: str) -> None:
    if (name, group) not in _warned:
        _warned.add((name, group))
        logger.warning(
            "benchrouter: the proxy has no model group %s, which virtual model %s names; it is "
            "left out.",
            group,
            name,
        )
