"""`schema`: JSON as it was asked for, and calls of tools as these were described.

Schemas are the client's, so that nothing is fetched for one, no pattern of it is tried, and the
work that one can make is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from litellm_benchrouter.verifiers.parts import message_of, text_of, tool_calls_of

VALID, INVALID, NOT_JSON = 1.0, 0.25, 0.0
"""The scores: as asked for; JSON, but not that which was asked for; no JSON, or no such tool."""

_LONGEST = 100_000  # characters, of a schema or of what it describes
_MOST_REFERENCES = 1_000
_references: ContextVar[list[int]] = ContextVar("benchrouter_references")


class _TooMuchError(Exception):
    """A schema refers to its parts too often."""


def _reference(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    left = _references.get()
    left[0] -= 1
    if left[0] < 0:
        raise _TooMuchError
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, ref, instance, schema)


def _skipped(*_: Any) -> Iterator[ValidationError]:
    yield from ()


def _additional(validator: Any, extra: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """Check properties that are not named, where no patterns name some."""
    if isinstance(instance, Mapping) and not schema.get("patternProperties"):
        check = Draft202012Validator.VALIDATORS["additionalProperties"]
        yield from check(validator, extra, instance, schema)


# An expression of the client's could take for ever; what is not evaluated follows references.
_Validator = extend(
    Draft202012Validator,
    {"$ref": _reference}
    | dict.fromkeys(
        (
            *("$dynamicRef", "pattern", "patternProperties", "format"),
            *("unevaluatedProperties", "unevaluatedItems"),
        ),
        _skipped,
    )
    | {"additionalProperties": _additional},
)


def validity(request: Mapping[str, Any], answer: Mapping[str, Any]) -> float | None:
    """Return whether an answer has the form that was asked for; None where none was."""
    calls = tool_calls_of(answer)
    if calls:
        return min(_call_score(call, _parameters(request)) for call in calls)
    if _must_call(request):
        return NOT_JSON
    wanted = request.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind not in ("json_schema", "json_object"):
        return None
    value = _parsed(text_of(message_of(answer).get("content")))
    if value is None:
        return NOT_JSON
    if kind == "json_object":
        return VALID if isinstance(value, dict) else INVALID
    described = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = described.get("schema") if isinstance(described, Mapping) else None
    return _against(value, schema)


def _call_score(call: Mapping[str, Any], parameters: Mapping[str, Any]) -> float:
    name, arguments = call.get("name"), call.get("arguments")
    if name not in parameters:
        return NOT_JSON
    value = arguments if isinstance(arguments, Mapping) else _parsed(str(arguments or "{}"))
    if not isinstance(value, Mapping):
        return NOT_JSON
    score = _against(value, parameters[str(name)])
    return VALID if score is None else score


def _against(value: Any, schema: object) -> float | None:
    """Return whether a value is as a schema says; None where the schema itself is at fault."""
    if not isinstance(schema, Mapping) or not schema:
        return VALID
    if len(json.dumps(schema)) > _LONGEST:
        return None
    token = _references.set([_MOST_REFERENCES])
    try:
        Draft202012Validator.check_schema(schema)
        return VALID if _Validator(schema, registry=Registry()).is_valid(value) else INVALID
    except (SchemaError, Unresolvable, _TooMuchError, RecursionError):
        return None
    finally:
        _references.reset(token)


def _parameters(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of each tool's arguments, by the tool's name."""
    tools = request.get("tools")
    listed = (
        [t.get("function") for t in tools if isinstance(t, Mapping)]
        if isinstance(tools, list)
        else []
    )
    functions = request.get("functions")
    listed += functions if isinstance(functions, list) else []
    named = [each for each in listed if isinstance(each, Mapping)]
    return {str(each.get("name")): each.get("parameters") for each in named}


def _must_call(request: Mapping[str, Any]) -> bool:
    choice = request.get("tool_choice")
    return choice == "required" or (
        isinstance(choice, Mapping) and choice.get("type") == "function"
    )


def _parsed(text: str) -> Any:
    """Return the JSON value that a text is, with or without a code fence; None where it is none."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].strip().removeprefix("json").strip()
    try:
        return json.loads(text) if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        return None
