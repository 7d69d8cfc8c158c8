"""Data sets of routing research: EmbedLLM, LLMRouterBench and RouterArena."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from litellm_benchrouter.sources.json_files import Fault
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    Row,
    answer_text,
    as_number,
    asked,
    look,
    look_number,
    look_text,
    marked_files,
    rows_in,
)

_STAMP = re.compile(r"\d{8}_\d{6}(?=\.json$)")


def embedllm(path: Path) -> SourceTable:
    """Read EmbedLLM's correctness data: `train.csv`, `val.csv` and `test.csv`.

    Parameters
    ----------
    path : Path
        A file, or the folder with them; the order of questions and models is passed over. The
        file's name is the split, `category` the task and `label` the score.
    """
    collector = Collector(path)
    samples: dict[str, Sample] = {}
    for file in marked_files(path, (".csv", ".parquet"), ("label",), "EmbedLLM", collector.faults):
        split = file.name.partition(".")[0]
        for place, row, _ in rows_in(file, collector.faults):
            with collector.faults.noted(file, place):
                number, model = row.get("prompt_id"), row.get("model_name")
                if number is None or not isinstance(model, str) or "label" not in row:
                    raise Fault("has no prompt_id, model_name and label")
                sample = samples.get(str(number))
                prompt = row.get("prompt") or ""
                if sample is None or sample.prompt != prompt:
                    task = str(row.get("category") or row.get("category_id") or "embedllm")
                    sample = Sample(str(number), task, prompt, split=split)
                    samples.setdefault(str(number), sample)
                collector.add(sample, model, as_number(row["label"]))
    return collector.table("EmbedLLM")


def llmrouterbench(
    path: Path, *, prompt: Literal["origin_query", "prompt"] = "origin_query"
) -> SourceTable:
    """Read the results of LLMRouterBench, a file a data set, split and model.

    Of several files of one the newest is read; trial runs (`demo`) are left out. A score that is
    null is missing, where LLMRouterBench's own loader takes it for 0.

    Parameters
    ----------
    path : Path
        A file, or the folder `results/bench`.
    prompt : str
        "origin_query": the question; "prompt": the request as it was sent.

    Returns
    -------
    SourceTable
        A cost of 0, which stands for models without a price, is left out.
    """
    collector = Collector(path)
    newest: dict[tuple[str, str, str], Path] = {}
    stamp = lambda file: (match[0] if (match := _STAMP.search(file.name)) else "", str(file))  # noqa: E731
    files = marked_files(path, (".json",), ('"records"',), "LLMRouterBench", collector.faults)
    for file in sorted(files, key=stamp):
        with collector.faults.noted(file):
            _, _, head = next(rows_in(file, collector.faults, "records"), ("", {}, {}))
            if head.get("demo") is True:
                collector.dropped["files of trial runs"] += 1
                continue
            key = tuple(look_text(head, n) for n in ("dataset_name", "split", "model_name"))
            if None in key:
                raise Fault("has no dataset_name, split and model_name")
            if key in newest:
                collector.dropped["files of which a newer one is there"] += 1
            newest[key] = file  # type: ignore[index]
    for (task, split, model), file in newest.items():
        for place, row, _ in rows_in(file, collector.faults, "records"):
            with collector.faults.noted(file, place):
                text = asked(look(row, prompt, "prompt"))
                if text is None:
                    raise Fault(f"has no {prompt}")
                reference = answer_text(row.get("ground_truth"))
                name = f"{task}/{split}/{row.get('index')}"
                sample = Sample(name, task, text, reference, split)
                score = as_number(row.get("score"))
                if score is None:
                    collector.dropped["results without a score"] += 1
                numbers = {
                    "cost_usd": look_number(row, "cost") or None,
                    "prompt_tokens": look_number(row, "prompt_tokens") or None,
                    "completion_tokens": look_number(row, "completion_tokens") or None,
                }
                collector.add(sample, model, score, numbers)
    return collector.table("LLMRouterBench")


def routerarena(path: Path) -> SourceTable:
    """Read RouterArena: `cached_results/MODEL.jsonl`, or predictions of routers once evaluated.

    The task is the data set that the global index names. An answer that was not generated, or not
    evaluated, is missing and not wrong.

    Parameters
    ----------
    path : Path
        A file, or a folder with such files.
    """
    collector = Collector(path)
    marks = ('"global_index"', '"global index"')
    for file in marked_files(path, (".jsonl", ".json"), marks, "RouterArena", collector.faults):
        for place, row, _ in rows_in(file, collector.faults):
            with collector.faults.noted(file, place):
                _add_arena(row, collector)
    return collector.table("RouterArena")


def _add_arena(row: Row, collector: Collector) -> None:
    key = look_text(row, "global_index", "global index")
    model = look_text(row, "llm_selected", "prediction")
    text = asked(look(row, "question", "prompt"))
    if key is None or model is None or text is None:
        raise Fault("has no global_index, model and question")
    score = look_number(row, "evaluation_result.score", "accuracy")
    if look(row, "success", "generated_result.success") is False:
        collector.dropped["answers that were not generated, which are missing and not wrong"] += 1
        score = None
    elif score is None:
        collector.dropped["answers that were not evaluated"] += 1
    reference = answer_text(look(row, "evaluation_result.ground_truth"))
    usage = "token_usage" if "token_usage" in row else "generated_result.token_usage"
    numbers = {
        "cost_usd": look_number(row, "evaluation_result.inference_cost", "cost"),
        "prompt_tokens": look_number(row, f"{usage}.input_tokens"),
        "completion_tokens": look_number(row, f"{usage}.output_tokens"),
    }
    sample = Sample(key, key.rpartition("_")[0] or key, text, reference)
    collector.add(sample, model, score, numbers)
