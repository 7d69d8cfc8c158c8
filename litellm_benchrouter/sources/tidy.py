"""The meaning of a table's columns, and the rows that are left out and counted."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import LazyTable, listed

OF_SAMPLE = ("reference", "split", "group")
"""The columns of text that a sample may lack."""

SAMPLE = ("sample_id", "task", "prompt", *OF_SAMPLE)
"""The columns of text that describe a sample."""

LEFT_OUT = -1
"""In place of a sample's position: it is not wanted, or has no prompt."""

_NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens", "log_likelihood")
_WORDS = {"true": "1", "false": "0"}
_MOST_LOST = 0.5  # of a model's results, beyond which a warning names it
BLANKS = (
    " \t\n\r\v\f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\u200c\u200d\u2060\ufeff"
)
"""White space, and characters of no width: a text of nothing else is empty."""


def is_number(name: str) -> bool:
    """Say whether a column holds something about an answer."""
    return name in _NUMBERS or name.startswith(("metric:", "ranker:"))


def count(dropped: Counter[str], words: str, n: int) -> None:
    """Count what was left out; what was not needs no mention."""
    if n:
        dropped[words] += n


def as_text(column: pl.Expr, name: str) -> pl.Expr:
    """Return a column as text: blank is null, and names carry no blanks around them."""
    text = column.cast(pl.String)
    stripped = text.str.strip_chars(BLANKS)
    is_name = name in ("sample_id", "task", "model", "group")
    return pl.when(stripped != "").then(stripped if is_name else text).alias(name)


def as_number(
    column: pl.Expr, dtype: pl.DataType, words: Mapping[str, float], decimal_comma: bool
) -> pl.Expr:
    """Return a column as Float64: null where it is empty, NaN where it is no finite number.

    "0.5" is a number, true is 1 and false is 0, "90 %" is 0.9, and what a float32 cannot hold is
    none. `words`, in lower case, stand for further numbers; `decimal_comma` reads "0,5" as 0.5.
    """
    if dtype.is_numeric() or dtype == pl.Boolean:
        is_filled, numbers = column.is_not_null(), column.cast(pl.Float64)
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        is_filled = (text != "").fill_null(value=False)
        if decimal_comma:
            text = text.str.replace(r"^([+-]?\d*),(\d+)", "${1}.${2}")
        text = text.replace(_WORDS | {word: str(value) for word, value in words.items()})
        digits = text.str.strip_chars_end("% ").cast(pl.Float64, strict=False)
        numbers = pl.when(text.str.ends_with("%")).then(digits / 100).otherwise(digits)
        numbers = pl.when(text.str.contains(r"^[^%]*%?$")).then(numbers)
    else:
        is_filled, numbers = column.is_not_null(), pl.lit(None, pl.Float64)
    is_finite = numbers.cast(pl.Float32).is_finite()
    return pl.when(is_finite).then(numbers).when(is_filled).then(pl.lit(float("nan")))


