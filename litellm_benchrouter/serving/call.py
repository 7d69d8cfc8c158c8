"""A call to the proxy over all its attempts, and what it says of itself. No LiteLLM in here."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from litellm_benchrouter.conversation.ask import Ask
from litellm_benchrouter.conversation.state import Session
from litellm_benchrouter.routing.decision import Decision

# What an answer costs is not every client's business.
_HEADERS = (
    "virtual",
    "group",
    "model",
    "method",
    "reason",
    "task",
    "artifact",
    "policy",
    "embedder",
    "turn",
)
_HEADER_LENGTH = 300
_UNPRINTABLE = re.compile(r"[^ -~]")
_WHY_NOT_PICK = {
    "failed": "failed",
    "rate_limit": "has reached its rate limit",
    "pinned": "gave way to the deployment that holds the response which this request continues",
    "order": "stands behind by the `order` of the configuration",
    "cooldown": "was taken out by LiteLLM, in cooldown or unhealthy",
    "tag_filter": "was taken out by LiteLLM's tag filter",
    "pre_call_checks": "was taken out by LiteLLM's pre-call checks",
    "affinity": "gave way to an affinity pin of LiteLLM",
    "other_filter": "was taken out by another callback",
    "not_followed": "was ranked first, and LiteLLM served another",
}
_LISTED = "by its place in the list: the benchmark has nothing to say about the group"
_ALL_FAILED = "the groups that the benchmark ranks failed ({models}); a fallback answered"
_NONE_LEFT = "no deployment of a group that the benchmark ranks was available; a fallback answered"


@dataclass(frozen=True)
class Attempt:
    """What was preferred in the latest attempt."""

    offered: frozenset[str] = frozenset()  # ids of the deployments that LiteLLM offered
    best: tuple[Any, ...] = ()  # the deployments that were ranked first
    full: frozenset[str] = frozenset()  # ids of those that have no room under a rate limit
    pinned: bool = False  # a deployment stands first for what the request continues


@dataclass
class Call:
    """What one call to the proxy has decided and tried so far, over all its attempts."""

    group: str = ""  # of the latest attempt: a fallback may go to another one
    virtual: str = ""  # the virtual model that was asked for, where one was
    decisions: dict[str, Decision] = field(default_factory=dict)  # by group
    # benchmark model of each deployment that was offered, by its id
    models: dict[str, str | None] = field(default_factory=dict)
    # ids of the deployments that were asked, the latest last
    tried: list[str] = field(default_factory=list)
    attempt: Attempt = Attempt()
    # that LiteLLM served what was ranked first, else why not; "" where nothing was ranked
    followed: str = ""
    # the answer was counted; a callback that is listed twice hears of it twice
    counted: bool = False
    session: str = ""  # the conversation's name, where conversations count
    conversation: Session | None = None
    turn: Ask | None = None  # what the request asks, once it was read
    failures: int = 0  # in the conversation, that its model is not held against
    shadow: bool = False  # decisions are recorded only
    explores: bool = False  # a random plausible model is to answer
    # no decision could be taken, and the configuration says to pass through then
    passed: bool = False

    @property
    def is_side(self) -> bool:
        """Whether the request is a client's own, such as a title."""
        return self.turn is not None and self.turn.kind == "side"

    @property
    def mode(self) -> str:
        """Why the decision is not followed: `shadow`, `pass_through`; empty where it is."""
        return "shadow" if self.shadow else "pass_through" if self.passed else ""

    def decision_for(self, group: str, offer: Collection[str]) -> Decision | None:
        """Return the decision already taken, if it ranked every model on offer now."""
        decision = self.decisions.get(group)
        return decision if decision and set(offer) <= set(decision.ranking) else None

    def ask(self, deployment_id: str) -> bool:
        """Note which deployment is asked now; False where that is known: some say it twice."""
        if self.tried[-1:] == [deployment_id]:
            return False
        self.tried.append(deployment_id)
        return True

    def as_log(self) -> dict[str, Any] | None:
        """Return what the spend log gets, if one of ours was asked; no part of the prompt."""
        of_group = {"virtual": self.virtual, "group": self.group} if self.virtual else {}
        outcome = self.outcome
        if outcome == "other_group":
            # a fallback led to a group that is not ours, or nothing decided between groups
            return {**of_group, "method": "listed", "reason": self._listed} if of_group else None
        decision = self.decisions[self.group]
        of_mode = {"mode": self.mode} if self.mode else {}
        of_turn = {"turn": self.turn.kind} if self.turn else {}
        of_session = {"session": self.session} if self.session else {}
        answered_by = self.answered_by
        of_explored = {"propensity": decision.propensity} if self.propensity else {}
        return {
            **of_group,
            **of_mode,
            **of_explored,
            **of_turn,
            **of_session,
            "model": answered_by,
            "pick": decision.pick,
            "method": decision.method,
            "kind": decision.kind,
            "reason": self._reason(decision, outcome),
            "task": decision.task,
            "artifact": decision.artifact,
            "policy": decision.policy,
            "embedder": decision.embedder,
            "expected_cost_usd": (decision.costs_usd or {}).get(answered_by or ""),
            "distance": _rounded(decision.distance, 4),
            "seconds": _rounded(decision.seconds, 6),
        }

    def as_attributes(self) -> dict[str, str | float]:
        """Return what a span of the request gets; none where the decision is not followed."""
        fields = None if self.mode else self.as_log()
        if fields is None or self.outcome == "other_group":
            return {}
        decision, answered_by = self.decisions[self.group], self.answered_by or ""
        attributes = {key: fields[key] for key in ("model", "method", "kind", "policy")} | {
            "version": decision.artifact,
            "expected_probability": (decision.probability or {}).get(answered_by),
            "expected_cost_usd": fields["expected_cost_usd"],
        }
        return {key: value for key, value in attributes.items() if value is not None}

    def as_headers(self, prefix: str) -> dict[str, str]:
        """Return the response headers; none where the decision is not followed."""
        fields = {} if self.mode else self.as_log() or {}
        return {f"{prefix}{key}": _header(str(fields[key])) for key in _HEADERS if fields.get(key)}

    @property
    def answered_by(self) -> str | None:
        """The benchmark model that was asked last; None where it is none of the benchmark's."""
        return self.models.get(self.tried[-1]) if self.tried else None

    @property
    def outcome(self) -> str:
        """Who was asked last: `pick`, why another (`pick_failed`, ...), or `other_group`."""
        decision = self.decisions.get(self.group)
        if decision is None or not self.tried or self.tried[-1] not in self.models:
            return "other_group"
        if self.answered_by == decision.pick:
            return "pick"
        failed = {self.models.get(deployment_id) for deployment_id in self.tried[:-1]}
        return "pick_failed" if decision.pick in failed else "pick_unavailable"

    @property
    def propensity(self) -> float | None:
        """Of the model that was asked, where the request was explored and LiteLLM followed."""
        decision = self.decisions.get(self.group)
        is_one = decision is not None and not self.mode and self.outcome == "pick"
        return decision.propensity if decision is not None and is_one else None

    @property
    def _listed(self) -> str:
        """Why a group answers that no decision ranks."""
        if not self.decisions or self.group in self.decisions:
            return _LISTED
        failed = dict.fromkeys(filter(None, map(self.models.get, self.tried[:-1])))
        return _ALL_FAILED.format(models=", ".join(failed)) if failed else _NONE_LEFT

    def _reason(self, decision: Decision, outcome: str) -> str:
        if self.mode or outcome not in ("pick_failed", "pick_unavailable"):
            return decision.reason
        return f"{decision.pick} {_WHY_NOT_PICK[self._why_not(decision.pick)]}; {decision.reason}"

    def _why_not(self, pick: str) -> str:
        """Why another model than the pick was asked last."""
        of_pick = {deployment_id for deployment_id, model in self.models.items() if model == pick}
        attempt = self.attempt
        if of_pick & set(self.tried[:-1]):
            return "failed"
        if attempt.pinned:
            return "pinned"
        if not of_pick & attempt.offered:
            return "cooldown"
        if of_pick & attempt.offered <= attempt.full:
            return "rate_limit"
        if self.followed in _WHY_NOT_PICK:
            return self.followed
        return "order"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _header(value: str) -> str:
    """Make a value fit for a header: one line of visible ASCII, bounded."""
    return _UNPRINTABLE.sub("?", value[:_HEADER_LENGTH]).strip()
