"""What the rows of a long table say besides the score: of which metric, run or failure they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.column_names import key_of
from litellm_benchrouter.sources.columns import NOTHING
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.tidy import TableFile, is_number

_METRICS = re.compile("metric(_name)?|measure|scorer|criterion|criteria|dimension", re.IGNORECASE)
_SETTINGS = re.compile(
    r"(n_?|num_?)?(few_?)?shots?|temperature|(judge|grader|evaluator)(_(id|name|model))?"
    r"|prompt_(id|name|version|template|variant)|(system_prompt|template|variant)(_(id|name))?"
    r"|setting|config(uration)?|mode|strategy|method|(reasoning_?)?effort|thinking|filter|version"
    r"|quanti[sz]ation|provider|backend|(model_?)?(version|revision|checkpoint|variant|size)",
    re.IGNORECASE,
)
_REPETITIONS = re.compile(
    r"(.*_)?(runs?|seed|trial|attempt|epoch|rep(eat|etition|lica)?|try|iter(ation)?|round|fold|sample"
    r"|index|idx|id|no|nr|number|time(stamp)?|date|day|\w+_at)(_?(id|no|idx|index|name|number))?",
    re.IGNORECASE,
)
_FEW = 20  # different words in a column that may tell settings apart
_SOME = 10_000  # rows of a long table in which a column of texts has more
_FAILURES = re.compile(r"(.*_)?(error|exception)(_?(message|msg|type|code|text))?", re.IGNORECASE)
_CELL = ("sample_id", "task", "prompt", "model")
_NO_FAILURE = NOTHING | {"", "false", "no", "0", "ok", "[]", "{}"}


def refuse_several_metrics(file: TableFile, scores: Collection[str] = ()) -> None:
    """Refuse a table with a row a metric: these would be averaged. Columns of scores are none."""
    for name, metrics in _apart(file, _METRICS, scores):
        raise SourceError(
            f'{file.table.path}: has a row for each "{name}" ({listed(metrics)}) of a sample and '
            "model, which would be averaged. Keep the rows of one, in a file of its own."
        )


def about_settings(file: TableFile, scores: Collection[str] = ()) -> list[str]:
    """Warn of results under several settings, which are averaged as repetitions are."""
    return [
        f'Results of a sample and model that differ in "{name}" ({listed(values)}) are averaged. '
        "Where they are no repetitions of one run, keep the rows of one, or tell them apart by the "
        "model's name."
        for name, values in [*_apart(file, _SETTINGS, scores), *_words_apart(file, scores)]
    ]


def about_failures(file: TableFile, score: pl.Expr) -> list[str]:
    """Warn of scores of 0 that stand beside an error: the model gave no answer there."""
    warnings = []
    for name in _named(file, _FAILURES):
        error = file.text(name).str.strip_chars().str.to_lowercase().alias("\0")
        frame = file.table.collect(error, score.alias("score"), file.text("model"))
        failed = frame.filter(~pl.col("\0").is_in(_NO_FAILURE), pl.col("score").is_finite())
        if len(failed) and (failed["score"] <= 0).all():
            counts = failed["model"].value_counts(name="n")
            by_model = counts.sort("n", "model", descending=[True, False])
            shown = listed([f"{model}: {n}" for model, n in by_model.iter_rows()], 4)
            warnings.append(
                f'{len(failed)} results with a text in "{name}" have a score of 0 ({shown}). Where '
                "there was no answer, leave the score empty: missing is not wrong."
            )
    return warnings


def _named(file: TableFile, pattern: re.Pattern[str]) -> list[str]:
    names = [name for name in file.names if pattern.fullmatch(key_of(name))]
    return [name for name in names if not file.column(name)[1].is_nested()]


def _apart(
    file: TableFile, pattern: re.Pattern[str], scores: Collection[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield columns that tell rows of one sample and model apart, and what they hold."""
    for name in (each for each in _named(file, pattern) if each not in scores):
        cells, words = _by_cell(file, name)
        if (cells["different"] > 1).any():
            yield name, words


def _words_apart(file: TableFile, scores: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield columns under any other name that hold few words, each row of a cell another one."""
    for name in (each for each in file.names if each not in scores):
        key, (column, dtype) = key_of(name), file.column(name)
        is_read = name in _CELL or is_number(name) or _SETTINGS.fullmatch(key)
        if is_read or dtype not in (pl.String, pl.Categorical) or _REPETITIONS.fullmatch(key):
            continue
        some = file.table.frame.select(column.alias("\0")).head(_SOME).collect()["\0"]
        if not 1 < some.n_unique() <= _FEW or some.is_null().any():
            continue
        cells, words = _by_cell(file, name)
        several = cells.filter(pl.col("n") > 1)
        is_telling = (several["different"] == several["n"]).all()
        if is_telling and 2 * len(several) > len(cells) and not all(map(str.isdigit, words)):
            yield name, words


def _by_cell(file: TableFile, name: str) -> tuple[pl.DataFrame, list[str]]:
    """Count the rows of each sample and model, and what a column has in them; return its words."""
    ids = [n for n in _CELL if n in file.columns]
    frame = file.table.collect(*(file.text(n) for n in ids), file.column(name)[0].alias("\0"))
    cells = frame.group_by(ids).agg(n=pl.len(), different=pl.col("\0").n_unique())
    return cells, frame["\0"].drop_nulls().unique().cast(pl.String).sort().to_list()
