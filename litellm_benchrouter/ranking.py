"""From a decision over models to the order of a group's deployments. No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from litellm_benchrouter.core.decision import Decision

NAME = "benchrouter_model"
"""Key of `model_info` in which a deployment says which benchmark model it is."""

RECORD = "benchrouter"
"""Key of `model_info` under which an attempt travels with the deployment that serves it."""

_HEADER_LENGTH = 300


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
        if not isinstance(deployment, Mapping):
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


@dataclass(frozen=True)
class Attempt:
    """A decision, and what the call has tried so far.

    Attributes
    ----------
    group : str
        The model group that was asked for.
    decision : Decision
    tried : tuple of str
        Ids of the deployments that failed this call.
    model : str or None
        The benchmark model of the deployment that carries this record.
    """

    group: str
    decision: Decision
    tried: tuple[str, ...] = ()
    model: str | None = None

    @staticmethod
    def of(metadata: Mapping[str, Any]) -> Attempt | None:
        """Return the record of the deployment that LiteLLM chose last, if it was one of ours."""
        record = _part(metadata, "model_info").get(RECORD)
        # A client can send a dictionary in its place, but not one of these.
        return record.attempt if isinstance(record, _Carried) else None

    def knows(self, offer: Sequence[str]) -> bool:
        """Say whether the decision ranked every model that is on offer now."""
        return set(offer) <= set(self.decision.ranking)

    def again(self, metadata: Mapping[str, Any]) -> Attempt:
        """Return the record for the next attempt, the last deployment being one that failed."""
        failed = str(_part(metadata, "model_info").get("id"))
        return replace(self, tried=(*self.tried, failed))

    def carried_by(self, model: str | None) -> dict[str, Any]:
        """Return the record that a deployment of this model carries."""
        return _Carried(replace(self, model=model))

    def as_log(self) -> dict[str, Any]:
        """Return what the spend log gets; no part of the prompt is in it."""
        return {
            "model": self.model,
            "pick": self.decision.pick,
            "method": self.decision.method,
            "reason": self.reason,
            "task": self.decision.task,
            "artifact": self.decision.artifact,
        }

    def as_headers(self, prefix: str) -> dict[str, str]:
        """Return the response headers."""
        fields = {key: value for key, value in self.as_log().items() if key != "pick"}
        return {f"{prefix}{key}": _header(str(value)) for key, value in fields.items() if value}

    @property
    def reason(self) -> str:
        """Why this model: the decision's reason, and what came in between."""
        if self.model == self.decision.pick:
            return self.decision.reason
        if self.model is None:
            return "not known to the benchmark, and everything that is was not available"
        why = "failed" if self.tried else "was not available"
        return f"{self.decision.pick} {why}; {self.decision.reason}"


class _Carried(dict[str, Any]):
    """A record that other callbacks can write as JSON, with the attempt behind it."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.as_log())
        self.attempt = attempt


def order_deployments(
    deployments: Sequence[Any], models: Sequence[str | None], attempt: Attempt
) -> list[Any]:
    """Return shallow copies with `order` set: by the decision, then unknown, then tried ones.

    Parameters
    ----------
    deployments : sequence of dict
        As LiteLLM gave them; they are not changed.
    models : sequence of str or None
        The benchmark model of each.
    attempt : Attempt

    Returns
    -------
    list of dict
        As many, in the same sequence. Replicas of a model share a rank, so LiteLLM balances them.
    """
    ranking = attempt.decision.ranking
    rank = {model: position for position, model in enumerate(ranking, start=1)}
    last = len(ranking) + 1
    ordered = []
    for deployment, model in zip(deployments, models, strict=True):
        if not isinstance(deployment, Mapping):
            ordered.append(deployment)
            continue
        order = rank.get(model or "", last)
        info = _part(deployment, "model_info")
        if str(info.get("id")) in attempt.tried:
            order += last
        ordered.append(
            {
                **deployment,
                "litellm_params": {**_part(deployment, "litellm_params"), "order": order},
                "model_info": {**info, RECORD: attempt.carried_by(model)},
            }
        )
    return ordered


def _part(container: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = container.get(key)
    return part if isinstance(part, Mapping) else {}


def _header(value: str) -> str:
    """Make a value fit for a header: one line of visible ASCII, bounded."""
    printable = "".join(c if " " <= c <= "~" else "?" for c in value)
    return printable[:_HEADER_LENGTH].strip()
