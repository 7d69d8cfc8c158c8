"""What the hook reads: how the plugin behaves in the proxy."""

from __future__ import annotations

import reprlib
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from litellm_benchrouter.config.block import Block


class BreakerConfig(Block):
    """When decisions are no longer tried for a while.

    Attributes
    ----------
    failures : int
        So many in a row, too slow or failed, open it; a queue of requests does not.
    seconds : float
        How long decisions rest before one is tried again.
    """

    failures: int = Field(default=5, ge=1)
    seconds: float = Field(default=10.0, gt=0)


class ServingConfig(Block):
    """How the hook behaves in the proxy.

    Attributes
    ----------
    time_limit_ms : float
        Longest that a decision may hold a request; after it the best on average goes first.
    poll_seconds : float
        How often a new artifact version is looked for.
    on_error : {"bma", "pass_through"}
        What happens to a request whose decision failed or took too long: the best on average goes
        first, or LiteLLM routes it as if the plugin were not there.
    breaker : BreakerConfig
    log_level : str, optional
        From which level on the plugin's own messages are written; `debug` adds one line of JSON
        for each decision. Default: as the proxy's logging is set up.
    log_prompts : bool
        Whether those lines hold the text that was compared, cut to 500 characters.
    mode : {"active", "canary", "shadow"}
        Whether decisions are followed: all, those of `canary_percent` of the conversations, or
        none. The others are taken and recorded and change nothing.
    canary_percent : float
        Always the same conversations, and more of them as it grows.
    stickiness : {"none", "session"}
        Whether a conversation stays with the model that answered it, so that its prompt cache is
        of use, until that model fails or the conversation rests for `session_seconds`.
    """

    retired: ClassVar = {
        "decide_in": (
            "serving.decide_in",
            "Short decisions are taken in the proxy's own process, as `proxy` said.",
        )
    }

    time_limit_ms: float = Field(default=200.0, gt=0)
    poll_seconds: float = Field(default=30.0, gt=0)
    on_error: Literal["bma", "pass_through"] = "bma"
    breaker: BreakerConfig = Field(default_factory=BreakerConfig)
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    log_prompts: bool = False
    mode: Literal["active", "canary", "shadow"] = "active"
    canary_percent: float = Field(default=10.0, ge=0, le=100)
    stickiness: Literal["none", "session"] = "none"
    session_seconds: float = Field(default=3600.0, gt=0)


class VirtualModel(Block):
    """A name that stands for the best of several model groups; a bare list gives the groups.

    Attributes
    ----------
    groups : list of str, or "*"
        Model groups of the proxy, in the order that counts where the benchmark does not tell.
        `*`: all groups with a model that the benchmark knows.
    grants_access : bool
        Whether who may use the virtual model may use every group through it. By default a caller
        reaches only the groups that it may use by themselves.
    """

    groups: list[str] | Literal["*"]
    grants_access: bool = False

    @model_validator(mode="before")
    @classmethod
    def _groups_alone(cls, value: object) -> object:
        return {"groups": value} if isinstance(value, list | str) else value

    @field_validator("groups", mode="before")
    @classmethod
    def _names_of_groups(cls, value: object) -> object:
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if value != "*" and not (names and value):
            shown = reprlib.repr(value)
            raise ValueError(f'{shown} is neither a list of model groups nor "*" for all of them')
        return value