@dataclass
class TableFile:
    """A file, our name of each column -> the file's, and columns that it does not have."""

    table: LazyTable
    names: dict[str, str]
    constants: dict[str, str]

    def set_constant(self, name: str, value: str | None) -> None:
        """Give a column that the file does not have one value."""
        if value is not None and name in self.names:
            raise SourceError(
                f'{self.table.path} has a column "{name}"; leave out the option {name}: {value}.'
            )
        if value is not None:
            self.constants[name] = str(value)

    def choose_metric(self, metric: str | None) -> None:
        """Take the column `metric:METRIC` for the score."""
        name = f"metric:{(metric or '').removeprefix('metric:')}"
        if metric is not None and name not in self.names:
            metrics = [column for column in self.names if column.startswith("metric:")]
            raise SourceError(
                f'{self.table.path} has no column "{name}"; its metrics are {listed(metrics)}.'
            )
        new = {} if metric is None else {"score": "metric:score", name: "score"}
        self.names = {new.get(our, our): their for our, their in self.names.items()}

    @property
    def columns(self) -> list[str]:
        return [*self.names, *(name for name in self.constants if name not in self.names)]

    def column(self, name: str) -> tuple[pl.Expr, pl.DataType]:
        """Return a column under the file's name of it, and its type."""
        schema, theirs = self.table.schema, self.names.get(name)
        if theirs is None:
            return pl.lit(self.constants[name]), pl.String()
        if theirs in schema:
            return pl.col(theirs), schema[theirs]
        outer, _, key = theirs.partition(".")
        keys = [[key], key.split(".")]  # "llama-3.1" is one key, where there is one
        if schema[outer] in (pl.String, pl.Categorical):
            text = pl.col(outer).cast(pl.String)
            paths = ["$" + "".join(f"[{_quoted(part)}]" for part in parts) for parts in keys]
            return pl.coalesce(text.str.json_path_match(path) for path in paths), pl.String()
        for parts in keys:
            column = pl.col(outer)
            for part in parts:
                column = column.struct.field(part)
            with suppress(pl.exceptions.PolarsError):
                return column, self.table.frame.select(column).collect_schema().dtypes()[0]
        raise SourceError(
            f'{self.table.path} has no "{key}" in its column "{outer}" ({schema[outer]}); name '
            f'another for "{name}".'
        )

    def text(self, name: str) -> pl.Expr:
        column, dtype = self.column(name)
        if name == "prompt" and isinstance(dtype, pl.List):  # a chat
            column = column.map_elements(
                lambda chat: json.dumps(chat.to_list()), return_dtype=pl.String
            )
        elif dtype.is_nested() or dtype == pl.Binary:
            raise SourceError(
                f'{self.table.path} holds {dtype} in its column "{name}"; give text, one value a '
                "row."
            )
        return as_text(column, name)


def _quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def require(file: TableFile, names: Sequence[str]) -> None:
    """Raise a SourceError where a column is missing."""
    ways = {
        "task": ", or give the option task",
        "model": ", or give the option model, or as path a pattern of files named after the models",
    }
    for name in names:
        if name not in file.columns:
            raise SourceError(
                f'{file.table.path} has no column "{name}" (it has {listed(file.columns)}); say '
                f"which one it is with columns: {{{name}: THEIRS}}{ways.get(name, '')}."
            )


def complete(frame: pl.DataFrame, names: Sequence[str], dropped: Counter[str]) -> pl.DataFrame:
    """Leave out rows without a value in one of the columns."""
    for name in names:
        if name in frame.columns and frame[name].null_count():
            count(dropped, f"rows without a {name}", frame[name].null_count())
            frame = frame.drop_nulls(name)
    return frame


