"""From a decision over models to the order of a group's deployments. No LiteLLM in here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litellm_benchrouter.routing.decision import Decision

NAME = "benchrouter_model"
"""Key of `model_info` in which a deployment says which benchmark model it is."""

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
)
_HEADER_LENGTH = 300
_MAPPINGS = (dict, Mapping)  # dict first: to ask for a Mapping takes ten times as long
_UNPRINTABLE = re.compile(r"[^ -~]")
_WHY_NOT_PICK = {"pick_failed": "failed", "pick_unavailable": "was not available"}
_LISTED = "by its place in the list: the benchmark has nothing to say about the group"


@dataclass(frozen=True)
class ModelNames:
    """Which benchmark model a deployment is.

    Attributes
    ----------
    aliases : mapping of str to str
        Other names of models, from the configuration.
    known : frozenset of str
        The benchmark's models.
    """

    aliases: Mapping[str, str]
    known: frozenset[str]

    def of(self, deployment: object) -> str | None:
        """Return the benchmark model, or None where the benchmark does not know it."""
        if not isinstance(deployment, _MAPPINGS):
            return None
        said = _part(deployment, "model_info").get(NAME)
        if said is not None:
            return self._known(said)
        model = _part(deployment, "litellm_params").get("model")
        if not isinstance(model, str):
            return None
        # "provider/owner/name": the benchmark may know any tail of it
        while model:
            found = self._known(model)
            if found is not None:
                return found
            model = model.partition("/")[2]
        return None

    def said(self, deployment: Mapping[str, Any]) -> str:
        """Return how the deployment names itself, for a warning."""
        name = _part(deployment, "model_info").get(NAME)
        return str(name or _part(deployment, "litellm_params").get("model"))

    def _known(self, name: object) -> str | None:
        if not isinstance(name, str):
            return None
        name = self.aliases.get(name, name)
        return name if name in self.known else None


@dataclass
class Call:
    """What one call to the proxy has decided and tried so far, over all its attempts.

    Attributes
    ----------
    group : str
        The model group of the latest attempt: a fallback may go to another one.
    decisions : dict of str to Decision
        By group.
    models : dict of str to (str or None)
        The benchmark model of each deployment that was offered, by the deployment's id.
    tried : list of str
        Ids of the deployments that were asked, the latest last.
    virtual : str
        The virtual model that was asked for, where one was.
    session : str
        The conversation, where conversations count.
    shadow : bool
        Whether decisions are recorded only.
    passed : bool
        Whether no decision could be taken, and the configuration says to pass through then.
    counted : bool
        Whether the answer was counted; a callback that is listed twice hears of it twice.
    """

    group: str = ""
    virtual: str = ""
    decisions: dict[str, Decision] = field(default_factory=dict)
    models: dict[str, str | None] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    counted: bool = False
    session: str = ""
    shadow: bool = False
    passed: bool = False

    @property
    def mode(self) -> str:
        """Why the decision is not followed: `shadow`, `pass_through`; empty where it is."""
        return "shadow" if self.shadow else "pass_through" if self.passed else ""

    def decision_for(self, group: str, offer: Collection[str]) -> Decision | None:
        """Return the decision already taken, if it ranked every model on offer now."""
        decision = self.decisions.get(group)
        return decision if decision and set(offer) <= set(decision.ranking) else None

    def ask(self, deployment_id: str) -> None:
        """Note which deployment is asked now; some endpoints say it twice."""
        if self.tried[-1:] != [deployment_id]:
            self.tried.append(deployment_id)

    def as_log(self) -> dict[str, Any] | None:
        """Return what the spend log gets, if one of ours was asked; no part of the prompt."""
        of_group = {"virtual": self.virtual, "group": self.group} if self.virtual else {}
        outcome = self.outcome
        if outcome == "other_group":
            # a fallback led to a group that is not ours, or nothing decided between groups
            return {**of_group, "method": "listed", "reason": _LISTED} if of_group else None
        decision = self.decisions[self.group]
        of_mode = {"mode": self.mode} if self.mode else {}
        answered_by = self.answered_by
        return {
            **of_group,
            **of_mode,
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

    def _reason(self, decision: Decision, outcome: str) -> str:
        why = None if self.mode else _WHY_NOT_PICK.get(outcome)
        return f"{decision.pick} {why}; {decision.reason}" if why else decision.reason


def order_deployments(
    deployments: Sequence[Any],
    models: Sequence[str | None],
    decision: Decision,
    *,
    tried: Collection[str] = (),
    unable: Collection[str] = (),
    pinned: str | None = None,
    first: int = 1,
) -> list[Any]:
    """Return shallow copies with `order` set: by the decision, then unknown, unable, tried ones.

    Parameters
    ----------
    deployments : sequence of dict
        As LiteLLM gave them; they are not changed.
    models : sequence of str or None
        The benchmark model of each.
    decision : Decision
    tried : collection of str
        Ids of the deployments that this call has asked; they rank last.
    unable : collection of str
        Ids of the deployments that cannot give what the request needs; they rank after the others.
    pinned : str, optional
        Id of a deployment that ranks before all others.
    first : int
        The order of the best. LiteLLM keeps one order only where it follows orders of its own.

    Returns
    -------
    list of dict
        As many, in the same sequence. Replicas of a model share a rank, so LiteLLM balances them.
    """
    rank = {model: position for position, model in enumerate(decision.ranking)}
    unknown = len(rank)

    def place(deployment: Any, model: str | None) -> int:
        deployment_id = id_of(deployment)
        if deployment_id == pinned and deployment_id not in tried:
            return 0
        behind = 2 if deployment_id in tried else 1 if deployment_id in unable else 0
        return 1 + behind * (1 + unknown) + rank.get(model or "", unknown)

    places = [place(d, m) for d, m in zip(deployments, models, strict=True)]
    dense = {value: first + position for position, value in enumerate(sorted(set(places)))}
    return [
        {**d, "litellm_params": {**_part(d, "litellm_params"), "order": dense[value]}}
        if isinstance(d, _MAPPINGS)
        else d
        for d, value in zip(deployments, places, strict=True)
    ]


def id_of(deployment: object) -> str | None:
    """Return LiteLLM's id of a deployment."""
    found = _part(deployment, "model_info").get("id") if isinstance(deployment, _MAPPINGS) else None
    return None if found is None else str(found)


def group_of(deployments: Sequence[object], asked: str) -> str:
    """Return the operator's name of a group: of a wildcard, clients ask by names of their own."""
    names = (d.get("model_name") for d in deployments if isinstance(d, _MAPPINGS))
    return next((name for name in names if isinstance(name, str)), asked)


def _part(container: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = container.get(key)
    return part if isinstance(part, _MAPPINGS) else {}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _header(value: str) -> str:
    """Make a value fit for a header: one line of visible ASCII, bounded."""
    return _UNPRINTABLE.sub("?", value[:_HEADER_LENGTH]).strip()
