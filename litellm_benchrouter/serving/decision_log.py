"""Decisions in the log, at debug level; docs/operations.md lists the fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from litellm_benchrouter.routing.decision import Decision

logger = logging.getLogger("litellm_benchrouter")

LONGEST_NAME = 200
"""Characters: the group of a wildcard and the call's id may be the client's words."""

_LONGEST_PROMPT = 500


def log_decision(
    decision: Decision,
    *,
    group: str,
    offer: Sequence[str],
    call_id: object,
    prompt: str | None = None,
) -> None:
    """Write one line of JSON for a decision, at debug level, to follow single requests by.

    `call_id` is LiteLLM's, as in its own log and in the header `x-litellm-call-id`. The prompt is
    given only where the operator wants prompts logged; it is cut short.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        return
    line = {
        "event": "benchrouter_decision",
        "call_id": str(call_id)[:LONGEST_NAME],
        "group": group[:LONGEST_NAME],
        "offer": list(offer),
        "pick": decision.pick,
        "method": decision.method,
        "kind": decision.kind,
        "reason": decision.reason,
        "task": decision.task,
        "policy": decision.policy,
        "embedder": decision.embedder,
        "distance": decision.distance,
        "seconds": decision.seconds,
        "embed_seconds": decision.embed_seconds,
        "artifact": decision.artifact,
    }
    if prompt is not None:
        line["prompt"] = prompt[:_LONGEST_PROMPT]
    logger.debug("%s", json.dumps(line))
