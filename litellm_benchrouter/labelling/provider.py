"""Models asked through LiteLLM itself, as the proxy asks them. Nothing is sent to its callbacks."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.labelling.models import AskedModel, Proxy
from litellm_benchrouter.routing.deployments import deployments_of

# Of router_settings; retries are ours, and a fallback would let another model answer.
_SETTINGS = (
    *("routing_strategy", "routing_strategy_args", "cooldown_time", "disable_cooldowns"),
    *("allowed_fails", "allowed_fails_policy", "default_litellm_params"),
)
_FOR_THE_MODEL = (401, 403, 404)
_TRANSIENT = (408, 409, 425, 429)


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
    """How a question is sent.

    Attributes
    ----------
    max_tokens : int
        Longest answer.
    temperature : float or None
        None for the provider's own.
    timeout : float
        Seconds.
    """

    max_tokens: int
    temperature: float | None = None
    timeout: float = 120.0


@dataclass(frozen=True)
class Reply:
    """An answer; `cost_usd` is None where no price is known."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float
    finish_reason: str | None


class CallError(Exception):
    """A question was not answered; the message is one line.

    Attributes
    ----------
    is_transient : bool
        Whether it may be answered when asked again.
    is_of_model : bool
        Whether no question to this model will be answered: a key that is refused, no such model.
    wait : float or None
        Seconds to wait before, where the provider says so.
    """

    def __init__(
        self,
        message: str,
        *,
        is_transient: bool = False,
        is_of_model: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.is_transient, self.is_of_model, self.wait = is_transient, is_of_model, wait


class Provider:
    """A LiteLLM router in which every model is a group of its own.

    Parameters
    ----------
    config : BenchRouterConfig
        Has prices of models that LiteLLM has none of.
    proxy : Proxy
    models : sequence of AskedModel
    """

    def __init__(
        self, config: BenchRouterConfig, proxy: Proxy, models: Sequence[AskedModel]
    ) -> None:
        for name, value in proxy.environment.items():
            os.environ[name] = str(value)  # as the proxy does when it starts
        litellm = _litellm()
        if proxy.credentials:
            litellm.credential_list = [
                litellm.types.utils.CredentialItem(**credential) for credential in proxy.credentials
            ]
        model_list = [
            {**copy.deepcopy(entry), "model_name": model.name}
            for model in models
            for entry in model.deployments
        ]
        for entry in model_list:
            entry.get("model_info", {}).pop("id", None)  # a judge may be a candidate as well
        self._config = config
        self._router = litellm.Router(
            model_list=model_list,
            num_retries=0,
            ignore_invalid_deployments=True,
            **{key: value for key, value in proxy.settings.items() if key in _SETTINGS},
        )

    def is_usable(self, model: str) -> bool:
        """Say whether LiteLLM can ask the model at all."""
        return any(entry["model_name"] == model for entry in deployments_of(self._router))

    def price(self, model: str) -> Price | None:
        """Return what a model costs: LiteLLM's own price (the dearest replica's), else ours."""
        known = []
        router: Any = self._router
        registry = getattr(router, "registry", None)  # from LiteLLM 1.109 on
        look_up = registry().deployment_model_info if registry else router.get_deployment_model_info
        for entry in deployments_of(router):
            if entry["model_name"] == model:
                info = look_up(entry["model_info"]["id"], entry["litellm_params"]["model"])
                each = [(info or {}).get(f"{side}_cost_per_token") for side in ("input", "output")]
                if any(price is not None for price in each):
                    known.append(Price(each[0] or 0.0, each[1] or 0.0))
        if known:
            return max(known, key=lambda price: price.input + price.output)
        ours = self._config.models.get(model.removeprefix("judge "))
        prices = ours and (ours.input_price_usd_per_mtok, ours.output_price_usd_per_mtok)
        if not prices or prices == (None, None):
            return None
        return Price(*((price or 0.0) / 1e6 for price in prices))

    def count_tokens(self, messages: Sequence[dict[str, Any]]) -> int:
        """Count the tokens of a conversation, by one tokenizer for all models: an estimate."""
        count: int = _litellm().token_counter(
            model="gpt-3.5-turbo",  # its tokenizer comes with LiteLLM; others would be downloaded
            messages=list(messages),
            use_default_image_token_count=True,
        )
        return count

    async def ask(
        self, model: str, messages: Sequence[dict[str, Any]], options: CallOptions
    ) -> Reply:
        """Ask once.

        Raises
        ------
        CallError
            If there is no answer.
        """
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
            raise _call_error(error) from error
        choice, usage = response.choices[0], getattr(response, "usage", None)
        counts = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        return Reply(
            text=_content(choice.message.content),
            prompt_tokens=counts[0],
            completion_tokens=counts[1],
            cost_usd=self._cost(model, response, *counts),
            seconds=round(time.perf_counter() - start, 3),
            finish_reason=choice.finish_reason,
        )

    async def close(self) -> None:
        """Close the connections."""
        await _litellm().close_litellm_async_clients()

    def _cost(
        self, model: str, response: Any, prompt: int | None, completion: int | None
    ) -> float | None:
        price = self.price(model)
        if price is None:
            return None
        # LiteLLM's figure knows of cached tokens, but is 0 where only our configuration has prices.
        said = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
        return float(said) if said else price.of(prompt or 0, completion or 0)


def _litellm() -> Any:
    import litellm
    import litellm.types.utils

    if "LITELLM_LOG" not in os.environ:
        for name in ("LiteLLM", "LiteLLM Router"):
            logging.getLogger(name).setLevel(logging.ERROR)
    return litellm


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _call_error(error: Exception) -> CallError:
    # One line: LiteLLM adds several of its own. And no "litellm.X: X: " before it.
    name, line = type(error).__name__, str(error).strip().partition("\n")[0]
    for prefix in (f"litellm.{name}: ", f"{name}: "):
        line = line.removeprefix(prefix)
    message = f"{name}: {line[:300]}"
    status = getattr(error, "status_code", None)
    cooldown = getattr(error, "cooldown_time", None)
    if status is None and cooldown is not None:  # LiteLLM lets the model rest
        return CallError(message, is_transient=True, wait=float(cooldown))
    status = status if isinstance(status, int) else None
    return CallError(
        message,
        is_transient=status is not None and (status in _TRANSIENT or status >= 500),
        is_of_model=status in _FOR_THE_MODEL or "Missing credentials" in message,
        wait=_retry_after(error),
    )


def _retry_after(error: Exception) -> float | None:
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    try:
        return float(headers["retry-after"]) if headers else None
    except (KeyError, TypeError, ValueError):
        return None
