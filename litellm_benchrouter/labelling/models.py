"""The models that can be asked: deployments by the benchmark model that each is, and calls."""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litellm_benchrouter import upstream
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.deployments import (
    NAME,
    TEXT_MODES,
    ModelNames,
    deployments_of,
    resolved,
)
from litellm_benchrouter.upstream import CallError, Proxy, import_litellm, open_router
from litellm_benchrouter.verifiers.logprobs import mean_probability

_ENVIRONMENT = "os.environ/"
# Of router_settings; retries are ours, and a fallback would let another model answer.
_SETTINGS = (
    *("routing_strategy", "routing_strategy_args", "cooldown_time", "disable_cooldowns"),
    *("allowed_fails", "allowed_fails_policy", "default_litellm_params"),
)


@dataclass(frozen=True)
class AskedModel:
    """A model that can be asked, by its canonical name, and its entries of `model_list`."""

    name: str
    deployments: Sequence[dict[str, Any]]

    @property
    def unset_variables(self) -> list[str]:
        """Environment variables that a deployment names and that are not set."""
        texts = [text for entry in self.deployments for text in _texts(entry["litellm_params"])]
        names = {t.removeprefix(_ENVIRONMENT) for t in texts if t.startswith(_ENVIRONMENT)}
        return sorted(name for name in names if name not in os.environ)


def read_proxy(path: Path) -> Proxy:
    """Read the proxy's YAML; its deployments are those that answer text."""
    proxy = upstream.read_proxy(path)
    modes = [(entry.get("model_info") or {}).get("mode") for entry in proxy.deployments]
    answer_text = [
        resolved(entry)
        for entry, mode in zip(proxy.deployments, modes, strict=True)
        if mode in TEXT_MODES
    ]
    return replace(proxy, deployments=answer_text)


def models_named(config: BenchRouterConfig, proxy: Proxy) -> set[str]:
    """Models that the configuration names, whether a benchmark has them or not."""
    names = {(entry.get("model_info") or {}).get(NAME) for entry in proxy.deployments}
    return set(config.models) | {
        config.aliases.get(name, name) for name in names if isinstance(name, str)
    }


def find_candidates(
    config: BenchRouterConfig, proxy: Proxy, benchmark_names: set[str], wanted: Sequence[str] | None
) -> list[AskedModel]:
    """Find the deployments of the models to ask; raise ConfigError where one has none.

    `wanted` is what `--models` names, also a model that no benchmark has yet; None for all of the
    benchmark's.
    """
    names = ModelNames(config.aliases, frozenset(benchmark_names | models_named(config, proxy)))
    entries_of: dict[str, list[dict[str, Any]]] = {}
    for entry in proxy.deployments:
        name = names.of(entry)
        if name is not None:
            entries_of.setdefault(name, []).append(entry)
    if wanted is None:
        entries_of = {
            name: entries for name, entries in entries_of.items() if name in benchmark_names
        }
    else:
        asked = list(dict.fromkeys(config.aliases.get(name, name) for name in wanted))
        absent = [name for name in asked if name not in entries_of]
        if absent:
            raise ConfigError(
                f"--models names {', '.join(absent)}, which no deployment in model_list is; there "
                f"are {', '.join(sorted(entries_of)) or 'none'}."
            )
        entries_of = {name: entries_of[name] for name in asked}
    if not entries_of:
        raise ConfigError(
            "no candidates: no deployment in model_list is a model of the benchmark; say which it "
            f"is with model_info.{NAME}, or name models with --models."
        )
    return [AskedModel(name, entries) for name, entries in entries_of.items()]


def find_judge(config: BenchRouterConfig, proxy: Proxy, name: str) -> AskedModel:
    """Find the deployments of a judge: a model's name, a group's, or that of a litellm model."""
    names = ModelNames(config.aliases, frozenset({config.aliases.get(name, name)}))
    for is_it in (
        lambda entry: names.of(entry) is not None,
        lambda entry: entry.get("model_name") == name,
        lambda entry: entry["litellm_params"]["model"] == name,
    ):
        entries = [entry for entry in proxy.deployments if is_it(entry)]
        if entries:
            return AskedModel(f"judge {name}", entries)
    groups = sorted({str(entry.get("model_name")) for entry in proxy.deployments})
    raise ConfigError(
        f"the judge {name!r} is neither a model nor a group of model_list. There are "
        f"{', '.join(groups) or 'none'}."
    )


@dataclass(frozen=True)
class Price:
    """USD per token."""

    input: float
    output: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """USD for an answer."""
        return self.input * prompt_tokens + self.output * completion_tokens


