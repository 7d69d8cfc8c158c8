"""`kind: langfuse`: exports of Langfuse, from its pages, its API or its blob storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from litellm_benchrouter.sources.exports import Layout, read_rows
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.rows import Row, as_number, look, look_text, unpacked

_TRACE, _OBSERVATION = ("traceId", "trace_id"), ("observationId", "observation_id")
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
    (page and blob storage), which are joined by observation, else by trace. A trace without a model
    takes that of its generations. What has level ERROR is missing and not wrong.

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
            metrics[each["name"]] = as_number(each.get("value"))
    for name, value in row.items():
        values = unpacked(value) if name not in ("input", "output", "metadata") else None
        if isinstance(values, list) and values:
            numbers = [as_number(v) for v in values if not isinstance(v, dict | list | str)]
            stated = [n for n in numbers if n is not None]
            if len(stated) == len(values):
                metrics[name] = sum(stated) / len(stated)
    return {name: value for name, value in metrics.items() if value is not None}


def _join(rows: list[tuple[Path, str, Row, Row]]) -> None:
    """Give rows the scores that stand in rows of their own, and traces their models."""
    scores: dict[tuple[str | None, str | None], dict[str, float | None]] = {}
    models: dict[str | None, set[str]] = {}
    traces = {row.get("id") for _, _, row, _ in rows if not _is_inner(row)}
    for _, _, row, _ in rows:
        trace = look_text(row, *_TRACE)
        if _is_score(row):
            key = (trace, look_text(row, *_OBSERVATION))
            scores.setdefault(key, {})[str(row.get("name"))] = as_number(row.get("value"))
        elif _is_inner(row) and (name := look_text(row, *_MODEL)):
            models.setdefault(trace, set()).add(name)
    for _, _, row, _ in rows:
        own, trace = look_text(row, "id"), look_text(row, *_TRACE)
        if _is_inner(row):
            row["joined"] = scores.get((trace, own)) or {}
            if trace not in traces and len(models.get(trace, ())) == 1 and _is_generation(row):
                row["joined"] = {**scores.get((trace, None), {}), **row["joined"]}
        elif not _is_score(row):
            row["joined"] = scores.get((own, None)) or {}
            if look_text(row, *_MODEL) is None and len(models.get(own, ())) == 1:
                row["model"] = next(iter(models[own]))


def _is_score(row: Row) -> bool:
    return "value" in row and "name" in row and look(row, *_TRACE) is not None


def _is_inner(row: Row) -> bool:
    """Say whether a row is an observation inside a trace."""
    return not _is_score(row) and look(row, *_TRACE) is not None


def _is_generation(row: Row) -> bool:
    return look_text(row, "type") in (None, "GENERATION")


def _left_out(row: Row) -> str:
    if _is_score(row):
        return "scores, which are read with what they judge"
    if _is_inner(row) and not _is_generation(row) and not _metrics(row):
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
