"""`kind: lm-eval`: what lm-evaluation-harness writes with `--log_samples`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import (
    Fault,
    Faults,
    files_in,
    first_of,
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

_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.jsonl?$")
_DESCRIBES = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
_TURN = re.compile(r"<\|(?:im_start|start_header_id|user)\|>|<start_of_turn>|\[INST\]|<｜User｜>")
_SPECIAL = re.compile(
    r"<\|[^<>|]{1,40}\|>|<｜[^<>｜]{1,40}｜>|<(?:start|end)_of_turn>|\[/?INST\]|</?s>|<</?SYS>>"
)
_ROLE = re.compile(r"\s*(?:system|user|assistant|model)\s*(?:\n|$)")
_NO_METRIC = "bypass"  # what --predict_only puts in the place of metrics


def read(
    path: Path,
    *,
    metric: str | list[str] | None = None,
    filter: str | list[str] | None = None,
    prompt: str = "input",
) -> SourceTable:
    """Read the samples of lm-evaluation-harness.

    Of several runs of a task and model the one with the most rows is read, of equal ones the
    newest. The model's name is in the results file beside the samples, else it is the folder's.

    Parameters
    ----------
    path : Path
        The folder given as `--output_path`, one of a model, or a single file of samples.
    metric : str or list of str, optional
        The metric to take for the score, or several in order of preference: a task takes the first
        that it has. Default: the first in the task's own order that is a number for each sample
        and of which more is better. Every metric that is a number is kept as `metric:NAME`; of one
        that is lower-is-better the negative is taken.
    filter : str or list of str, optional
        The filter whose rows are read, or several in order of preference. Default: the first of
        the task. A task with one filter only does not need to have it.
    prompt : str
        "input": the request without its few-shot examples; "request": the request as sent;
        "doc.FIELD": a field of the data set's row. Of a chat the last user message.

    Returns
    -------
    SourceTable
        `log_likelihood` is that of the option chosen, in multiple choice; elsewhere the tool
        records none of the answer.
    """
    if prompt not in ("input", "request") and not prompt.startswith("doc."):
        raise SourceError(f'prompt is "{prompt}"; choose among input, request and doc.FIELD.')
    collector = Collector(path)
    files = files_in(path, ".jsonl", ".json")  # the Open LLM Leaderboard's are named .json
    named = [file for file in files if file.name.startswith("samples_")]
    files = [file for file in files if file.suffix == ".jsonl"]
    runs: dict[tuple[str, str], _Run] = {}
    for file in named or files:
        with collector.faults.noted(file):
            run = _Run.of(file, collector.faults)
            other = runs.setdefault((run.task, run.model), run)
            if other is not run:
                collector.dropped["runs of which a fuller or newer one is there"] += 1
                runs[run.task, run.model] = max(run, other, key=lambda run: (run.lines, run.stamp))
    wanted = listed([metric] if isinstance(metric, str) else metric or ["a metric for the score"])
    for run in runs.values():
        filters, metrics = _survey(run)
        used = first_of(filters if filter is None or len(filters) == 1 else filter, filters)
        if used is None:
            collector.dropped[f"files of {run.task}, whose filters are {listed(filters)}"] += 1
            continue
        more_is_better = [name for name in metrics if name not in run.lower_is_better]
        main = first_of(more_is_better if metric is None else metric, metrics)
        _add(run, used, main, wanted, prompt, collector)
    return collector.table("lm-eval", asked=metric)


@dataclass(frozen=True)
class _Run:
    """One file of samples, and what the results file of the same run says of it."""

    file: Path
    task: str
    model: str
    stamp: str
    lines: int
    results: Mapping[str, object] = field(repr=False)

    @classmethod
    def of(cls, file: Path, faults: Faults) -> _Run:
        stamp = _STAMP.search(file.name)
        time = stamp[1] if stamp else ""
        results: Mapping[str, object] = {}
        # 0.4.2 and older: results.json, without a time.
        for other in sorted(file.parent.glob(f"*{time}.json" if time else "results.json")):
            with faults.noted(other):
                results = pick(read_json(other), "", dict)
        name = file.name.removesuffix(stamp[0] if stamp else ".jsonl").removeprefix("samples_")
        with file.open("rb") as lines:
            n_lines = sum(1 for _ in lines)
        return cls(file, _task(name, results), _model(file, results), time, n_lines, results)

    @property
    def lower_is_better(self) -> set[str]:
        """The metrics that are better the lower they are."""
        stated = self.says("higher_is_better")
        return {m for m, more in stated.items() if not more} if isinstance(stated, dict) else set()

    @property
    def filters(self) -> list[str]:
        """The filters in the order of the rows."""
        totals = self.says("results")
        keys = [key for key in totals if "," in key] if isinstance(totals, dict) else []
        return list(dict.fromkeys(key.partition(",")[2] for key in keys))

    def says(self, key: str) -> Any:
        """Return what the results file holds for this task under a key, None where nothing."""
        by_task = optional(self.results, key, dict) or {}
        return by_task.get(self.task)  # not a path: a task's name may hold a dot


def _task(name: str, results: Mapping[str, object]) -> str:
    """Return the full name of the task that is in a file's name, where other letters became "_"."""
    tasks = [task for task in optional(results, "configs", dict) or {} if task]
    plain = {re.sub(r"\W", "_", task): task for task in tasks}
    if name in tasks or re.sub(r"\W", "_", name) in plain:
        return name if name in tasks else plain[re.sub(r"\W", "_", name)]
    # 0.4.2 and older put the model's arguments first.
    ends = [task for task in plain if name.endswith(f"_{task}")]
    return plain[max(ends, key=len)] if ends else name


