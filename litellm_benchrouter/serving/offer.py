"""The deployments that a request may go to, and what is known of them. No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from litellm_benchrouter.costs import Prices
from litellm_benchrouter.routing.deployments import id_of


@dataclass(frozen=True)
class GroupFacts:
    """What is known of some deployments, whatever is asked of them."""

    names: list[str]  # their benchmark models, sorted
    prices: tuple[tuple[str, Prices], ...]  # what the models cost
    # abilities, and the ids of the deployments that have them
    by_abilities: list[tuple[Mapping[str, Any], list[str]]]


@dataclass(frozen=True)
class DeploymentGroup:
    """Deployments that a request may go to."""

    deployments: Sequence[Any]
    models: Sequence[str | None]  # the benchmark model of each
    unable: Mapping[str, str]  # by the id of those that cannot serve the request: what they lack
    # length of the request's text; None where it is that of the prompt
    characters: int | None = None
    facts: GroupFacts | None = None  # where they are remembered

    @cached_property
    def able(self) -> DeploymentGroup:
        """The deployments that can serve the request; all of them where none is known to."""
        if not self.unable:
            return self
        rows = [row for row, d in enumerate(self.deployments) if id_of(d) not in self.unable]
        if not any(self.models[row] for row in rows):
            return self
        chosen = [self.deployments[row] for row in rows]
        return DeploymentGroup(chosen, [self.models[row] for row in rows], {})

    @cached_property
    def names(self) -> list[str]:
        """The benchmark models, sorted."""
        if self.facts is not None:
            return self.facts.names
        return sorted({model for model in self.models if model is not None})

    @property
    def note(self) -> str:
        """Say which models cannot serve the request."""
        if not self.unable:
            return ""
        lacks = {
            model: self.unable[deployment_id]
            for deployment, model in zip(self.deployments, self.models, strict=True)
            if model is not None and (deployment_id := str(id_of(deployment))) in self.unable
        }
        able = set(self.able.names) if lacks else set()
        if able == set(self.names) and lacks:
            return "; no model is known to take all that is asked"
        return "".join(f"; {model} does not take {what}" for model, what in sorted(lacks.items()))
