"""Prices per token and the expected cost of a request: docs/policies.md. No LiteLLM in here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts

PER_MILLION = 1e-6
LITELLM = "litellm"
"""`ModelFacts.price_source` of prices that are LiteLLM's."""

_COST_MAP = "model_prices_and_context_window_backup.json"
_CACHE = ("read_input", "creation_input")
_MODES = {None, "chat", "completion", "responses"}


@dataclass(frozen=True)
class Prices:
    """USD per token of input and of output, and where known of input in and into the cache."""

    input: float
    output: float
    cached: float | None = field(default=None, compare=False)
    written: float | None = field(default=None, compare=False)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Prices | None:
        """Read LiteLLM's keys `input_cost_per_token` and `output_cost_per_token`.

        Where one is known it stands for both; None without either.
        """
        both = [_amount(entry.get(f"{side}_cost_per_token")) for side in ("input", "output")]
        stated = [price for price in both if price is not None]
        if not stated:
            return None
        cached, written = (_amount(entry.get(f"cache_{kind}_token_cost")) for kind in _CACHE)
        return cls(stated[0] if both[0] is None else both[0], stated[-1], cached, written)

    @classmethod
    def of_facts(cls, facts: ModelFacts) -> Prices | None:
        """Return the prices that the build knew of a model."""
        stated = facts.prices_usd_per_mtok
        return None if stated is None else cls(*(price * PER_MILLION for price in stated))


def in_cost_map(
    cost_map: Mapping[str, Any], model: str, provider: str | None = None
) -> Prices | None:
    """Find a model in LiteLLM's cost map: as `provider/model`, as it is, or among the provider's.

    The map is `litellm.model_cost`, or what `bundled_cost_map` returns; the model is as in
    `litellm_params.model`, or one of the benchmark.
    """
    listed = (Prices.of(entry) for _, entry in entries_in_cost_map(cost_map, model, provider))
    return next((prices for prices in listed if prices is not None), None)


def entries_in_cost_map(
    cost_map: Mapping[str, Any], model: str, provider: str | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and entry of a model in the cost map, the closest first; see `in_cost_map`."""
    head, _, tail = model.partition("/")
    of_provider = model if provider else tail  # the map lists openai/gpt-4o as gpt-4o, by openai
    places = [f"{provider}/{model}", model] if provider else [model]
    for name in (*places, of_provider):
        entry = cost_map.get(name)
        if not isinstance(entry, Mapping) or entry.get("mode") not in _MODES:
            continue
        if name == of_provider and not str(entry.get("litellm_provider")).startswith(
            provider or head
        ):
            continue
        yield name, entry


@cache
def bundled_cost_map() -> Mapping[str, Any]:
    """Return the cost map that the installed LiteLLM brings along; empty where there is none.

    The file is read without importing LiteLLM, which may ask the network for a newer one and takes
    seconds: a build is offline, and the same version of LiteLLM gives the same prices.
    """
    spec = find_spec("litellm")
    for folder in (spec and spec.submodule_search_locations) or ():
        try:
            cost_map = json.loads((Path(folder) / _COST_MAP).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(cost_map, dict):
            return cost_map
    return {}


def with_known_prices(benchmark: Benchmark, aliases: Mapping[str, str]) -> Benchmark:
    """Fill in the prices that nobody stated from LiteLLM's cost map, by name or alias."""
    facts = dict(benchmark.facts)
    for model in benchmark.models:
        fact = facts.get(model, ModelFacts())
        if fact.prices_usd_per_mtok is None:
            names = (model, *sorted(alias for alias, name in aliases.items() if name == model))
            prices = _first_known(names)
            if prices is not None:
                facts[model] = replace(
                    fact,
                    input_price_usd_per_mtok=round(prices.input / PER_MILLION, 9),
                    output_price_usd_per_mtok=round(prices.output / PER_MILLION, 9),
                    price_source=LITELLM,
                )
    return replace(benchmark, facts=facts)


def _first_known(names: Iterable[str]) -> Prices | None:
    listed = (in_cost_map(bundled_cost_map(), name) for name in names)
    return next((prices for prices in listed if prices is not None), None)


def _amount(value: object) -> float | None:
    """Return a price as a number; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


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
    """Expected cost of a request: input tokens * per_token + fixed, each of shape (M,)."""

    per_token: Floats
    fixed: Floats
    basis: str  # what the costs rest on, in words
    in_usd: bool  # otherwise billions of parameters, which only compare
    typical_input: float  # tokens of a request without text

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

    The first of: prices per token (those of the deployments, `given`, else what the build knew)
    with expected tokens; the benchmark's recorded mean cost of a request; one or the other, both
    being USD; parameters.
    """
    stated = [facts[model] for model in models]
    prices = [given.get(model) or Prices.of_facts(facts[model]) for model in models]
    recorded = [fact.mean_cost_usd for fact in stated]
    said = [
        lengths.output if fact.mean_output_tokens is None else fact.mean_output_tokens
        for fact in stated
    ]
    priced = [
        None if price is None else (price.input, price.output * tokens)
        for price, tokens in zip(prices, said, strict=True)
    ]
    fixed = [None if cost is None else (0.0, cost) for cost in recorded]
    either = [price or cost for price, cost in zip(priced, fixed, strict=True)]
    size = [None if fact.params_b is None else (0.0, fact.params_b) for fact in stated]
    bases = {
        "costs by price": priced,
        "costs as recorded": fixed,
        "costs by price or as recorded": either,
        "costs by size": size,
    }
    for basis, terms in bases.items():
        complete = [term for term in terms if term is not None]
        if len(complete) == len(models):
            per_token, rest = np.array(complete, dtype=np.float64).reshape(-1, 2).T
            return CostModel(per_token, rest, basis, terms is not size, lengths.input)
    return None