def _model(file: Path, results: Mapping[str, object]) -> str:
    stated = optional(results, "model_name", str)
    if stated:
        return stated
    arguments = lookup(results, "config.model_args")
    if isinstance(arguments, str):
        arguments = dict(item.partition("=")[::2] for item in arguments.split(","))
    for key in ("peft", "delta", "pretrained", "model", "path", "engine"):
        model = optional(arguments, key, str)
        if model:
            return model
    return file.resolve().parent.name.replace("__", "/")


def _survey(run: _Run) -> tuple[list[str], list[str]]:
    """Return the filters, and the metrics that are numbers, in the order of the rows."""
    filters: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for _, name, row in _rows(run, Faults(run.file)):
        filters[name] = None
        metrics |= dict.fromkeys(_numbers(row))
    return list(filters), list(metrics)


def _rows(run: _Run, faults: Faults) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each row with its place and its filter.

    Before 0.4.8 a row does not say its filter: the k-th row of a doc_id is that of the k-th filter.
    """
    times: Counter[int] = Counter()
    filters = run.filters
    for place, row in json_objects(run.file, faults):
        with faults.noted(run.file, place):
            doc_id = pick(row, "doc_id", int)
            k = times[doc_id]
            times[doc_id] += 1
            unsaid = filters[k] if k < len(filters) else f"number {k + 1}"
            yield place, optional(row, "filter", str) or unsaid, row


def _numbers(row: Mapping[str, object]) -> dict[str, float]:
    """Return the metrics of a row that are numbers: some hold their inputs instead."""
    names = optional(row, "metrics", list) or [name for name in row if name not in _DESCRIBES]
    values = {name: number(row.get(name)) for name in names if isinstance(name, str)}
    return {name: v for name, v in values.items() if v is not None and name != _NO_METRIC}


def _add(
    run: _Run, used: str, main: str | None, wanted: str, prompt: str, collector: Collector
) -> None:
    """Add the rows of one filter, scored by one metric; without one, say what was wanted."""
    negative = run.lower_is_better
    for place, name, row in _rows(run, collector.faults):
        if name != used:
            collector.dropped["rows of other filters"] += 1
            continue
        with collector.faults.noted(run.file, place):
            requests = _requests(row)
            sample = Sample(
                sample_id=f"{run.task}/{row['doc_id']}",
                task=run.task,
                prompt=_prompt(row, requests, run, prompt),
                reference=_reference(row, requests),
                identity=optional(row, "doc_hash", str) or json.dumps(row.get("doc")),
            )
            numbers: dict[str, float | None] = {
                f"metric:{metric}": -value if metric in negative else value
                for metric, value in _numbers(row).items()
            }
            score = numbers.get(f"metric:{main}")
            if score is None:
                collector.dropped[f"results of {run.task} without {main or wanted}"] += 1
            numbers["log_likelihood"] = _log_likelihood(row)
            collector.add(sample, run.model, score, numbers)


def _requests(row: Mapping[str, object]) -> list[list[object]]:
    """Return the arguments of each request: the context, and an option or generation settings."""
    arguments = row.get("arguments")
    if isinstance(arguments, dict):  # {gen_args_0: {arg_0: ...}}; before 0.4.3 a list of lists
        arguments = list(arguments.values())
    requests = [
        list(request.values()) if isinstance(request, dict) else request
        for request in (arguments if isinstance(arguments, list) else [])
    ]
    complete = [request for request in requests if isinstance(request, list) and request]
    if not complete:
        raise Fault("has no arguments")
    return complete


def _prompt(
    row: Mapping[str, Any], requests: Sequence[Sequence[object]], run: _Run, wanted: str
) -> str:
    if wanted.startswith("doc."):
        return pick(row, wanted, str)
    sent = requests[0][0]
    if isinstance(sent, list) and len(sent) == 1:  # a chat as the API models log it
        sent = sent[0]
    prompt = question(sent) or ""
    if wanted == "request":
        return prompt
    doc = row.get("doc")
    if _TURN.search(prompt):
        prompt = _own_turn(prompt, doc)
    return _without_shots(prompt, doc, run.says("configs")) if run.says("n-shot") else prompt


def _own_turn(prompt: str, doc: object) -> str:
    """Return the turn about its own document, of a chat that a template made one text."""
    turns = [_without_role(turn).strip() for turn in _SPECIAL.split(prompt)]
    own = _own_text(prompt, doc)
    return next((turn for turn in reversed(turns) if turn and own in turn), prompt)


def _without_role(turn: str) -> str:
    role = _ROLE.match(turn)
    return turn[role.end() :] if role else turn


def _own_text(prompt: str, doc: object) -> str:
    """Return the longest text of a document that is in a prompt."""
    values = doc.values() if isinstance(doc, dict) else []
    own = [value.strip() for value in values if isinstance(value, str)]
    return max((value for value in own if value and value in prompt), key=len, default="")


def _without_shots(prompt: str, doc: object, config: object) -> str:
    """Return the last block of a prompt: from the delimiter before the text of its own document.

    A question may hold the delimiter, so the last delimiter is not the place to cut.
    """
    delimiter = optional(config, "fewshot_delimiter", str) or "\n\n"
    longest = _own_text(prompt, doc)
    start = prompt.rfind(delimiter, 0, prompt.rfind(longest))
    return prompt if start < 0 or not longest else prompt[start + len(delimiter) :]


def _reference(row: Mapping[str, object], requests: Sequence[Sequence[object]]) -> str | None:
    """Return the target, of multiple choice the text of the right option."""
    target = optional(row, "target", str)
    if target and target.isdecimal() and 1 < len(requests) > int(target):
        option = requests[int(target)][-1]
        return text(option.strip() if isinstance(option, str) else target)
    return text(target)


def _log_likelihood(row: Mapping[str, object]) -> float | None:
    """Return the log-likelihood of the most likely option, None where it is no multiple choice."""
    options = optional(row, "filtered_resps", list) or []
    if len(options) < 2 or not all(isinstance(o, list) and len(o) == 2 for o in options):
        return None
    if "acc_mutual_info" in row:  # the second half is the options without the question
        options = options[: len(options) // 2]
    try:
        likelihoods = [number(float(likelihood)) for likelihood, _ in options]
    except (TypeError, ValueError, OverflowError):
        return None
    return max((value for value in likelihoods if value is not None), default=None)
