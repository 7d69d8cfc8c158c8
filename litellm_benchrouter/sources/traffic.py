"""Labels of own traffic: prompts with the scores of some models, and when they were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.tasks import JSON_LINES, parse_label, read_entries


@dataclass(frozen=True)
class TrafficLabels:
    """Prompts of own traffic that have labels.

    Attributes
    ----------
    prompts : list of str, length n
    labels : ndarray of float32, shape (n, M)
        Scores in [0, 1]; NaN is missing.
    time : ndarray of float64, shape (n,)
        Seconds since 1970; NaN is not known.
    group : list of str or None, length n
        Prompts of one group are variants of one another.
    """

    prompts: list[str]
    labels: NDArray[np.float32]
    time: NDArray[np.float64]
    group: list[str | None]


@dataclass(frozen=True)
class ExploredEvents:
    """Scores of explored requests: prompts, the models that answered, and scores in [0, 1]."""

    prompts: list[str]
    models: list[str]
    scores: list[float]


def read_traffic_labels(
    path: Path, models: Sequence[str], aliases: Mapping[str, str], warnings: list[str]
) -> TrafficLabels:
    """Read JSONL with a `prompt` (or `messages`) and `scores` by model, or one `model` and `score`.

    `time` (ISO 8601, or seconds since 1970) and `group` are optional. A prompt that comes again
    adds to its labels; the last score of a model counts, also where it takes one back (null). A
    last line that was cut off is passed over, as by `read_labels`.

    Parameters
    ----------
    path : Path
    models : sequence of str
        Canonical names.
    aliases : mapping of str to str
        Other name of a model -> canonical name.
    warnings : list of str
        Sentences about what was passed over are added to it.

    Raises
    ------
    ConfigError, SourceError
        If the file cannot be read, or a line is no label.
    """
    if path.suffix.lower() not in JSON_LINES:
        raise ConfigError(
            f"benchrouter.traffic.labels: {path} is not JSONL. Name a file that ends in .jsonl."
        )
    column = {model: m for m, model in enumerate(models)}
    rows: dict[str, dict[str, Any]] = {}
    strangers: set[str] = set()
    for place, prompt, fields in read_entries(path, "benchrouter.traffic.labels", is_journal=True):
        scores = fields.get("scores", {})
        if not isinstance(scores, dict):
            raise SourceError(f'{place}: "scores" is {scores!r}. Give {{"MODEL": score, ...}}.')
        lines = [{"prompt": prompt, "model": name, "score": score}
                 for name, score in scores.items()]  # fmt: skip
        if "scores" not in fields:
            given = {name: fields[name] for name in ("model", "score") if name in fields}
            lines = [{"prompt": prompt, **given}]
        row = rows.setdefault(prompt, {"scores": {}, "time": float("nan"), "group": None})
        for line in lines:
            label = parse_label(line, place, aliases)
            if label.model in column:
                row["scores"][column[label.model]] = label.score
            else:
                strangers.add(label.model)
        if fields.get("time") is not None:
            row["time"] = _seconds(fields["time"], place)
        if fields.get("group") is not None:
            row["group"] = str(fields["group"])
    if strangers:
        warnings.append(
            f"{path}: labels of models that the benchmark does not know are left out "
            f"({listed(sorted(strangers))}); give them an alias, or scores in a source."
        )
    labels = np.full((len(rows), len(models)), np.nan, dtype=np.float32)
    for i, row in enumerate(rows.values()):
        for m, score in row["scores"].items():
            labels[i, m] = np.nan if score is None else score
    labelled = np.flatnonzero(~np.isnan(labels).all(axis=1))
    texts, values = list(rows), list(rows.values())
    return TrafficLabels(
        [texts[i] for i in labelled],
        labels[labelled],
        np.array([values[i]["time"] for i in labelled], dtype=np.float64),
        [values[i]["group"] for i in labelled],
    )


def _seconds(value: object, place: str) -> float:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.timestamp()
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if not np.isfinite(seconds):
        raise SourceError(
            f'{place}: the time is {value!r}. Give one such as "2026-11-29T07:00:00Z", or seconds.'
        )
    return seconds
