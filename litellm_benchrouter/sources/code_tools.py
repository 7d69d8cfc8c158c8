"""Tools that run code, whose results name problems by id: EvalPlus and SWE-bench."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import Fault, lookup, optional, pick, read_json
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    UndecidedError,
    asked,
    look,
    marked_files,
    question_files,
    rows_in,
)

_EVALPLUS_NAME = re.compile(r"(?:_(?:hf|vllm|openai|anthropic|google|ollama|bedrock))?_temp_[\d.]+")
_EVALPLUS_TASKS = {"HumanEval": "humaneval", "Mbpp": "mbpp"}


def _prompts(
    path: Path,
    given: str | None,
    patterns: tuple[str, ...],
    key: str,
    prompt: str,
    what: str,
    collector: Collector,
) -> dict[str, str]:
    """Return the prompts of a benchmark's problems by their id; raises UndecidedError."""
    prompts = {}
    for file in question_files(path, given, *patterns):
        for _, row, _ in rows_in(file, collector.faults):
            text = asked(look(row, prompt))
            if text is not None and look(row, key) is not None:
                prompts[str(look(row, key))] = text
    if not prompts:
        raise UndecidedError(
            f"{path}: the results hold no prompts. Put {what} beside them, or name it with "
            "options: {questions: FILE}."
        )
    return prompts


def evalplus(
    path: Path,
    *,
    metric: Literal["plus", "base"] | None = None,
    questions: str | None = None,
    model: str | None = None,
) -> SourceTable:
    """Read EvalPlus's `*_eval_results.json`, joined with the problems.

    Several solutions of a problem are averaged, which gives pass@1. A solution that ran out of
    time fails, as in EvalPlus.

    Parameters
    ----------
    path : Path
        A file, or the folder `evalplus_results`. The model is in the file's name before `_temp_`,
        or in its folder's where the file is `eval_results.json`.
    metric : str, optional
        "plus": passes the base and the extra tests, the default; "base": the base tests, also the
        default where no file has others.
    questions : str, optional
        JSONL with `task_id` and `prompt`, from the path's folder. Default: `HumanEvalPlus*.jsonl`
        and `MbppPlus*.jsonl` beside the results.
    model : str, optional
        The model of all files.
    """
    collector = Collector(path)
    files = marked_files(path, ("eval_results.json",), ('"eval"',), "EvalPlus", collector.faults)
    solved: list[tuple[str, str, dict[str, float | None]]] = []
    runs: dict[tuple[str, str], Path] = {}
    for file in files:
        with collector.faults.noted(file):
            name = model or _evalplus_model(file)
            of_file = pick(read_json(file), "eval", dict)
            for start in sorted({task_id.partition("/")[0] for task_id in of_file}):
                other = runs.setdefault((name, start), file)
                if other != file:
                    raise UndecidedError(
                        f"{path}: {other} and {file} are both of {name} on {start}. "
                        "Keep one of them, or say options: {model: NAME} of each in a source."
                    )
            for task_id, solutions in of_file.items():
                for passed in _evalplus_passed(solutions):
                    solved.append((task_id, name, passed))
    if not solved:
        return collector.table("EvalPlus")
    patterns = ("HumanEvalPlus*.jsonl", "MbppPlus*.jsonl")
    what = "EvalPlus's HumanEvalPlus*.jsonl or MbppPlus*.jsonl"
    prompts = _prompts(path, questions, patterns, "task_id", "prompt", what, collector)
    has_plus = any(passed["plus"] is not None for _, _, passed in solved)
    main = metric or ("plus" if has_plus else "base")
    for task_id, name, passed in solved:
        if task_id not in prompts:
            collector.dropped["results of problems that the questions do not have"] += 1
            continue
        start = task_id.partition("/")[0]
        sample = Sample(task_id, _EVALPLUS_TASKS.get(start, start.lower()), prompts[task_id])
        if passed[main] is None:
            collector.dropped[f"results without {main} tests"] += 1
        numbers = {f"metric:{key}": value for key, value in passed.items()}
        collector.add(sample, name, passed[main], numbers)
    return collector.table("EvalPlus")


def _evalplus_model(file: Path) -> str:
    name = file.name.removesuffix("eval_results.json").rstrip("_.")
    name = _EVALPLUS_NAME.sub("", name or file.parent.name)
    return name.replace("--", "/")


def _first(result: object) -> object:
    return result[0] if isinstance(result, list) and result else None


def _evalplus_passed(solutions: object) -> Iterator[dict[str, float | None]]:
    """Yield whether each solution of a problem passes the base tests, and all (None: not run).

    Newer files have a list with a status each; older ones have a list a set of tests.
    """
    if isinstance(solutions, dict):
        sets = {name: optional(solutions, name, list) or [] for name in ("base", "plus")}
        statuses = [
            {f"{name}_status": _first(each[i]) for name, each in sets.items() if i < len(each)}
            for i in range(len(sets["base"]))
        ]
    else:
        several = solutions if isinstance(solutions, list) else []
        statuses = [each for each in several if isinstance(each, dict)]
    for status in statuses:
        base, plus = status.get("base_status"), status.get("plus_status")
        if base is None:
            raise Fault("has a solution without base_status")
        passes = float(base == "pass")
        yield {"base": passes, "plus": None if plus is None else passes * (plus == "pass")}