def identified(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every row a sample_id that stands for one prompt, and leave out the other rows.

    Without a sample_id it is derived from task and prompt, the same in every file. Where an id
    occurs in several tasks, which number their samples alike, it becomes `TASK/SAMPLE_ID`. Of an
    id that comes with several prompts the first counts. Blanks around a prompt make no other one.
    """
    if "sample_id" not in frame.columns:
        pairs = frame.select("task", "prompt").unique(maintain_order=True)
        ids = [
            hashlib.sha256(f"{task}\0{(prompt or '').strip(BLANKS)}".encode()).hexdigest()[:16]
            for task, prompt in pairs.iter_rows()
        ]
        pairs = pairs.with_columns(sample_id=pl.Series(ids, dtype=pl.String))
        return frame.join(
            pairs, on=["task", "prompt"], how="left", nulls_equal=True, maintain_order="left"
        )
    frame = frame.with_columns(
        sample_id=pl.when(pl.col("task").n_unique().over("sample_id") > 1)
        .then(pl.concat_str("task", pl.lit("/"), "sample_id"))
        .otherwise("sample_id"),
        bare=pl.col("prompt").str.strip_chars(BLANKS),
    )
    key = ["sample_id", "task", "bare"]
    pairs = frame.select(key).unique(maintain_order=True)
    first = pairs.unique("sample_id", keep="first", maintain_order=True)
    if first.height < pairs.height:
        frame = frame.join(first, on=key, how="semi", nulls_equal=True, maintain_order="left")
    return frame.drop("bare")


def one_each(frame: pl.DataFrame, key: str = "sample_id") -> pl.DataFrame:
    """Return one row a sample: the first, with what it lacks from those after it."""
    first = frame.unique(key, keep="first", maintain_order=True)
    names = [name for name in OF_SAMPLE if name in frame.columns and first[name].null_count()]
    if not names or first.height == frame.height:
        return first
    values = frame.group_by(key).agg(pl.col(names).drop_nulls().first())
    return first.update(values, on=key)


def distinct_samples(rows: pl.DataFrame, n: int) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return the samples that rows describe, and where the sample of each of n rows is.

    `source_row` is the number of a row; a row that is not there, or has another prompt than the
    first of its sample_id, has no sample: `LEFT_OUT`.
    """
    rows = identified(rows)
    samples = one_each(rows)
    ids = samples.select("sample_id").with_row_index("position")
    placed = rows.select("source_row", "sample_id").join(ids, on="sample_id")
    position = np.full(n, LEFT_OUT, dtype=np.int64)
    position[placed["source_row"].to_numpy()] = placed["position"].to_numpy()
    return samples, position


def useful_samples(
    samples: pl.DataFrame, tasks: Sequence[str] | None, path: Path, dropped: Counter[str]
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Keep the samples of `tasks` (None: of all) that have a prompt.

    Also returns where each sample is among those that are kept, or `LEFT_OUT`.
    """
    is_asked = pl.Series([True]).new_from_index(0, samples.height)
    if tasks is not None:
        there = samples["task"].unique().sort().to_list()
        for task in tasks:
            if task not in there:
                raise SourceError(f'{path} has no task "{task}"; it has {listed(there)}.')
        is_asked = samples["task"].is_in(tasks)
        count(dropped, "samples of other tasks", samples.height - int(is_asked.sum()))
    is_useful = (is_asked & samples["prompt"].is_not_null()).to_numpy()
    count(dropped, "empty prompts", int(is_asked.sum()) - int(is_useful.sum()))
    position = np.where(is_useful, np.cumsum(is_useful) - 1, LEFT_OUT)
    return samples.filter(pl.Series(is_useful, dtype=pl.Boolean)), position


def models_of(results: pl.DataFrame) -> list[str]:
    """Return the models' names in the order of their numbers."""
    dtype = results.schema["model"]
    assert isinstance(dtype, pl.Enum)
    return dtype.categories.to_list()


def placed(
    results: pl.DataFrame, position: NDArray[np.int64], dropped: Counter[str]
) -> pl.DataFrame:
    """Give results the rows of the samples that are kept, and average those that come twice."""
    row = position[results["row"].to_numpy()]
    if (row < 0).any():
        is_there = pl.Series(row >= 0, dtype=pl.Boolean)
        count(dropped, "scores of samples left out", int(np.count_nonzero(row < 0)))
        results, row = results.filter(is_there), row[row >= 0]
    results = results.with_columns(pl.Series("row", row.astype(np.uint32)))
    n_models = len(models_of(results))
    is_taken = np.zeros(int(row.max(initial=-1) + 1) * n_models, dtype=bool)
    for part in results.iter_slices(1 << 20):
        model = part["model"].to_physical().to_numpy()
        is_taken[part["row"].to_numpy().astype(np.int64) * n_models + model] = True
    n_again = results.height - int(np.count_nonzero(is_taken))
    if n_again:
        count(dropped, "repeated results, which are averaged", n_again)
        results = results.group_by("row", "model", maintain_order=True).mean()
    return results


def lost_models(gone: Mapping[str, int], model: pl.Series, why: str) -> list[str]:
    """Return a warning that names the models of which most results were left out.

    `gone` counts by model what was left out, `model` is the model of each result that stays, and
    `why` is what the others had ("another prompt under the same id").
    """
    there = dict(model.cast(pl.String).value_counts().iter_rows()) if gone else {}
    total = {name: n + there.get(name, 0) for name, n in gone.items()}
    lost = [f"{m} ({n} of {total[m]})" for m, n in gone.items() if n > _MOST_LOST * total[m]]
    if not lost:
        return []
    return [
        f"Results were left out because they had {why}: {listed(lost)}. Check that a sample_id "
        "names the same sample in every file, or remove the column."
    ]
