"""Whether LiteLLM serves what was ranked first, and why where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.conversation.text import metadata_of
from litellm_benchrouter.proxy.narrowing import filters_after, filters_deployments
from litellm_benchrouter.routing.deployments import id_of, part
from litellm_benchrouter.serving.call import Attempt
from litellm_benchrouter.serving.metrics import FOLLOWED, NOT_FOLLOWED


def outcome_of(
    attempt: Attempt, served: str, request: Mapping[str, Any], router: Any, hook: object
) -> str:
    """Return `followed`, or which of LiteLLM's later filters explains that it was not.

    Parameters
    ----------
    attempt : Attempt
    served : str
        Id of the deployment that LiteLLM chose.
    request : mapping
        Its keyword arguments.
    router : litellm.Router or None
    hook : CustomLogger
        The plugin's own callback.

    Returns
    -------
    str
        `followed`, `tag_filter`, `affinity`, `pre_call_checks`, `other_filter` or `not_followed`.
    """
    if any(id_of(deployment) == served for deployment in attempt.best):
        return FOLLOWED
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
