"""`kind: helm`: the runs of crfm-helm, as `helm-run` and `helm-summarize` leave them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import (
    Fault,
    Faults,
    each_object,
    files_in,
    first_of,
    lookup,
    optional,
    pick,
    pick_objects,
    read_json,
)
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable, number

_Json = Mapping[str, object]
_Option = tuple[str, int, float | None]  # instance, trial, index of the reference

GUESSES = (
    *("final_number_exact_match", "math_equiv_chain_of_thought", "math_equiv"),
    *("chain_of_thought_correctness", "ifeval_strict_accuracy", "omni_math_accuracy", "pass"),
    *("exact_match", "quasi_exact_match", "f1_score", "rouge_2", "rouge_l", "bleu_4"),
)
"""The order in which the main metric is guessed where neither schema.json nor an option tells it.

Metrics that HELM computes for one kind of scenario only come before those it computes for nearly
all of them.
"""


def read(
    path: Path,
    *,
    metric: str | list[str] | None = None,
    prompt: Literal["input", "request"] = "input",
) -> SourceTable:
    """Read the runs of HELM.

    A task is a scenario with its arguments: the name of the run without the model. A run that
    several suites hold is taken from the last one ("v10" comes after "v9"). Rows with a perturbed
    prompt are left out, and the trials of an instance are averaged.

    Parameters
    ----------
    path : Path
        `benchmark_output`, its `runs`, the folder of a suite, or that of one run.
    metric : str or list of str, optional
        The metric to take for the score, or several in order of preference: a run takes the first
        that it has. Default: the main metric of the run's group in the suite's schema.json; without
        it the first of `GUESSES`. The metrics of `GUESSES`, the main ones and those asked for are
        kept as `metric:NAME`. Of a metric that the schema calls lower-is-better the negative is
        taken.
    prompt : {"input", "request"}
        The question alone, or the whole prompt of the first trial, with instructions and shots.

    Returns
    -------
    SourceTable
        `log_likelihood` is the sum over the tokens of the answer, and where each option was scored
        by itself that over the tokens of the option chosen.
    """
    collector = Collector(path)
    folders = [file.parent for file in files_in(path, "run_spec.json")]
    if path.is_file() or not folders:
        raise SourceError(f"{path} holds no run_spec.json; give helm-run's benchmark_output.")
    asked = [metric] if isinstance(metric, str) else metric
    schemas: dict[Path, _Schema] = {}
    seen: set[tuple[str, str]] = set()
    for folder in sorted(folders, key=_last_suite_first):
        with collector.faults.noted(folder / "run_spec.json"):
            run = _Run.read(folder)
            if (run.task, run.model) in seen:
                collector.dropped["runs that a later suite repeats"] += 1
                continue
            suite = folder.parent
            if suite not in schemas:
                schemas[suite] = _Schema.read(suite / "schema.json", collector.faults)
            if _read_run(run, schemas[suite], asked, prompt == "request", collector):
                seen.add((run.task, run.model))
    return collector.table("HELM", asked=asked)


def _last_suite_first(folder: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key: suites from the last to the first, "v10" before "v9", and runs by name."""
    parts = re.split(r"(\d+)", folder.parent.name)
    return [(-int(part) if part.isdecimal() else 0, part) for part in parts], folder.name


@dataclass(frozen=True)
class _Schema:
    """The metrics of a suite's schema.json: the main one of each group, and directions."""

    main: dict[str, str] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()

    @classmethod
    def read(cls, file: Path, faults: Faults) -> _Schema:
        """Read the file; where it is absent or broken, nothing is known."""
        if not file.is_file():
            return cls()
        with faults.noted(file):
            document = read_json(file)
            main = {
                pick(group, "name", str): optional(group, "environment.main_name", str)
                for group in pick_objects(document, "run_groups")
            }
            metrics = pick_objects(document, "metrics")
            lower = (m.get("name") for m in metrics if m.get("lower_is_better") is True)
            return cls(
                # HELM writes "none" where a group has no main metric.
                {group: name for group, name in main.items() if name not in (None, "none")},
                frozenset(name for name in lower if isinstance(name, str)),
            )
        return cls()


@dataclass(frozen=True)
class _Run:
    """One run: a scenario with its arguments, and a model."""

    folder: Path
    task: str
    model: str
    groups: list[str]
    options_apart: bool  # whether each option of a question was a request of its own

    @classmethod
    def read(cls, folder: Path) -> _Run:
        spec = read_json(folder / "run_spec.json")
        method = optional(spec, "adapter_spec.method", str) or ""
        return cls(
            folder,
            _without_model(pick(spec, "name", str)),
            pick(spec, "adapter_spec.model", str),
            [name for name in optional(spec, "groups", list) or [] if isinstance(name, str)],
            method.startswith("multiple_choice_separate"),
        )


def _without_model(name: str) -> str:
    """Drop the model from "scenario,key=value:key=value,model=org_name"."""
    parts = []
    for part in name.split(":", maxsplit=1):
        items = [i for i in part.split(",") if not i.startswith(("model=", "model_deployment="))]
        parts.append(",".join(items))
    return ":".join(part for part in parts if part)


