"""What every part of the configuration has in common."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

logger = logging.getLogger("litellm_benchrouter")

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Block(BaseModel):
    """A part of the configuration: a key it does not know is refused, not ignored.

    Attributes
    ----------
    retired : mapping of str to (str, str)
        Keys of dropped features: where each is in the whole block, and what stands in for it. They
        are accepted, with a warning, for one release and have no effect.
    """

    retired: ClassVar[Mapping[str, tuple[str, str]]] = {}

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, block: Any) -> Any:
        if not isinstance(block, Mapping):
            return block
        for key in sorted(block.keys() & cls.retired.keys()):
            logger.warning(
                "benchrouter: `%s` has no effect, and the next release will refuse it. %s Remove "
                "the key.",
                *cls.retired[key],
            )
        return {key: value for key, value in block.items() if key not in cls.retired}
