"""What a request is expected to cost with each model on offer: docs/policies.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs.prices import Prices
from litellm_benchrouter.paper.benchmark import ModelFacts

Floats = NDArray[np.float64]

CHARACTERS_PER_TOKEN = 4.0
"""Tokens are estimated from the length of a text: about right for English in today's tokenisers."""

OUTPUT_TOKENS = 256.0
"""Expected length of an answer where no benchmark recorded any."""


@dataclass(frozen=True)
class Lengths:
    """Tokens to expect where a model has no record of its own, or a request no text."""

    input: float
    output: float

    @classmethod
    def of(cls, facts: Sequence[ModelFacts]) -> Lengths:
        """Return the means over the models that have a record."""
        read = [fact.mean_input_tokens for fact in facts if fact.mean_input_tokens is not None]
        said = [fact.mean_output_tokens for fact in facts if fact.mean_output_tokens is not None]
        return cls(
            float(np.mean(read)) if read else 0.0, float(np.mean(said)) if said else OUTPUT_TOKENS
        )


@dataclass(frozen=True)
class CostModel:
    """Expected cost of a request: input tokens * per_token + fixed.

    Attributes
    ----------
    per_token, fixed : ndarray of float64, shape (M,)
    basis : str
        What the costs rest on, in words.
    in_usd : bool
        Whether they are USD; otherwise billions of parameters, which only compare.
    typical_input : float
        Tokens of a request without text.
    """

    per_token: Floats
    fixed: Floats
    basis: str
    in_usd: bool
    typical_input: float

    def of(self, characters: int) -> Floats:
        """Return the costs for a request with so many characters of text, shape (M,)."""
        tokens = characters / CHARACTERS_PER_TOKEN if characters else self.typical_input
        costs: Floats = self.per_token * tokens + self.fixed
        return costs


def cost_model(
    facts: Mapping[str, ModelFacts],
    models: Sequence[str],
    lengths: Lengths,
    given: Mapping[str, Prices],
) -> CostModel | None:
    """Find one basis that covers all models on offer; None where there is none.

    The first of: prices per token (`given`, else what the build knew) with expected tokens; the
    benchmark's recorded mean cost of a request; one or the other, both being USD; parameters.

    Parameters
    ----------
    facts : mapping of str to ModelFacts
        Of the models on offer at least.
    models : sequence of str, length M
    lengths : Lengths
    given : mapping of str to Prices
        Of the deployments on offer, by model.
    """
    known = [facts[model] for model in models]
    prices = [given.get(model) or Prices.of_facts(facts[model]) for model in models]
    recorded = [fact.mean_cost_usd for fact in known]
    said = [
        lengths.output if fact.mean_output_tokens is None else fact.mean_output_tokens
        for fact in known
    ]
    priced = [
        None if price is None else (price.input, price.output * tokens)
        for price, tokens in zip(prices, said, strict=True)
    ]
    fixed = [None if cost is None else (0.0, cost) for cost in recorded]
    either = [price or cost for price, cost in zip(priced, fixed, strict=True)]
    size = [None if fact.params_b is None else (0.0, fact.params_b) for fact in known]
    bases = {
        "costs by price": priced,
        "costs as recorded": fixed,
        "costs by price or as recorded": either,
        "costs by size": size,
    }
    for basis, terms in bases.items():
        found = [term for term in terms if term is not None]
        if len(found) == len(models):
            per_token, rest = np.array(found, dtype=np.float64).reshape(-1, 2).T
            return CostModel(per_token, rest, basis, terms is not size, lengths.input)
    return None
