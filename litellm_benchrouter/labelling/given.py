"""Labels that were made elsewhere, checked before they enter the journal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.labelling.journal import GIVEN, Journal
from litellm_benchrouter.labelling.questions import Question
from litellm_benchrouter.sources.frames import listed, read_frame
from litellm_benchrouter.sources.tasks import prompt_key

_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    Attributes
    ----------
    added, replaced, known : int
        New labels, labels that differ from what the journal had, and labels that it had already.
    strangers : int
        Rows whose prompt is none of the task's inputs; they are left out.
    """

    added: int
    replaced: int
    known: int
    strangers: int


def import_labels(
    path: Path,
    journal: Journal,
    questions: Sequence[Question],
    models: set[str],
    aliases: Mapping[str, str],
) -> Imported:
    """Add a file's labels to the journal; what it has already is not added again.

    Parameters
    ----------
    path : Path
        JSONL, CSV or Parquet with `prompt` or `prompt_sha256`, `model` and `score`.
    journal : Journal
    questions : sequence of Question
        The task's inputs.
    models : set of str
        Canonical names of the models that are known.
    aliases : mapping of str to str

    Raises
    ------
    SourceError
        If a row is wrong, or none is of the task's inputs; nothing has been added then.
    """
    inputs = {question.key for question in questions}
    found: dict[tuple[str, str], tuple[float, int]] = {}
    strangers = 0
    frame = read_frame(path)
    missing = [name for name in ("model", "score") if name not in frame.columns]
    if missing or not {"prompt", "prompt_sha256"} & set(frame.columns):
        raise SourceError(
            f"{path} has the columns {', '.join(frame.columns)}; labels need prompt (or "
            f"prompt_sha256), model and score."
        )
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        key, model, score = _label(row, f"{path}, row {number}", models, aliases)
        if key not in inputs:
            strangers += 1
            continue
        first, line = found.setdefault((key, model), (score, number))
        if first != score:
            raise SourceError(
                f"{path}: rows {line} and {number} give {model} {first:g} and {score:g} on the "
                f"same prompt; keep one of them."
            )
    if not found:
        raise SourceError(
            f"{path}: none of its {strangers} prompts is among the task's {len(inputs)} inputs; a "
            f"prompt has to be the same to the letter. Give the inputs with --inputs."
        )
    before = {cell: journal.cells[cell].score for cell in found if cell in journal.cells}
    new = {cell: score for cell, (score, _) in found.items() if before.get(cell) != score}
    lines = [
        {"prompt_sha256": key, "model": model, "score": score, "event": GIVEN, "file": path.name}
        for (key, model), score in new.items()
    ]
    if lines:
        journal.append(*lines)
    replaced = sum(before.get(cell) is not None for cell in new)
    return Imported(len(new) - replaced, replaced, len(found) - len(new), strangers)


def _label(
    row: Mapping[str, Any], place: str, models: set[str], aliases: Mapping[str, str]
) -> tuple[str, str, float]:
    prompt, key, model = row.get("prompt"), row.get("prompt_sha256"), row["model"]
    if isinstance(prompt, str) and prompt:
        own = prompt_key(prompt)
        if isinstance(key, str) and key and key.strip().lower() != own:
            raise SourceError(f"{place}: prompt_sha256 is not the SHA-256 of its prompt; drop it.")
        key = own
    if not isinstance(key, str) or not key.strip():
        raise SourceError(f"{place} names no prompt; give prompt, or prompt_sha256 in hex.")
    if not isinstance(model, str) or aliases.get(model, model) not in models:
        raise SourceError(
            f"{place}: {model!r} is no model of the benchmark or the configuration "
            f"({listed(sorted(models))}); mend the name, or add it under benchrouter.models."
        )
    return key.strip().lower(), aliases.get(model, model), _score(row["score"], place)


def _score(value: Any, place: str) -> float:
    text = str(value).strip().lower()
    try:
        score = _TRUTH[text] if text in _TRUTH else float(text)
    except ValueError:
        score = math.nan
    if not 0.0 <= score <= 1.0:
        raise SourceError(f"{place}: the score is {value!r}; give a number from 0 to 1.")
    return score
