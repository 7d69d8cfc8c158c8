"""Exports that have an input with its scores a row, read by a description of their layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from litellm_benchrouter.sources.column_names import less_is_better
from litellm_benchrouter.sources.json_files import Fault
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    Row,
    UndecidedError,
    answer_text,
    asked,
    chosen_metric,
    look,
    look_number,
    look_text,
    marked_files,
    models_of_files,
    rows_in,
    sample_key,
    unpacked,
)

_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".csv.gz", ".parquet")
USUAL = ("success", "correctness", "correct", "accuracy", "answer_correctness",
         "factual_correctness", "nv_accuracy", "exact_match")  # fmt: skip
"""Metrics that are the score where a row has several and none was asked for, the first first."""

_Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Layout:
    """Where the rows of an export have what; of several keys the first that holds something counts.

    `metrics` returns the scores of a row, and `left_out` why a row is no result ("" where it is).
    """

    tool: str
    marks: tuple[str, ...]
    prompt: tuple[str, ...]
    metrics: Callable[[Row], _Metrics]
    lists: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    task: tuple[str, ...] = ("metadata.task", "task")
    model: tuple[str, ...] = ("metadata.model", "model")
    error: tuple[str, ...] = ("error",)
    cost: tuple[str, ...] = ()
    tokens: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    left_out: Callable[[Row], str] = lambda row: ""
    of_document: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # the task, the model


@dataclass(frozen=True)
class _Result:
    file: Path
    sample: Sample
    model: str | None
    metrics: _Metrics
    numbers: Mapping[str, float | None]


def read_rows(
    layout: Layout,
    path: Path,
    metric: str | None,
    task: str | None,
    model: str | None,
    prompt: str | None,
    prepare: Callable[[list[tuple[Path, str, Row, Row]]], None] = lambda rows: None,
) -> SourceTable:
    """Read an export by its layout; `prepare` may complete rows from one another before."""
    collector = Collector(path)
    files = marked_files(path, _ENDINGS, layout.marks, layout.tool, collector.faults)
    rows = [
        (file, place, row, document)
        for file in files
        for place, row, document in rows_in(file, collector.faults, *layout.lists)
    ]
    prepare(rows)
    results: list[_Result] = []
    for file, place, row, document in rows:
        with collector.faults.noted(file, place):
            why = layout.left_out(row)
            if why:
                collector.dropped[why] += 1
                continue
            results.append(_result(layout, path, file, row, document, (task, model, prompt)))
    add_results(results, collector, metric, model)
    return collector.table(layout.tool, asked=metric)


def add_results(
    results: Sequence[_Result], collector: Collector, metric: str | None, model: str | None
) -> None:
    """Add results under their models, with the metric that the score is."""
    path = collector.root
    unnamed = list(dict.fromkeys(result.file for result in results if result.model is None))
    models = {} if not unnamed else models_of_files(path, unnamed, model)
    names = list(dict.fromkeys(n for r in results for n, v in r.metrics.items() if v is not None))
    main = chosen_metric(path, names, metric, USUAL)
    for result in results:
        score = result.metrics.get(main or "")
        if score is None and result.metrics:
            collector.dropped[f"results without {main or metric or 'a score'}"] += 1
        numbers = {f"metric:{name}": value for name, value in result.metrics.items()}
        collector.add(
            result.sample,
            result.model or models[result.file],
            score,
            {**result.numbers, **numbers},
        )


def _result(
    layout: Layout,
    path: Path,
    file: Path,
    row: Row,
    document: Row,
    options: tuple[str | None, str | None, str | None],
) -> _Result:
    task, model, prompt = options
    of_task, of_model = layout.of_document
    given = look(row, prompt) if prompt else look(row, *layout.prompt)
    if given is None:
        raise Fault(f"has no {prompt or ' and no '.join(layout.prompt)}")
    text = asked(given)
    if text is None:
        fields = ", ".join(held) if isinstance(held := unpacked(given), dict) else "no text"
        raise UndecidedError(
            f"{path}: the input has several fields ({fields}) and none with a usual name. Choose "
            f"one with options: {{prompt: {layout.prompt[0]}.NAME}}."
        )
    name = task or look_text(row, *layout.task) or look_text(document, *of_task) or path.stem
    reference = answer_text(look(row, *layout.reference))
    metrics = {
        label: -value if value is not None and less_is_better(label) else value
        for label, value in layout.metrics(row).items()
    }
    if look(row, *layout.error) is not None:
        metrics = dict.fromkeys(metrics)
    numbers = {
        "cost_usd": look_number(row, *layout.cost),
        "prompt_tokens": look_number(row, *layout.tokens[0]),
        "completion_tokens": look_number(row, *layout.tokens[1]),
    }
    return _Result(
        file,
        Sample(sample_key(name, text, reference), name, text, reference),
        model or look_text(row, *layout.model) or look_text(document, *of_model),
        metrics,
        {key: value for key, value in numbers.items() if value is not None},
    )
