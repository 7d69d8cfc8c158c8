"""What pydantic found wrong, in the words of the person who wrote the configuration."""

from __future__ import annotations

import reprlib
from types import NoneType, UnionType
from typing import Any

from pydantic import BaseModel, ValidationError


def first_problem(error: ValidationError, where: str, block: str, model: type[BaseModel]) -> str:
    """Say what is wrong first, in one sentence with the key's path and the value.

    Parameters
    ----------
    error : pydantic.ValidationError
    where : str
        The file.
    block : str
        The name of the block that was checked.
    model : type
        What it was checked against.
    """
    problems = error.errors(include_url=False)
    # A misspelt key is also one that is missing: the misspelling is what there is to mend.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    key = block
    for part in problem["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    more = f" ({len(problems) - 1} more after it)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"][:-1])
        return f"{where}: unknown key `{key}`; known here: {known}{more}."
    if problem["type"] == "missing":
        return f"{where}: `{key}` is missing; add it{more}."
    if problem["type"] == "value_error":
        return f"{where}: `{key}`: {problem['msg'].removeprefix('Value error, ')}{more}."
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] == "model_type":
        message = "it should be a block of keys"
    return f"{where}: `{key}` is {reprlib.repr(problem['input'])}, but {message}{more}."


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Keys that the block at a location takes."""
    block: Any = model
    for part in location:
        inner = getattr(block, "__args__", ())  # of list[X] and dict[str, X]
        block = inner[-1] if inner else _without_none(block.model_fields[part].annotation)
    return ", ".join(sorted(block.model_fields))


def _without_none(annotation: Any) -> Any:
    """Return X of `X | None`."""
    if not isinstance(annotation, UnionType):
        return annotation
    return next(part for part in annotation.__args__ if part is not NoneType)
