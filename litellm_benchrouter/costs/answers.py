"""What each answer cost, from the best source that is known of each model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, OUTPUT_TOKENS, Prices
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, mean


@dataclass(frozen=True)
class Costs:
    """Cost of every answer."""

    # of the models in `basis`, a row a sample; one without a cost has its model's mean
    values: NDArray[np.float64]
    unit: str  # `usd`, or `params_b` (billions of parameters) where no price is known
    basis: dict[str, str]  # by model, in the order of the columns: where its costs come from
    filled: int  # cells that have their model's mean
    left_out: list[str]  # models whose cost nothing tells

    def describe(self) -> dict[str, object]:
        """Return what a report says of the costs."""
        return {
            "unit": self.unit,
            "models": self.basis,
            "filled_with_mean": self.filled,
            "left_out": self.left_out,
        }


def costs_of(benchmark: Benchmark) -> Costs:
    """Find the costs: recorded, else prices times tokens, else parameters.

    For each model the first that is known of: the recorded `cost_usd` of its answers; its prices
    and recorded token counts; its recorded mean cost; its prices and estimated tokens (4 characters
    a token of the prompt, 256 tokens of answer). Where some model has none of these, every model
    costs its billions of parameters, provided that this covers more models; models without a cost
    are left out. Raises ConfigError where fewer than two models have one.
    """
    every = range(len(benchmark.models))
    usd = {m: usd_of for m in every if (usd_of := _usd(benchmark, m)) is not None}
    params = {m: size_of for m in every if (size_of := _parameters(benchmark, m)) is not None}
    unit, by_model = ("params_b", params) if len(params) > len(usd) else ("usd", usd)
    left_out = [benchmark.models[m] for m in every if m not in by_model]
    if len(by_model) < 2:
        raise ConfigError(
            "the protocol cost needs two models with a cost, a price or params_b and knows none of "
            f"{', '.join(left_out)}; state them under benchrouter.models."
        )
    values = np.stack([column for column, _ in by_model.values()], axis=1)
    gaps = np.isnan(values)
    return Costs(
        np.where(gaps, mean(values), values),
        unit,
        {benchmark.models[m]: name for m, (_, name) in by_model.items()},
        int(gaps.sum()),
        left_out,
    )


def _usd(benchmark: Benchmark, m: int) -> tuple[NDArray[np.float64], str] | None:
    facts = benchmark.facts.get(benchmark.models[m], ModelFacts())
    recorded = _column(benchmark, "cost_usd", m)
    if not np.isnan(recorded).all():
        return recorded, "recorded costs"
    prices = Prices.of_facts(facts)
    if prices is not None:
        tokens_in = _column(benchmark, "prompt_tokens", m)
        tokens_out = _column(benchmark, "completion_tokens", m)
        cost = tokens_in * prices.input + tokens_out * prices.output
        if not np.isnan(cost).all():
            return cost, "prices and recorded tokens"
    if facts.mean_cost_usd is not None:
        return np.full(len(benchmark), facts.mean_cost_usd), "recorded mean cost"
    if prices is not None:
        tokens_in = np.array([len(prompt) for prompt in benchmark.prompts]) / CHARACTERS_PER_TOKEN
        cost = tokens_in * prices.input + OUTPUT_TOKENS * prices.output
        return cost, "prices and estimated tokens"
    return None


def _parameters(benchmark: Benchmark, m: int) -> tuple[NDArray[np.float64], str] | None:
    size = benchmark.facts.get(benchmark.models[m], ModelFacts()).params_b
    return None if size is None else (np.full(len(benchmark), float(size)), "parameters")


def _column(benchmark: Benchmark, name: str, m: int) -> NDArray[np.float64]:
    if name not in benchmark.columns:
        return np.full(len(benchmark), np.nan)
    return benchmark.columns[name][:, m].astype(np.float64)
