"""Experiments of tracing services: LangSmith and Braintrust."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from litellm_benchrouter.sources.exports import Layout, read_rows
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.rows import Row, as_number, look, look_number, look_text, unpacked

_Metrics = Mapping[str, float | None]
_ASKED = ("inputs", "input")  # the second as `Client.get_test_results` names its columns


def _langsmith_metrics(row: Row) -> _Metrics:
    stated = look(row, "feedback", "feedback_stats", "feedback_scores")
    held = unpacked(stated)
    return {
        name: as_number(value.get("avg") if isinstance(value, dict) else value)
        for name, value in (held.items() if isinstance(held, dict) else ())
    }


def _langsmith_why(row: Row) -> str:
    if row.get("parent_run_id"):
        return "runs inside another run"
    is_run = any(name in row for name in _ASKED)
    return "" if is_run and _langsmith_metrics(row) else "runs without feedback"


_LANGSMITH = Layout(
    tool="LangSmith",
    marks=("feedback.", "feedback_stats", "feedback_scores"),
    lists=("runs", "results"),
    prompt=_ASKED,
    reference=("reference", "reference_outputs", "reference_example.outputs"),
    metrics=_langsmith_metrics,
    left_out=_langsmith_why,
    task=("extra.metadata.task", "metadata.task", "task", "dataset_name"),
    model=(
        *("extra.metadata.ls_model_name", "extra.metadata.model", "extra.invocation_params.model"),
        *("metadata.ls_model_name", "metadata.model", "model"),
    ),
    cost=("total_cost",),
    tokens=(("prompt_tokens",), ("completion_tokens",)),
)


def langsmith(
    path: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> SourceTable:
    """Read experiments of LangSmith: `to_pandas()` or `get_test_results` as CSV, runs as JSON or
    JSONL, the bulk export as Parquet. Runs inside others, and those without feedback, are left out.

    Parameters
    ----------
    path : Path
        A file, or a folder with a file an experiment.
    metric : str, optional
        The key of the feedback. Default: the only one, or of several `correctness`, `correct` or
        `accuracy`.
    task : str, optional
        Default: `task` in the run's metadata, or the path's name.
    model : str, optional
        Default: `ls_model_name` or `model` in the metadata, or of several files each one's name.
    prompt : str, optional
        The field with the prompt ("inputs.text"). Default: the one field of the inputs, or one with
        a usual name.
    """
    return read_rows(_LANGSMITH, path, metric, task, model, prompt)


def _braintrust_metrics(row: Row) -> _Metrics:
    held = unpacked(row.get("scores"))
    return {n: as_number(v) for n, v in held.items()} if isinstance(held, dict) else {}


def _complete_spans(rows: list[tuple[Path, str, Row, Row]]) -> None:
    """Give each trace's root the model, tokens and cost of the calls below it."""
    sums: dict[str, Row] = {}
    for _, _, row, _ in rows:
        model = look_text(row, "metadata.model")
        if row.get("root_span_id") and _is_inner(row) and model:
            of_trace = sums.setdefault(str(row["root_span_id"]), {"model": model})
            for name in ("prompt_tokens", "completion_tokens", "estimated_cost"):
                value = look_number(row, f"metrics.{name}")
                if value is not None:
                    of_trace[name] = of_trace.get(name, 0.0) + value
    for _, _, row, _ in rows:
        if not _is_inner(row) and str(row.get("root_span_id")) in sums:
            row["calls"] = sums[str(row["root_span_id"])]


def _is_inner(row: Row) -> bool:
    return row.get("is_root") is False or bool(unpacked(row.get("span_parents")))


_BRAINTRUST = Layout(
    tool="Braintrust",
    marks=("scores",),
    lists=("results", "events", "rows", "data"),
    prompt=("input",),
    reference=("expected",),
    metrics=_braintrust_metrics,
    left_out=lambda row: (
        "spans inside a trace"
        if _is_inner(row)
        else ""
        if "input" in row and _braintrust_metrics(row)
        else "rows without an input and scores"
    ),
    model=("metadata.model", "calls.model", "model"),
    cost=("metrics.estimated_cost", "calls.estimated_cost"),
    tokens=(
        ("metrics.prompt_tokens", "calls.prompt_tokens"),
        ("metrics.completion_tokens", "calls.completion_tokens"),
    ),
)


def braintrust(
    path: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> SourceTable:
    """Read experiments of Braintrust: the export as JSON, JSONL or CSV, or the events of its API.
    Only the root of each trace is a result; the calls below it say model, tokens and cost.

    Parameters
    ----------
    path : Path
        A file, or a folder with a file an experiment.
    metric : str, optional
        The name of the score. Default: the only one, or of several `correctness`, `correct`,
        `accuracy` or `exact_match`.
    task : str, optional
        Default: `task` in the metadata, or the path's name.
    model : str, optional
        Default: `model` in the metadata, or of several files each one's name.
    prompt : str, optional
        The field with the prompt ("input.text"). Default: `input`, its one field, or one with a
        usual name.
    """
    return read_rows(_BRAINTRUST, path, metric, task, model, prompt, _complete_spans)
