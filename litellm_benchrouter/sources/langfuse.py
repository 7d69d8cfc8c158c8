"""`kind: langfuse`: exports of Langfuse, from its pages, its API or its blob storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from litellm_benchrouter.sources.exports import Layout, read_rows
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.rows import Row, as_number, look, look_text, unpacked

_TRACE, _OBSERVATION = ("traceId", "trace_id"), ("observationId", "observation_id")
_PARENT = ("parentObservationId", "parent_observation_id")
_MODEL = ("model", "providedModelName", "provided_model_name", "metadata.model")


def read(
    path: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> SourceTable:
    """Read traces or generations of Langfuse with their scores.

    Scores are columns (export from the page), lists inside a trace (API), or rows of their own
    (page, API and blob storage), which are joined by observation, else by trace. A trace or a span
    without a model takes that of the generations below it; where none is, as with tools, it is left
    out. What has level ERROR is missing and not wrong.

    Parameters
    ----------
    path : Path
        A file (JSON, JSONL or CSV), or a folder with observations, traces and scores.
    metric : str, optional
        The name of the score. Default: the only one, or of several `correctness`, `correct`,
        `accuracy` or `exact_match`. Scores of words are not read.
    task : str, optional
        Default: `task` in the metadata, the data set's name, or the path's name.
    model : str, optional
        Of rows that state none.
    prompt : str, optional
        The field with the prompt ("input.text"). Default: `input`, of a chat the last user message.
    """
    return read_rows(_LAYOUT, path, metric, task, model, prompt, _join)


def _metrics(row: Row) -> Mapping[str, float | None]:
    """Return the scores of a row: joined, listed, or columns, whose values are lists of numbers."""
    metrics: dict[str, float | None] = dict(row.get("joined") or {})
    listed = unpacked(row.get("scores"))
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            metrics[each["name"]] = _value(each)
    for name, value in row.items():
        values = unpacked(value) if name not in ("input", "output", "metadata") else None
        if isinstance(values, list) and values:
            numbers = [as_number(v) for v in values if not isinstance(v, dict | list | str)]
            stated = [n for n in numbers if n is not None]
            if len(stated) == len(values):
                metrics[name] = sum(stated) / len(stated)
    return {name: value for name, value in metrics.items() if value is not None}


def _join(rows: list[tuple[Path, str, Row, Row]]) -> None:
    """Give rows the scores that stand in rows of their own, and their models to what is around."""
    scores: dict[str | None, dict[str, float | None]] = {}
    each = [row for _, _, row, _ in rows]
    models = _models_below(each)
    traces = {look_text(row, "id") for row in each if not _is_inner(row)}
    for row in each:
        if _is_score(row):
            judged = look_text(row, *_OBSERVATION, "subject.id") or look_text(row, *_TRACE)
            scores.setdefault(judged, {})[str(row.get("name"))] = _value(row)
    for row in each:
        if _is_score(row):
            continue
        own, trace = look_text(row, "id"), look_text(row, *_TRACE)
        row["joined"] = scores.get(own) or {}
        if _is_inner(row) and trace not in traces and _is_generation(row):
            if len(models.get(trace, ())) == 1:
                row["joined"] = {**scores.get(trace, {}), **row["joined"]}
        elif look_text(row, *_MODEL) is None:
            if len(models.get(own, ())) == 1:
                row["model"] = next(iter(models[own]))
            row["is_beside"] = _is_inner(row) and bool(models) and not models.get(own)


def _models_below(rows: list[Row]) -> dict[str | None, set[str]]:
    """Return the models of all calls below each trace and each observation, by its id."""
    inner = [row for row in rows if _is_inner(row)]
    for row in rows:
        nested = row.get("observations")
        inner += [o for o in nested if isinstance(o, dict)] if isinstance(nested, list) else []
    parents = {look_text(row, "id"): look_text(row, *_PARENT) for row in inner}
    models: dict[str | None, set[str]] = {}
    for row in inner:
        if name := look_text(row, *_MODEL):
            above = {look_text(row, *_TRACE)}
            at = look_text(row, *_PARENT)
            while at is not None and at not in above:
                above.add(at)
                at = parents.get(at)
            for key in above:
                models.setdefault(key, set()).add(name)
    return models


def _value(score: Row) -> float | None:
    """Return the number of a score; None where it is a word, beside which a number may stand, 0."""
    kind = look_text(score, "dataType", "data_type")
    return as_number(score.get("value")) if kind in (None, "NUMERIC", "BOOLEAN") else None


def _is_score(row: Row) -> bool:
    return "value" in row and "name" in row and look(row, *_TRACE, "subject.id") is not None


def _is_inner(row: Row) -> bool:
    """Say whether a row is an observation inside a trace."""
    return not _is_score(row) and look(row, *_TRACE) is not None


def _is_generation(row: Row) -> bool:
    return look_text(row, "type") in (None, "GENERATION")


def _left_out(row: Row) -> str:
    if _is_score(row):
        return "scores, which are read with what they judge"
    if _is_inner(row) and not _is_generation(row) and (row.get("is_beside") or not _metrics(row)):
        return "spans and events of traces"
    if row.get("level") == "ERROR":
        return "results with an error, which are missing and not wrong"
    return "" if _metrics(row) else "traces and generations without a score"


_LAYOUT = Layout(
    tool="Langfuse",
    marks=("traceId", "trace_id", "traceName", "sessionId", "session_id", "htmlPath"),
    lists=("data", "traces"),
    prompt=("input",),
    reference=("expectedOutput", "expected_output"),
    metrics=_metrics,
    left_out=_left_out,
    task=("metadata.task", "datasetName", "dataset_name"),
    model=_MODEL,
    cost=("totalCost", "total_cost", "calculatedTotalCost", "costDetails.total",
          "cost_details.total"),
    tokens=(
        ("usageDetails.input", "usage_details.input", "inputTokens", "promptTokens",
         "inputUsage", "usage.input"),
        ("usageDetails.output", "usage_details.output", "outputTokens", "completionTokens",
         "outputUsage", "usage.output"),
    ),
)  # fmt: skip
