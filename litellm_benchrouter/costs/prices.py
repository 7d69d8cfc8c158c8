"""What a token costs: stated prices, and those of LiteLLM's cost map. LiteLLM is not imported."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts

PER_MILLION = 1e-6
LITELLM = "litellm"
"""`ModelFacts.price_source` of prices that are LiteLLM's."""

_COST_MAP = "model_prices_and_context_window_backup.json"
_MODES = {None, "chat", "completion", "responses"}


@dataclass(frozen=True)
class Prices:
    """USD per token of input and of output."""

    input: float
    output: float

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Prices | None:
        """Read LiteLLM's keys `input_cost_per_token` and `output_cost_per_token`.

        Where one is known it stands for both; None without either.
        """
        found = [_amount(entry.get(f"{side}_cost_per_token")) for side in ("input", "output")]
        known = [price for price in found if price is not None]
        if not known:
            return None
        return cls(known[0] if found[0] is None else found[0], known[-1])

    @classmethod
    def of_facts(cls, facts: ModelFacts) -> Prices | None:
        """Return the prices that the build knew of a model."""
        stated = facts.prices_usd_per_mtok
        return None if stated is None else cls(*(price * PER_MILLION for price in stated))


def in_cost_map(
    cost_map: Mapping[str, Any], model: str, provider: str | None = None
) -> Prices | None:
    """Find a model in LiteLLM's cost map: as `provider/model`, as it is, or among the provider's.

    Parameters
    ----------
    cost_map : mapping of str to dict
        `litellm.model_cost`, or what `bundled_cost_map` returns.
    model : str
        As in `litellm_params.model`, or the name of a model in the benchmark.
    provider : str, optional
        `custom_llm_provider`.
    """
    found = (Prices.of(entry) for _, entry in entries_in_cost_map(cost_map, model, provider))
    return next((prices for prices in found if prices is not None), None)


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
            found = json.loads((Path(folder) / _COST_MAP).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def with_known_prices(benchmark: Benchmark, aliases: Mapping[str, str]) -> Benchmark:
    """Fill in the prices that nobody stated from LiteLLM's cost map, by name or alias.

    Parameters
    ----------
    benchmark : Benchmark
    aliases : mapping of str to str
        Other name -> name in the benchmark.
    """
    facts = dict(benchmark.facts)
    for model in benchmark.models:
        known = facts.get(model, ModelFacts())
        if known.prices_usd_per_mtok is None:
            names = (model, *sorted(alias for alias, name in aliases.items() if name == model))
            prices = _first_known(names)
            if prices is not None:
                facts[model] = replace(
                    known,
                    input_price_usd_per_mtok=round(prices.input / PER_MILLION, 9),
                    output_price_usd_per_mtok=round(prices.output / PER_MILLION, 9),
                    price_source=LITELLM,
                )
    return replace(benchmark, facts=facts)


def _first_known(names: Iterable[str]) -> Prices | None:
    found = (in_cost_map(bundled_cost_map(), name) for name in names)
    return next((prices for prices in found if prices is not None), None)


def _amount(value: object) -> float | None:
    """Return a price as a number; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
