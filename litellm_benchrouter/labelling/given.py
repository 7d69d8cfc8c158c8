"""Labels that were made elsewhere, such as people's: a file of them is added to the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.labelling.journal import GIVEN, Journal
from litellm_benchrouter.sources.frames import listed, read_frame
from litellm_benchrouter.sources.tasks import parse_label


@dataclass(frozen=True)
class Imported:
    """The counts of an import."""

    added: int
    replaced: int  # labels that differ from those that the journal had
    known: int  # labels that it had already
    strangers: int  # rows whose prompt is none of the task's inputs; they are left out


def import_labels(
    path: Path,
    journal: Journal,
    inputs: Collection[str],
    models: set[str],
    aliases: Mapping[str, str],
    noted: Callable[[str], Mapping[str, Any]] | None = None,
) -> Imported:
    """Add a file's labels to the journal; what it has already is not added again.

    `noted` gives what lines of a prompt hold besides, and makes labels stand in place of scores
    that a metric gave, also of equal ones.

    The file is JSONL, CSV or Parquet with `prompt` or `prompt_sha256`, `model` and `score`. Raises
    SourceError where a row is wrong, or none is of the task's inputs; nothing has been added then.
    """
    labels: dict[tuple[str, str], tuple[float, int]] = {}
    strangers = 0
    frame = read_frame(path)
    missing = [name for name in ("model", "score") if name not in frame.columns]
    if missing or not {"prompt", "prompt_sha256"} & set(frame.columns):
        raise SourceError(
            f"{path} has the columns {', '.join(frame.columns)}; labels need prompt (or "
            f"prompt_sha256), model and score."
        )
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        key, model, score = parse_label(row, f"{path}, row {number}", aliases)
        if model not in models:
            raise SourceError(
                f"{path}, row {number}: {model!r} is no model of the benchmark or the "
                f"configuration ({listed(sorted(models))}). Correct the name, or add it under "
                "benchrouter.models."
            )
        if score is None:
            raise SourceError(f"{path}, row {number} has no score. Give a number from 0 to 1.")
        if key not in inputs:
            strangers += 1
            continue
        first, line = labels.setdefault((key, model), (score, number))
        if first != score:
            raise SourceError(
                f"{path}: rows {line} and {number} give {model} {first:g} and {score:g} on the "
                f"same prompt; keep one of them."
            )
    if not labels:
        raise SourceError(
            f"{path}: none of its {strangers} prompts is among the task's {len(inputs)} inputs; a "
            f"prompt has to be the same to the letter. Copy them from there."
        )
    before = {cell: journal.cells[cell].score for cell in labels if cell in journal.cells}
    by_metric = {cell for cell in before if noted and journal.cells[cell].metric}
    new = {
        cell: score
        for cell, (score, _) in labels.items()
        if before.get(cell) != score or cell in by_metric
    }
    journal.append(
        *(
            {
                **{"prompt_sha256": key, **(noted(key) if noted else {})},
                **{"model": m, "score": score, "event": GIVEN, "file": path.name},
            }
            for (key, m), score in new.items()
        )
    )
    replaced = sum(before.get(cell) is not None for cell in new)
    return Imported(len(new) - replaced, replaced, len(labels) - len(new), strangers)
