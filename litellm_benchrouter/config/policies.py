"""What may be given up for cost: the operator's policies, and what a request may ask for."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import PlainValidator, model_validator

from litellm_benchrouter.config.block import Block
from litellm_benchrouter.costs.policy import RANGES, SPELLING, Policy

_ANY = (0.0, math.inf)


def _policy(value: Any) -> Policy:
    if isinstance(value, Policy):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a policy; write {SPELLING}")
    return Policy.parse(value)


def _range(value: Any) -> tuple[float, float] | None:
    if isinstance(value, bool) or value is None:
        return _ANY if value else None
    numbers = value if isinstance(value, list | tuple) else ()
    if len(numbers) != 2 or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    ):
        raise ValueError(f"{value!r} is not a range; write [LOW, HIGH], true or false")
    return float(numbers[0]), float(numbers[1])


PolicyField = Annotated[Policy, PlainValidator(_policy)]
Range = Annotated[tuple[float, float] | None, PlainValidator(_range)]


class PolicyLimits(Block):
    """The policies that a request may ask for: `true`, or the range of the kind's value.

    Attributes
    ----------
    quality : bool
    balanced, cheapest, within : [LOW, HIGH], true or false
        Both ends are allowed; what is not named is not.
    """

    quality: bool = False
    balanced: Range = None
    cheapest: Range = None
    within: Range = None

    @model_validator(mode="after")
    def _ranges_are_possible(self) -> PolicyLimits:
        for kind in ("balanced", "cheapest", "within"):
            asked, (least, most) = getattr(self, kind), RANGES[kind]
            if asked not in (None, _ANY) and not least <= asked[0] <= asked[1] <= most:
                wanted = "0 <= LOW <= HIGH" + ("" if math.isinf(most) else " <= 1")
                raise ValueError(f"the range of {kind} is {list(asked)}, but {wanted} must hold")
        return self

    def allow(self, policy: Policy) -> bool:
        """Say whether a request may ask for a policy."""
        if not policy.saves:
            return self.quality
        asked: tuple[float, float] | None = getattr(self, policy.kind)
        return asked is not None and asked[0] <= policy.value <= asked[1]


EVERYTHING = PolicyLimits(quality=True, balanced=_ANY, cheapest=_ANY, within=_ANY)
NOTHING = PolicyLimits()


class GroupConfig(Block):
    """One model group of the proxy; what is not said is as for all groups.

    Attributes
    ----------
    policy : Policy or None
        `quality`, `balanced:WEIGHT`, `cheapest:TARGET` or `within:EPSILON`.
    request_policies : PolicyLimits or None
        What the header `x-benchrouter-policy` may ask for.
    """

    policy: PolicyField | None = None
    request_policies: PolicyLimits | None = None


def settle(policy: Policy, limits: PolicyLimits | None, asked: str | None) -> tuple[Policy, str]:
    """Return the policy of a request, and why it is not the one asked for where it is not.

    Parameters
    ----------
    policy : Policy
        The group's.
    limits : PolicyLimits or None
        None: anything where the group's policy is `quality`, as it can only save, else nothing.
    asked : str or None
        What the request's header says.
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
