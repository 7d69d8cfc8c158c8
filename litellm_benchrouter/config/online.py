"""What the hook reads: how the plugin behaves in the proxy."""

from __future__ import annotations

from pydantic import Field

from litellm_benchrouter.config.block import Block


class ServingConfig(Block):
    """How the hook behaves in the proxy.

    Attributes
    ----------
    time_limit_ms : float
        Longest that a decision may hold a request; after it the best on average goes first.
    poll_seconds : float
        How often a new artifact version is looked for.
    """

    time_limit_ms: float = Field(default=200.0, gt=0)
    poll_seconds: float = Field(default=30.0, gt=0)
