"""`kind: promptfoo`: promptfoo's results as JSON, or as JSONL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.json_files import (
    Fault,
    each_object,
    files_in,
    json_objects,
    lookup,
    optional,
    pick,
    read_json,
)
from litellm_benchrouter.sources.record import (
    Collector,
    Sample,
    SourceTable,
    number,
    question,
    text,
)

_ERROR = 2  # of failureReason: 0 none, 1 an assertion failed
_STATES_ANSWER = {"equals", "similar", "factuality", "levenshtein"}


def read(
    path: Path, *, metric: str | None = None, task: str | None = None, prompt: str = "request"
) -> SourceTable:
    """Read promptfoo's results.

    A sample is a prompt with its variables, so that each of several prompt templates gives samples
    of its own; repetitions are averaged. A result with an error is missing and not wrong. The model
    is the provider's label, else its id.

    Parameters
    ----------
    path : Path
        A results file, or a folder with such files. A row that two files hold is read once.
    metric : str, optional
        "success": whether the test passed; "score": the weighted mean of the assertions; or the
        name of a metric in the assertions. Default: success, and score where it is not stated. All
        are kept as `metric:NAME`.
    task : str, optional
        The task of all samples. Default: the `task` in the test's metadata, else the description
        of the evaluation, else the file's name.
    prompt : str
        "request": the prompt as sent, of a chat the last user message; "vars.NAME": a variable of
        the test, with which results of several templates are averaged.

    Returns
    -------
    SourceTable
        `cost_usd` and tokens are those of the provider; promptfoo has no log-likelihoods.
    """
    if prompt != "request" and not prompt.startswith("vars."):
        raise SourceError(f'prompt is "{prompt}"; choose request or vars.NAME.')
    collector = Collector(path)
    seen: set[str] = set()
    for file in files_in(path, ".json", ".jsonl"):
        for place, row, description in _rows(file, collector):
            with collector.faults.noted(file, place):
                row_id = optional(row, "id", str)
                if row_id in seen:
                    collector.dropped["results that another file holds"] += 1
                    continue
                seen |= {row_id} if row_id else set()
                _add(row, task or _task(row) or description or file.stem, metric, prompt, collector)
    return collector.table("promptfoo", asked=metric)


def _rows(file: Path, collector: Collector) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yield each row with its place, and the description of the evaluation."""
    if file.suffix == ".jsonl":
        for place, row in json_objects(file, collector.faults):
            yield place, row, None
        return
    with collector.faults.noted(file):
        document = read_json(file)
        description = optional(document, "config.description", str)
        for place, row in each_object(document, "results.results", file, collector.faults):
            yield place, row, description


def _task(row: Mapping[str, object]) -> str | None:
    metadata = (lookup(row, key) for key in ("testCase.metadata.task", "metadata.task"))
    return next((task for task in metadata if task and isinstance(task, str)), None)


def _add(
    row: Mapping[str, Any], task: str, metric: str | None, prompt: str, collector: Collector
) -> None:
    provider = pick(row, "provider", object)
    model = provider
    if not isinstance(provider, str):
        model = lookup(provider, "label") or lookup(provider, "id")
    if not isinstance(model, str):
        raise Fault("has no provider.label and no provider.id")
    variables = optional(row, "vars", dict) or {}
    is_whole = prompt == "request"
    sent = question(pick(row, "prompt.raw", str)) if is_whole else pick(row, prompt, str)
    shown = {name: value for name, value in variables.items() if not name.startswith("_")}
    described = json.dumps([task, sent, shown], sort_keys=True)
    sample = Sample(
        sample_id=f"{task}/{hashlib.sha256(described.encode()).hexdigest()[:16]}",
        task=task,
        prompt=sent or "",
        reference=_reference(row, variables),
    )
    usage = optional(row, "tokenUsage", dict) or {}
    tokens = usage if usage.get("total") else {}  # zeros where the provider does not say
    cost = number(lookup(row, "response.cost"))
    numbers = {
        "cost_usd": (number(row.get("cost")) or None) if cost is None else cost,
        "prompt_tokens": number(tokens.get("prompt")),
        "completion_tokens": number(tokens.get("completion")),
    }
    if row.get("failureReason") == _ERROR or (
        # Versions without a failureReason: an error, and nothing that was graded.
        "failureReason" not in row and row.get("error") and not row.get("gradingResult")
    ):
        collector.dropped["results with an error, which are missing and not wrong"] += 1
        collector.add(sample, model, None)
        return
    named = optional(row, "namedScores", dict) or {}
    values = {name: number(value) for name, value in named.items()}
    values |= {name: number(row.get(name)) for name in ("score", "success")}
    names = [metric] if metric else ["success", "score"]
    score = next((values[name] for name in names if values.get(name) is not None), None)
    if score is None:
        collector.dropped[f"results without {' or '.join(names)}"] += 1
    numbers |= {f"metric:{name}": value for name, value in values.items()}
    collector.add(sample, model, score, numbers)


def _reference(row: Mapping[str, object], variables: Mapping[str, object]) -> str | None:
    """Return the text that the first assertion about the answer itself compares with."""
    for assertion in optional(row, "testCase.assert", list) or []:
        value = lookup(assertion, "value")
        if optional(assertion, "type", str) in _STATES_ANSWER and isinstance(value, str):
            name = value.strip().removeprefix("{{").removesuffix("}}").strip()
            is_variable = value.strip() != name and name in variables
            return text(variables[name] if is_variable else value)
    return None
