"""`kind: table`: a folder with samples and scores, or one long or wide file."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.frame_file import FrameFile, MixedTypesError
from litellm_benchrouter.sources.frames import FORMATS, listed
from litellm_benchrouter.sources.source_table import SourceTable
from litellm_benchrouter.sources.table_long import LongScores, folder_scores, read_long
from litellm_benchrouter.sources.table_wide import WideScores, read_wide
from litellm_benchrouter.sources.tidy import (
    LEFT_OUT,
    SAMPLE,
    as_text,
    complete,
    count,
    known,
    one_prompt_an_id,
    require,
    useful_samples,
)


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
    as_text: set[Path] = set()
    while True:
        try:
            return _read(path, metric, rankers or [], tasks, task, columns or {}, as_text)
        except MixedTypesError as error:  # rare, and known only where the file has been read
            as_text.add(error.path)


def _read(
    path: Path,
    metric: str | None,
    rankers: list[str],
    tasks: list[str] | None,
    task: str | None,
    columns: dict[str, str],
    as_text: Collection[Path],
) -> SourceTable:
    """Read a table, of which JSONL files `as_text` are read as text."""
    dropped: Counter[str] = Counter()
    theirs = columns | {f"ranker:{name.removeprefix('ranker:')}": name for name in rankers}
    facts: dict[str, ModelFacts] = {}
    found: LongScores | WideScores
    if path.is_dir():
        paths = [_file_in(path, stem) for stem in ("samples", "scores")]
        files = [FrameFile(each, as_text=each in as_text) for each in paths]
        _rename(files, theirs, path)
        _set_task(files[0], task)
        samples, n_rows = _folder_samples(files[0], dropped)
        _choose_metric(files[1], metric)
        found = folder_scores(files[1], samples, dropped)
        if (path / "models.json").exists():
            facts = _read_facts(path / "models.json", dropped)
    else:
        file = FrameFile(path, as_text=path in as_text)
        _rename([file], theirs, path)
        _set_task(file, task)
        if "model" in file.columns or "score" in file.columns:
            _choose_metric(file, metric)
            samples, found = read_long(file, dropped)
            n_rows = samples.height
        elif metric is None and not rankers:
            samples, found = read_wide(file, dropped)
            n_rows = found.n_lines
        else:
            raise SourceError(
                f'{path} has no column "model", so it has a column a model and no metric or ranker '
                "to choose; leave these options out, or give a long table."
            )
    kept = useful_samples(samples, tasks, path, dropped)
    is_kept = samples["sample_id"].is_in(kept["sample_id"].implode()).to_numpy()
    results = found.of_samples(np.where(is_kept, np.cumsum(is_kept) - 1, LEFT_OUT), dropped)
    if not any(part["score"].count() for part in results.parts()):
        left_out = ", ".join(f"{words}: {count}" for words, count in sorted(dropped.items()))
        raise SourceError(
            f"{path} holds no sample with a score (left out: {left_out or 'nothing'}); see that it "
            "holds prompts, and scores that are numbers."
        )
    return SourceTable(kept, results, facts, dropped, n_rows)


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


def _rename(files: Sequence[FrameFile], theirs: Mapping[str, str], path: Path) -> None:
    """Give the columns our names; a column that had such a name without being meant goes."""
    seen = list(dict.fromkeys(name for file in files for name in file.names))
    for our, name in theirs.items():
        if name not in seen:
            raise SourceError(
                f'{path} has no column "{name}" to take for "{our}"; it has {listed(seen)}.'
            )
    for file in files:
        here = {our: name for our, name in theirs.items() if name in file.names}
        rest = (name for name in file.names if name not in {*here, *here.values()})
        file.names = {name: name for name in rest} | here


def _set_task(file: FrameFile, task: str | None) -> None:
    if task is not None and "task" in file.names:
        raise SourceError(f'{file.path} has a column "task"; leave out the option task: {task}.')
    file.task = task


def _choose_metric(file: FrameFile, metric: str | None) -> None:
    """Take a column of the metrics for the score."""
    if metric is None:
        return
    name = f"metric:{metric.removeprefix('metric:')}"
    if name not in file.names:
        metrics = [column for column in file.names if column.startswith("metric:")]
        raise SourceError(f'{file.path} has no column "{name}"; its metrics are {listed(metrics)}.')
    new = {"score": "metric:score", name: "score"}
    file.names = {new.get(our, our): their for our, their in file.names.items()}


def _folder_samples(file: FrameFile, dropped: Counter[str]) -> tuple[pl.DataFrame, int]:
    """Return the samples of a folder, and how many rows their file has."""
    require(file.path, file.columns, ("sample_id", "task", "prompt"))
    parts = [as_text(known(part, SAMPLE, dropped), file.path) for part in file.batches()]
    frame = pl.concat(parts).with_row_index("source_row")
    n_rows = frame.height
    frame = complete(frame, ("sample_id", "task"), dropped)
    frame = one_prompt_an_id(frame, dropped)
    samples = frame.unique("sample_id", keep="first", maintain_order=True)
    count(dropped, "repeated samples", frame.height - samples.height)
    return samples, n_rows


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
