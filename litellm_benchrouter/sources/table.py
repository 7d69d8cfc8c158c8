"""`kind: table`: a folder with samples and scores, or long or wide files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.column_names import less_is_better
from litellm_benchrouter.sources.forms import Reading
from litellm_benchrouter.sources.frames import file_in, matching, model_names
from litellm_benchrouter.sources.json_files import Faults, read_facts
from litellm_benchrouter.sources.record import SourceTable

_YAML_WORDS = {True: ("true", "yes", "on"), False: ("false", "no", "off")}


def read(
    path: Path,
    *,
    metric: str | None = None,
    rankers: list[str] | None = None,
    tasks: list[str] | None = None,
    task: str | None = None,
    columns: dict[str, str] | None = None,
    score: str | None = None,
    models: list[str] | dict[str, str] | None = None,
    model: str | None = None,
    words: dict[bool | str, float] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> SourceTable:
    """Read a table of results.

    Three forms are told apart by what is there: a folder with `samples` (sample_id, task, prompt,
    reference, split, group) and `scores` (sample_id, model, score, ...) in any format and optional
    `models.json`; long files, with a row a sample and model; wide files, with a row a sample and a
    column a model. Where a file has no sample_id, it is derived from task and prompt; where several
    tasks number their samples alike, it becomes `TASK/SAMPLE_ID`. Several results of a sample and
    model are averaged. Samples with the same `group` are variants of one another.
    A column of numbers that may be a model or not is refused.

    Parameters
    ----------
    path : Path
        The folder or file, or a pattern of long files ("results/*.csv"): in those without a column
        `model` the file's name without its ending is the model.
    metric : str, optional
        Take the column `metric:METRIC` for the score; a column `score` stays as `metric:score`.
    rankers : list of str, optional
        Columns that hold rankers' scores of each answer; they become `ranker:NAME`.
    tasks : list of str, optional
        Keep only these tasks.
    task : str, optional
        The task of every sample of a file that has no such column.
    columns : dict of str to str, optional
        Our name of a column -> the file's name of it; "a.b" is the key b inside the column a.
    score : str, optional
        The file's name of the column `score`.
    models : list of str, or dict of str to str, optional
        The columns of a wide file that are models, or each column's model. Default: all columns of
        numbers but those with usual names of something else ("id", "latency_s").
    model : str, optional
        The model of a long file that has no such column.
    words : dict of (str or bool) to float, optional
        Words that are scores, as {pass: 1, fail: 0}; case does not matter. YAML reads yes and no
        as true and false, which stand for these words too.
    separator, encoding : str, optional
        Of a CSV, where they are not found out.
    sheet : str, optional
        Of an Excel file with rows in several.

    Returns
    -------
    SourceTable
        `samples` also has `source_row` (UInt32): the row in the folder's samples or in the wide
        file, counted before anything was left out; in a long file the n-th different sample.
    """
    theirs = (columns or {}) | ({"score": score} if score else {})
    theirs |= {f"ranker:{name.removeprefix('ranker:')}": name for name in rankers or []}
    spelled = {
        spelling: value
        for word, value in (words or {}).items()
        for spelling in (_YAML_WORDS[word] if isinstance(word, bool) else (word.lower(),))
    }
    reading = Reading(path, spelled, Counter(), Faults(path), [], Counter())
    less = (metric or theirs.get("score") or "").removeprefix("metric:").rpartition(".")[2]
    reading.less_is_better = less if less_is_better(less) else ""
    facts: dict[str, ModelFacts] = {}
    if path.is_dir():
        paths = [file_in(path, stem) for stem in ("samples", "scores")]
        files = reading.opened(paths, theirs, separator, encoding, sheet)
        files[0].set_constant("task", task)
        files[1].choose_metric(metric)
        samples, results, n_rows = reading.folder(*files)
        if (path / "models.json").exists():
            facts = read_facts(path / "models.json", reading.dropped)
    else:
        paths = matching(path)
        files = reading.opened(paths, theirs, separator, encoding, sheet)
        for file in files:
            file.set_constant("task", task)
        is_long = any({"model", "score"} & {*file.names} for file in files) or model is not None
        if is_long or len(files) > 1:
            for file in files:
                file.set_constant("model", model)
                file.choose_metric(metric)
            if paths != [path]:
                for file, name in zip(files, model_names(paths), strict=True):
                    file.constants.setdefault("model", name)
            samples, results, n_rows = reading.long(files)
        elif metric is None and not rankers:
            samples, results, n_rows = reading.wide(files[0], models)
        else:
            raise SourceError(
                f'{path} has no column "model", so it has a column a model and no metric or ranker '
                "to choose; leave these options out, or give a long table."
            )
    return reading.finished(samples, results, n_rows, tasks, facts)
