"""One attempt of a call: what LiteLLM should prefer, and whether that is what it served."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from litellm.responses.utils import ResponsesAPIRequestUtils

from litellm_benchrouter.conversation.text import metadata_of
from litellm_benchrouter.proxy import limits, preference, running
from litellm_benchrouter.proxy.groups import Groups
from litellm_benchrouter.proxy.narrowing import filters_after, filters_deployments
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.routing.deployments import id_of, part
from litellm_benchrouter.serving.call import Attempt, Call
from litellm_benchrouter.serving.metrics import FOLLOWED, NOT_FOLLOWED


async def prefer(
    adapter: preference.Preference,
    call: Call,
    group: str,
    deployments: list[Any],
    decision: Decision,
    unable: Collection[str],
    messages: list[Any] | None,
    request: dict[str, Any],
) -> list[Any]:
    """Return what LiteLLM should choose among, and note it in the call.

    Parameters
    ----------
    adapter : Preference
    call : Call
        It knows the benchmark model of each deployment, and what was tried.
    group : str
        As LiteLLM named it to the hook.
    deployments : list of dict
    decision : Decision
    unable : collection of str
        Ids of the deployments that cannot give what the request needs.
    messages, request
        As LiteLLM gave them to the hook.
    """
    pinned = _holder_of_previous_response(request)
    ids = [str(id_of(deployment)) for deployment in deployments]
    places = preference.places_of(
        deployments,
        ids,
        list(map(call.models.get, ids)),
        decision,
        tried=call.tried,
        unable=unable,
        pinned=pinned,
        target=request.get("_target_order"),
    )
    levels = preference.levels_of(places, deployments)
    full = await limits.full_deployments(running.router(), group, levels, messages, request)
    places = preference.without_room(places, ids, full)
    ranks = preference.ranks_of(places)
    call.attempt = Attempt(
        frozenset(ids),
        tuple(d for d, rank in zip(deployments, ranks, strict=True) if rank == 1),
        full,
        pinned is not None and pinned not in call.tried,
    )
    tried = preference.last_resorts(places, ids)
    return await adapter.apply(group, deployments, ranks, tried, request, messages)


def outcome_of(attempt: Attempt, served: str, request: Mapping[str, Any], hook: object) -> str:
    """Return `followed`, or which of LiteLLM's later filters explains that it was not.

    That is `tag_filter`, `affinity`, `pre_call_checks`, `other_filter` or `not_followed`. `served`
    is the id of the deployment that LiteLLM chose, and `hook` the plugin's own callback.
    """
    if any(id_of(deployment) == served for deployment in attempt.best):
        return FOLLOWED
    router = running.router()
    if _tags_explain(attempt, request, router):
        return "tag_filter"
    # Affinity checks are among the router's own callbacks; the limits of models are no filter.
    if any(
        filters_deployments(check) for check in getattr(router, "optional_callbacks", None) or ()
    ):
        return "affinity"
    if getattr(router, "enable_pre_call_checks", False):
        return "pre_call_checks"
    return "other_filter" if filters_after(hook) else NOT_FOLLOWED


def _tags_explain(attempt: Attempt, request: Mapping[str, Any], router: Any) -> bool:
    """Say whether LiteLLM filters by tags, and none of the best has a tag of the request's."""
    asks = request.get("enable_tag_filtering") or getattr(router, "enable_tag_filtering", False)
    if not asks and not any(
        part(d, "model_info").get("enable_tag_filtering") for d in attempt.best
    ):
        return False
    tags = metadata_of(request).get("tags")
    wanted = set(tags) if isinstance(tags, list) and tags else {"default"}
    return not any(wanted & set(part(d, "litellm_params").get("tags") or ()) for d in attempt.best)


def _holder_of_previous_response(request: Mapping[str, Any]) -> str | None:
    """Return the deployment that holds the response a request continues, where there is one.

    Another deployment would answer that it does not know the response.
    """
    previous = request.get("previous_response_id")
    if not isinstance(previous, str):
        return None
    with contextlib.suppress(Exception):
        return deployment_of_response(previous)
    return None


def holder_of_response(response_id: object, groups: Groups) -> str | None:
    """Return the group that gave a response of /v1/responses; None where that cannot be told.

    Another group would answer that it does not know the response.
    """
    if not isinstance(response_id, str):
        return None
    with contextlib.suppress(Exception):
        from litellm.proxy.hooks.responses_id_security import ResponsesIDSecurity

        # LiteLLM has yet to decrypt it, and to check whose it is
        holder = deployment_of_response(ResponsesIDSecurity()._decrypt_response_id(response_id)[0])
        owners = (group for group, each in groups.items() if holder in map(id_of, each))
        return None if holder is None else next(owners, None)
    return None


def plain_response_id(response: object) -> str | None:
    """Return the id of an answer of /v1/responses, as the request that continues it shows it.

    None where it has none, or LiteLLM cannot read it.
    """
    response_id = getattr(response, "id", None)
    if not isinstance(response_id, str) or not response_id.startswith("resp_"):
        return None
    with contextlib.suppress(Exception):
        from litellm.proxy.hooks.responses_id_security import ResponsesIDSecurity

        return str(ResponsesIDSecurity()._decrypt_response_id(response_id)[0])
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
    deployment_id = decoded.get("model_id")
    return None if deployment_id is None else str(deployment_id)
