"""The figure of every model on every held-out task, with the pick marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litellm_benchrouter.evaluation.report.parts import Cell, Document, Figure, Heatmap, Table
from litellm_benchrouter.evaluation.report.words import PERCENT, number, said

_LEVEL = 1e-9


def heatmap_figure(document: Document, method: str) -> Figure:
    """Show where the pick of a method wins and loses, the worst task first."""
    rows = sorted(document["tasks"], key=lambda row: (_gain(row, method), row["task"]))
    models = _by_average(document["protocol"]["models"], rows)
    losses = [row for row in rows if _gain(row, method) < -_LEVEL]
    gains = [row for row in rows if _gain(row, method) > _LEVEL]
    words = [
        "Accuracy in percent; the stronger the colour, the nearer to the best model of that task. "
        "Models are ordered by their average, tasks by what the router gains there over BMA.",
        f"Of {len(rows)} tasks, {said(method)} wins {len(gains)}, loses {len(losses)} and is level "
        f"with BMA on {len(rows) - len(gains) - len(losses)}.",
    ]
    table = Table(
        "Task by task",
        (
            "Task",
            "Pick",
            "BMA's pick",
            "Best model",
            "Questions",
            "Pick %",
            "BMA %",
            "Oracle %",
            "Gain, points",
            "Distance u",
        ),
        [_row(row, method) for row in rows],
        n_text=4,
    )
    picture = Heatmap(
        f"Accuracy of each model on each task, in percent, and the pick of {said(method)}",
        models,
        [
            (
                row["task"],
                PERCENT.difference(_gain(row, method)),
                _gain(row, method) < -_LEVEL,
                _cells(row, models, row["picks"].get(method)),
            )
            for row in rows
        ],
    )
    return Figure(
        "task-models",
        "Which model was picked for which task",
        words,
        (table,),
        heatmap=picture,
    )


def _gain(row: Mapping[str, Any], method: str) -> float:
    values = row["method_accuracy"]
    if values[method] is None or values["bma"] is None:
        return 0.0
    return float(values[method] - values["bma"])


def _by_average(models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def average(model: str) -> float:
        found = [row["accuracy"][model] for row in rows]
        numbers = [value for value in found if value is not None]
        return sum(numbers) / len(numbers) if numbers else -1.0

    return sorted(models, key=lambda model: -average(model))


def _cells(row: Mapping[str, Any], models: Sequence[str], pick: str | None) -> list[Cell]:
    values = {model: row["accuracy"][model] for model in models}
    numbers = [value for value in values.values() if value is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    return [
        Cell(
            PERCENT.bare(value, 0),
            None if value is None else (value - low) / (high - low) if high > low else 1.0,
            model == pick,
            value is not None and value >= high - _LEVEL,
        )
        for model, value in values.items()
    ]


def _row(row: Mapping[str, Any], method: str) -> list[str]:
    values = row["method_accuracy"]
    return [
        row["task"],
        row["picks"].get(method) or "varies",
        row["picks"].get("bma") or "varies",
        row["picks"].get("oracle") or "varies",
        number(row["n_samples"], 0),
        PERCENT.bare(values[method]),
        PERCENT.bare(values["bma"]),
        PERCENT.bare(values["oracle"]),
        PERCENT.difference(_gain(row, method)),
        number(row["u"], 3),
    ]
