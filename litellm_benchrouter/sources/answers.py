"""Answers with their scores, as `benchrouter label` keeps them in the journals of labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.json_files import json_object
from litellm_benchrouter.sources.tasks import parse_label, prompt_key

Array = NDArray[np.float64]

JUDGE = "judge:"


@dataclass
class ScoredAnswers:
    """Answers of models to prompts, and whether they are right.

    `texts` are by prompt and model, as numbers; `right` is 1, 0 or NaN without a label, `paid` what
    an answer cost in USD, `likely` the mean probability of its tokens, `judged` the scores of each
    judge on answers that something else scored, and `fees` what these cost; all of shape (n, M).
    """

    prompts: list[str]
    texts: dict[tuple[int, int], str]
    right: Array
    paid: Array
    likely: Array
    judged: dict[str, Array] = field(default_factory=dict)
    fees: dict[str, Array] = field(default_factory=dict)


@dataclass
class _Cell:
    text: str | None = None
    score: float | None = None
    metric: str = ""
    paid: float = math.nan
    likely: float = math.nan
    judged: dict[str, tuple[float, float]] = field(default_factory=dict)  # scores, and USD


def read_answers(
    files: Iterable[tuple[Path, float, Sequence[str]]],
    models: Sequence[str],
    aliases: Mapping[str, str],
) -> ScoredAnswers:
    """Read the answers of journals; the last answer and score of a prompt and model count.

    Parameters
    ----------
    files : iterable of (Path, float, sequence of str)
        Each journal with the score above which an answer is right, and the prompts that it may be
        about: most journals do not hold them.
    models : sequence of str
        Canonical names.
    aliases : mapping of str to str

    Raises
    ------
    SourceError
        If a file cannot be read, or a line is no label.
    """
    column = {model: m for m, model in enumerate(models)}
    rows: dict[tuple[Path, str], dict[int, _Cell]] = {}
    text_of: dict[tuple[Path, str], str] = {}
    limits: dict[Path, float] = {}
    for path, threshold, prompts in files:
        limits[path] = threshold
        text_of |= {(path, prompt_key(prompt)): prompt for prompt in prompts}
        for place, line in _lines(path):
            label = parse_label(line, place, aliases)
            if isinstance(line.get("prompt"), str):
                text_of.setdefault((path, label.key), line["prompt"])
            if label.model in column:
                cells = rows.setdefault((path, label.key), {})
                _take(cells.setdefault(column[label.model], _Cell()), line, label.score)
    answered = {key: cells for key, cells in rows.items() if key in text_of}

    def empty() -> Array:
        return np.full((len(answered), len(models)), np.nan)

    read = ScoredAnswers([text_of[key] for key in answered], {}, empty(), empty(), empty())
    for i, ((path, _), cells) in enumerate(answered.items()):
        for m, cell in cells.items():
            if cell.text is None or cell.score is None:
                continue
            read.texts[i, m] = cell.text
            read.right[i, m] = float(cell.score > limits[path])
            read.paid[i, m], read.likely[i, m] = cell.paid, cell.likely
            for judge, (score, fee) in cell.judged.items():
                if not cell.metric.startswith(JUDGE):  # or a judge would be measured by itself
                    read.judged.setdefault(judge, empty())[i, m] = score
                    read.fees.setdefault(judge, empty())[i, m] = fee
    return read


def _take(cell: _Cell, line: Mapping[str, Any], score: float | None) -> None:
    if isinstance(line.get("answer"), str):
        cell.text, cell.score, cell.judged = line["answer"], None, {}
        cell.paid, cell.likely = _number(line, "cost_usd"), _number(line, "mean_probability")
        return
    cell.score, cell.metric = score, str(line.get("metric") or "")
    if score is not None and cell.metric.startswith(JUDGE):
        cell.judged[cell.metric.split(" ")[0]] = (score, _number(line, "cost_usd"))


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the lines of one model each; other lines hold no answers."""
    try:
        content = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}).") from error
    lines = ((f"{path}, line {i}", json_object(text)) for i, text in enumerate(content, start=1))
    return [(place, line) for place, line in lines if line and "model" in line]
