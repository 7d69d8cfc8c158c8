"""`kind: openai-evals`: logs of OpenAI evals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from litellm_benchrouter.sources.json_files import Fault, lookup, optional
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable, number
from litellm_benchrouter.sources.rows import (
    Row,
    answer_text,
    asked,
    chosen_metric,
    look_text,
    marked_files,
    rows_in,
)

_USUAL = ("correct", "accuracy", "score")


def read(path: Path, *, metric: str | None = None, model: str | None = None) -> SourceTable:
    """Read logs of OpenAI evals: what `oaieval` writes to `/tmp/evallogs`.

    The prompt is the first that was sampled for a sample (later ones ask a grader), of a chat the
    last user message; the task is the eval's name. A sample with an error, or that was sampled and
    not scored, is missing and not wrong.

    Parameters
    ----------
    path : Path
        A log, or a folder with logs.
    metric : str, optional
        "correct": of matches, the default of an eval that has any; else a number of the recorded
        metrics, by default the only one, `accuracy` or `score`.
    model : str, optional
        The model of all logs. Default: the first completion function of the run.
    """
    collector = Collector(path)
    runs = []
    for file in marked_files(path, (".jsonl", ".json"), ('"spec"',), "OpenAI evals",
                             collector.faults):  # fmt: skip
        with collector.faults.noted(file):
            runs.append((file, *_evals_run(file, collector)))
    names: dict[str, dict[str, None]] = {}
    for _, _, task, samples in runs:
        of_task = names.setdefault(task, {})
        of_task |= {name: None for one in samples.values() for name in one.values}
    main_of = {task: chosen_metric(path, [*each], metric, _USUAL) for task, each in names.items()}
    for file, of_run, task, samples in runs:
        main = main_of[task]
        for key, one in samples.items():
            with collector.faults.noted(file, f"sample {key}"):
                if not one.prompt:
                    raise Fault("has no prompt")
                values = {n: sum(v) / len(v) for n, v in one.values.items()}
                score = None if one.failed else values.get(main or "")
                if score is None:
                    collector.dropped["samples without a score, which are missing"] += 1
                numbers = {f"metric:{n}": v for n, v in values.items()}
                name = f"{task}/{key}"
                collector.add(Sample(name, task, one.prompt, one.expected), model or of_run, score,
                              {} if one.failed else numbers)  # fmt: skip
    return collector.table("OpenAI evals", asked=metric)


@dataclass
class _EvalsSample:
    prompt: str | None = None
    expected: str | None = None
    failed: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)


def _evals_run(file: Path, collector: Collector) -> tuple[str, str, dict[str, _EvalsSample]]:
    """Return the model, the task and the samples of a log."""
    spec: Row = {}
    samples: dict[str, _EvalsSample] = {}
    for place, row, _ in rows_in(file, collector.faults):
        with collector.faults.noted(file, place):
            spec = optional(row, "spec", dict) or spec
            kind, data = row.get("type"), row.get("data")
            if kind is None or row.get("sample_id") is None or not isinstance(data, dict):
                continue
            one = samples.setdefault(str(row["sample_id"]), _EvalsSample())
            if kind == "sampling" and one.prompt is None:
                one.prompt = asked(data.get("prompt"))
            elif kind == "error":
                one.failed = True
            for metric, value in _evals_values(kind, data):
                one.values.setdefault(metric, []).append(value)
            if kind == "match":
                one.expected = answer_text(data.get("expected"))
    functions = spec.get("completion_fns") or lookup(spec, "model_names.completions")
    several = functions if isinstance(functions, list) else []
    name: object = next(iter(several), spec.get("model_name"))
    task = look_text(spec, "eval_name", "base_eval")
    if not isinstance(name, str) or task is None:
        raise Fault("has no spec with completion_fns and eval_name")
    return name, task, samples


def _evals_values(kind: str, data: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    if kind == "match" and isinstance(data.get("correct"), bool):
        yield "correct", float(bool(data["correct"]))
    for name, value in data.items() if kind == "metrics" else ():
        if (n := number(value)) is not None:
            yield name, n
