"""What the hook reads: how the plugin behaves in the proxy, and what may be given up for cost."""

from __future__ import annotations

import math
import reprlib
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from litellm_benchrouter.config.base import Block
from litellm_benchrouter.conversation.failures import SIGNS, Sign
from litellm_benchrouter.costs.policy import KINDS, RANGES, SPELLING, Policy

_ANY = (0.0, math.inf)


def _policy(value: Any) -> Policy:
    if isinstance(value, Policy):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a policy; write {SPELLING}")
    return Policy.parse(value)


_POLICY_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*(quality|(balanced|cheapest|within|cascade)\s*:.*)$",
    "description": SPELLING,
}
PolicyField = Annotated[Policy, PlainValidator(_policy), WithJsonSchema(_POLICY_SCHEMA)]


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


class EscalateConfig(Block):
    """When a conversation leaves its model for the next better one (docs/policies.md).

    Attributes
    ----------
    after_failures : int
        So many failures since it came to its model; at most 20.
    signs : list of str
        What counts as one: `tool`, a call of a tool that failed; `json`, an answer that is not the
        JSON asked for; `refusal`; `empty` and `cut`, of answers; `complaint`, by a person.
    """

    after_failures: int = Field(default=2, ge=1, le=20)
    signs: list[Sign] = Field(default=list(SIGNS), min_length=1)


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
        When decisions are no longer tried for a while.
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
    session_seconds : float
        How long a conversation without requests is held.
    memory : {"auto", "worker"}
        Where conversations are remembered: in the proxy's Redis, where it has one, so that all
        workers know them; or in each worker.
    ask : {"ask", "last", "first"}
        What a request is routed on: what a person asks, without what clients put around it; the
        last user turn as it stands; or the conversation's first ask. The header
        `x-benchrouter-text` says it for one request.
    side : Policy, optional
        The policy of a client's own requests, such as titles and summaries, as `cheapest:0.7`;
        they then leave conversations aside. Default: as of other requests.
    escalate : EscalateConfig, optional
        When a conversation that fails leaves its model; with `stickiness: session` alone.
        Default: never.
    """

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
    memory: Literal["auto", "worker"] = "auto"
    ask: Literal["ask", "last", "first"] = "ask"
    side: PolicyField | None = None
    escalate: EscalateConfig | None = None

    @model_validator(mode="after")
    def _only_a_session_escalates(self) -> ServingConfig:
        if self.escalate is not None and self.stickiness != "session":
            raise ValueError(
                f"escalate needs stickiness: session, got {self.stickiness}: only a conversation "
                "that stays with a model can leave it. Set serving.stickiness to session"
            )
        return self


def _or_groups_alone(schema: dict[str, Any]) -> None:
    """Let the groups stand for the whole block, as its validator does."""
    block = dict(schema)
    schema.clear()
    schema |= {"anyOf": [block, block["properties"]["groups"]]}


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

    model_config = ConfigDict(json_schema_extra=_or_groups_alone)

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


def _range(value: Any) -> tuple[float, float] | None:
    if isinstance(value, bool) or value is None:
        return _ANY if value else None
    numbers = value if isinstance(value, list | tuple) else ()
    if len(numbers) != 2 or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    ):
        raise ValueError(f"{value!r} is not a range; write [LOW, HIGH], true or false")
    return float(numbers[0]), float(numbers[1])


_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_RANGE_SCHEMA = {"anyOf": [_PAIR, {"type": ["boolean", "null"]}]}
Range = Annotated[tuple[float, float] | None, PlainValidator(_range), WithJsonSchema(_RANGE_SCHEMA)]


class PolicyLimits(Block):
    """The policies that a request may ask for: `true`, or the range of the kind's value.

    Attributes
    ----------
    quality : bool
    balanced, cheapest, within, cascade : [LOW, HIGH], true or false
        Both ends are allowed; what is not named is not.
    """

    quality: bool = False
    balanced: Range = None
    cheapest: Range = None
    within: Range = None
    cascade: Range = None

    @model_validator(mode="after")
    def _ranges_are_possible(self) -> PolicyLimits:
        for kind in (kind for kind in KINDS if kind != "quality"):
            asked, (least, most) = getattr(self, kind), RANGES[kind]
            if asked not in (None, _ANY) and not least <= asked[0] <= asked[1] <= most:
                wanted = "0 <= LOW <= HIGH" + ("" if math.isinf(most) else f" <= {most:g}")
                raise ValueError(f"the range of {kind} is {list(asked)}, but {wanted} must hold")
        return self

    def allow(self, policy: Policy) -> bool:
        """Say whether a request may ask for a policy."""
        if not policy.saves:
            return self.quality
        asked: tuple[float, float] | None = getattr(self, policy.kind)
        return asked is not None and asked[0] <= policy.value <= asked[1]


EVERYTHING = PolicyLimits(quality=True, balanced=_ANY, cheapest=_ANY, within=_ANY, cascade=_ANY)
NOTHING = PolicyLimits()


class CascadeConfig(Block):
    """How cascades check answers, and what they may take (docs/cascades.md).

    Attributes
    ----------
    verifiers : list of str
        What checks an answer, in this order: `answer`, `schema`, `agreement`, `logprobs`,
        `judge:MODEL_GROUP`, or a function of one's own, `my_package.check`.
    alpha : float
        At most so many requests get an answer that was kept and is wrong.
    confidence : float
        How sure that is, on the labelled answers.
    most_seconds : float
        How long a whole cascade may take; then the best answer that there is, is given.
    most_usd : float, optional
        What the calls of one request may cost together.
    buffer_characters : int
        Of a streamed answer so much is held back while it is checked; 0: streamed requests are
        routed without a cascade.
    """

    verifiers: list[str] = Field(default=["answer", "schema"], min_length=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    most_seconds: float = Field(default=30.0, gt=0)
    most_usd: float | None = Field(default=None, gt=0)
    buffer_characters: int = Field(default=0, ge=0)

    @field_validator("verifiers")
    @classmethod
    def _are_verifiers(cls, names: list[str]) -> list[str]:
        for name in names:
            kind, _, argument = name.partition(":")
            own = all(part.isidentifier() for part in name.replace(":", ".").split("."))
            if not (name in VERIFIERS or (kind == "judge" and argument) or (own and "." in name)):
                raise ValueError(
                    f"{name!r} is not a verifier; write {', '.join(VERIFIERS)}, judge:MODEL_GROUP "
                    "or the path of a function, my_package.check"
                )
        return names


VERIFIERS = ("answer", "schema", "agreement", "logprobs")
"""Verifiers by name; the others are a judge model's and one's own."""


class GroupConfig(Block):
    """One model group of the proxy; what is not said is as for all groups.

    Attributes
    ----------
    policy : Policy or None
        `quality`, `balanced:WEIGHT`, `cheapest:TARGET`, `within:EPSILON` or `cascade:QUALITY`.
    request_policies : PolicyLimits or None
        What the header `x-benchrouter-policy` may ask for.
    """

    policy: PolicyField | None = None
    request_policies: PolicyLimits | None = None


def settle(policy: Policy, limits: PolicyLimits | None, asked: str | None) -> tuple[Policy, str]:
    """Return the policy of a request, and why it is not the one asked for in its header.

    Without limits anything goes where the group's policy is `quality`, as it can only save; else
    nothing does.
    """
    if asked is None:
        return policy, ""
    try:
        wanted = Policy.parse(asked)
    except ValueError:
        return policy, "the policy that the request asks for is not one"  # never quoted: any text
    if limits is None:
        limits = NOTHING if policy.saves else EVERYTHING
    if wanted == policy or limits.allow(wanted):
        return wanted, ""
    return policy, f"requests may not ask for {wanted} here"
