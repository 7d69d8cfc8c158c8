"""What each answer cost, from the best source that is known of each model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import Benchmark, ModelFacts
from litellm_benchrouter.core.masked import mean
from litellm_benchrouter.errors import ConfigError

_CHARACTERS_PER_TOKEN = 4.0
_COMPLETION_TOKENS = 256.0
_PER_MILLION = 1e-6


@dataclass(frozen=True)
class Costs:
    """Cost of every answer.

    Attributes
    ----------
    values : ndarray of float64, shape (n, M)
        Never NaN: a sample without a cost of its own has its model's mean.
    unit : str
        `usd`, or `params_b` (billions of parameters) where no price is known.
    basis : dict of str to str
        By model: where its costs come from.
    filled : int
        Cells that have their model's mean.
    """

    values: NDArray[np.float64]
    unit: str
    basis: dict[str, str]
    filled: int

    def describe(self) -> dict[str, object]:
        """Return what a report says of the costs."""
        return {"unit": self.unit, "models": self.basis, "filled_with_mean": self.filled}


def costs_of(benchmark: Benchmark) -> Costs:
    """Find the costs: recorded, else prices times tokens, else parameters.

    For each model the first that is known of: the recorded `cost_usd` of its answers; its prices
    and recorded token counts; its recorded mean cost; its prices and estimated tokens (4
    characters a token of the prompt, 256 tokens of answer). Where some model has none of these,
    every model costs its billions of parameters.

    Parameters
    ----------
    benchmark : Benchmark

    Returns
    -------
    Costs

    Raises
    ------
    ConfigError
        If a model has no cost, no price and no parameters.
    """
    found = [_usd(benchmark, m) for m in range(len(benchmark.models))]
    unit = "usd"
    if any(one is None for one in found):
        unit, found = "params_b", [_parameters(benchmark, m) for m in range(len(benchmark.models))]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        lacking = [m for m, one in zip(benchmark.models, found, strict=True) if one is None]
        raise ConfigError(
            f"the protocol cost knows neither cost nor price nor params_b of {', '.join(lacking)}; "
            "state them under benchrouter.models, or leave the models out with --models."
        )
    values = np.stack([column for column, _ in known], axis=1)
    gaps = np.isnan(values)
    values = np.where(gaps, mean(values), values)
    basis = {model: name for model, (_, name) in zip(benchmark.models, known, strict=True)}
    return Costs(values, unit, basis, int(gaps.sum()))


def _usd(benchmark: Benchmark, m: int) -> tuple[NDArray[np.float64], str] | None:
    facts = benchmark.facts.get(benchmark.models[m], ModelFacts())
    recorded = _column(benchmark, "cost_usd", m)
    if not np.isnan(recorded).all():
        return recorded, "recorded costs"
    stated = (facts.input_price_usd_per_mtok, facts.output_price_usd_per_mtok)
    prices = [price for price in stated if price is not None]
    if prices:  # where one is known it stands for both
        price_in, price_out = (prices[0] if p is None else p for p in stated)
        tokens_in = _column(benchmark, "prompt_tokens", m)
        tokens_out = _column(benchmark, "completion_tokens", m)
        cost = (tokens_in * price_in + tokens_out * price_out) * _PER_MILLION
        if not np.isnan(cost).all():
            return cost, "prices and recorded tokens"
    if facts.mean_cost_usd is not None:
        return np.full(len(benchmark), facts.mean_cost_usd), "recorded mean cost"
    if prices:
        tokens_in = np.array([len(prompt) for prompt in benchmark.prompts]) / _CHARACTERS_PER_TOKEN
        cost = (tokens_in * price_in + _COMPLETION_TOKENS * price_out) * _PER_MILLION
        return cost, "prices and estimated tokens"
    return None


def _parameters(benchmark: Benchmark, m: int) -> tuple[NDArray[np.float64], str] | None:
    size = benchmark.facts.get(benchmark.models[m], ModelFacts()).params_b
    return None if size is None else (np.full(len(benchmark), float(size)), "parameters")


def _column(benchmark: Benchmark, name: str, m: int) -> NDArray[np.float64]:
    if name not in benchmark.columns:
        return np.full(len(benchmark), np.nan)
    return benchmark.columns[name][:, m].astype(np.float64)
