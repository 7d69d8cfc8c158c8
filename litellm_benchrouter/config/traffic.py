"""Own traffic: what is collected, scored by callers, and refreshed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from litellm_benchrouter.config.base import Block, is_url, without_scheme

SPEND_LOGS = "spend_logs"
"""The `from` of prompts in LiteLLM's own spend logs."""
REDACTED = ("email", "card", "key")
"""What `redact` knows by name."""
_MEANT = {"email": "email", "mail": "email", "card": "card", "creditcard": "card", "key": "key",
          "apikey": "key"}  # fmt: skip
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_TRAFFIC_FOLDER = "router_traffic"


class CollectConfig(Block):
    """Which prompts the proxy keeps, and where; docs/traffic.md.

    Attributes
    ----------
    share : float
        Of the requests that are routed, drawn at random.
    to : str
        A folder, or a URL as `s3://bucket/prefix`, with `storage_options` of the block.
    most : int
        Prompts that are kept; the oldest go first.
    keep_days : int
        Days that they are kept.
    redact : list of str
        What is taken out before anything is written: `email`, `card`, `key`, a regular expression,
        or a function of the operator's, `module:function`.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.01
    to: str = _TRAFFIC_FOLDER
    most: int = Field(default=10_000, ge=1)
    keep_days: int = Field(default=30, ge=1, le=36_500)
    redact: list[str] = Field(default=list(REDACTED))

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, place: str) -> str:
        if not place.strip() or "*" in place:
            raise ValueError(f"{place!r} is not a folder or a URL; write one such as s3://bucket/x")
        return without_scheme(place)

    @field_validator("redact")
    @classmethod
    def _patterns_are_valid(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            try:
                re.compile(entry)
            except re.error as error:
                raise ValueError(f"{entry!r} is no regular expression ({error})") from error
            if entry in REDACTED:
                continue
            if re.search(entry, ""):
                raise ValueError(f"{entry!r} matches an empty text, so it says nothing")
            if _DOTTED.fullmatch(entry):
                raise ValueError(
                    f"{entry!r} is taken for a pattern. Write a function as `module:function`, and "
                    "a pattern with its dots escaped"
                )
            meant = _MEANT.get(re.sub("[-_ ]", "", entry.casefold()).removesuffix("s"))
            if meant is not None:
                raise ValueError(
                    f"{entry!r} is taken for a pattern. Write {meant}, or `(?:{entry})` to take "
                    "out the word itself"
                )
        return entries


class FeedbackConfig(Block):
    """Scores that callers give to answers; docs/traffic.md.

    Attributes
    ----------
    to : Path, optional
        The folder of the file, where the proxy has no PostgreSQL; default: that of `collect`.
    most : int
        Answered calls that are kept, and as many with a score; the oldest go first.
    keep_days : int
        Days that they are kept.
    """

    to: Path | None = None
    most: int = Field(default=100_000, ge=1)
    keep_days: int = Field(default=30, ge=1, le=36_500)


class TrafficConfig(Block):
    """Own traffic; docs/traffic.md.

    Attributes
    ----------
    labels : Path, optional
        Prompts with scores of models (.jsonl); a relative path starts at the folder of the
        configuration. Default: `labels/traffic.jsonl` beside the artifacts, where it exists.
    metric : str, optional
        How `benchrouter label --traffic` scores answers (docs/labelling.md).
    rubric : str, optional
        What a judge goes by where a prompt has no reference.
    from : str, optional
        Where prompts are read, here `origin`: `spend_logs` for LiteLLM's own, or files: a path, a
        pattern, a folder or a URL. Default: what `collect` keeps.
    most : int
        Prompts that are read, the newest.
    database_url : str, optional
        LiteLLM's; default: what the proxy's YAML or `DATABASE_URL` says.
    collect : CollectConfig, optional
        Without it no prompts are kept.
    feedback : FeedbackConfig, optional
        Default: feedback is taken where prompts are kept.
    explore : float
        Share of the requests that a random plausible model answers; it needs `collect`.
    """

    labels: Path | None = None
    metric: str | None = None
    rubric: str | None = Field(default=None, min_length=1)
    origin: str | None = Field(default=None, alias="from", min_length=1)
    most: int = Field(default=10_000, ge=1)
    database_url: str | None = Field(default=None, repr=False)
    collect: CollectConfig | None = None
    feedback: FeedbackConfig | None = None
    explore: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _learns_from_what_it_explores(self) -> Self:
        if self.explore and self.collect is None:
            raise ValueError(
                "explore needs `collect`: what is learned from are the prompts of explored "
                "requests. Add `collect: {}`, or leave explore out"
            )
        return self

    def at(self, folder: Path) -> Self:
        """Return the same with places that start at a folder."""

        def place(given: str) -> str:
            return given if is_url(given) else str(folder / given)

        changed: dict[str, Any] = {"labels": self.labels and folder / self.labels}
        if self.origin not in (None, SPEND_LOGS):
            changed["origin"] = place(str(self.origin))
        home = folder / _TRAFFIC_FOLDER
        if self.collect is not None:
            changed["collect"] = self.collect.model_copy(update={"to": place(self.collect.to)})
            home = home if is_url(self.collect.to) else folder / self.collect.to
        feedback = self.feedback or (None if self.collect is None else FeedbackConfig())
        if feedback is not None:
            to = home if feedback.to is None else folder / feedback.to
            changed["feedback"] = feedback.model_copy(update={"to": to})
        return self.model_copy(update=changed)


class RefreshConfig(Block):
    """`benchrouter refresh`; docs/refresh.md.

    Attributes
    ----------
    webhook : str, optional
        Where the summary of a run is posted, as JSON: an address with https:// or http://, or
        `os.environ/NAME` for one that nobody is to read here.
    """

    webhook: str | None = Field(default=None, repr=False)

    @field_validator("webhook")
    @classmethod
    def _is_an_address(cls, webhook: str | None) -> str | None:
        if webhook and not re.match(r"https?://[^/\s]|os\.environ/\w", webhook):
            raise ValueError("it has to begin with https://, http:// or os.environ/")
        return webhook