def swe_bench(
    path: Path,
    *,
    questions: str | None = None,
    model: str | None = None,
    task: str | None = None,
) -> SourceTable:
    """Read SWE-bench: reports of runs, `report.json` of instances, or `results.json` of its board.

    A result is 1 where the patch resolves the issue. What is an empty patch, or one with which the
    tests could not be run (`error_ids`), is 0 as in SWE-bench, and a warning names the models;
    failures of the machine (`infra_failure_ids`) and instances that were not run are missing.

    Parameters
    ----------
    path : Path
        A report `MODEL.RUN.json`, the folder of reports, `logs/run_evaluation`, or `evaluation` of
        SWE-bench's experiments, with `results.json` or `per_instance_details.json`.
    questions : str, optional
        JSONL or Parquet with `instance_id` and `problem_statement`, from the path's folder.
        Default: files named `*swe*bench*`, or `test-*.parquet`, beside the results.
    model : str, optional
        The model of all files. Default: what the file's name, or the folder's, says.
    task : str, optional
        The task of all instances. Default: the repository of each.
    """
    collector = Collector(path)
    marks = ('"resolved"', '"resolved_ids"')
    files = marked_files(path, (".json",), marks, "SWE-bench", collector.faults)
    solved: list[tuple[str, str, float | None]] = []
    boards: list[tuple[str, set[str]]] = []
    failed: Counter[str] = Counter()
    for file in files:
        with collector.faults.noted(file):
            document = pick(read_json(file), "", dict)
            if "resolved_ids" in document:
                stem = file.name.removesuffix(".json")
                named = model or (stem.rpartition(".")[0] or stem).replace("__", "/")
                for instance, score, what in _swe_report(document):
                    solved.append((instance, named, score))
                    failed[named] += what == "error_ids"
                    collector.dropped[_SWE_MISSING.get(what, "")] += score is None
            elif isinstance(document.get("resolved"), list):
                folder = file.parent.parent if file.parent.name == "results" else file.parent
                boards.append((model or folder.name, set(map(str, document["resolved"]))))
            else:
                named = model or _swe_model(file)
                for instance, report in document.items():
                    if isinstance(resolved := lookup(report, "resolved"), bool):
                        is_known = resolved or lookup(report, "infra_failure") is not True
                        solved.append((instance, named, float(resolved) if is_known else None))
                        collector.dropped[_SWE_MISSING["infra_failure_ids"]] += not is_known
    return _swe_table(collector, solved, boards, failed, questions, task)


def _swe_model(file: Path) -> str:
    """Return the name of the folder with the instances' folders, or with a file of all of them."""
    folder = file.parent.parent if file.name == "report.json" else file.parent
    return (folder.parent if folder.name == "logs" else folder).name.replace("__", "/")


_SWE_MISSING = {
    "infra_failure_ids": "failures of the machine, which are missing and not wrong",
    "incomplete_ids": "instances that were not run",
}


def _swe_report(document: Mapping[str, object]) -> Iterator[tuple[str, float | None, str]]:
    """Yield each instance of a report with its score, and the list in which it is."""
    ids = {
        key: [str(each) for each in value]
        for key, value in document.items()
        if isinstance(value, list)
    }
    missing = {key: set(ids.get(key, ())) for key in _SWE_MISSING}
    for key, instances in missing.items():
        for instance in sorted(instances):
            yield instance, None, key
    for key in ("resolved_ids", "unresolved_ids", "empty_patch_ids", "error_ids"):
        for instance in ids.get(key, ()):
            if not any(instance in instances for instances in missing.values()):
                yield instance, float(key == "resolved_ids"), key


def _swe_table(
    collector: Collector,
    solved: list[tuple[str, str, float | None]],
    boards: list[tuple[str, set[str]]],
    failed: Counter[str],
    questions: str | None,
    task: str | None,
) -> SourceTable:
    """Join results with the problems; of a board, what is not resolved is wrong."""
    if not solved and not boards:
        return collector.table("SWE-bench")
    patterns = (
        "*[sS][wW][eE]*[bB]ench*.jsonl",
        "*[sS][wW][eE]*[bB]ench*.parquet",
        "test-*.parquet",
    )
    what = "SWE-bench's data set (JSONL or Parquet with instance_id and problem_statement)"
    key, text = "instance_id", "problem_statement"
    prompts = _prompts(collector.root, questions, patterns, key, text, what, collector)
    for named, resolved in boards:
        solved += [(instance, named, float(instance in resolved)) for instance in prompts]
    for instance, named, score in solved:
        if instance not in prompts:
            collector.dropped["results of instances that the questions do not have"] += 1
            continue
        of_task = task or instance.rpartition("-")[0].replace("__", "/") or "swe-bench"
        collector.add(Sample(instance, of_task, prompts[instance]), named, score)
    table = collector.table("SWE-bench")
    counted = [f"{named} ({n})" for named, n in failed.items() if n]
    if counted:
        table.warnings.append(
            "Patches with which the tests could not be run count as wrong, as in SWE-bench: "
            f"{listed(counted)}. Check that the machine was not the cause."
        )
    return table
