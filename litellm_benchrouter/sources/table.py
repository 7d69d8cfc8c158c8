"""`kind: table`: a folder with samples and scores, or one long or wide file."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import polars as pl

from litellm_benchrouter.core.benchmark import ModelFacts
from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import FORMATS, listed, read_frame
from litellm_benchrouter.sources.source_table import SourceTable
from litellm_benchrouter.sources.tidy import (
    SAMPLE,
    as_numbers,
    as_text,
    complete,
    count,
    identified,
    one_prompt_an_id,
    useful_samples,
    useful_scores,
    with_numbers,
)

_NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens", "log_likelihood")
_PREFIXES = ("metric:", "ranker:")


def read(
    path: Path,
    *,
    metric: str | None = None,
    rankers: list[str] | None = None,
    tasks: list[str] | None = None,
    task: str | None = None,
    columns: dict[str, str] | None = None,
) -> SourceTable:
    """Read a table of results.

    Three forms are told apart by what is there: a folder with `samples` (sample_id, task, prompt,
    reference, split) and `scores` (sample_id, model, score, ...) as .parquet, .csv or .jsonl and
    an optional `models.json`; a long file, with a row a sample and model; a wide file, with a row
    a sample and a column a model. Where a file has no sample_id, it is derived from task and
    prompt; where several tasks number their samples alike, it becomes `TASK/SAMPLE_ID`.

    Parameters
    ----------
    path : Path
        The folder or file.
    metric : str, optional
        Take the column `metric:METRIC` for the score; a column `score` stays as `metric:score`.
    rankers : list of str, optional
        Columns that hold rankers' scores of each answer; they become `ranker:NAME`.
    tasks : list of str, optional
        Keep only these tasks.
    task : str, optional
        The task of every sample of a file that has no such column.
    columns : dict of str to str, optional
        Our name of a column -> the file's name of it.

    Returns
    -------
    SourceTable
        `samples` also has `source_row` (UInt32): the row in the folder's samples or in the wide
        file, counted before anything was left out; in a long file the n-th different sample.

    Raises
    ------
    SourceError
        If the path, a file, a column or a task is missing or unreadable, or nothing is left.
    """
    dropped: Counter[str] = Counter()
    theirs = dict(columns or {}) | {
        f"ranker:{name.removeprefix('ranker:')}": name for name in rankers or []
    }
    facts: dict[str, ModelFacts] = {}
    if path.is_dir():
        files = [_file_in(path, "samples"), _file_in(path, "scores")]
        samples, scores = _renamed([read_frame(file) for file in files], theirs, path)
        n_rows = samples.height
        samples = _folder_samples(_with_task(samples, task, files[0]), files[0], dropped)
        scores = _folder_scores(_with_metric(scores, metric, files[1]), files[1], dropped)
        if (path / "models.json").exists():
            facts = _read_facts(path / "models.json", dropped)
    else:
        [frame] = _renamed([read_frame(path)], theirs, path)
        frame = _with_task(frame, task, path)
        if "model" in frame.columns or "score" in frame.columns:
            samples, scores = _split_long(_with_metric(frame, metric, path), path, dropped)
            n_rows = samples.height
        elif metric is None and not rankers:
            samples, scores = _split_wide(frame, path, dropped)
            n_rows = frame.height
        else:
            raise SourceError(
                f'{path} has no column "model", so it has a column a model and no metric or ranker '
                "to choose; leave these options out, or give a long table."
            )
    kept = useful_samples(samples, tasks, path, dropped)
    scores = useful_scores(scores, samples, kept, dropped)
    if scores["score"].count() == 0:
        left_out = ", ".join(f"{words}: {count}" for words, count in sorted(dropped.items()))
        raise SourceError(
            f"{path} holds no sample with a score (left out: {left_out or 'nothing'}); see that it "
            "holds prompts, and scores that are numbers."
        )
    return SourceTable(kept, scores, facts, dropped, n_rows)


def _file_in(folder: Path, stem: str) -> Path:
    """Return the one file of that name in the folder, whatever its format."""
    names = [f"{stem}{ending}" for ending in FORMATS]
    found = [name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        raise SourceError(
            f"{folder} holds {' and '.join(found) or f'no {stem} file'}; a table's folder has one "
            f"of {', '.join(names)}."
        )
    return folder / found[0]


def _renamed(
    frames: Sequence[pl.DataFrame], theirs: Mapping[str, str], path: Path
) -> list[pl.DataFrame]:
    """Give the columns our names; a column that had such a name without being meant goes."""
    seen = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    for our, name in theirs.items():
        if name not in seen:
            raise SourceError(
                f'{path} has no column "{name}" to take for "{our}"; it has {listed(seen)}.'
            )
    renamed = []
    for frame in frames:
        here = {our: name for our, name in theirs.items() if name in frame.columns}
        rest = [name for name in frame.columns if name not in {*here, *here.values()}]
        ours = (pl.col(name).alias(our) for our, name in here.items())
        renamed.append(frame.select(*rest, *ours))
    return renamed


def _with_task(frame: pl.DataFrame, task: str | None, path: Path) -> pl.DataFrame:
    if task is None:
        return frame
    if "task" in frame.columns:
        raise SourceError(f'{path} has a column "task"; leave out the option task: {task}.')
    return frame.with_columns(task=pl.lit(task))


def _with_metric(frame: pl.DataFrame, metric: str | None, path: Path) -> pl.DataFrame:
    if metric is None:
        return frame
    name = f"metric:{metric.removeprefix('metric:')}"
    if name not in frame.columns:
        metrics = [column for column in frame.columns if column.startswith("metric:")]
        raise SourceError(f'{path} has no column "{name}"; its metrics are {listed(metrics)}.')
    return frame.rename({"score": "metric:score"}, strict=False).rename({name: "score"})


def _folder_samples(frame: pl.DataFrame, path: Path, dropped: Counter[str]) -> pl.DataFrame:
    _require(frame, ("sample_id", "task", "prompt"), path)
    frame = _known(frame, SAMPLE, dropped).with_row_index("source_row")
    frame = complete(as_text(frame, path), ("sample_id", "task"), dropped)
    frame = one_prompt_an_id(frame, dropped)
    samples = frame.unique("sample_id", keep="first", maintain_order=True)
    count(dropped, "repeated samples", frame.height - samples.height)
    return samples


def _folder_scores(frame: pl.DataFrame, path: Path, dropped: Counter[str]) -> pl.DataFrame:
    _require(frame, ("sample_id", "model", "score"), path)
    numbers = [name for name in frame.columns if _is_number(name)]
    frame = _known(frame, ("sample_id", "model", *numbers), dropped)
    frame = complete(as_text(frame, path), ("sample_id", "model"), dropped)
    return with_numbers(frame, numbers, dropped)


def _split_long(
    frame: pl.DataFrame, path: Path, dropped: Counter[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    _require(frame, ("task", "prompt", "model", "score"), path)
    numbers = [name for name in frame.columns if _is_number(name)]
    frame = _known(frame, (*SAMPLE, "model", *numbers), dropped)
    frame = complete(as_text(frame, path), ("sample_id", "task", "model"), dropped)
    frame = with_numbers(identified(frame, dropped), numbers, dropped)
    samples = frame.drop("model", *numbers).unique("sample_id", keep="first", maintain_order=True)
    return samples.with_row_index("source_row"), frame.select("sample_id", "model", *numbers)


def _split_wide(
    frame: pl.DataFrame, path: Path, dropped: Counter[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    costs = [name for name in frame.columns if name.endswith("|total_cost")]
    if costs:
        raise SourceError(
            f'{path} has RouterBench\'s columns ("{costs[0]}"); read it with kind: routerbench.'
        )
    _require(frame, ("task", "prompt"), path)
    models = []
    for name in frame.columns:
        if name not in ("", "source_row", *SAMPLE) and not _is_number(name):
            numbers, n_other = as_numbers(frame[name])
            if numbers.count():  # else it is a text about the sample, not a model
                models.append(numbers)
                count(dropped, "scores that are not numbers", n_other)
                count(dropped, "empty scores", numbers.null_count() - n_other)
    if not models:
        raise SourceError(
            f"{path} has no column with a model's scores (it has {listed(frame.columns)}); a wide "
            "table has one column a model, a long one has the columns model and score."
        )
    names = [model.name for model in models]
    frame = _known(frame.with_columns(models), (*SAMPLE, *names), dropped)
    frame = complete(
        as_text(frame.with_row_index("source_row"), path), ("sample_id", "task"), dropped
    )
    frame = identified(frame, dropped)
    scores = frame.unpivot(names, index="sample_id", variable_name="model", value_name="score")
    samples = frame.drop(names).unique("sample_id", keep="first", maintain_order=True)
    return samples, scores.drop_nulls("score")


def _is_number(name: str) -> bool:
    return name in _NUMBERS or name.startswith(_PREFIXES)


def _require(frame: pl.DataFrame, names: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in frame.columns:
            or_option = ", or give the option task" if name == "task" else ""
            raise SourceError(
                f'{path} has no column "{name}" (it has {listed(frame.columns)}); say which one it '
                f"is with columns: {{{name}: THEIRS}}{or_option}."
            )


def _known(frame: pl.DataFrame, names: Sequence[str], dropped: Counter[str]) -> pl.DataFrame:
    """Keep the columns that have a meaning here, and count the values of the others."""
    for name in frame.columns:
        if name not in names:
            dropped[f'values in the unknown column "{name}"'] += frame[name].count()
    return frame.select(name for name in frame.columns if name in names)


def _read_facts(path: Path, dropped: Counter[str]) -> dict[str, ModelFacts]:
    """Read `models.json`: model -> {params_b, prices, mean_cost_usd, mean tokens}."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not valid JSON ({error}); mend or remove it.") from error
    if not isinstance(document, dict) or not all(isinstance(v, dict) for v in document.values()):
        raise SourceError(f"{path} is not an object of objects; write {{MODEL: {{params_b: 7}}}}.")
    known = [field.name for field in fields(ModelFacts) if field.name != "price_source"]
    facts = {}
    for model, stated in document.items():
        for name, value in stated.items():
            if name not in known:
                dropped[f'values of the unknown model fact "{name}"'] += 1
            elif value is not None and not _is_amount(value):
                raise SourceError(
                    f"{path}: {name} of {model} is {value!r}; give a number that is not negative."
                )
        facts[model] = ModelFacts(**{name: stated.get(name) for name in known})
    return facts


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
