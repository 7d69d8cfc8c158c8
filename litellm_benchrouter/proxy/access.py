"""Which model groups a caller may use: LiteLLM's own checks, asked about every group."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from typing import Any

from litellm.exceptions import BudgetExceededError

from litellm_benchrouter.proxy import running
from litellm_benchrouter.routing.deployments import deployments_of

CHECKS_AT_ONCE = 10
"""Then other requests have their turn."""


async def allowed_groups(asked: str, groups: Collection[str], caller: Any) -> set[str]:
    """Return the groups that LiteLLM lets a caller use who asked for a name, budgets aside.

    Whatever cannot be found out is a refusal: a lookup that fails must not open a model.
    """
    from litellm.proxy.auth import auth_checks

    router = running.attribute("llm_router")
    by_role = (running.attribute("general_settings") or {}).get("role_permissions")
    if getattr(caller, "agent_id", None) or (by_role and getattr(caller, "jwt_claims", None)):
        return set()  # what agents and roles in tokens may use is not checked here
    is_free = auth_checks._is_model_cost_zero
    waived = is_free(
        asked, router
    )  # LiteLLM waived all budgets, because what was asked for is free
    # With aliases, access to a name is access to what it stands for; the group is asked for itself.
    itself = caller.model_copy(update={"aliases": {}, "team_model_aliases": None})
    is_personal = caller.team_id is None and caller.user_id is not None
    user = await _user(caller.user_id) if is_personal else None
    allowed: set[str] = set()
    for number, group in enumerate(groups):
        if number % CHECKS_AT_ONCE == CHECKS_AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            if waived and not is_free(group, router):
                continue
            await auth_checks.can_key_call_resolved_model(
                model=group,
                llm_model_list=deployments_of(router),
                valid_token=itself,
                llm_router=router,
            )
            if is_personal:
                await auth_checks.can_user_call_model(
                    model=group, llm_router=router, user_object=user
                )
        except Exception:
            continue
        allowed.add(group)
    return allowed


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


async def over_budget(groups: Collection[str], caller: Any) -> dict[str, Exception]:
    """Return the groups whose budget is spent, with LiteLLM's error.

    Looked at are budgets for single models: of the key, its user, its team, the member of a team
    and the customer.
    """
    limiter = running.attribute("model_max_budget_limiter")
    of_key = getattr(caller, "model_max_budget", None)
    of_user = getattr(caller, "user_model_max_budget", None)
    of_team = getattr(caller, "team_model_max_budget", None)
    of_customer = getattr(caller, "end_user_model_max_budget", None)
    spent: dict[str, Exception] = {}
    of_member = getattr(caller, "team_member_model_max_budget", None)
    for group in groups if of_key or of_user or of_team or of_member or of_customer else ():
        try:
            if of_key and caller.token:
                await limiter.is_key_within_model_budget(user_api_key_dict=caller, model=group)
            if of_user and caller.user_id:
                await limiter.is_user_within_model_budget(
                    user_id=caller.user_id, user_model_max_budget=of_user, model=group
                )
            if of_team and caller.team_id:
                await limiter.is_team_within_model_budget(
                    team_id=caller.team_id,
                    team_model_max_budget=of_team,
                    key_model_max_budget=of_key,
                    model=group,
                )
            if of_member and caller.team_id and caller.user_id:
                await limiter.is_team_member_within_model_budget(
                    user_id=caller.user_id,
                    team_id=caller.team_id,
                    team_member_model_max_budget=of_member,
                    model=group,
                )
            if of_customer and caller.end_user_id:
                await limiter.is_end_user_within_model_budget(
                    end_user_id=caller.end_user_id,
                    end_user_model_max_budget=of_customer,
                    model=group,
                )
        except Exception as error:
            spent[group] = error
    return spent


_BUDGETS = (
    ("spend", "max_budget"),
    ("user_spend", "user_max_budget"),
    ("team_spend", "team_max_budget"),
    ("team_member_spend", "team_member_max_budget"),
    ("end_user_spend", "end_user_max_budget"),
    ("organization_spend", "organization_max_budget"),
)


def usd_left(caller: Any) -> float:
    """Return what the budgets of a caller leave, as LiteLLM read them for this request."""
    left = math.inf
    for spend, budget in _BUDGETS:
        most, spent = getattr(caller, budget, None), getattr(caller, spend, None)
        if isinstance(most, int | float) and isinstance(spent, int | float):
            left = min(left, most - spent)
    return left


def denial(asked: str, spent: Mapping[str, Exception]) -> Exception:
    """Return the error for a caller who may use none of the groups.

    It is LiteLLM's own where a budget is all that stands in the way.
    """
    from litellm.proxy._types import ProxyErrorTypes, ProxyException

    for error in spent.values():
        if isinstance(error, BudgetExceededError):
            return error
    return ProxyException(
        message=f"This API key may use none of the models that '{asked}' stands for. Ask for "
        "access to one of them, or ask for a model that is listed at /v1/models.",
        type=ProxyErrorTypes.key_model_access_denied,
        param="model",
        code=403,
    )
