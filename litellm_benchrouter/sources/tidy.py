"""Rules of what a table leaves out, each counted in words that a report shows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import listed

OF_SAMPLE = ("reference", "split", "group")
"""The columns of text that a sample may lack."""

SAMPLE = ("sample_id", "task", "prompt", *OF_SAMPLE)
"""The columns of text that describe a sample."""

LEFT_OUT = -1
"""In place of a sample's position: it is not wanted, or has no prompt."""

_NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens", "log_likelihood")
_PREFIXES = ("metric:", "ranker:")
_WORDS = {"true": "1", "false": "0"}
_MOST_LOST = 0.5  # of a model's results, beyond which a warning names it


def is_number(name: str) -> bool:
    """Say whether a column holds something about an answer."""
    return name in _NUMBERS or name.startswith(_PREFIXES)


def count(dropped: Counter[str], words: str, n: int) -> None:
    """Count what was left out; what was not needs no mention."""
    if n:
        dropped[words] += n


def as_text(column: pl.Expr, name: str) -> pl.Expr:
    """Return a column as text: blank is null, and names carry no white space around them."""
    text = column.cast(pl.String)
    stripped = text.str.strip_chars()
    is_name = name in ("task", "model", "group")
    return pl.when(stripped != "").then(stripped if is_name else text).alias(name)


def as_number(
    column: pl.Expr, dtype: pl.DataType, words: Mapping[str, float], decimal_comma: bool
) -> pl.Expr:
    """Return a column as Float64: null where it is empty, NaN where it is no finite number.

    "0.5" is a number, true is 1 and false is 0, "90 %" is 0.9, and what a float32 cannot hold is
    none.

    Parameters
    ----------
    column : polars.Expr
    dtype : polars.DataType
    words : mapping of str to float
        Further words that stand for a number, in lower case.
    decimal_comma : bool
        Read "0,5" as 0.5.
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
    id that comes with several prompts the first counts.
    """
    if "sample_id" not in frame.columns:
        pairs = frame.select("task", "prompt").unique(maintain_order=True)
        ids = [
            hashlib.sha256(f"{task}\0{prompt or ''}".encode()).hexdigest()[:16]
            for task, prompt in pairs.iter_rows()
        ]
        pairs = pairs.with_columns(sample_id=pl.Series(ids, dtype=pl.String))
        return frame.join(
            pairs, on=["task", "prompt"], how="left", nulls_equal=True, maintain_order="left"
        )
    n_tasks = frame.group_by("sample_id").agg(pl.col("task").n_unique().alias("n"))
    shared = n_tasks.filter(pl.col("n") > 1)["sample_id"]
    if not shared.is_empty():
        frame = frame.with_columns(
            sample_id=pl.when(pl.col("sample_id").is_in(shared.implode()))
            .then(pl.concat_str("task", pl.lit("/"), "sample_id"))
            .otherwise("sample_id")
        )
    key = ["sample_id", "task", "prompt"]
    pairs = frame.select(key).unique(maintain_order=True)
    first = pairs.unique("sample_id", keep="first", maintain_order=True)
    if first.height == pairs.height:
        return frame
    return frame.join(first, on=key, how="semi", nulls_equal=True, maintain_order="left")


def one_each(frame: pl.DataFrame, key: str = "sample_id") -> pl.DataFrame:
    """Return one row a sample: the first, with what it lacks from those after it."""
    first = frame.unique(key, keep="first", maintain_order=True)
    names = [name for name in OF_SAMPLE if name in frame.columns and first[name].null_count()]
    if not names or first.height == frame.height:
        return first
    values = frame.group_by(key).agg(pl.col(names).drop_nulls().first())
    return first.update(values, on=key)


def united(samples: pl.DataFrame) -> pl.DataFrame:
    """Give the groups of several sources that share a sample (`row`) one name, the first."""
    pairs = samples.select("row", "group").drop_nulls().unique(maintain_order=True)
    if not pairs["row"].is_duplicated().any():
        return samples
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = pairs["group"].unique(maintain_order=True)
    group = pairs["group"].cast(pl.Enum(names)).to_physical().to_numpy()
    node = len(names) + pairs["row"].to_numpy().astype(np.int64)  # of each sample
    size = int(node.max()) + 1
    edges = (np.ones(len(pairs)), (group, node))
    _, part = connected_components(coo_array(edges, shape=(size, size)), directed=False)
    _, first, of_name = np.unique(part[: len(names)], return_index=True, return_inverse=True)
    return samples.with_columns(pl.col("group").replace_strict(names, names[first][of_name]))


def positions_of(frame: pl.DataFrame, samples: pl.DataFrame) -> NDArray[np.int64]:
    """Return where the sample of each row is; `samples` has each sample_id once."""
    ids = samples.select("sample_id").with_row_index("position")
    joined = frame.select("sample_id").join(ids, on="sample_id", how="left", maintain_order="left")
    return joined["position"].to_numpy().astype(np.int64)


def useful_samples(
    samples: pl.DataFrame, tasks: Sequence[str] | None, path: Path, dropped: Counter[str]
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Keep the samples of `tasks` (None: of all) that have a prompt.

    Returns
    -------
    polars.DataFrame
    ndarray of int64
        Where each sample is among those that are kept, or `LEFT_OUT`.
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

    Parameters
    ----------
    gone : mapping of str to int
        How many results of each model were left out.
    model : polars.Series
        The model of each result that stays.
    why : str
        What they had: "another prompt under the same id".
    """
    if not gone:
        return []
    there = dict(model.cast(pl.String).value_counts().iter_rows())
    lost = {
        name: f"{name} ({n} of {n + there.get(name, 0)})"
        for name, n in gone.items()
        if n > _MOST_LOST * (n + there.get(name, 0))
    }
    if not lost:
        return []
    return [
        f"Results were left out because they had {why}: {listed(list(lost.values()))}. Check that "
        "a sample_id names the same sample in every file, or remove the column."
    ]
