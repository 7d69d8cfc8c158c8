"""What the hook reads: how the plugin behaves in the proxy."""

from __future__ import annotations

from typing import Literal

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
    log_level : str, optional
        From which level on the plugin's own messages are written; `debug` adds one line of JSON
        for each decision. Default: as the proxy's logging is set up.
    log_prompts : bool
        Whether those lines hold the text that was compared, cut to 500 characters.
    """

    time_limit_ms: float = Field(default=200.0, gt=0)
    poll_seconds: float = Field(default=30.0, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    log_prompts: bool = False
