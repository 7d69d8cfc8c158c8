"""Benchmark results in the formats that tools write, read by `kind`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.sources.record import SourceTable

__all__ = ["READERS", "SourceTable", "read", "reader_of"]

READERS: dict[str, str] = {
    "alpaca-eval": "alpaca_eval.read",
    "arena": "judgments.arena",
    "bfcl": "bfcl.read",
    "braintrust": "tracing.braintrust",
    "deepeval": "evaluators.deepeval",
    "embedllm": "routing_sets.embedllm",
    "evalplus": "code_tools.evalplus",
    "helm": "helm.read",
    "inspect": "inspect_ai.read",
    "langfuse": "langfuse.read",
    "langsmith": "tracing.langsmith",
    "lighteval": "harnesses.lighteval",
    "llmrouterbench": "routing_sets.llmrouterbench",
    "lm-eval": "lm_eval.read",
    "mixinstruct": "mixinstruct.read",
    "mt-bench": "judgments.mt_bench",
    "openai-evals": "openai_evals.read",
    "opencompass": "harnesses.opencompass",
    "promptfoo": "promptfoo.read",
    "ragas": "evaluators.ragas",
    "routerarena": "routing_sets.routerarena",
    "routerbench": "routerbench.read",
    "swe-bench": "code_tools.swe_bench",
    "table": "table.read",
}
"""Kind of source -> the module and function here that reads it; imported when needed."""


def read(kind: str, path: Path, options: Mapping[str, object]) -> SourceTable:
    """Read a source of one of the `READERS`; the options are the reader's keyword arguments.

    Raises ConfigError where the kind or an option is unknown, missing, or of the wrong type, and
    SourceError where the source cannot be read.
    """
    reader, checked = reader_of(kind, options, str(path))
    return reader(path, **checked)


def reader_of(
    kind: str, options: Mapping[str, object], place: str
) -> tuple[Callable[..., SourceTable], dict[str, Any]]:
    """Return a kind's reader with its options; raise ConfigError, about a place, as `read`."""
    if kind not in READERS:
        raise ConfigError(
            f'{place}: "{kind}" is not a kind of source. Use one of {", ".join(sorted(READERS))}.'
        )
    module, _, function = READERS[kind].partition(".")
    reader = getattr(import_module(f"{__name__}.{module}"), function)
    options_of_reader = {
        name: parameter
        for name, parameter in signature(reader, eval_str=True).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
    checked = {}
    for name, value in options.items():
        if name not in options_of_reader:
            raise ConfigError(
                f'{place}: kind {kind} has no option "{name}"; it has '
                f"{', '.join(sorted(options_of_reader)) or 'none'}."
            )
        try:
            checked[name] = TypeAdapter(options_of_reader[name].annotation).validate_python(value)
        except ValidationError as error:
            expected = error.errors(include_url=False)[0]["msg"]
            raise ConfigError(
                f"{place}: option {name} is {value!r}, but {expected[:1].lower()}{expected[1:]}."
            ) from error
    for name, parameter in options_of_reader.items():
        if parameter.default is Parameter.empty and name not in checked:
            raise ConfigError(f"{place}: kind {kind} needs the option {name}; add it.")
    return reader, checked