def _read_run(
    run: _Run, schema: _Schema, asked: list[str] | None, whole: bool, collector: Collector
) -> bool:
    """Add the results of a run, and say whether there are any."""
    file = run.folder / "per_instance_stats.json"
    rows: list[tuple[str, dict[str, Any]]] = []
    with collector.faults.noted(file):
        rows = list(each_object(read_json(file), "", file, collector.faults))
    samples, answers = _described(run, whole, collector.faults)
    main = _main_metric(run, schema, asked, [row for _, row in rows])
    wanted_metrics = {*GUESSES, *schema.main.values(), *(asked or ())}
    for place, row in rows if samples else []:
        with collector.faults.noted(file, place):
            instance = pick(row, "instance_id", str)
            if row.get("perturbation"):
                collector.dropped["rows with a perturbed prompt"] += 1
                continue
            if instance not in samples:
                raise Fault("has an instance_id that the run does not describe")
            values = dict(_values(pick_objects(row, "stats")))
            numbers: dict[str, float | None] = {
                f"metric:{name}": -value if name in schema.lower_is_better else value
                for name, value in values.items()
                if name in wanted_metrics
            }
            score = numbers.get(f"metric:{main}")
            if score is None:
                wanted = main or listed(asked or ["any metric known here"])
                collector.dropped[f"results of {run.task} without {wanted}"] += 1
            option = instance, _trial(row), values.get("predicted_index")
            numbers |= {
                "log_likelihood": values.get("logprob", answers.get(option)),
                "prompt_tokens": values.get("num_prompt_tokens"),
                "completion_tokens": values.get("num_output_tokens"),
            }
            collector.add(samples[instance], run.model, score, numbers)
    return bool(rows and samples)


def _values(stats: Sequence[_Json]) -> Iterator[tuple[str, float]]:
    """Yield the metrics of a row; one that was not measured (count 0) has no mean."""
    for stat in stats:
        value = number(stat.get("mean"))
        if value is not None and not lookup(stat, "name.perturbation"):
            yield pick(stat, "name.name", str), value


def _main_metric(
    run: _Run, schema: _Schema, asked: list[str] | None, rows: Sequence[_Json]
) -> str | None:
    """Return the metric to take for the score, of those that the run has."""
    stats = (stat for row in rows for stat in optional(row, "stats", list) or [])
    there = list(dict.fromkeys(optional(stat, "name.name", str) or "" for stat in stats))
    if asked is not None:
        return first_of(asked, there)
    of_groups = [schema.main[group] for group in run.groups if group in schema.main]
    return first_of([*of_groups, *GUESSES], there)


def _described(
    run: _Run, whole: bool, faults: Faults
) -> tuple[dict[str, Sample], dict[_Option, float]]:
    """Return the instances of a run by id, and the log-likelihoods of options asked apart."""
    samples: dict[str, Sample] = {}
    answers: dict[_Option, float] = {}
    short, full = run.folder / "instances.json", run.folder / "scenario_state.json"
    if whole or run.options_apart or not short.is_file():
        with faults.noted(full):
            for place, state in each_object(read_json(full), "request_states", full, faults):
                with faults.noted(full, place):
                    _describe(run.task, state, whole, samples)
                    if run.options_apart:
                        _score_option(state, answers)
    if not samples and not whole and short.is_file():
        with faults.noted(short):
            for place, instance in each_object(read_json(short), "", short, faults):
                with faults.noted(short, place):
                    _describe(run.task, {"instance": instance}, whole, samples)
    return samples, answers


def _describe(task: str, state: _Json, whole: bool, samples: dict[str, Sample]) -> None:
    """Add an instance; a perturbed one has the id of its original and is left out."""
    instance = pick(state, "instance", dict)
    key = pick(instance, "id", str)
    if key in samples or instance.get("perturbation"):
        return
    question = pick(instance, "input.text", str)
    prompt = pick(state, "request.prompt", str) if whole else question
    if whole and "reference_index" in state:  # such a request ends with the option
        prompt = prompt.removesuffix(_option(state)).rstrip()
    references = optional(instance, "references", list) or []
    right = (r for r in references if "correct" in (optional(r, "tags", list) or []))
    samples[key] = Sample(
        sample_id=f"{task}/{key}",
        task=task,
        prompt=prompt,
        reference=optional(next(right, None), "output.text", str),
        split=optional(instance, "split", str),
        identity=question,
    )


def _option(state: _Json) -> str:
    """Return the text of the option that a request is about."""
    references = pick_objects(state, "instance.references")
    index = pick(state, "reference_index", int)
    if not 0 <= index < len(references):
        raise Fault("has a reference_index without a reference")
    return pick(references[index], "output.text", str)


def _score_option(state: _Json, answers: dict[_Option, float]) -> None:
    """Add the log-likelihood of the option that a request is about.

    The completion repeats the whole prompt; the option's tokens are the last ones.
    """
    # Calibrated runs also score the option without its question, which is no answer.
    original = state.get("request_mode") == "original"
    completions = pick_objects(state, "result.completions")
    if not original or not completions or lookup(state, "instance.perturbation"):
        return
    left, total = len(_option(state)), 0.0
    for token in reversed(pick_objects(completions[0], "tokens")):
        if left <= 0:
            break
        left -= len(pick(token, "text", str))
        total += number(token.get("logprob")) or 0.0
    if left <= 0:
        key = pick(state, "instance.id", str), _trial(state), pick(state, "reference_index", int)
        answers[key] = total


def _trial(row: _Json) -> int:
    return optional(row, "train_trial_index", int) or 0
