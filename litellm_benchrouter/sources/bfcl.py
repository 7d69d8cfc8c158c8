"""`kind: bfcl`: score files of the Berkeley Function-Calling Leaderboard."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from litellm_benchrouter.sources.json_files import pick
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    UndecidedError,
    asked,
    look,
    marked_files,
    question_files,
    rows_in,
)

_BFCL = re.compile(r"(?:BFCL_v(\d+)_|gorilla_openfunctions_v1_test_)?(\w+?)(_score|_result)?\.json")
_BFCL_GROUPS = ("non_live", "live", "multi_turn", "agentic", "memory", "web_search", "format_")


@dataclass
class _Category:
    """One category of a model: which ids fail, how many there are, which there are, tokens."""

    file: Path
    version: int
    failed: set[str] = field(default_factory=set)
    total: int = 0
    correct: int = 0
    answered: dict[str, dict[str, float | None]] = field(default_factory=dict)


def read(path: Path, *, questions: str | None = None) -> SourceTable:
    """Read the Berkeley Function-Calling Leaderboard: score files, versions 3 and 4.

    A score file lists failures only; what else there is stands in the result files, or in the
    questions, and has to agree with the counts that the score file states. The prompt is the first
    question of a user, from the failures of any model or from the questions; ids without a prompt
    are left out of all models alike. The task is the category.

    Parameters
    ----------
    path : Path
        The folder with `score` and `result`.
    questions : str, optional
        The folder with BFCL's own files, from the path's folder. Default: `BFCL_v*.json` below the
        folder, or up to three folders above.
    """
    collector = Collector(path)
    runs, prompts = _bfcl_scores(path, collector)
    if not runs:
        return collector.table("BFCL")
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for file in question_files(path, questions, "BFCL_v*.json", "gorilla_openfunctions*.json"):
        name = _BFCL.fullmatch(file.name)
        if name and not name[3]:
            for _, row, _ in rows_in(file, collector.faults):
                key = str(row.get("id"))
                ids[name[2]].append(key)
                prompts.setdefault((name[2], key), _bfcl_prompt(row) or "")
    unknown: set[tuple[str, str]] = set()
    for (model, category), run in runs.items():
        there = list(run.answered) or ids.get(category, [])
        if not there:
            collector.faults.add(run.file, "lists failures only")
            continue
        if len(there) != run.total or len(set(there) - run.failed) != run.correct:
            collector.faults.add(
                run.file,
                f"states {run.correct} of {run.total} correct, but {len(set(there) - run.failed)} "
                f"of {len(there)} are",
            )
            continue
        for key in there:
            prompt = prompts.get((category, key))
            if not prompt:
                unknown.add((category, key))
                continue
            sample = Sample(key if category in key else f"{category}/{key}", category, prompt)
            collector.add(sample, model, float(key not in run.failed), run.answered.get(key))
    if not collector.has_scores and "lists failures only" in str(collector.faults):
        raise UndecidedError(
            f"{path}: its score files list failures only. Give the folder with `result` beside "
            "`score`, or name BFCL's questions with options: {questions: FOLDER}."
        )
    collector.dropped["questions whose prompt is in no file"] += len(unknown)
    return collector.table("BFCL")


def _bfcl_scores(
    path: Path, collector: Collector
) -> tuple[dict[tuple[str, str], _Category], dict[tuple[str, str], str]]:
    """Return the newest version of each model's categories, and prompts of what was failed."""
    runs: dict[tuple[str, str], _Category] = {}
    prompts: dict[tuple[str, str], str] = {}
    results: dict[tuple[str, str, int], Path] = {}
    marks = ('"correct_count"', '"result"', '"model_result"')
    for file in marked_files(
        path, ("_score.json", "_result.json"), marks, "BFCL", collector.faults
    ):
        name = _BFCL.fullmatch(file.name)
        if not name:
            collector.faults.add(file, "is not named as BFCL names its files")
            continue
        if name[2] == "format_sensitivity":
            collector.dropped["files of format_sensitivity, which has no score"] += 1
            continue
        model, version = _bfcl_model(file), int(name[1] or 1)
        if name[3] == "_result":
            results[model, name[2], version] = file
            continue
        run = _Category(file, version)
        for place, row, _ in rows_in(file, collector.faults):
            with collector.faults.noted(file, place):
                if "correct_count" in row:
                    run.total = pick(row, "total_count", int)
                    run.correct = pick(row, "correct_count", int)
                elif row.get("valid") is False:
                    key = str(look(row, "prompt.id", "id"))
                    run.failed.add(key)
                    text = _bfcl_prompt(row.get("prompt"))
                    prompts.setdefault((name[2], key), text or "")
        if not run.total:
            collector.faults.add(file, "has no correct_count and total_count")
            continue
        other = runs.setdefault((model, name[2]), run)
        if other is not run:
            collector.dropped["score files of which a newer version is there"] += 1
            runs[model, name[2]] = max(other, run, key=lambda each: each.version)
    for (model, category), run in runs.items():
        answers = results.get((model, category, run.version))
        for _, row, _ in rows_in(answers, collector.faults) if answers else ():
            run.answered[str(row.get("id"))] = {
                "prompt_tokens": _total(row.get("input_token_count")),
                "completion_tokens": _total(row.get("output_token_count")),
            }
        if run.version == 1:  # which may count, from 1 on
            numbers = {str(n): key for n, key in enumerate(run.answered, start=1)}
            run.failed = {numbers.get(key, key) for key in run.failed}
    return runs, prompts


def _bfcl_model(file: Path) -> str:
    folders = list(file.parent.parts)
    kind = next(
        (i for i in reversed(range(len(folders))) if folders[i] in ("score", "result")), None
    )
    if kind is not None and kind + 1 < len(folders):
        return folders[kind + 1]
    return next(name for name in reversed(folders) if not name.startswith(_BFCL_GROUPS))


def _bfcl_prompt(entry: object) -> str | None:
    """Return the first question of a user: in a list of turns, which are lists of messages."""
    turns = look(entry, "question") if isinstance(entry, dict) else entry
    if isinstance(turns, list) and turns and isinstance(turns[0], list):
        turns = turns[0]
    return asked(turns) if turns else None


def _total(tokens: object) -> float | None:
    if isinstance(tokens, list):
        parts = [part for part in map(_total, tokens) if part is not None]
        return sum(parts) if parts else None
    return float(tokens) if isinstance(tokens, int | float) and tokens else None
