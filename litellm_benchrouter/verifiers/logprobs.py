"""`logprobs`: how likely the model itself found its answer, where the provider says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.verifiers.parts import choice_of


def mean_probability(request: Mapping[str, Any], answer: Mapping[str, Any]) -> float | None:
    """Return the geometric mean of the tokens' probabilities; None where there are none."""
    of_tokens = choice_of(answer).get("logprobs")
    tokens = of_tokens.get("content") if isinstance(of_tokens, Mapping) else None
    listed = [token.get("logprob") for token in tokens or () if isinstance(token, Mapping)]
    values = [value for value in listed if isinstance(value, int | float) and math.isfinite(value)]
    if not values:
        return None
    return min(1.0, math.exp(math.fsum(values) / len(values)))