@dataclass(frozen=True)
class CallOptions:
    """The options of a call."""

    max_tokens: int = 2048  # of the answer
    temperature: float | None = None  # None for the provider's own
    timeout: float = 120.0  # seconds


@dataclass(frozen=True)
class Reply:
    """An answer; `cost_usd` is None where no price is known.

    `mean_probability` is that of its tokens, where the provider sends log-probabilities.
    """

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float
    finish_reason: str | None
    mean_probability: float | None = None


class Provider:
    """A LiteLLM router in which every model is a group of its own.

    The configuration has prices of models that LiteLLM has none of.
    """

    def __init__(
        self, config: BenchRouterConfig, proxy: Proxy, models: Sequence[AskedModel]
    ) -> None:
        self._config = config
        self._router = open_router(
            proxy,
            {model.name: model.deployments for model in models},
            ignore_invalid_deployments=True,
            **{key: value for key, value in proxy.settings.items() if key in _SETTINGS},
        )

    def is_usable(self, model: str) -> bool:
        """Say whether LiteLLM can ask the model at all."""
        return any(entry["model_name"] == model for entry in deployments_of(self._router))

    def price(self, model: str) -> Price | None:
        """Return what a model costs: LiteLLM's own price (the dearest replica's), else ours."""
        prices_of_replicas = []
        router: Any = self._router
        registry = getattr(router, "registry", None)  # from LiteLLM 1.109 on
        look_up = registry().deployment_model_info if registry else router.get_deployment_model_info
        for entry in deployments_of(router):
            if entry["model_name"] == model:
                info = look_up(entry["model_info"]["id"], entry["litellm_params"]["model"])
                each = [(info or {}).get(f"{side}_cost_per_token") for side in ("input", "output")]
                if any(price is not None for price in each):
                    prices_of_replicas.append(Price(each[0] or 0.0, each[1] or 0.0))
        if prices_of_replicas:
            return max(prices_of_replicas, key=lambda price: price.input + price.output)
        ours = self._config.models.get(model.removeprefix("judge "))
        prices = ours and (ours.input_price_usd_per_mtok, ours.output_price_usd_per_mtok)
        if not prices or prices == (None, None):
            return None
        return Price(*((price or 0.0) / 1e6 for price in prices))

    def count_tokens(self, messages: Sequence[dict[str, Any]]) -> int:
        """Count the tokens of a conversation, by one tokenizer for all models: an estimate."""
        count: int = import_litellm().token_counter(
            model="gpt-3.5-turbo",  # its tokenizer comes with LiteLLM; others would be downloaded
            messages=list(messages),
            use_default_image_token_count=True,
        )
        return count

    async def ask(
        self, model: str, messages: Sequence[dict[str, Any]], options: CallOptions
    ) -> Reply:
        """Ask once; raise CallError where there is no answer."""
        start = time.perf_counter()
        sent = {} if options.temperature is None else {"temperature": options.temperature}
        try:
            # LiteLLM's time limit is one on each read for some providers.
            async with asyncio.timeout(options.timeout + 1):
                response = await self._router.acompletion(
                    model=model,
                    messages=copy.deepcopy(list(messages)),
                    max_tokens=options.max_tokens,
                    timeout=options.timeout,
                    drop_params=True,  # a model that takes no temperature answers all the same
                    **sent,
                )
        except TimeoutError as error:
            raise CallError(f"no answer in {options.timeout:g} s", is_transient=True) from error
        except Exception as error:
            raise CallError.of(error) from error
        choice, usage = response.choices[0], getattr(response, "usage", None)
        counts = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        return Reply(
            text=_content(choice.message.content),
            prompt_tokens=counts[0],
            completion_tokens=counts[1],
            cost_usd=self._cost(model, response, *counts),
            seconds=round(time.perf_counter() - start, 3),
            finish_reason=choice.finish_reason,
            mean_probability=_likely(getattr(choice, "logprobs", None)),
        )

    async def close(self) -> None:
        """Close the connections."""
        await import_litellm().close_litellm_async_clients()

    def _cost(
        self, model: str, response: Any, prompt: int | None, completion: int | None
    ) -> float | None:
        price = self.price(model)
        if price is None:
            return None
        # LiteLLM's figure knows of cached tokens, but is 0 where only our configuration has prices.
        stated = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
        return float(stated) if stated else price.of(prompt or 0, completion or 0)


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _likely(logprobs: Any) -> float | None:
    plain = logprobs.model_dump() if hasattr(logprobs, "model_dump") else logprobs
    return mean_probability({}, {"choices": [{"logprobs": plain}]})


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
