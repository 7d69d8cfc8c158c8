"""Results of libraries that evaluate answers: DeepEval and ragas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from litellm_benchrouter.sources.exports import Layout, read_rows
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.rows import Row, as_number, look

_Metrics = Mapping[str, float | None]


def _deepeval_metrics(row: Row) -> _Metrics:
    stated = look(row, "metricsData", "metrics_data")
    stated = [m for m in stated if isinstance(m, dict)] if isinstance(stated, list) else []
    failed = [m for m in stated if m.get("error")]
    metrics = {"success": None if failed else as_number(row.get("success"))}
    for each in stated:
        if isinstance(each.get("name"), str):
            metrics[each["name"]] = None if each.get("error") else as_number(each.get("score"))
    return metrics


_DEEPEVAL = Layout(
    tool="DeepEval",
    marks=('"metricsData"', '"metrics_data"'),
    lists=("testCases", "testRunData.testCases", "test_results"),
    prompt=("input",),
    reference=("expectedOutput", "expected_output"),
    metrics=_deepeval_metrics,
    left_out=lambda row: "" if row.get("input") else "conversations, and cases without an input",
    cost=("tokenCost",),
    tokens=(("inputTokenCount",), ("outputTokenCount",)),
    of_document=(
        ("datasetAlias", "testRunData.datasetAlias"),
        tuple(
            f"{where}hyperparameters.{name}"
            for where in ("", "testRunData.")
            for name in ("model", "Model", "model_name", "llm", "LLM")
        ),
    ),
)


def deepeval(
    path: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> SourceTable:
    """Read test runs of DeepEval: `.latest_run_full.json`, `test_run_*.json`, or what `evaluate`
    returned as JSON. Conversations are left out.

    Parameters
    ----------
    path : Path
        A file, or a folder with a file a model.
    metric : str, optional
        "success": whether the case passed all its metrics, the default; or a metric's name. Of
        metrics of which less is better (hallucination, bias, toxicity) the negative is taken.
    task : str, optional
        Default: `task` in the case's metadata, the data set's alias, or the path's name.
    model : str, optional
        Default: `model` in the case's metadata or in the run's hyperparameters, or of several files
        each one's name.
    prompt : str, optional
        The field with the prompt. Default: `input`.
    """
    return read_rows(_DEEPEVAL, path, metric, task, model, prompt)


_RAGAS_FIELDS = {
    *("user_input", "response", "reference", "retrieved_contexts", "reference_contexts", "rubrics"),
    *("rubric", "multi_responses", "question", "answer", "contexts", "ground_truth", "model"),
    *("ground_truths", "task", "metadata", "id", "index", "", "Unnamed: 0", "persona_name"),
    *("query_style", "query_length", "synthesizer_name", "reference_tool_calls", "error"),
    *("retrieved_context_ids", "reference_context_ids", "reference_topics"),
}


def _ragas_metrics(row: Row) -> _Metrics:
    numbers = {name: as_number(value) for name, value in row.items() if name not in _RAGAS_FIELDS}
    return {name: n for name, n in numbers.items() if n is not None or row[name] in (None, "")}


_RAGAS = Layout(
    tool="ragas",
    marks=("user_input", "question"),
    prompt=("user_input", "question"),
    reference=("reference", "ground_truth", "ground_truths"),
    metrics=_ragas_metrics,
    left_out=lambda row: (
        ""
        if {"user_input", "contexts", "ground_truth", "ground_truths"} & row.keys()
        and {"response", "answer", "user_input"} & row.keys()
        else "rows without the columns of ragas"
    ),
)


def ragas(
    path: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
) -> SourceTable:
    """Read results of ragas (`to_pandas()` as CSV, JSONL or Parquet), since 0.2 or before.

    Parameters
    ----------
    path : Path
        A file, or a folder with a file a model.
    metric : str, optional
        Default: the only column of numbers; of several `answer_correctness`,
        `factual_correctness`, `nv_accuracy` or `exact_match`. Of `noise_sensitivity`, of which less
        is better, the negative is taken.
    task : str, optional
        Default: the column `task`, or the path's name.
    model : str, optional
        Default: the column `model`, or of several files each one's name.
    prompt : str, optional
        The column with the prompt. Default: `user_input` or `question`.
    """
    return read_rows(_RAGAS, path, metric, task, model, prompt)
